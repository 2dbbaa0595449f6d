//! What a server's answer says went wrong, in words that help.

use hickory_proto::op::ResponseCode;
use perennial_core::{DomainName, Timestamp};

use super::KIND;
use crate::{Error, Zone};

/// What an answer says, or shows, went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// TSIG error 17 (RFC 8945 §5.2.1).
    BadKey,
    /// TSIG error 16 (RFC 8945 §5.2.2).
    BadSig,
    /// TSIG error 18 (RFC 8945 §5.2.3), or a signature of another time.
    BadTime { here: Timestamp, there: Timestamp },
    /// TSIG error 22 (RFC 8945 §5.2.4).
    BadTrunc,
    /// A response code other than NOERROR, in an answer that can be trusted as far as it goes.
    Code(u16),
    /// A signature that does not fit.
    Forged,
    /// No signature though the request had one.
    Unsigned { code: u16 },
}

impl Failure {
    /// Whether the other side has proved who it is. What nobody has proved may be followed by a better answer.
    pub(super) const fn is_proved(&self) -> bool {
        matches!(self, Self::BadTime { .. } | Self::Code(_))
    }
}

/// What was being asked of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'c> {
    pub(super) server: &'c str,
    /// Name and algorithm.
    pub(super) key: Option<&'c str>,
    pub(super) asked: Asked<'c>,
}

/// Whether an answer has the signature that the request had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signed {
    AsAsked,
    Not,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'c> {
    Update { zone: &'c Zone, name: &'c DomainName },
    Query { name: &'c DomainName },
}

impl Asked<'_> {
    /// Whether a response code is an answer to this, rather than a refusal: names that do not exist can be asked
    /// for, and an update may find records present (RFC 2136 §2.2).
    pub(super) const fn may_be(self, code: ResponseCode) -> bool {
        match self {
            Self::Query { .. } => matches!(code, ResponseCode::NoError | ResponseCode::NXDomain),
            Self::Update { .. } => matches!(code, ResponseCode::NoError | ResponseCode::YXRRSet),
        }
    }
}

impl Context<'_> {
    pub(super) fn explain(&self, failure: &Failure) -> Error {
        match failure {
            Failure::BadKey => self.auth(
                "BADKEY",
                "it has no key of that name with that algorithm; compare `key-name` and `algorithm` with its \
                 configuration",
            ),
            Failure::BadSig => {
                self.auth("BADSIG", "the secret is not the one it has; copy `secret` again from its key file")
            }
            Failure::BadTrunc => self.auth(
                "BADTRUNC",
                "it wants a shorter signature than RFC 8945 §6 makes; let it accept whole ones",
            ),
            Failure::BadTime { here, there } => Error::ClockSkew {
                provider: KIND.to_owned(),
                server: self.server.to_owned(),
                here: *here,
                there: *there,
            },
            Failure::Code(code) => self.of_code(*code, Signed::AsAsked),
            Failure::Forged => self.misbehaved(format!(
                "the signature of its answer is not made with the key {}; somebody else may have answered in \
                 its place, or the keys differ",
                self.key.unwrap_or("none")
            )),
            Failure::Unsigned { code: 0 } => self.misbehaved(
                "its answer is not signed though the request was, so it is not believed; something on the way \
                 may answer in its place"
                    .to_owned(),
            ),
            Failure::Unsigned { code } => self.of_code(*code, Signed::Not),
        }
    }

    /// The meaning of a response code (RFC 1035 §4.1.1, RFC 2136 §2.2).
    fn of_code(&self, code: u16, signed: Signed) -> Error {
        let code: ResponseCode = code.into();
        let name = match signed {
            Signed::AsAsked => spelled(code),
            Signed::Not => format!("{}, in an answer that is not signed", spelled(code)),
        };
        match (self.asked, code) {
            (Asked::Update { zone, name: owner }, ResponseCode::Refused) => {
                self.permission(zone, owner, &name, signed)
            }
            (Asked::Query { name: owner }, ResponseCode::Refused) => Error::Permission {
                provider: KIND.to_owned(),
                reason: format!(
                    "{} refuses queries for {owner} ({name}); it is not authoritative for it, or allow-query \
                     forbids them",
                    self.server
                ),
                fault: None,
            },
            (Asked::Update { zone, .. }, ResponseCode::NotAuth) => Error::ZoneNotFound {
                provider: KIND.to_owned(),
                name: zone.apex.clone(),
                tried: vec![zone.apex.clone()],
                reason: format!(
                    "{} is not authoritative for it ({name}); correct `zone`, or give the primary server as \
                     `server`{}",
                    self.server,
                    // Knot says so to whoever does not sign.
                    if self.key.is_none() { ", or a key by `key-name` and `secret`" } else { "" }
                ),
            },
            (Asked::Update { zone, name: owner }, ResponseCode::NotZone) => Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: format!(
                    "{} says that {owner} is not in the zone {zone} ({name}); correct `zone`",
                    self.server
                ),
                fault: None,
            },
            (_, ResponseCode::NotImp) => Error::Unsupported {
                provider: KIND.to_owned(),
                reason: format!(
                    "{} does not do dynamic updates ({name}); give the primary server as `server`",
                    self.server
                ),
                fault: None,
            },
            (Asked::Update { name: owner, .. }, ResponseCode::YXDomain | ResponseCode::YXRRSet) => {
                Error::Conflict { provider: KIND.to_owned(), what: owner.to_string(), fault: None }
            }
            (Asked::Update { zone, .. }, ResponseCode::ServFail) => self.unavailable(format!(
                "{name} to an update of {zone}; its log says why, often a journal or zone file that it may \
                 not write"
            )),
            (_, ResponseCode::ServFail) => self.unavailable(format!("{name}; its log says why")),
            _ => self.misbehaved(format!("it answers {name}; its log says why")),
        }
    }

    fn permission(&self, zone: &Zone, owner: &DomainName, code: &str, signed: Signed) -> Error {
        let server = self.server;
        let change = format!("change TXT at {owner} in the zone {zone}");
        let reason = match (self.key, signed) {
            (Some(key), Signed::AsAsked) => format!(
                "{server} does not let the key {key} {change} ({code}); grant it, in BIND by \
                 `update-policy {{ grant {} name {owner}. TXT; }};`",
                key.split(' ').next().unwrap_or(key)
            ),
            // PowerDNS says so, too, of keys that it does not know and signatures that it does not accept.
            (Some(key), Signed::Not) => format!(
                "{server} does not let the key {key} {change} ({code}); if it allows updates with this key, \
                 compare `key-name`, `algorithm`, `secret` and the clocks: it may not have accepted the \
                 signature"
            ),
            (None, _) => format!(
                "{server} does not let us {change} without a key ({code}); give `key-name` and `secret`"
            ),
        };
        Error::Permission { provider: KIND.to_owned(), reason, fault: None }
    }

    fn auth(&self, code: &str, meaning: &str) -> Error {
        let (server, key) = (self.server, self.key.unwrap_or("none"));
        let reason = format!("{server} does not accept the key {key} ({code}): {meaning}");
        Error::Auth { provider: KIND.to_owned(), reason, fault: None }
    }

    fn misbehaved(&self, reason: String) -> Error {
        Error::Misbehaved { provider: KIND.to_owned(), server: self.server.to_owned(), reason, fault: None }
    }

    fn unavailable(&self, reason: String) -> Error {
        Error::Unavailable { provider: KIND.to_owned(), server: self.server.to_owned(), reason, fault: None }
    }
}

