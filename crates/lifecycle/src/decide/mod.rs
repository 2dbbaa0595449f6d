//! Keep, wait or renew: the one sentence that must never be wrong.

use std::{fmt, time::Duration};

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    CertificateSpec, Current, Delivery, Facts, Failures, Redelivery, RenewalPolicy, SuggestedWindow,
    delivery::{self, Verdict},
    maintenance,
    schedule::{Life, Spread, due},
};

mod of_record;
pub(crate) use of_record::{decide_record, failures_with, failures_with_next, fault};

/// What to do next about one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Nothing any more, until somebody changes the spec.
    GiveUp {
        /// Why.
        why: GivenUp,
    },
    /// Nothing; look again then.
    Keep {
        /// When it becomes due.
        until: Timestamp,
    },
    /// Deliver the one that serves once more; nobody is asked for a new one.
    Redeliver {
        /// Why.
        why: Redelivery,
    },
    /// Get a new one now.
    Renew {
        /// Why.
        why: Reason,
    },
    /// A new one is wanted, but an attempt failed a short while ago.
    Wait {
        /// When the next attempt is allowed.
        until: Timestamp,
        /// Why a new one is wanted.
        why: Reason,
    },
}

/// Why nothing is done any more about a certificate that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GivenUp {
    /// Attempts have failed for as long as [`CertificateSpec::patience`] allows.
    OutOfPatience,
    /// It has ended, and its policy is [`RenewalPolicy::Never`].
    RenewalDisabled,
    /// Nobody has asked for it for as long as [`CertificateSpec::idleness`] allows.
    Unasked,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfPatience => "attempts failed for longer than its patience lasts",
            Self::RenewalDisabled => "it has expired, and its policy is never to renew it",
            Self::Unasked => "nobody has asked for it for longer than its spec allows (asking helps, too)",
        })
    }
}

/// Why a new certificate is wanted. The words are those that operators know from cert-manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// There is none.
    DoesNotExist,
    /// It has ended.
    Expired,
    /// Another issuer is wanted now.
    IncorrectIssuer,
    /// The key kept beside it is not its key.
    InvalidKeyPair,
    /// Its key is in other hands.
    KeyCompromised,
    /// The record names one, but its key or chain is gone.
    MissingData,
    /// It is due.
    Renewing,
    /// Other names, another subject, usage, length or profile are wanted now.
    RequestChanged,
    /// Another kind of key is wanted now.
    SecretMismatch,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DoesNotExist => "there is no certificate yet",
            Self::Expired => "it has expired",
            Self::IncorrectIssuer => "another issuer is wanted",
            Self::InvalidKeyPair => "its key does not belong to it",
            Self::KeyCompromised => "its key is in other hands",
            Self::MissingData => "its key or chain is gone from the store",
            Self::Renewing => "it is due for renewal",
            Self::RequestChanged => "other names or another kind of certificate are wanted",
            Self::SecretMismatch => "another kind of key is wanted",
        })
    }
}

/// What the store holds for a certificate that was issued.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // Built by whoever asks for a decision.
pub struct Holding<'a> {
    /// What the certificate is.
    pub facts: &'a Facts,
    /// What was asked for when it was issued.
    pub issued_for: &'a CertificateSpec,
    /// When it was stored.
    pub issued_at: Timestamp,
    /// How its key and chain were found.
    pub material: Material,
    /// When the CA would like it to be renewed, if it has said so.
    pub window: Option<&'a SuggestedWindow>,
    /// How its outputs were found; `None` where the store is all there is.
    pub delivery: Option<Delivery<'a>>,
}

impl<'a> Holding<'a> {
    /// What a record says of its certificate, with what was found in the store.
    #[must_use]
    pub const fn new(current: &'a Current, material: Material) -> Self {
        Self {
            facts: &current.facts,
            issued_for: &current.issued_for,
            issued_at: current.issued_at,
            material,
            window: current.window.as_ref(),
            delivery: None,
        }
    }
}

/// How the key and chain of a certificate were found in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // There, gone, or wrong.
pub enum Material {
    /// Key and chain are there and belong together.
    #[default]
    Whole,
    /// One of them is gone.
    Missing,
    /// They do not belong together.
    Mismatched,
}

