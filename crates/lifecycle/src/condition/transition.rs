//! Since when a condition has its status: persisted, because it cannot be told from the rest of a record.

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ConditionReason, Status, conditions};
use crate::{Material, Record, failures_with_next};

/// Since when the conditions have their status, as it was written down last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transitions {
    /// Of [`Conditions::ready`](super::Conditions::ready).
    pub ready: Transition,
    /// Of [`Conditions::issuing`](super::Conditions::issuing).
    pub issuing: Transition,
    /// The end of the certificate that served then. It passes without anybody writing it down, and one that
    /// follows later has not been ready all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_until: Option<Timestamp>,
}

/// A status, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transition {
    /// The status.
    pub status: Status,
    /// Since when.
    pub at: Timestamp,
}

impl Record {
    /// Notes since when the conditions have their status, in the record alone: called before a record is written
    /// for another reason. `material` is how key and chain were found, `None` when nobody has looked; then only
    /// [`issuing`](super::Conditions::issuing) is noted.
    pub fn observe(&mut self, material: Option<Material>, now: Timestamp) {
        if let (Some(material), Some(current)) = (material, &mut self.current) {
            current.found = material;
        }
        let seen = conditions(self, material.unwrap_or(Material::Whole), now);
        let [ready, issuing] = [seen.ready, seen.issuing]
            .map(|condition| Transition { status: condition.status, at: condition.last_transition_time });
        let ready_until = self.current.as_ref().map(|current| current.facts.not_after);
        self.transitions = match (material, self.transitions) {
            (None, Some(known)) => Some(Transitions { issuing, ..known }),
            _ => Some(Transitions { ready, issuing, ready_until }),
        };
    }
}

/// The moment on record if it is about this status, else the moment at which the rest of the record says that it
/// changed, else now.
pub(super) fn of_ready(
    record: &Record,
    status: Status,
    reason: ConditionReason,
    now: Timestamp,
) -> Timestamp {
    let issued_at = record.current.as_ref().map(|current| current.issued_at);
    let known = record.transitions.map(|transitions| transitions.ready);
    if let (Some(known), true) = (known.filter(|known| known.status == status), status == Status::True) {
        let ended = record.transitions.and_then(|transitions| transitions.ready_until);
        let gap = issued_at.zip(ended).filter(|(issued_at, ended)| issued_at > ended);
        return gap.map_or(known.at, |(issued_at, _)| issued_at);
    }
    let derived = match reason {
        ConditionReason::Ready => issued_at,
        ConditionReason::Expired => {
            record.current.as_ref().map(|current| current.facts.not_after + std::time::Duration::from_secs(1))
        }
        ConditionReason::DoesNotExist => record
            .failures
            .as_ref()
            .and_then(|failures| failures.first_at)
            .or_else(|| record.attempt.as_ref().map(|attempt| attempt.started_at)),
        _ => None,
    };
    settle(known, status, derived, now)
}

pub(super) fn of_issuing(
    record: &Record,
    status: Status,
    reason: ConditionReason,
    now: Timestamp,
) -> Timestamp {
    let known = record.transitions.map(|transitions| transitions.issuing);
    let current = record.current.as_ref();
    let derived = match (status, failures_with_next(record, now)) {
        (Status::False, _) if reason == ConditionReason::Denied => record.denied.as_ref().map(|it| it.at),
        // The wait is over.
        (Status::True, Some(failures)) => Some(failures.retry_at),
        (Status::True, None) if reason == ConditionReason::Renewing => current.map(|current| {
            let held = crate::Holding::new(current, Material::Whole);
            crate::renews_at(&record.spec, &held, now)
        }),
        (Status::True, None) => record.attempt.as_ref().map(|attempt| attempt.started_at),
        (_, Some(failures)) => Some(failures.last_at),
        (_, None) => current.map(|current| current.issued_at),
    };
    settle(known, status, derived, now)
}

fn settle(
    known: Option<Transition>,
    status: Status,
    derived: Option<Timestamp>,
    now: Timestamp,
) -> Timestamp {
    match known {
        Some(known) if known.status == status => known.at,
        // What is derived may be older than the status that it ends.
        Some(known) => derived.filter(|at| *at >= known.at && *at <= now).unwrap_or(now),
        None => derived.filter(|at| *at <= now).unwrap_or(now),
    }
}
