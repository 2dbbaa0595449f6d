//! How a certificate stands, in two words: is it good, and is a new one being made. Pure.

use std::fmt;

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Decision, Denied, Failures, Holding, Material, NotAdopted, Reason, Record, StoreError, decide_record,
    failures_with_next, fault,
};

mod transition;
pub use transition::{Transition, Transitions};

/// How a certificate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(clippy::exhaustive_structs)] // The two that cert-manager has.
pub struct Conditions {
    /// Whether the certificate that serves is the one that is wanted, and valid.
    pub ready: Condition,
    /// Whether a new one is being made, or would be if somebody had time.
    pub issuing: Condition,
}

/// One of the [`Conditions`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Condition {
    /// Whether it holds.
    pub status: Status,
    /// Why, in one word.
    pub reason: ConditionReason,
    /// Why, for a person.
    pub message: String,
    /// Which [generation of the spec](Record::spec_generation) this is said of.
    pub observed_generation: u64,
    /// Since when it has this status; another reason alone does not move it.
    pub last_transition_time: Timestamp,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(clippy::exhaustive_enums)] // The three that Kubernetes has.
pub enum Status {
    // In the order in which they are always named.
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::True, Self::False, Self::Unknown];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a condition has its status. The words are those that operators know from cert-manager, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum ConditionReason {
    /// Somebody has said no to the request.
    Denied,
    /// There is no certificate yet.
    DoesNotExist,
    /// It has ended.
    Expired,
    /// The last attempt failed; the next is made later.
    Failed,
    /// No attempt is made any more.
    GivenUp,
    /// Another issuer is wanted now.
    IncorrectIssuer,
    /// The key kept beside it is not its key.
    InvalidKeyPair,
    /// Its key is in other hands.
    KeyCompromised,
    /// The record names one, but its key or chain is gone.
    MissingData,
    /// Nothing is to be done before it is due.
    NotDue,
    /// It is what is wanted, and valid.
    Ready,
    /// It is due.
    Renewing,
    /// Other names, another subject, usage, length or profile are wanted now.
    RequestChanged,
    /// Another kind of key is wanted now.
    SecretMismatch,
    /// The record cannot be read, or its key or chain.
    Unreadable,
}

impl ConditionReason {
    /// The word for it, as in its JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "Denied",
            Self::DoesNotExist => "DoesNotExist",
            Self::Expired => "Expired",
            Self::Failed => "Failed",
            Self::GivenUp => "GivenUp",
            Self::IncorrectIssuer => "IncorrectIssuer",
            Self::InvalidKeyPair => "InvalidKeyPair",
            Self::KeyCompromised => "KeyCompromised",
            Self::MissingData => "MissingData",
            Self::NotDue => "NotDue",
            Self::Ready => "Ready",
            Self::Renewing => "Renewing",
            Self::RequestChanged => "RequestChanged",
            Self::SecretMismatch => "SecretMismatch",
            Self::Unreadable => "Unreadable",
        }
    }
}

impl fmt::Display for ConditionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Reason> for ConditionReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::DoesNotExist => Self::DoesNotExist,
            Reason::Expired => Self::Expired,
            Reason::IncorrectIssuer => Self::IncorrectIssuer,
            Reason::InvalidKeyPair => Self::InvalidKeyPair,
            Reason::KeyCompromised => Self::KeyCompromised,
            Reason::MissingData => Self::MissingData,
            Reason::Renewing => Self::Renewing,
            Reason::RequestChanged => Self::RequestChanged,
            Reason::SecretMismatch => Self::SecretMismatch,
        }
    }
}

/// How a certificate stands at `now`, whose key and chain were found like `material`.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_lifecycle::{CertificateSpec, ConditionReason, Material, Record, Status, conditions};
///
/// let record = Record::new(CertificateSpec::new("site", ["example.com"])?);
/// let conditions = conditions(&record, Material::Missing, Timestamp::from_unix(1_800_000_000));
/// assert_eq!((conditions.ready.status, conditions.issuing.status), (Status::False, Status::True));
/// assert_eq!(conditions.ready.reason, ConditionReason::DoesNotExist);
/// # Ok::<(), perennial_lifecycle::SpecError>(())
/// ```
#[must_use]
pub fn conditions(record: &Record, material: Material, now: Timestamp) -> Conditions {
    Conditions { ready: ready(record, material, now), issuing: issuing(record, material, now) }
}