/// Decides what to do next: pure and total.
///
/// `holding` is what there is, `failures` the attempts that failed since the last success or change of the
/// spec. Reasons are looked for in the order that cert-manager has: what is wrong with the key and chain, then the
/// issuer, the kind of key, and the request, and last its age.
///
/// A certificate is due when the CA would like it ([`SuggestedWindow::chosen`]) or else when the policy says
/// ([`due`]), moved into the spec's maintenance windows. None of them holds it back for longer than 19/20 of
/// its life, and none makes it due so soon after it was issued that it could go round in circles.
///
/// While no new certificate is to be had now, the one that serves is delivered again where that is wanted.
#[must_use]
pub fn decide(
    spec: &CertificateSpec,
    holding: Option<Holding<'_>>,
    failures: Option<&Failures>,
    now: Timestamp,
) -> Decision {
    let decision = issue_or_not(spec, holding.as_ref(), failures, now);
    let serving = holding.filter(|held| held.material == Material::Whole && now <= held.facts.not_after);
    let delivery = serving.and_then(|held| Some(delivery::judge(spec, held.facts, held.delivery?, now)));
    match (decision, delivery) {
        (Decision::Renew { .. }, _) | (_, None | Some(Verdict::Fine)) => decision,
        (_, Some(Verdict::Deliver(why))) => Decision::Redeliver { why },
        (Decision::Keep { until }, Some(Verdict::Later(again))) => Decision::Keep { until: until.min(again) },
        (Decision::Wait { until, why }, Some(Verdict::Later(again))) => {
            Decision::Wait { until: until.min(again), why }
        }
        (_, Some(Verdict::Later(until))) => Decision::Keep { until },
    }
}

fn issue_or_not(
    spec: &CertificateSpec,
    holding: Option<&Holding<'_>>,
    failures: Option<&Failures>,
    now: Timestamp,
) -> Decision {
    let why = match holding {
        None => Reason::DoesNotExist,
        Some(held) => match wanted(spec, held, now) {
            Ok(why) => why,
            Err(until) => return Decision::Keep { until },
        },
    };
    if why == Reason::Expired && *spec.renewal_policy() == RenewalPolicy::Never {
        return Decision::GiveUp { why: GivenUp::RenewalDisabled };
    }
    // A failure in the future was written by a clock that has been put right since: its wait may last years.
    let Some(failures) = failures.filter(|failures| failures.last_at <= now + CLOCK_CORRECTION) else {
        return Decision::Renew { why };
    };
    if out_of_patience(spec, holding, failures, now) {
        Decision::GiveUp { why: GivenUp::OutOfPatience }
    } else if failures.retry_at > now {
        Decision::Wait { until: failures.retry_at, why }
    } else {
        Decision::Renew { why }
    }
}

/// When a certificate is due for renewal, as [`decide`] sees it at `now`.
#[must_use]
pub fn renews_at(spec: &CertificateSpec, held: &Holding<'_>, now: Timestamp) -> Timestamp {
    let life = Life::new(held.facts, held.issued_at);
    let policy = *spec.renewal_policy();
    let suggested = held.window.filter(|_| policy != RenewalPolicy::Never);
    match suggested.and_then(|window| window.due(held.facts, life)) {
        Some(suggested) => maintenance::welcome(spec.maintenance_windows(), suggested, life, now),
        None if policy == RenewalPolicy::Never => due(life, policy, Spread::NONE),
        None => {
            let due = due(life, policy, Spread::of(spec.id()));
            maintenance::welcome(spec.maintenance_windows(), due, life, now)
        }
    }
}

/// Why a new certificate is wanted, or until when none is.
fn wanted(spec: &CertificateSpec, held: &Holding<'_>, now: Timestamp) -> Result<Reason, Timestamp> {
    match held.material {
        Material::Missing => return Ok(Reason::MissingData),
        Material::Mismatched => return Ok(Reason::InvalidKeyPair),
        Material::Whole => {}
    }
    let issued_for = held.issued_for;
    if issued_for.issuer_name() != spec.issuer_name() {
        Ok(Reason::IncorrectIssuer)
    } else if issued_for.key() != spec.key() {
        Ok(Reason::SecretMismatch)
    } else if !spec.has_names_of(held.facts) || !spec.asks_same_request(issued_for) {
        Ok(Reason::RequestChanged)
    } else if now > held.facts.not_after {
        Ok(Reason::Expired)
    } else {
        let due = renews_at(spec, held, now);
        if now >= due { Ok(Reason::Renewing) } else { Err(due) }
    }
}

/// Patience runs from the first failure, and no sooner than from the end of the certificate that serves: while
/// it does, every attempt is worth making.
fn out_of_patience(
    spec: &CertificateSpec,
    holding: Option<&Holding<'_>>,
    failures: &Failures,
    now: Timestamp,
) -> bool {
    let first = failures.first_at.unwrap_or(failures.last_at);
    let from = holding.map_or(first, |held| first.max(held.facts.not_after));
    spec.patience().is_some_and(|patience| now > from + patience)
}

/// How far clocks of replicas may differ without one taking the other's failures for nonsense.
const CLOCK_CORRECTION: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod laws;

#[cfg(test)]
mod tests;
