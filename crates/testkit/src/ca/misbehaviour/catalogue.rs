//! The catalogue: what, where, how often, and how.

use std::fmt;

use serde_json::{Value, json};

use super::{
    ALWAYS,
    Act::{Answer, Flaw as Issue, RefuseNonce, Wire},
    Field, FieldFault, ONCE, Strike, chain, field, head, json as body, wire,
};
use crate::ca::{Verb, quirk::Flaw};

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident: $verbs:expr, $times:expr, $act:expr;)+) => {
        /// Something that no CA should do, and that a client must survive: it ends with a typed error or with
        /// the certificate, without a panic, a hang, a second order or a lost key.
        ///
        /// Most strike whenever they can; those that a client can recover from once the CA is sane again
        /// strike once.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Misbehaviour {
            $($(#[$doc])* $name,)+
            /// Spoils one field of an object, always: each of them with each fault is an entry of its own.
            Field(Field, FieldFault),
        }

        const NAMED: &[Misbehaviour] = &[$(Misbehaviour::$name),+];

        impl Misbehaviour {
            pub(super) fn strike(self) -> Strike {
                match self {
                    $(Self::$name => Strike { verbs: $verbs, times: $times, act: $act },)+
                    Self::Field(field, fault) => field::strike(field, fault),
                }
            }
        }
    };
}

