//! What a record as a whole comes to: several issuers, and keys that are in other hands.

use perennial_core::Timestamp;

use super::{Decision, GivenUp, Holding, Material, Reason, decide, wanted};
use crate::{
    Delivery, Failures, IssuerName, Record,
    failover::{self, Candidate},
};

/// Decides about a certificate whose next attempt is one with the issuer that has failed like `failures`.
pub(crate) fn decide_record(
    record: &Record,
    material: Material,
    delivery: Option<Delivery<'_>>,
    failures: Option<&Failures>,
    now: Timestamp,
) -> Decision {
    let holding = |current| Holding { delivery, ..Holding::new(current, material) };
    let current = record.current.as_ref();
    // Its patience is with the issuer that was wished for.
    let first = decide(&record.spec, current.map(holding), record.failures.as_ref(), now);
    if matches!(first, Decision::GiveUp { .. }) {
        return first;
    }
    if current.is_some_and(|current| record.is_compromised(current.generation)) {
        // As if there were none.
        return match decide(&record.spec, None, failures, now) {
            Decision::Renew { .. } => Decision::Renew { why: Reason::KeyCompromised },
            Decision::Wait { until, .. } => Decision::Wait { until, why: Reason::KeyCompromised },
            other => other,
        };
    }
    match decide(&record.spec, current.map(holding), failures, now) {
        Decision::Renew { .. } | Decision::Wait { .. } if record.is_idle(now) => {
            Decision::GiveUp { why: GivenUp::Unasked }
        }
        decision => decision,
    }
}

/// The failures of one of its issuers with this certificate.
pub(crate) fn failures_with<'a>(record: &'a Record, issuer: &IssuerName) -> Option<&'a Failures> {
    if issuer == record.spec.issuer_name() { record.failures.as_ref() } else { record.elsewhere.get(issuer) }
}

/// The failures of the issuer that is asked next, as far as the record tells: whether one rests is not on it.
pub(crate) fn failures_with_next(record: &Record, now: Timestamp) -> Option<&Failures> {
    let failures: Vec<_> = record.spec.issuers().map(|issuer| failures_with(record, issuer)).collect();
    let candidates: Vec<_> =
        failures.iter().map(|failures| Candidate { failures: *failures, ..Candidate::default() }).collect();
    let expires = record.current.as_ref().map(|current| current.facts.not_after);
    failures.get(failover::choose(&candidates, expires, now).which).copied().flatten()
}

/// What is wrong with the certificate that serves, if anything is: that it is due is nothing wrong.
pub(crate) fn fault(record: &Record, material: Material, now: Timestamp) -> Option<Reason> {
    let Some(current) = &record.current else { return Some(Reason::DoesNotExist) };
    if record.is_compromised(current.generation) {
        return Some(Reason::KeyCompromised);
    }
    wanted(&record.spec, &Holding::new(current, material), now).ok().filter(|why| *why != Reason::Renewing)
}
