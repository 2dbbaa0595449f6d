//! What can go wrong, sorted by whose fault it is.

use std::fmt;

use perennial_core::{HttpError, Retry, Timestamp};

use crate::{
    Algorithm, AuthorizationState, AuthorizationStatus, AutoRenewalFault, CaaForbids, CertificateFault,
    CertificationRequestError, CredentialsError, ExternalAccountFault, Identifier, KeyError, OrderStatus,
    Problem, ProblemType, RenewalInfoFailure, SignerError, Url, UrlFault,
    challenge::{TokenFault, dns_persist01::RecordFault, onion_csr01::OnionFault},
    url::shown,
};

/// Why an ACME request or a walk of several did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// CAA records forbid this CA to issue. Nothing was sent.
    #[error(transparent)]
    CaaForbids(Box<CaaForbids>),
    /// The issued certificate is not what was ordered.
    #[error("the certificate is not what was ordered: {0}")]
    Certificate(#[from] CertificateFault),
    /// The deadline comes before the next look at the order.
    #[error(transparent)]
    Deadline(Deadline),
    /// The server broke the protocol.
    #[error(transparent)]
    Misbehaved(#[from] Misbehaved),
    /// The library was used wrongly.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// No answer arrived.
    #[error(transparent)]
    Network(#[from] HttpError),
    /// The order failed: its names were not proven, or the CA gave it up.
    #[error(transparent)]
    OrderInvalid(Box<OrderInvalid>),
    /// There is no renewal information, which costs nothing but advice.
    #[error(transparent)]
    RenewalInfo(Box<RenewalInfoFailure>),
    /// The server refused a request.
    #[error(transparent)]
    Server(Box<Refusal>),
    /// The account key could not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl Error {
    /// Whether doing the same again can succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Certificate(fault) => fault.retry(),
            Self::Deadline(deadline) => Retry::At(deadline.again_at),
            Self::Misbehaved(fault) => fault.retry(),
            Self::CaaForbids(_) | Self::Misuse(_) => Retry::Never,
            Self::Network(error) => error.retry(),
            Self::OrderInvalid(order) => order.retry(),
            Self::RenewalInfo(failure) => failure.retry,
            Self::Server(refusal) => refusal.problem.retry(),
            Self::Signer(error) => error.retry(),
        }
    }

    /// The moment before which doing the same again is useless, where one is known: the `Retry-After` of a refusal
    /// (429 and 503 alike, seconds or a date) or of an order that takes its time. See [`retry`](Self::retry) for
    /// whether it can succeed at all.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.retry().at()
    }

    /// The problem document, if a server's refusal or a failed order is behind it.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Server(refusal) => Some(&refusal.problem),
            Self::OrderInvalid(order) => order
                .problem
                .as_ref()
                .or_else(|| order.failures.iter().find_map(|failure| failure.problem.as_ref())),
            Self::RenewalInfo(failure) => failure.cause.problem(),
            _ => None,
        }
    }

    pub(crate) fn is(&self, kind: &ProblemType) -> bool {
        matches!(self, Self::Server(refusal) if refusal.problem.kind == *kind)
    }
}

impl From<RenewalInfoFailure> for Error {
    fn from(failure: RenewalInfoFailure) -> Self {
        Self::RenewalInfo(Box::new(failure))
    }
}

/// A request that the server refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{verb} at {url} was refused: {problem}")]
#[non_exhaustive]
pub struct Refusal {
    /// What was asked for, in RFC 8555's word.
    pub verb: &'static str,
    /// Where.
    pub url: String,
    /// What the server says about it.
    pub problem: Problem,
}

/// An order that was not settled in time. It is not lost: look at it again by its URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "order {url} is still {status} and the next look at it, {again_at}, is past the deadline {deadline}; \
     take it up again by its URL"
)]
#[non_exhaustive]
pub struct Deadline {
    /// The order.
    pub url: String,
    /// How far it has come.
    pub status: OrderStatus,
    /// Until when the caller wanted to wait.
    pub deadline: Timestamp,
    /// When to look again.
    pub again_at: Timestamp,
}