catalogue! {
    /// The `Location` of a new account is that of an account which does not exist.
    AccountLocationLies: ACCOUNT, ALWAYS, Answer(|answer, at| {
        head::set(answer, http::header::LOCATION, &format!("{}/account/4294967295", at.base));
    });
    /// A new account comes without a `Location`.
    AccountLocationMissing: ACCOUNT, ALWAYS, Answer(|answer, _| head::unset(answer, http::header::LOCATION));
    /// A new account is answered with 204.
    AccountStatus204: ACCOUNT, ALWAYS, Answer(|answer, _| head::status(answer, 204));
    /// An alternate chain is offered at another host.
    AlternateElsewhere: CHAIN, ALWAYS, Answer(|answer, _| {
        head::set(answer, http::header::LINK, "<https://elsewhere.invalid/chain>;rel=\"alternate\"");
    });
    /// An authorization is for a name that nobody has asked for.
    AuthorizationForAnotherName: AUTHORIZATION, ALWAYS, Answer(|answer, _| {
        body::put(answer, "identifier", json!({"type": "dns", "value": "another.example.com"}));
    });
    /// An authorization is for a mail address.
    AuthorizationForAnotherType: AUTHORIZATION, ALWAYS, Answer(|answer, _| {
        body::put(answer, "identifier", json!({"type": "email", "value": "root@example.com"}));
    });
    /// An authorization is answered with 201.
    AuthorizationStatus201: AUTHORIZATION, ALWAYS, Answer(|answer, _| head::status(answer, 201));
    /// The authorizations of an order are at another host.
    AuthorizationUrlElsewhere: ORDER, ALWAYS, Answer(|answer, _| {
        body::authorization_url(answer, body::elsewhere);
    });
    /// The authorizations of an order are plain `http`.
    AuthorizationUrlHttp: ORDER, ALWAYS, Answer(|answer, _| body::authorization_url(answer, body::plain));
    /// An order names the same authorization three times.
    AuthorizationsMore: ORDER, ALWAYS, Answer(|answer, _| body::more_authorizations(answer, 3));
    /// An order has no authorizations, and waits for them.
    AuthorizationsNone: ORDER, ALWAYS, Answer(|answer, _| {
        body::put(answer, "authorizations", json!([]));
        body::status(answer, "pending");
    });
    /// An order for one name has nine hundred authorizations, and waits for them.
    AuthorizationsWithoutEnd: ORDER, ALWAYS, Answer(|answer, _| body::more_authorizations(answer, 900));
    /// The connection is reset in the middle of a certificate, once.
    BodyCut: CHAIN, ONCE, Wire(wire::cut);
    /// A certificate is empty.
    BodyEmpty: CHAIN, ALWAYS, Answer(|answer, _| body::body(answer, ""));
    /// An authorization is sent at a byte a second.
    BodySlow: AUTHORIZATION, ALWAYS, Wire(wire::slow_body);
    /// A certificate goes on without end.
    BodyWithoutEnd: CHAIN, ALWAYS, Wire(wire::endless_body);
    /// The certificate is for a key that nobody has asked for.
    CertificateAnotherKey: FINALIZE, ALWAYS, Issue(Flaw::AnotherKey);
    /// The certificate is for other names.
    CertificateAnotherName: FINALIZE, ALWAYS, Issue(Flaw::OtherNames);
    /// The certificate was not signed by the one that follows it.
    CertificateBrokenChain: FINALIZE, ALWAYS, Issue(Flaw::BrokenChain);
    /// The chain is cut off in the middle of a certificate, as if it ended there.
    CertificateCut: CHAIN, ALWAYS, Answer(|answer, _| chain::cut(answer));
    /// The certificate is DER, though PEM was asked for.
    CertificateDer: CHAIN, ALWAYS, Answer(|answer, _| chain::leaf_der(answer));
    /// The certificate has ended already.
    CertificateExpired: FINALIZE, ALWAYS, Issue(Flaw::Expired);
    /// A certificate that has nothing to do with it follows the chain.
    CertificateExtra: CHAIN, ALWAYS, Answer(|answer, _| chain::add_stranger(answer));
    /// There is more text before the chain than any chain has.
    CertificateHuge: CHAIN, ALWAYS, Answer(|answer, _| chain::bury(answer));
    /// What is in the PEM is no certificate.
    CertificateNonsense: CHAIN, ALWAYS, Answer(|answer, _| chain::nonsense(answer));
    /// The certificate begins tomorrow.
    CertificateNotYetValid: FINALIZE, ALWAYS, Issue(Flaw::NotYetValid);
    /// A private key is in the chain.
    CertificatePrivateKey: CHAIN, ALWAYS, Answer(|answer, _| chain::add_key(answer));
    /// The leaf is the last one of the chain.
    CertificateReversed: CHAIN, ALWAYS, Answer(|answer, _| chain::reverse(answer));
    /// A certificate is answered with 202.
    CertificateStatus202: CHAIN, ALWAYS, Answer(|answer, _| head::status(answer, 202));
    /// The chain comes twice.
    CertificateTwice: CHAIN, ALWAYS, Answer(|answer, _| chain::repeat(answer, 2));
    /// The certificate of an order is at another host.
    CertificateUrlElsewhere: ORDER, ALWAYS, Answer(|answer, _| {
        body::url(answer, "certificate", body::elsewhere);
    });
    /// The certificate of an order is plain `http`.
    CertificateUrlHttp: ORDER, ALWAYS, Answer(|answer, _| body::url(answer, "certificate", body::plain));
    /// There is text between the certificates, which RFC 7468 allows.
    CertificateWithText: CHAIN, ALWAYS, Answer(|answer, _| chain::annotate(answer));
    /// The chain comes ten times.
    CertificatesWithoutEnd: CHAIN, ALWAYS, Answer(|answer, _| chain::repeat(answer, 10));
    /// The challenges of an authorization are at another host.
    ChallengeUrlElsewhere: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::challenges(answer, |challenge| {
        challenge.insert("url".into(), "https://elsewhere.invalid/challenge/1".into());
    }));
    /// The challenges of an authorization are plain `http`.
    ChallengeUrlHttp: AUTHORIZATION, ALWAYS, Answer(|answer, at| {
        let url = Value::from(body::plain(at.base) + "/challenge/1");
        body::edit(answer, |authorization| {
            let challenges = authorization.get_mut("challenges").and_then(Value::as_array_mut);
            challenges.into_iter().flatten().for_each(|challenge| challenge["url"] = url.clone());
        });
    });
    /// An authorization has no challenges.
    ChallengesNone: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::put(answer, "challenges", json!([])));
    /// An authorization has challenges of types that nobody has heard of, and no others.
    ChallengesUnheard: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::challenges(answer, |challenge| {
        challenge.insert("type".into(), "unheard-01".into());
        challenge.remove("token");
    }));
    /// Numbers, empty objects and texts stand among the challenges.
    ChallengesWithNonsense: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::edit(answer, |authorization| {
        if let Some(Value::Array(challenges)) = authorization.get_mut("challenges") {
            challenges.splice(0..0, [json!(7), json!({}), json!("dns-01"), json!(null), json!({"type": 1})]);
        }
    }));
    /// An authorization has two hundred challenges.
    ChallengesWithoutEnd: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::edit(answer, |authorization| {
        if let Some(Value::Array(challenges)) = authorization.get_mut("challenges") {
            *challenges = challenges.iter().cycle().take(200).cloned().collect();
        }
    }));
    /// An authorization is sent in one chunk that is larger than all memory.
    ChunkHuge: AUTHORIZATION, ALWAYS, Wire(wire::huge_chunk);
    /// An authorization is sent in chunks whose sizes are no numbers.
    ChunksBroken: AUTHORIZATION, ALWAYS, Wire(wire::broken_chunks);
    /// The length of an answer is negative.
    ContentLengthNegative: AUTHORIZATION, ALWAYS, Wire(wire::negative_length);
    /// The length of an answer is more than comes.
    ContentLengthTooLong: AUTHORIZATION, ALWAYS, Wire(wire::length_too_long);
    /// The length of an answer is less than what comes.
    ContentLengthTooShort: AUTHORIZATION, ALWAYS, Wire(wire::length_too_short);
    /// An answer has two lengths.
    ContentLengthTwice: AUTHORIZATION, ALWAYS, Wire(wire::two_lengths);
    /// JSON calls itself an image.
    ContentTypeWrong: ORDER, ALWAYS, Answer(|answer, _| {
        head::set(answer, http::header::CONTENT_TYPE, "image/png");
    });
    /// The directory leads to another host.
    DirectoryUrlElsewhere: DIRECTORY, ALWAYS, Answer(|answer, _| {
        body::url(answer, "newNonce", body::elsewhere);
    });
    /// The directory leads to plain `http`.
    DirectoryUrlHttp: DIRECTORY, ALWAYS, Answer(|answer, _| body::url(answer, "newOrder", body::plain));
    /// An order is refused with a page for people.
    ErrorHtml: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        head::fail(answer, 502, "text/html", "<script>alert(1)</script>\u{1b}[2J");
    });
    /// An order is refused without a word.
    ErrorWithoutBody: NEW_ORDER, ALWAYS, Answer(|answer, _| head::fail(answer, 500, "text/plain", ""));
    /// A finalized order is answered with a page for people.
    FinalizeHtml: FINALIZE, ALWAYS, Answer(|answer, _| body::page(answer));
    /// A finalized order says that it was not ready, once.
    FinalizeNotReady: FINALIZE, ONCE, Answer(|answer, _| {
        head::refuse(answer, 403, &head::problem("orderNotReady"));
    });
    /// A finalized order is answered with 204.
    FinalizeStatus204: FINALIZE, ALWAYS, Answer(|answer, _| head::status(answer, 204));
    /// An order is finalized at another host.
    FinalizeUrlElsewhere: ORDER, ALWAYS, Answer(|answer, _| body::url(answer, "finalize", body::elsewhere));
    /// An order is finalized at plain `http`.
    FinalizeUrlHttp: ORDER, ALWAYS, Answer(|answer, _| body::url(answer, "finalize", body::plain));
    /// An order is finalized at another order's URL: the CA's first.
    FinalizeUrlOfAnotherOrder: ORDER, ALWAYS, Answer(|answer, at| {
        body::put(answer, "finalize", format!("{}/order/{}/finalize", at.base, at.first_order).into());
    });
    /// An answer says that it is compressed, and is not.
    GzipClaimed: ORDER, ALWAYS, Answer(|answer, _| {
        head::set(answer, http::header::CONTENT_ENCODING, "gzip");
    });
    /// An answer is compressed, though nobody has said that he could read it.
    GzipUnasked: ORDER, ALWAYS, Answer(|answer, _| {
        head::set(answer, http::header::CONTENT_ENCODING, "gzip");
        body::body(answer, GZIP);
    });
    /// A header has a control character.
    HeaderControl: AUTHORIZATION, ALWAYS, Wire(wire::control_header);
    /// There are ten thousand headers.
    HeadersMany: AUTHORIZATION, ALWAYS, Wire(wire::many_headers);
    /// The headers go on for 100 MB.
    HeadersWithoutEnd: AUTHORIZATION, ALWAYS, Wire(wire::endless_headers);
    /// Answers are HTTP/1.0 and end with the connection.
    Http10: AUTHORIZATION, ALWAYS, Wire(wire::http10);
    /// A new order is for other names than were asked for.
    IdentifiersChanged: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        body::put(answer, "identifiers", json!([{"type": "dns", "value": "another.example.com"}]));
    });
    /// An order is for other names once it was placed.
    IdentifiersChangedLater: LATER, ALWAYS, Answer(|answer, _| {
        body::put(answer, "identifiers", json!([{"type": "dns", "value": "another.example.com"}]));
    });
    /// An answer comes after interim ones, which RFC 9110 allows.
    InterimAnswers: AUTHORIZATION, ALWAYS, Wire(wire::interim);
    /// Interim answers come without end.
    InterimAnswersWithoutEnd: AUTHORIZATION, ALWAYS, Wire(wire::endless_hints);
    /// The directory is an array.
    JsonArray: DIRECTORY, ALWAYS, Answer(|answer, _| body::wrap(answer, b"[", b"]"));
    /// A byte order mark stands before the directory.
    JsonByteOrderMark: DIRECTORY, ALWAYS, Answer(|answer, _| body::wrap(answer, b"\xef\xbb\xbf", b""));
    /// Every member of an order comes twice: first `null`, then what is right.
    JsonDuplicateKeys: ORDER, ALWAYS, Answer(|answer, _| body::duplicate(answer));
    /// An authorization is empty.
    JsonEmpty: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::body(answer, ""));
    /// An authorization is no UTF-8.
    JsonInvalidUtf8: AUTHORIZATION, ALWAYS, Answer(|answer, _| {
        body::wrap(answer, b"{\"\xc3\x28\": ", b"}");
    });
    /// An order is ten thousand arrays deep.
    JsonNestedDeep: ORDER, ALWAYS, Answer(|answer, _| body::nest(answer));
    /// A new account is `null`.
    JsonNull: ACCOUNT, ALWAYS, Answer(|answer, _| body::body(answer, "null"));
    /// An order has a number that no machine has room for.
    JsonNumberHuge: ORDER, ALWAYS, Answer(|answer, _| {
        body::wrap(answer, b"{\"n\": 1e999999, \"order\": ", b"}");
    });
    /// A new order ends half-way, as if it ended there.
    JsonTruncated: NEW_ORDER, ALWAYS, Answer(|answer, _| body::halve(answer));
    /// A challenge is followed by another object.
    JsonTwice: CHALLENGE, ALWAYS, Answer(|answer, _| body::wrap(answer, b"", b"{}"));
    /// The `Location` of a new order is at another host.
    LocationElsewhere: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        head::set(answer, http::header::LOCATION, "https://elsewhere.invalid/order/1");
    });
    /// The `Location` of a new order is empty.
    LocationEmpty: NEW_ORDER, ALWAYS, Answer(|answer, _| head::set(answer, http::header::LOCATION, ""));
    /// The `Location` of a new order is plain `http`.
    LocationHttp: NEW_ORDER, ALWAYS, Answer(|answer, at| {
        head::set(answer, http::header::LOCATION, &(body::plain(at.base) + "/order/1"));
    });
    /// A new order comes without a `Location`.
    LocationMissing: NEW_ORDER, ALWAYS, Answer(|answer, _| head::unset(answer, http::header::LOCATION));
    /// Looks at an order are answered with the `Location` of another one.
    LocationOfALook: LATER, ALWAYS, Answer(|answer, _| {
        head::set(answer, http::header::LOCATION, "https://elsewhere.invalid/order/1");
    });
    /// The `Location` of a new order is a path, which RFC 9110 allows.
    LocationPath: NEW_ORDER, ALWAYS, Answer(|answer, at| {
        let location = answer.headers().get(http::header::LOCATION).and_then(|url| url.to_str().ok());
        let path = location.and_then(|url| url.strip_prefix(at.base)).unwrap_or_default().to_owned();
        head::set(answer, http::header::LOCATION, &path);
    });
    /// The `Location` of a new order climbs from where it was sent.
    LocationRelative: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        head::set(answer, http::header::LOCATION, "../order/1");
    });
    /// A fresh nonce is no nonce at all.
    NewNonceEmpty: NONCE, ALWAYS, Answer(|answer, _| head::unset(answer, head::NONCE));
    /// The next answer is another protocol's, once.
    NoHttp: AUTHORIZATION, ONCE, Wire(wire::ssh);
    /// Answers come with a nonce of a hundred thousand letters.
    NonceHuge: SIGNED, ALWAYS, Answer(|answer, _| head::nonce(answer, &"a".repeat(100_000)));
    /// Answers come with nonces that RFC 8555 §6.5.1 does not allow.
    NonceMalformed: SIGNED, ALWAYS, Answer(|answer, _| head::nonce(answer, "not base64url!"));
    /// Answers come without a nonce.
    NonceMissing: SIGNED, ALWAYS, Answer(|answer, _| head::unset(answer, head::NONCE));
    /// Answers that succeed come with a nonce that was spent.
    NonceReused: SIGNED, ALWAYS, Answer(|answer, at| {
        if answer.status().is_success() {
            head::nonce(answer, at.spent_nonce);
        }
    });
    /// Twenty nonces in a row are refused.
    NoncesRefused: SIGNED, 20, RefuseNonce;
    /// An order that is ready is pending at every other look.
    OrderFlaps: LATER, ALWAYS, Answer(body::flap);
    /// An order is invalid and does not say why.
    OrderInvalidWithoutError: LOOK, ALWAYS, Answer(|answer, _| body::status(answer, "invalid"));
    /// An order is never ready.
    OrderPendingForever: LATER, ALWAYS, Answer(|answer, _| body::status(answer, "pending"));
    /// A finalized order is never valid.
    OrderProcessingForever: LATER, ALWAYS, Answer(|answer, _| body::edit(answer, |order| {
        if order.get("status").is_some_and(|status| status == "valid") {
            order.insert("status".into(), "processing".into());
        }
    }));
    /// A new order is answered with 200.
    OrderStatus200: NEW_ORDER, ALWAYS, Answer(|answer, _| head::status(answer, 200));
    /// A look at an order is answered with 202.
    OrderStatus202: LOOK, ALWAYS, Answer(|answer, _| head::status(answer, 202));
    /// A look at an order is answered with 304.
    OrderStatus304: LOOK, ALWAYS, Answer(|answer, _| head::status(answer, 304));
    /// A look at an order is answered with a status that has no class.
    OrderStatus999: LOOK, ALWAYS, Answer(|answer, _| head::status(answer, 999));
    /// An order has a status that nobody has heard of.
    OrderStatusUnknown: LATER, ALWAYS, Answer(|answer, _| body::status(answer, "awaiting-notary"));
    /// A new order is valid, and has no certificate.
    OrderValidAtBirth: NEW_ORDER, ALWAYS, Answer(|answer, _| body::status(answer, "valid"));
    /// An order is valid and has no certificate.
    OrderValidWithoutCertificate: ORDER, ALWAYS, Answer(|answer, _| body::remove(answer, "certificate"));
    /// A look at an order is a problem document, with 200.
    ProblemAsSuccess: LOOK, ALWAYS, Answer(|answer, _| {
        head::refuse(answer, 200, &head::problem("unauthorized"));
    });
    /// A refusal tries to rewrite the terminal.
    ProblemControlCharacters: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        let mut problem = head::problem("rejectedIdentifier");
        problem["detail"] = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nnotice: all is well\u{202e}".into();
        problem["subproblems"][0]["identifier"]["value"] = "\u{1b}[31m".into();
        problem["type"] = "urn:ietf:params:acme:error:\u{1b}[5mrejectedIdentifier".into();
        head::refuse(answer, 403, &problem);
    });
    /// A refusal goes on for a megabyte.
    ProblemHuge: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        let mut problem = head::problem("rejectedIdentifier");
        problem["detail"] = "no, ".repeat(240_000).into();
        head::refuse(answer, 403, &problem);
    });
    /// A refusal sends people to plain `http`.
    ProblemInstanceHttp: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        let mut problem = head::problem("userActionRequired");
        problem["instance"] = "http://elsewhere.invalid/agree".into();
        head::refuse(answer, 403, &problem);
    });
    /// A refusal is forty subproblems deep.
    ProblemNested: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        head::refuse(answer, 400, &head::nested_problem(40));
    });
    /// A refusal is ten thousand arrays deep.
    ProblemNestedDeep: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        head::refuse(answer, 400, &head::problem("malformed"));
        body::nest(answer);
    });
    /// A refusal has five thousand subproblems.
    ProblemsWithoutEnd: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        let mut problem = head::problem("rejectedIdentifier");
        problem["subproblems"] = vec![problem["subproblems"][0].clone(); 5_000].into();
        head::refuse(answer, 403, &problem);
    });
    /// A rate limit that ends with the year 9999.
    RateLimitedForEver: NEW_ORDER, ALWAYS, Answer(|answer, _| {
        head::refuse(answer, 429, &head::problem("rateLimited"));
        head::set(answer, http::header::RETRY_AFTER, YEAR_9999);
    });
    /// A new order is answered with 301.
    Redirect301: NEW_ORDER, ALWAYS, Answer(|answer, at| {
        head::redirect(answer, 301, &format!("{}/redirected", at.base));
    });
    /// An authorization is answered with 302.
    Redirect302: AUTHORIZATION, ALWAYS, Answer(|answer, at| {
        head::redirect(answer, 302, &format!("{}/redirected", at.base));
    });
    /// A look at an order is answered with 307.
    Redirect307: LOOK, ALWAYS, Answer(|answer, at| {
        head::redirect(answer, 307, &format!("{}/redirected", at.base));
    });
    /// A finalized order is answered with 308.
    Redirect308: FINALIZE, ALWAYS, Answer(|answer, at| {
        head::redirect(answer, 308, &format!("{}/redirected", at.base));
    });
    /// The directory is at itself, again and again.
    RedirectLoop: DIRECTORY, ALWAYS, Answer(|answer, at| {
        head::redirect(answer, 302, &format!("{}/directory", at.base));
    });
    /// The directory has moved to plain `http`.
    RedirectToHttp: DIRECTORY, ALWAYS, Answer(|answer, at| {
        head::redirect(answer, 301, &(body::plain(at.base) + "/directory"));
    });
    /// The connection is reset after an authorization was read, once.
    ResetAuthorization: AUTHORIZATION, ONCE, Wire(wire::reset);
    /// The connection is reset after a certificate was read, once.
    ResetCertificate: CHAIN, ONCE, Wire(wire::reset);
    /// The connection is reset after a challenge was answered, once.
    ResetChallenge: CHALLENGE, ONCE, Wire(wire::reset);
    /// The connection is reset after the directory was read, once.
    ResetDirectory: DIRECTORY, ONCE, Wire(wire::reset);
    /// The connection is reset after an order was finalized, once.
    ResetFinalize: FINALIZE, ONCE, Wire(wire::reset);
    /// The connection is reset after an account was made, once.
    ResetNewAccount: ACCOUNT, ONCE, Wire(wire::reset);
    /// The connection is reset after a nonce was given out, once.
    ResetNewNonce: NONCE, ONCE, Wire(wire::reset);
    /// The connection is reset after an order was placed, once.
    ResetNewOrder: NEW_ORDER, ONCE, Wire(wire::reset);
    /// The connection is reset after an order was read, once.
    ResetOrder: LOOK, ONCE, Wire(wire::reset);
    /// Another answer follows the one to the request.
    ResponseTwice: AUTHORIZATION, ALWAYS, Wire(wire::double);
    /// An order is to be looked at again soon, in no words that anybody has agreed on.
    RetryAfterGarbage: LOOK, ALWAYS, Answer(|answer, at| head::come_again(answer, at, "soon\t; q=0.5"));
    /// An order is to be looked at again in 2⁶⁴ seconds.
    RetryAfterHuge: LOOK, ALWAYS, Answer(|answer, _| head::come_never(answer, "18446744073709551616"));
    /// An order is to be looked at again five seconds ago.
    RetryAfterNegative: LOOK, ALWAYS, Answer(|answer, at| head::come_again(answer, at, "-5"));
    /// An order is to be looked at again in 1994.
    RetryAfterPast: LOOK, ALWAYS, Answer(|answer, at| {
        head::come_again(answer, at, "Sun, 06 Nov 1994 08:49:37 GMT");
    });
    /// An order is to be looked at again in the year 9999.
    RetryAfterYear9999: LOOK, ALWAYS, Answer(|answer, _| head::come_never(answer, YEAR_9999));
    /// An order that is never ready is to be looked at again at once.
    RetryAfterZero: LOOK, ALWAYS, Answer(|answer, _| head::come_never(answer, "0"));
    /// The challenges of an authorization have tokens that climb out of a directory.
    TokenClimbs: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::challenges(answer, |challenge| {
        challenge.insert("token".into(), "../../../../etc/cron.d/perennial".into());
    }));
    /// The challenges of an authorization have tokens of a hundred thousand letters.
    TokenHuge: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::challenges(answer, |challenge| {
        challenge.insert("token".into(), "a".repeat(100_000).into());
    }));
    /// The challenges of an authorization have no tokens, not even dns-01, which needs one.
    TokenMissing: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::challenges(answer, |challenge| {
        challenge.remove("token");
    }));
    /// The challenges of an authorization have tokens that can be guessed.
    TokenShort: AUTHORIZATION, ALWAYS, Answer(|answer, _| body::challenges(answer, |challenge| {
        challenge.insert("token".into(), "1234".into());
    }));
}

