//! Events in words: those that cert-manager's users know, where it has one for the same thing.

use std::fmt;

use serde::Serialize;

use super::{Event, EventKind, Stage};
use crate::ClockJump;

/// Whether an event is a reason to worry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[allow(clippy::exhaustive_enums)] // The two that Kubernetes has.
pub enum Severity {
    /// It goes as it should.
    Normal,
    /// Somebody may have to look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        })
    }
}

impl EventKind {
    /// The one word for it, which is never changed: alerts and filters are written for it.
    ///
    /// An issuance tells the classic sequence `CreateOrder`, `DomainVerified` for each name, `IssueCert`,
    /// `CertObtained`, `CertIssued`, with `Issuing`, `Generated` or `Reused`, and `Requested` before it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Adopted { .. } => "Adopted",
            Self::Approved { .. } => "Approved",
            Self::ClockJumped { .. } => "ClockJumped",
            Self::DeliveryFailed { .. } => "DeliveryFailed",
            Self::Denied { .. } => "Denied",
            Self::Failed { .. } => "Failed",
            Self::Generated { .. } => "Generated",
            Self::GivenUp { .. } => "GivenUp",
            Self::Issued { .. } => "CertIssued",
            Self::IssuerChanged { .. } => "IssuerChanged",
            Self::Issuing { .. } => "Issuing",
            Self::LeaseLost => "LeaseLost",
            Self::NotAdopted { .. } => "NotAdopted",
            Self::OverBudget { .. } => "OverBudget",
            Self::Quarantined { .. } => "Quarantined",
            Self::Redelivered { .. } => "Redelivered",
            Self::ReloadFailed { .. } => "ReloadFailed",
            Self::Reloaded { .. } => "Reloaded",
            Self::Removed => "Removed",
            Self::Requested { .. } => "Requested",
            Self::Reused { .. } => "Reused",
            Self::RevocationFailed { .. } => "RevocationFailed",
            Self::Revoked { .. } => "Revoked",
            Self::Stage { stage } => stage.reason(),
            Self::StoreAvailable => "StoreAvailable",
            Self::StoreUnavailable { .. } => "StoreUnavailable",
        }
    }

    /// The words of all that is a reason to worry, for those who count them.
    pub const WARNINGS: &[&str] = &[
        "ChallengeFailed",
        "CleanUpError",
        "ClockJumped",
        "DeliveryFailed",
        "Denied",
        "Failed",
        "GivenUp",
        "IssuerChanged",
        "IssuerWarning",
        "LeaseLost",
        "OrderFailed",
        "PresentedAgain",
        "Quarantined",
        "RateLimited",
        "ReloadFailed",
        "RevocationFailed",
        "Revoked",
        "StoreUnavailable",
    ];

    /// Whether it is a reason to worry.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::ClockJumped { .. }
            | Self::DeliveryFailed { .. }
            | Self::Denied { .. }
            | Self::Failed { .. }
            | Self::GivenUp { .. }
            | Self::IssuerChanged { .. }
            | Self::LeaseLost
            | Self::NotAdopted { .. }
            | Self::Quarantined { .. }
            | Self::ReloadFailed { .. }
            | Self::RevocationFailed { .. }
            | Self::Revoked { .. }
            | Self::StoreUnavailable { .. }
            | Self::Stage {
                stage:
                    Stage::ChallengeFailed { .. }
                    | Stage::CleanUpFailed { .. }
                    | Stage::OrderFailed { .. }
                    | Stage::PresentedAgain { .. }
                    | Stage::RateLimited { .. }
                    | Stage::Warned { .. },
            } => Severity::Warning,
            _ => Severity::Normal,
        }
    }
}