/// An order that failed for good, with all the reasons that could be found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrderInvalid {
    /// The order.
    pub url: String,
    /// The order's own reason.
    pub problem: Option<Problem>,
    /// The names that failed. Many servers give the reasons only here.
    pub failures: Vec<AuthorizationFailure>,
}

impl OrderInvalid {
    /// With the order's own reason, and those of its authorizations that failed.
    pub(crate) fn explained<'a>(
        url: String,
        problem: Option<Problem>,
        authorizations: impl IntoIterator<Item = &'a AuthorizationState>,
    ) -> Self {
        let failed = |state: &&AuthorizationState| {
            !matches!(state.status, AuthorizationStatus::Valid | AuthorizationStatus::Pending)
        };
        let explain = |state: &AuthorizationState| AuthorizationFailure {
            identifier: state.identifier.clone(),
            wildcard: state.wildcard,
            status: state.status.clone(),
            problem: state.challenges.iter().find_map(|challenge| challenge.error.clone()),
        };
        let failures = authorizations.into_iter().filter(failed).map(explain).collect();
        Self { url, problem, failures }
    }

    /// A new order can succeed, unless one of the reasons is a matter of policy.
    #[must_use]
    pub fn retry(&self) -> Retry {
        let reasons = || self.problem.iter().chain(self.failures.iter().filter_map(|f| f.problem.as_ref()));
        let problems = reasons().flat_map(|problem| std::iter::once(problem).chain(&problem.subproblems));
        for problem in problems {
            match problem.kind {
                ProblemType::Caa
                | ProblemType::RejectedIdentifier
                | ProblemType::UnsupportedIdentifier
                | ProblemType::BadCsr
                | ProblemType::UserActionRequired => return Retry::Never,
                _ => {}
            }
        }
        reasons().find_map(|problem| problem.retry_at).map_or(Retry::Backoff, Retry::At)
    }
}

impl std::error::Error for OrderInvalid {}

impl From<OrderInvalid> for Error {
    fn from(order: OrderInvalid) -> Self {
        Self::OrderInvalid(Box::new(order))
    }
}

impl fmt::Display for OrderInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {} is invalid", self.url)?;
        let mut mark = ": ";
        if let Some(problem) = &self.problem {
            write!(f, "{mark}{problem}")?;
            mark = "; ";
        }
        for failure in &self.failures {
            write!(f, "{mark}{failure}")?;
            mark = "; ";
        }
        if self.problem.is_none() && self.failures.is_empty() {
            f.write_str(", and the server does not say why; make a new one")?;
        }
        Ok(())
    }
}

/// A name that could not be authorized.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationFailure {
    /// The name; of a wildcard, the part after the `*.`.
    pub identifier: Identifier,
    /// Whether it is for `*.` and the name.
    pub wildcard: bool,
    /// What became of its authorization.
    pub status: AuthorizationStatus,
    /// The challenge's reason.
    pub problem: Option<Problem>,
}

impl fmt::Display for AuthorizationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Some(problem) => write!(f, "{}: {problem}", self.identifier),
            None => write!(f, "{}: its authorization is {}", self.identifier, self.status),
        }
    }
}