impl Misbehaviour {
    /// All of them: those with names of their own first, then every field with every fault.
    pub const ALL: &[Self] = &all();

    /// The requests that it strikes.
    #[must_use]
    pub fn verbs(self) -> &'static [Verb] {
        self.strike().verbs
    }

    /// Its name: the variant's in kebab case.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Field(field, fault) => format!("{}-{}", kebab(&field), kebab(&fault)),
            named => kebab(&named),
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

const fn all() -> [Misbehaviour; NAMED.len() + Field::ALL.len() * FieldFault::ALL.len()] {
    let mut all = [NAMED[0]; NAMED.len() + Field::ALL.len() * FieldFault::ALL.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < NAMED.len() {
            NAMED[at]
        } else {
            let rest = at - NAMED.len();
            let faults = FieldFault::ALL.len();
            Misbehaviour::Field(Field::ALL[rest / faults], FieldFault::ALL[rest % faults])
        };
        at += 1;
    }
    all
}

fn kebab(variant: &impl fmt::Debug) -> String {
    let mut name = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

const ACCOUNT: &[Verb] = &[Verb::NewAccount];
const AUTHORIZATION: &[Verb] = &[Verb::Authorization];
const CHAIN: &[Verb] = &[Verb::Certificate];
const CHALLENGE: &[Verb] = &[Verb::Challenge];
const DIRECTORY: &[Verb] = &[Verb::Directory];
const FINALIZE: &[Verb] = &[Verb::Finalize];
/// Whatever looks at an order that was placed.
const LATER: &[Verb] = &[Verb::Order, Verb::Finalize];
const LOOK: &[Verb] = &[Verb::Order];
const NEW_ORDER: &[Verb] = &[Verb::NewOrder];
const NONCE: &[Verb] = &[Verb::NewNonce];
/// Whatever answers with an order.
const ORDER: &[Verb] = &[Verb::NewOrder, Verb::Order, Verb::Finalize];
/// Whatever has to be signed on the way to a certificate.
const SIGNED: &[Verb] = &[
    Verb::NewAccount,
    Verb::NewOrder,
    Verb::Authorization,
    Verb::Challenge,
    Verb::Order,
    Verb::Finalize,
    Verb::Certificate,
];

const YEAR_9999: &str = "Fri, 31 Dec 9999 23:59:59 GMT";

/// `{}`, compressed.
const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";