impl Stage {
    /// As [`EventKind::reason`].
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AccountReady { .. } => "AccountReady",
            Self::AuthorizationFound { .. } => "AuthorizationFound",
            Self::ChallengeAnswered { .. } => "ChallengeAnswered",
            Self::ChallengeChosen { .. } => "ChallengeChosen",
            Self::ChallengeFailed { .. } => "ChallengeFailed",
            Self::ChallengePresented { .. } => "ChallengePresented",
            Self::CleanedUp { .. } => "CleanedUp",
            Self::CleanUpFailed { .. } => "CleanUpError",
            Self::DomainVerified { .. } => "DomainVerified",
            Self::Finalized => "IssueCert",
            Self::Downloaded => "CertObtained",
            Self::OrderCreated { .. } => "CreateOrder",
            Self::OrderDescribed { .. } => "OrderDescribed",
            Self::OrderFailed { .. } => "OrderFailed",
            Self::PresentedAgain { .. } => "PresentedAgain",
            Self::Propagated { .. } => "Propagated",
            Self::RateLimited { .. } => "RateLimited",
            Self::Signed { .. } => "Signed",
            Self::Validated => "Validated",
            Self::Warned { .. } => "IssuerWarning",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopted { generation, not_after } => {
                write!(
                    f,
                    "took over a certificate that was there, as generation {generation}, until {not_after}"
                )
            }
            Self::Approved { by } => write!(f, "the request was approved by {by}"),
            Self::ClockJumped { jump: ClockJump::Ahead(by) } => {
                write!(f, "the clock went ahead by {} s", by.as_secs())
            }
            Self::ClockJumped { jump: ClockJump::Back(by) } => {
                write!(f, "the clock went back by {} s", by.as_secs())
            }
            Self::DeliveryFailed { message, retry_at } => {
                write!(f, "not delivered: {message}; that is tried again at {retry_at}")
            }
            Self::Denied { by, reason } => write!(f, "the request was denied by {by}: {reason}"),
            Self::Failed { message, retry_at, .. } => {
                write!(f, "{message}; the next attempt is made at {retry_at}")
            }
            Self::Generated { generation, algorithm } => {
                write!(f, "wrote a new {algorithm} key down, of generation {generation}")
            }
            Self::GivenUp { why } => write!(f, "given up: {why}"),
            Self::Issued { renews_at, .. } => {
                write!(f, "Certificate issued successfully; it is renewed at {renews_at}")
            }
            Self::IssuerChanged { from, to } => write!(f, "{to} is asked instead of {from}"),
            Self::Issuing { why, resumed: false } => write!(f, "a new certificate is wanted: {why}"),
            Self::Issuing { why, resumed: true } => {
                write!(f, "an earlier attempt goes on where it stopped: {why}")
            }
            Self::LeaseLost => f.write_str("somebody else has taken the certificate over"),
            Self::NotAdopted { sink, why, message } => {
                write!(f, "what lies at {sink} was not taken over ({why}): {message}")
            }
            Self::OverBudget { budget, until } => {
                write!(f, "the budget for {budget} is used up until {until}")
            }
            Self::Quarantined { message } | Self::StoreUnavailable { message } => f.write_str(message),
            Self::Redelivered { why } => write!(f, "delivered once more: {why}"),
            Self::ReloadFailed { sink, message, retry_at } => {
                write!(
                    f,
                    "delivered to {sink}, but not taken up: {message}; that is tried again at {retry_at}"
                )
            }
            Self::Reloaded { sink, said } if said.is_empty() => write!(f, "taken up at {sink}"),
            Self::Reloaded { sink, said } => write!(f, "taken up at {sink}: {said}"),
            Self::Removed => f.write_str("it is kept no longer; what was delivered stays"),
            Self::Requested { issuer, generation } => {
                write!(f, "the request of generation {generation} is on record; {issuer} is asked")
            }
            Self::Reused { generation } => {
                write!(f, "took the key that serves for generation {generation}, too")
            }
            Self::RevocationFailed { serial, message, retry_at, .. } => {
                write!(f, "the certificate with serial number {serial} was not revoked: {message}; ")?;
                match retry_at {
                    Some(at) => write!(f, "that is tried again at {at}"),
                    None => f.write_str("that is not tried again"),
                }
            }
            Self::Revoked { serial } => write!(f, "revoked the certificate with serial number {serial}"),
            Self::Stage { stage } => stage.fmt(f),
            Self::StoreAvailable => f.write_str("the store answers again"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountReady { url } => write!(f, "account {url}"),
            Self::AuthorizationFound { identifier, wildcard, state, offered, .. } => {
                let star = if *wildcard { "*." } else { "" };
                let kinds: Vec<_> = offered.iter().map(|offer| offer.kind.as_str()).collect();
                write!(
                    f,
                    "the authorization for {star}{identifier} is {state}; offered: {}",
                    kinds.join(", ")
                )
            }
            Self::ChallengeAnswered { name, .. } => write!(f, "told the CA that {name} is ready"),
            Self::ChallengeChosen { name, kind, .. } => write!(f, "{name} will be proven by {kind}"),
            Self::ChallengeFailed { name, reason } => {
                write!(f, "the CA refuses the proof of {name}: {reason}")
            }
            Self::ChallengePresented { name, kind, at } => {
                write!(f, "presented the {kind} proof for {name} at {at}")
            }
            Self::CleanedUp { at } => write!(f, "removed what was presented at {at}"),
            Self::CleanUpFailed { at, reason } => {
                write!(f, "could not remove what was presented at {at}: {reason}")
            }
            Self::DomainVerified { name, kind } => {
                write!(f, "Domain \"{name}\" verified with \"{kind}\" validation")
            }
            Self::Finalized => f.write_str("Issuing certificate..."),
            Self::Downloaded => f.write_str("Obtained certificate from the CA, and verified it"),
            Self::OrderCreated { url } => write!(f, "Created new ACME order {url}, attempting validation..."),
            Self::OrderDescribed { finalize, certificate: None } => {
                write!(f, "the order is finalized at {finalize}")
            }
            Self::OrderDescribed { certificate: Some(url), .. } => write!(f, "the certificate is at {url}"),
            Self::OrderFailed { reason } => write!(f, "the order came to nothing: {reason}"),
            Self::PresentedAgain { at } => {
                write!(f, "somebody else had removed what was presented at {at}; it is there again")
            }
            Self::Propagated { at } => write!(f, "every name server that counts has {at}"),
            Self::RateLimited { limit, until: Some(until) } => {
                write!(f, "the CA asks for less until {until}: {limit}")
            }
            Self::RateLimited { limit, until: None } => write!(f, "the CA asks for less: {limit}"),
            Self::Signed { serial, request: Some(request) } => {
                write!(f, "the issuer has signed certificate {serial}, in its request {request}")
            }
            Self::Signed { serial, request: None } => write!(f, "the issuer has signed certificate {serial}"),
            Self::Validated => f.write_str("the CA has validated every name"),
            Self::Warned { message } => write!(f, "the issuer warns: {message}"),
        }
    }
}