/// How a server broke the protocol. Values of the wire in here are bounded and fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaved {
    /// A dns-persist-01 challenge names another account than the one that it is for.
    #[error(
        "challenge {url} wants a record for the account {found:?} where ours is {account}: it would give the \
         name away"
    )]
    AccountUri {
        /// The challenge.
        url: String,
        /// The account that it names.
        found: String,
        /// Ours.
        account: String,
    },
    /// An alternate chain is for another certificate.
    #[error("the alternate chain at {url} is for another certificate than the default one")]
    AlternateLeaf {
        /// The chain.
        url: String,
    },
    /// An authorization is for another name than was asked for.
    #[error("the server made an authorization for {answered} where {asked} was asked for")]
    AuthorizationIdentifier {
        /// The name of the request.
        asked: String,
        /// The name of the answer.
        answered: String,
    },
    /// An authorization is for a name that the order does not have.
    #[error("authorization {url} is for {name}, which the order does not have")]
    AuthorizationName {
        /// The authorization.
        url: String,
        /// The name.
        name: String,
    },
    /// An order that was ready, or finalized, and is so no longer.
    #[error("order {url} went back to {status}: a server must not undo what was reached (RFC 8555 §7.1.6)")]
    Backwards {
        /// The order.
        url: String,
        /// What it is now.
        status: OrderStatus,
    },
    /// A body that is not the JSON object it should be.
    #[error("the server's {resource} is no JSON object: {reason}")]
    Body {
        /// What it should have been.
        resource: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A required field is missing or of the wrong kind.
    #[error("the server's {resource} has no usable field {field:?}: {expected} is required")]
    Field {
        /// The object.
        resource: &'static str,
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A required header is missing.
    #[error("the answer of {url} has no usable header {header}")]
    Header {
        /// Who answered.
        url: String,
        /// The header.
        header: &'static str,
    },
    /// The order is for other names than were asked for.
    #[error("the server made an order for [{answered}] where [{asked}] was asked for")]
    Identifiers {
        /// The names of the request.
        asked: String,
        /// The names of the answer.
        answered: String,
    },
    /// A name of the CA that the challenge has and the directory has not, or the other way round.
    #[error("the CA names itself {name} in its challenge or its directory, and not in the other")]
    IssuerDomainName {
        /// The name.
        name: String,
    },
    /// The server said that it changed the key of an account, and does not know the new one.
    #[error(
        "the server says that it changed the key of account {account}, and has no account for the new key"
    )]
    KeyNotChanged {
        /// The account.
        account: String,
    },
    /// Every nonce was refused, even those that came with the refusals.
    #[error("{url} refused {attempts} fresh nonces in a row")]
    Nonces {
        /// Who refused.
        url: String,
        /// How often.
        attempts: u32,
    },
    /// An account or an authorization was to be deactivated, and the server says that it is not.
    #[error("the server was told to deactivate {url} and says that it is {status}")]
    NotDeactivated {
        /// The account or the authorization.
        url: String,
        /// What the server says.
        status: String,
    },
    /// The pages of a list of orders lead back to one that was read already.
    #[error("the list of orders comes back to {url}, which was read already")]
    OrdersLoop {
        /// The page.
        url: String,
    },
    /// A suggested window that does not end after its start.
    #[error("the server suggests to renew between {start} and {end}, which is never")]
    RenewalWindow {
        /// Its start.
        start: Timestamp,
        /// Its end.
        end: Timestamp,
    },
    /// A status that is neither what the verb asks for nor an error.
    #[error("{verb} at {url} was answered with status {status}, where {expected} is required")]
    Status {
        /// What was asked for.
        verb: &'static str,
        /// Who answered.
        url: String,
        /// The status.
        status: u16,
        /// What RFC 8555 requires.
        expected: u16,
    },
    /// A token that cannot be used.
    #[error("the token of challenge {url} cannot be used: {fault}")]
    Token {
        /// The challenge.
        url: String,
        /// What is wrong with it.
        fault: TokenFault,
    },
    /// A body above the limit for its kind.
    #[error("the answer of {url} has {bytes} bytes, {limit} is the most for it")]
    TooLarge {
        /// Who answered.
        url: String,
        /// How many bytes came.
        bytes: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// An array above the limit for its kind.
    #[error("the server's {resource} has {count} elements in {field:?}, {limit} is the most")]
    TooMany {
        /// The object.
        resource: &'static str,
        /// The field.
        field: &'static str,
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A URL that is none, or that is not trusted.
    #[error("the server names the URL {url:?}, which is not used: {fault}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        fault: UrlFault,
    },
}