/// The name that servers log and `dig` prints.
fn spelled(code: ResponseCode) -> String {
    match code {
        ResponseCode::Unknown(code) => format!("response code {code}"),
        code => format!("{code:?}").to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(key: Option<&str>, failure: &Failure) -> Error {
        let zone = Zone::new("example.com".parse().unwrap());
        let name = "_acme-challenge.example.com".parse().unwrap();
        let asked = Asked::Update { zone: &zone, name: &name };
        Context { server: "192.0.2.1:53", key, asked }.explain(failure)
    }

    #[test]
    fn what_servers_say_differently_is_explained_for_each() {
        let key = Some("acme-key. hmac-sha256");
        for (key, failure, part) in [
            (
                None,
                Failure::Code(9),
                "(NOTAUTH); correct `zone`, or give the primary server as `server`, or a key",
            ),
            (
                key,
                Failure::Code(9),
                "(NOTAUTH); correct `zone`, or give the primary server as `server` (tried",
            ),
            (key, Failure::Code(5), "(REFUSED); grant it, in BIND by `update-policy { grant acme-key. name"),
            (key, Failure::Unsigned { code: 5 }, "it may not have accepted the signature"),
            (key, Failure::Unsigned { code: 0 }, "its answer is not signed though the request was"),
            (key, Failure::Code(10), "is not in the zone example.com (NOTZONE)"),
            (key, Failure::Code(4), "does not do dynamic updates (NOTIMP)"),
            (key, Failure::Code(2), "SERVFAIL to an update of example.com"),
            (key, Failure::Code(1), "it answers FORMERR"),
            (key, Failure::Code(3841), "it answers response code 3841"),
            (key, Failure::BadTrunc, "(BADTRUNC)"),
        ] {
            let text = explained(key, &failure).to_string();
            assert!(text.starts_with("rfc2136: ") && text.contains(part), "{failure:?}: {text}");
        }
    }

    #[test]
    fn whose_move_it_is_decides_whether_another_try_is_worth_it() {
        for (failure, worthwhile) in [
            (Failure::BadKey, false),
            (Failure::BadSig, false),
            (Failure::Code(5), false),
            (Failure::Code(9), false),
            (Failure::Code(2), true),
            (Failure::Code(7), true),
            (Failure::Forged, true),
            (Failure::Unsigned { code: 0 }, true),
        ] {
            let error = explained(Some("acme-key. hmac-sha256"), &failure);
            assert_eq!(error.retry().is_worthwhile(), worthwhile, "{failure:?}: {error}");
        }
    }
}
