//! Every field of every object, missing, of the wrong type, huge, and twice.

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};

use super::{ALWAYS, Act, Strike, head, json as body};
use crate::ca::Verb;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $verbs:expr, $key:literal;)+) => {
        /// A field of a JSON object that a CA sends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Field { $($(#[$doc])* $name,)+ }

        impl Field {
            /// All of them, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            const fn place(self) -> (&'static [Verb], &'static str) {
                match self { $(Self::$name => ($verbs, $key),)+ }
            }
        }
    };
}

fields! {
    /// `contact` of an account (RFC 8555 §7.1.2).
    AccountContact: &[Verb::NewAccount], "contact";
    /// `orders` of an account.
    AccountOrders: &[Verb::NewAccount], "orders";
    /// `status` of an account.
    AccountStatus: &[Verb::NewAccount], "status";
    /// `challenges` of an authorization (RFC 8555 §7.1.4).
    AuthorizationChallenges: &[Verb::Authorization], "challenges";
    /// `expires` of an authorization.
    AuthorizationExpires: &[Verb::Authorization], "expires";
    /// `identifier` of an authorization.
    AuthorizationIdentifier: &[Verb::Authorization], "identifier";
    /// `status` of an authorization.
    AuthorizationStatus: &[Verb::Authorization], "status";
    /// `status` of a challenge (RFC 8555 §7.1.5), once it is answered.
    ChallengeStatus: &[Verb::Challenge], "status";
    /// `token` of a challenge, once it is answered.
    ChallengeToken: &[Verb::Challenge], "token";
    /// `type` of a challenge, once it is answered.
    ChallengeType: &[Verb::Challenge], "type";
    /// `url` of a challenge, once it is answered.
    ChallengeUrl: &[Verb::Challenge], "url";
    /// `keyChange` of the directory (RFC 8555 §7.1.1).
    DirectoryKeyChange: &[Verb::Directory], "keyChange";
    /// `meta` of the directory.
    DirectoryMeta: &[Verb::Directory], "meta";
    /// `newAccount` of the directory.
    DirectoryNewAccount: &[Verb::Directory], "newAccount";
    /// `newNonce` of the directory.
    DirectoryNewNonce: &[Verb::Directory], "newNonce";
    /// `newOrder` of the directory.
    DirectoryNewOrder: &[Verb::Directory], "newOrder";
    /// `revokeCert` of the directory.
    DirectoryRevokeCert: &[Verb::Directory], "revokeCert";
    /// `authorizations` of an order (RFC 8555 §7.1.3).
    OrderAuthorizations: ORDER, "authorizations";
    /// `certificate` of an order.
    OrderCertificate: ORDER, "certificate";
    /// `expires` of an order.
    OrderExpires: ORDER, "expires";
    /// `finalize` of an order.
    OrderFinalize: ORDER, "finalize";
    /// `identifiers` of an order.
    OrderIdentifiers: ORDER, "identifiers";
    /// `status` of an order.
    OrderStatus: ORDER, "status";
    /// `detail` of a problem (RFC 7807 §3.1) that refuses a new order.
    ProblemDetail: &[Verb::NewOrder], "detail";
    /// `instance` of a problem.
    ProblemInstance: &[Verb::NewOrder], "instance";
    /// `status` of a problem.
    ProblemStatus: &[Verb::NewOrder], "status";
    /// `subproblems` of a problem (RFC 8555 §6.7.1).
    ProblemSubproblems: &[Verb::NewOrder], "subproblems";
    /// `type` of a problem.
    ProblemType: &[Verb::NewOrder], "type";
}

impl Field {
    const fn is_of_a_problem(self) -> bool {
        matches!(
            self,
            Self::ProblemDetail
                | Self::ProblemInstance
                | Self::ProblemStatus
                | Self::ProblemSubproblems
                | Self::ProblemType
        )
    }
}

const ORDER: &[Verb] = &[Verb::NewOrder, Verb::Order, Verb::Finalize];

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FieldFault {
    /// It is there twice: first `null`, then what is right.
    Duplicated,
    /// It is so large that nobody has sent it in good faith.
    Huge,
    /// It is not there.
    Missing,
    /// It is a number where a text should be, or a text where anything else should be.
    WrongType,
}

impl FieldFault {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Duplicated, Self::Huge, Self::Missing, Self::WrongType];
}

pub(super) const fn strike(field: Field, fault: FieldFault) -> Strike {
    Strike { verbs: field.place().0, times: ALWAYS, act: Act::Field(field, fault) }
}

pub(super) fn spoil(field: Field, fault: FieldFault, answer: &mut Response<Bytes>) {
    if field.is_of_a_problem() {
        head::refuse(answer, 403, &head::problem("rejectedIdentifier"));
    }
    let key = field.place().1;
    match fault {
        FieldFault::Duplicated => {
            let text = body::twice(&String::from_utf8_lossy(answer.body()), key);
            body::body(answer, text);
        }
        FieldFault::Missing => body::remove(answer, key),
        FieldFault::Huge => change(answer, key, huge),
        FieldFault::WrongType => change(answer, key, |value| match value {
            Value::String(_) => json!(7),
            _ => json!("seven"),
        }),
    }
}

fn change(answer: &mut Response<Bytes>, key: &str, change: fn(&Value) -> Value) {
    body::edit(answer, |object: &mut Map<String, Value>| {
        if let Some(value) = object.get_mut(key) {
            *value = change(value);
        }
    });
}

fn huge(value: &Value) -> Value {
    match value {
        Value::String(text) => format!("{text}{}", "a".repeat(LETTERS)).into(),
        Value::Array(list) => {
            let element = list.first().cloned().unwrap_or(Value::Null);
            vec![element; MEMBERS].into()
        }
        Value::Object(_) => {
            let members = (0..MEMBERS).map(|number| (format!("member-{number}"), json!(number)));
            members.collect::<Map<_, _>>().into()
        }
        _ => u64::MAX.into(),
    }
}

/// Far above any text that has a place in an ACME object.
const LETTERS: usize = 100_000;
/// Far above any list that has, and below what a client should take as a body.
const MEMBERS: usize = 5_000;