impl Misbehaved {
    pub(crate) fn url(text: &str, fault: UrlFault) -> Self {
        Self::Url { url: shown(text), fault }
    }

    pub(crate) fn authorization_name(url: &Url, state: &AuthorizationState) -> Self {
        Self::AuthorizationName { url: url.to_string(), name: state.identifier.to_string() }
    }

    /// Whether trying again makes sense: a half-deployed server or a tired proxy mends itself, a wrong URL or
    /// token seldom.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Backwards { .. }
            | Self::Body { .. }
            | Self::Field { .. }
            | Self::Header { .. }
            | Self::KeyNotChanged { .. }
            | Self::Nonces { .. }
            | Self::NotDeactivated { .. }
            | Self::RenewalWindow { .. }
            | Self::Status { .. }
            | Self::TooLarge { .. } => Retry::Backoff,
            Self::AccountUri { .. }
            | Self::AlternateLeaf { .. }
            | Self::AuthorizationIdentifier { .. }
            | Self::AuthorizationName { .. }
            | Self::Identifiers { .. }
            | Self::OrdersLoop { .. }
            | Self::IssuerDomainName { .. }
            | Self::Token { .. }
            | Self::TooMany { .. }
            | Self::Url { .. } => Retry::Never,
        }
    }
}

/// How the library was used wrongly: by a program or its configuration, never caused by a server alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The signer names an algorithm that its key cannot do.
    #[error("the account key is no key for {algorithm}: a signer's algorithm and public key must match")]
    AlgorithmOfOtherKey {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// An order for a self-renewing certificate that this server cannot have.
    #[error(transparent)]
    AutoRenewal(#[from] AutoRenewalFault),
    /// The signing request is not fit for the order.
    #[error(transparent)]
    CertificationRequest(#[from] CertificationRequestError),
    /// The challenge is of another type.
    #[error("challenge {url} is {found}, not {wanted}: choose among the authorization's challenges")]
    ChallengeKind {
        /// The challenge.
        url: String,
        /// What it is.
        found: String,
        /// What it was taken for.
        wanted: &'static str,
    },
    /// No challenge, or more than one, was chosen for a name.
    #[error("{name} needs exactly one of the challenges that its authorization offers")]
    Choice {
        /// The name.
        name: String,
    },
    /// The texts of an external account cannot be used.
    #[error("the external account {key_id:?} cannot be bound: {fault}")]
    ExternalAccount {
        /// Its key identifier.
        key_id: String,
        /// What is wrong.
        fault: ExternalAccountFault,
    },
    /// An account that no record of dns-persist-01 can hold.
    #[error("no dns-persist-01 record can be made: {0}")]
    DnsPersistRecord(RecordFault),
    /// The server wants an external account binding.
    #[error("this CA binds accounts to customers: register with an external account binding")]
    ExternalAccountRequired,
    /// Account credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A setting that cannot be a header.
    #[error("{value:?} cannot be the header {header}")]
    HeaderValue {
        /// The header.
        header: &'static str,
        /// The setting.
        value: String,
    },
    /// The account key could not be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A change of the account's key was begun, and it is not known how it ended.
    #[error("a change of the key of account {account} is pending: settle it with Client::settle_key_change")]
    KeyChangePending {
        /// The account.
        account: String,
    },
    /// A certificate that was to be revoked with a key that is not its own.
    #[error(
        "the key with the thumbprint {given} is not the certificate's{}: sign with the certificate's own key, or \
         revoke it in the name of the account",
        found.as_ref().map(|found| format!(", which has the thumbprint {found}")).unwrap_or_default()
    )]
    KeyOfOtherCertificate {
        /// The thumbprint of the certificate's key (RFC 7638); `None` when it cannot be read.
        found: Option<String>,
        /// The thumbprint of the signer's key.
        given: String,
    },
    /// The new key of a key change has an account already.
    #[error("the new key has the account {account} already: change to a fresh one")]
    KeyTaken {
        /// The account that it has.
        account: String,
    },
    /// The builder lacks a part.
    #[error("the client needs {part}: give it to the builder")]
    Missing {
        /// Which part.
        part: &'static str,
    },
    /// A request in the name of an account by a session that has none.
    #[error("{verb} is signed in the name of an account: register one, or take one up by its URL")]
    NoAccount {
        /// What was asked for.
        verb: &'static str,
    },
    /// A name whose ancestor is none of it, or that is not in the order.
    #[error("{ancestor} is no ancestor of a name {name} in the order: name one above it (RFC 9444 §4.3)")]
    NoAncestor {
        /// The name.
        name: String,
        /// What was called its ancestor.
        ancestor: String,
    },
    /// An order without names.
    #[error("the order has no names")]
    NoIdentifiers,
    /// A change of the account's key without a new key.
    #[error("the credentials of account {account} have no pending key: keep them with one first")]
    NoPendingKey {
        /// The account.
        account: String,
    },
    /// Something that this server has not, and others may have.
    #[error("this CA does not support {what}")]
    NotOffered {
        /// What, in RFC 8555's word where there is one.
        what: &'static str,
    },
    /// A step that the order is not ready for.
    #[error("order {url} is {status}: {verb} comes later")]
    NotReady {
        /// The order.
        url: String,
        /// How far it has come.
        status: OrderStatus,
        /// What was to be done.
        verb: &'static str,
    },
    /// A name that no record can be below.
    #[error("{name} has no room for a record below it")]
    NoRoom {
        /// The name.
        name: String,
    },
    /// The credentials are for another account.
    #[error("the credentials are for account {credentials}, not for {account}")]
    OtherAccount {
        /// The account of the credentials.
        credentials: String,
        /// The account at hand.
        account: String,
    },
    /// The credentials are for another CA.
    #[error("the credentials are for the CA at {credentials}, and this is a client of {client}")]
    OtherDirectory {
        /// The directory of the credentials.
        credentials: String,
        /// The directory of the client.
        client: String,
    },
    /// The key is not the account's.
    #[error("account {account} signs with another key: give the one that it was registered or found with")]
    OtherKey {
        /// The account.
        account: String,
    },
    /// A walk was told something that it did not ask for.
    #[error("the walk expects to be told {expected:?} and was told {told:?}: poll it for its next step")]
    OutOfStep {
        /// What it waits for.
        expected: &'static str,
        /// What it heard.
        told: &'static str,
    },
    /// A name that ends in `.onion` and is not one of a service.
    #[error("{name} is no name of an onion service: {fault}")]
    OnionName {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: OnionFault,
    },
    /// The answer to a challenge is no JSON object.
    #[error("the payload for the challenge is no JSON object: {reason}")]
    Payload {
        /// What the parser says.
        reason: String,
    },
    /// A profile that the server does not offer.
    #[error("the CA has no profile {profile:?}; it offers: {}", if offered.is_empty() { "none" } else { offered })]
    Profile {
        /// The profile.
        profile: String,
        /// Those that there are, with commas between.
        offered: String,
    },
    /// The new key of a key change is the old one.
    #[error("account {account} has that very key: change to a fresh one")]
    SameKey {
        /// The account.
        account: String,
    },
    /// The signer's signature has the wrong size, most often DER where JOSE's form is wanted.
    #[error(
        "the signer made {found} octets where a signature by {algorithm} has {expected}; if they are DER, \
         convert them with signature_from_der"
    )]
    SignatureSize {
        /// The algorithm.
        algorithm: Algorithm,
        /// What it should be.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// An identifier that a challenge type cannot prove.
    #[error("{identifier} cannot be proven by {challenge}: choose another challenge")]
    Unprovable {
        /// The identifier.
        identifier: String,
        /// The type of the challenge.
        challenge: &'static str,
    },
    /// The CA has no account for the key.
    #[error(
        "the CA at {directory} has no account for the key with the thumbprint {thumbprint}: register the key, \
         or take the one that the account was made with"
    )]
    UnknownKey {
        /// The CA's directory.
        directory: String,
        /// The key's thumbprint (RFC 7638).
        thumbprint: String,
    },
    /// A URL of the caller's that is none, or that is not trusted.
    #[error("the URL {url:?} cannot be used: {fault}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// A wildcard that was to be authorized ahead of an order.
    #[error("{name} cannot be authorized ahead of an order (RFC 8555 §7.4.1): order it")]
    WildcardAuthorization {
        /// The name.
        name: String,
    },
}