/// One line, as `kubectl describe` has it: severity, reason, moment, certificate, text.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, certificate, kind } = self;
        write!(f, "{:<8} {:<18} {at} ", kind.severity(), kind.reason())?;
        match certificate {
            Some(certificate) => write!(f, "{certificate}: {kind}"),
            None => kind.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClockJump, Generation, GivenUp, IssueErrorClass, KeyAlgorithm, OfferedChallenge, Reason, Redelivery,
        event::EventKind as Kind,
    };
    use perennial_core::Timestamp;
    use std::{collections::BTreeSet, time::Duration};

    /// Everything that can be told, with its line.
    fn all() -> Vec<(Kind, &'static str)> {
        let (at, generation) = (Timestamp::from_unix(1_800_000_000), Generation::from_number(7));
        let seconds = Duration::from_secs(90);
        let text = |text: &str| text.to_owned();
        let issuer = || "ca".parse().unwrap();
        let (by, message, reason) = (|| text("policy"), || text("it is so"), || text("no"));
        let (why, resumed) = (Reason::Renewing, true);
        let (class, retry_at, renews_at, not_after) = (IssueErrorClass::Policy, at, at, at);
        let (from, to, was_due_at) = ("ca".parse().unwrap(), "other".parse().unwrap(), None);
        let algorithm = KeyAlgorithm::EcdsaP256;
        vec![
            (
                Kind::Adopted { generation, not_after },
                "Normal Adopted: took over a certificate that was there, as generation 00000007, until 2027-01-15T08:00:00Z",
            ),
            (Kind::Approved { by: by() }, "Normal Approved: the request was approved by policy"),
            (
                Kind::ClockJumped { jump: ClockJump::Ahead(seconds) },
                "Warning ClockJumped: the clock went ahead by 90 s",
            ),
            (
                Kind::ClockJumped { jump: ClockJump::Back(seconds) },
                "Warning ClockJumped: the clock went back by 90 s",
            ),
            (
                Kind::Denied { by: by(), reason: reason() },
                "Warning Denied: the request was denied by policy: no",
            ),
            (
                Kind::DeliveryFailed { message: message(), retry_at },
                "Warning DeliveryFailed: not delivered: it is so; that is tried again at 2027-01-15T08:00:00Z",
            ),
            (
                Kind::Failed { issuer: issuer(), class, message: message(), retry_at },
                "Warning Failed: it is so; the next attempt is made at 2027-01-15T08:00:00Z",
            ),
            (
                Kind::Generated { generation, algorithm },
                "Normal Generated: wrote a new ec256 key down, of generation 00000007",
            ),
            (
                Kind::GivenUp { why: GivenUp::OutOfPatience },
                "Warning GivenUp: given up: attempts failed for longer than its patience lasts",
            ),
            (
                Kind::Issued { issuer: issuer(), generation, was_due_at, not_after, renews_at },
                "Normal CertIssued: Certificate issued successfully; it is renewed at 2027-01-15T08:00:00Z",
            ),
            (Kind::IssuerChanged { from, to }, "Warning IssuerChanged: other is asked instead of ca"),
            (
                Kind::Issuing { why, resumed: false },
                "Normal Issuing: a new certificate is wanted: it is due for renewal",
            ),
            (
                Kind::Issuing { why, resumed },
                "Normal Issuing: an earlier attempt goes on where it stopped: it is due for renewal",
            ),
            (Kind::LeaseLost, "Warning LeaseLost: somebody else has taken the certificate over"),
            (
                Kind::OverBudget { budget: text("ca"), until: at },
                "Normal OverBudget: the budget for ca is used up until 2027-01-15T08:00:00Z",
            ),
            (Kind::Quarantined { message: message() }, "Warning Quarantined: it is so"),
            (
                Kind::Redelivered { why: Redelivery::Gone },
                "Normal Redelivered: delivered once more: what was delivered is gone",
            ),
            (
                Kind::ReloadFailed { sink: "web".parse().unwrap(), message: message(), retry_at },
                "Warning ReloadFailed: delivered to web, but not taken up: it is so; that is tried again at 2027-01-15T08:00:00Z",
            ),
            (
                Kind::Reloaded { sink: "web".parse().unwrap(), said: text("told process 7") },
                "Normal Reloaded: taken up at web: told process 7",
            ),
            (
                Kind::Reloaded { sink: "web".parse().unwrap(), said: String::new() },
                "Normal Reloaded: taken up at web",
            ),
            (Kind::Removed, "Normal Removed: it is kept no longer; what was delivered stays"),
            (
                Kind::Requested { issuer: issuer(), generation },
                "Normal Requested: the request of generation 00000007 is on record; ca is asked",
            ),
            (
                Kind::Reused { generation },
                "Normal Reused: took the key that serves for generation 00000007, too",
            ),
            (
                Kind::RevocationFailed {
                    issuer: issuer(),
                    class,
                    serial: text("0a"),
                    message: message(),
                    retry_at: Some(at),
                },
                "Warning RevocationFailed: the certificate with serial number 0a was not revoked: it is so; that is tried again at 2027-01-15T08:00:00Z",
            ),
            (
                Kind::RevocationFailed {
                    issuer: issuer(),
                    class,
                    serial: text("0a"),
                    message: message(),
                    retry_at: None,
                },
                "Warning RevocationFailed: the certificate with serial number 0a was not revoked: it is so; that is not tried again",
            ),
            (
                Kind::Revoked { serial: text("0a") },
                "Warning Revoked: revoked the certificate with serial number 0a",
            ),
            (Kind::StoreAvailable, "Normal StoreAvailable: the store answers again"),
            (Kind::StoreUnavailable { message: message() }, "Warning StoreUnavailable: it is so"),
        ]
    }

    /// The same of an issuer's stages.
    fn stages() -> Vec<(Stage, &'static str)> {
        let text = |text: &str| text.to_owned();
        let name = || "a.example".parse().unwrap();
        let (kind, at, reason) = (|| text("dns-01"), || text("there"), || text("no"));
        let (url, limit) = (|| text("https://ca.example/1"), || text("too many"));
        let until = Some(Timestamp::from_unix(1_800_000_000));
        vec![
            (Stage::AccountReady { url: url() }, "Normal AccountReady: account https://ca.example/1"),
            (
                Stage::AuthorizationFound {
                    identifier: text("a.example"),
                    wildcard: true,
                    url: url(),
                    state: text("pending"),
                    offered: vec![OfferedChallenge { kind: kind(), url: url() }],
                },
                "Normal AuthorizationFound: the authorization for *.a.example is pending; offered: dns-01",
            ),
            (
                Stage::ChallengeAnswered { name: name(), kind: kind() },
                "Normal ChallengeAnswered: told the CA that a.example is ready",
            ),
            (
                Stage::ChallengeChosen { name: name(), kind: kind(), url: url() },
                "Normal ChallengeChosen: a.example will be proven by dns-01",
            ),
            (
                Stage::ChallengeFailed { name: name(), reason: reason() },
                "Warning ChallengeFailed: the CA refuses the proof of a.example: no",
            ),
            (
                Stage::ChallengePresented { name: name(), kind: kind(), at: at() },
                "Normal ChallengePresented: presented the dns-01 proof for a.example at there",
            ),
            (Stage::CleanedUp { at: at() }, "Normal CleanedUp: removed what was presented at there"),
            (
                Stage::CleanUpFailed { at: at(), reason: reason() },
                "Warning CleanUpError: could not remove what was presented at there: no",
            ),
            (
                Stage::DomainVerified { name: name(), kind: kind() },
                "Normal DomainVerified: Domain \"a.example\" verified with \"dns-01\" validation",
            ),
            (Stage::Finalized, "Normal IssueCert: Issuing certificate..."),
            (Stage::Downloaded, "Normal CertObtained: Obtained certificate from the CA, and verified it"),
            (
                Stage::OrderCreated { url: url() },
                "Normal CreateOrder: Created new ACME order https://ca.example/1, attempting validation...",
            ),
            (
                Stage::OrderDescribed { finalize: url(), certificate: None },
                "Normal OrderDescribed: the order is finalized at https://ca.example/1",
            ),
            (
                Stage::OrderDescribed { finalize: url(), certificate: Some(url()) },
                "Normal OrderDescribed: the certificate is at https://ca.example/1",
            ),
            (Stage::OrderFailed { reason: reason() }, "Warning OrderFailed: the order came to nothing: no"),
            (
                Stage::PresentedAgain { at: at() },
                "Warning PresentedAgain: somebody else had removed what was presented at there; it is there again",
            ),
            (Stage::Propagated { at: at() }, "Normal Propagated: every name server that counts has there"),
            (
                Stage::RateLimited { limit: limit(), until },
                "Warning RateLimited: the CA asks for less until 2027-01-15T08:00:00Z: too many",
            ),
            (
                Stage::RateLimited { limit: limit(), until: None },
                "Warning RateLimited: the CA asks for less: too many",
            ),
            (
                Stage::Signed { serial: text("0a1b"), request: Some(text("6a8d9023")) },
                "Normal Signed: the issuer has signed certificate 0a1b, in its request 6a8d9023",
            ),
            (
                Stage::Signed { serial: text("0a1b"), request: None },
                "Normal Signed: the issuer has signed certificate 0a1b",
            ),
            (Stage::Validated, "Normal Validated: the CA has validated every name"),
            (
                Stage::Warned { message: text("too short") },
                "Warning IssuerWarning: the issuer warns: too short",
            ),
        ]
    }

    /// Alerts and filters are written for the words, and people know the texts.
    #[test]
    fn everything_that_is_told_has_its_word_its_weight_and_its_text() {
        let stages = stages().into_iter().map(|(stage, line)| (Kind::Stage { stage }, line));
        let mut warnings = BTreeSet::new();
        for (kind, line) in all().into_iter().chain(stages) {
            assert_eq!(format!("{} {}: {kind}", kind.severity(), kind.reason()), line);
            if kind.severity() == Severity::Warning {
                warnings.insert(kind.reason());
            }
        }
        assert_eq!(warnings, EventKind::WARNINGS.iter().copied().collect());
    }

    #[test]
    fn an_event_is_one_line_and_one_flat_json_object() {
        let kind = EventKind::Stage {
            stage: Stage::DomainVerified { name: "example.com".parse().unwrap(), kind: "http-01".to_owned() },
        };
        let event = Event::new(Timestamp::from_unix(1_800_000_000), Some("site".parse().unwrap()), kind);
        assert_eq!(
            event.to_string(),
            "Normal   DomainVerified     2027-01-15T08:00:00Z site: Domain \"example.com\" verified with \"http-01\" validation"
        );
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"at":"2027-01-15T08:00:00Z","certificate":"site","event":"stage","stage":{"stage":"domain_verified","name":"example.com","kind":"http-01"}}"#
        );
    }
}