impl Conditions {
    /// How a certificate stands whose record cannot be read, or whose key or chain: nobody can tell. `since` is when that was first seen.
    #[must_use]
    pub fn unreadable(error: &StoreError, since: Timestamp) -> Self {
        let unknown = || Condition {
            status: Status::Unknown,
            reason: ConditionReason::Unreadable,
            message: error.to_string(),
            observed_generation: 0,
            last_transition_time: since,
        };
        Self { ready: unknown(), issuing: unknown() }
    }
}

fn ready(record: &Record, material: Material, now: Timestamp) -> Condition {
    let (status, reason, message) = match (fault(record, material, now), &record.current) {
        (None, _) => (Status::True, ConditionReason::Ready, UP_TO_DATE.to_owned()),
        (Some(Reason::Expired), Some(current)) => {
            let message = format!("Certificate expired on {}", current.facts.not_after);
            (Status::False, ConditionReason::Expired, message)
        }
        (Some(why), _) => (Status::False, why.into(), format!("{why}{}", beside(record))),
    };
    let last_transition_time = transition::of_ready(record, status, reason, now);
    Condition { status, reason, message, observed_generation: record.spec_generation, last_transition_time }
}

/// The words of cert-manager, which operators look for.
const UP_TO_DATE: &str = "Certificate is up to date and has not expired";

fn issuing(record: &Record, material: Material, now: Timestamp) -> Condition {
    let failures = failures_with_next(record, now);
    let decided = decide_record(record, material, None, failures, now);
    let (status, reason, message) = match decided {
        Decision::Renew { .. } | Decision::Wait { .. } if record.denied.is_some() => {
            (Status::False, ConditionReason::Denied, record.denied.as_ref().map_or_else(String::new, denied))
        }
        Decision::Renew { why: Reason::Renewing } => {
            let due = record
                .current
                .as_ref()
                .map_or(now, |current| crate::renews_at(&record.spec, &Holding::new(current, material), now));
            let message = format!("Renewing certificate as renewal was scheduled at {due}");
            (Status::True, ConditionReason::Renewing, message)
        }
        Decision::Renew { why } => {
            let message = format!("Issuing certificate, because {why}{}", beside(record));
            (Status::True, why.into(), message)
        }
        Decision::Wait { until, .. } => {
            let message = format!("{}{}", failed(failures, until), beside(record));
            (Status::False, ConditionReason::Failed, message)
        }
        Decision::GiveUp { why } => (Status::False, ConditionReason::GivenUp, why.to_string()),
        Decision::Keep { until } => {
            (Status::False, ConditionReason::NotDue, format!("nothing is to be done before {until}"))
        }
        Decision::Redeliver { why } => (Status::False, ConditionReason::NotDue, why.to_string()),
    };
    let last_transition_time = transition::of_issuing(record, status, reason, now);
    Condition { status, reason, message, observed_generation: record.spec_generation, last_transition_time }
}

fn failed(failures: Option<&Failures>, until: Timestamp) -> String {
    let why = failures.map_or("", |failures| failures.message.as_str());
    format!("The certificate request has failed to complete and will be retried at {until}: {why}")
}

/// What lies at an output already and is not what is wished for: who looks there sees a certificate, and why another
/// one is asked for.
fn beside(record: &Record) -> String {
    let refused = record.not_adopted.iter().filter(|_| record.current.is_none());
    let told = refused.map(|(sink, NotAdopted { why, message, .. })| {
        let word = ConditionReason::from(*why);
        format!("; what lies at {sink} was not taken over ({word}): {message}")
    });
    told.collect()
}

fn denied(denied: &Denied) -> String {
    format!("The certificate request was denied by {}: {}", denied.by, denied.reason)
}

#[cfg(test)]
mod tests;