impl Misuse {
    pub(crate) fn url(text: &str, fault: UrlFault) -> Self {
        Self::Url { url: shown(text), fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<Problem> {
        Some(Problem::parse(text.as_bytes()).unwrap())
    }

    fn invalid(own: Option<Problem>, of_name: Option<Problem>) -> OrderInvalid {
        let failure = of_name.map(|problem| AuthorizationFailure {
            identifier: Identifier::from(perennial_core::DomainName::parse("example.org").unwrap()),
            wildcard: false,
            status: AuthorizationStatus::Invalid,
            problem: Some(problem),
        });
        let url = "https://ca.example/order/7".to_owned();
        OrderInvalid { url, problem: own, failures: failure.into_iter().collect() }
    }

    const DNS: &str =
        r#"{"type":"urn:ietf:params:acme:error:dns","detail":"no TXT at _acme-challenge.example.org"}"#;

    #[test]
    fn a_failed_order_names_itself_and_the_reason() {
        assert_eq!(
            invalid(problem(DNS), None).to_string(),
            "order https://ca.example/order/7 is invalid: dns: no TXT at _acme-challenge.example.org"
        );
        assert_eq!(
            invalid(None, problem(DNS)).to_string(),
            "order https://ca.example/order/7 is invalid: example.org: dns: no TXT at \
             _acme-challenge.example.org"
        );
    }

    #[test]
    fn a_failed_validation_is_worth_a_new_order_and_a_policy_is_not() {
        assert_eq!(invalid(problem(DNS), None).retry(), Retry::Backoff);
        let caa = problem(r#"{"type":"urn:ietf:params:acme:error:caa"}"#);
        assert_eq!(invalid(None, caa).retry(), Retry::Never);
    }

    #[test]
    fn a_policy_among_the_subproblems_is_one_too() {
        let compound = problem(
            r#"{"type":"urn:ietf:params:acme:error:compound","subproblems":[
                {"type":"urn:ietf:params:acme:error:dns"},{"type":"urn:ietf:params:acme:error:caa"}]}"#,
        );
        assert_eq!(invalid(compound.clone(), None).retry(), Retry::Never);
        assert_eq!(invalid(None, compound).retry(), Retry::Never);
    }

    #[test]
    fn names_that_have_not_failed_are_no_reasons() {
        let states = ["valid", "pending", "invalid", "new-word"].map(|status| {
            let body = format!(
                r#"{{"status":"{status}","identifier":{{"type":"dns","value":"example.org"}},"challenges":[]}}"#
            );
            AuthorizationState::parse(body.as_bytes()).unwrap()
        });
        let failures = OrderInvalid::explained(String::new(), None, &states).failures;
        let words: Vec<_> = failures.iter().map(|failure| failure.status.as_str()).collect();
        assert_eq!(words, ["invalid", "new-word"]);
    }

    #[test]
    fn an_empty_list_of_profiles_reads_well() {
        let error = Misuse::Profile { profile: "short".into(), offered: String::new() };
        assert_eq!(error.to_string(), "the CA has no profile \"short\"; it offers: none");
    }
}
