//! Keep, wait or renew: the one sentence that must never be wrong.

use std::{fmt, time::Duration};

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    CertificateSpec, Facts, Failures,
    schedule::{Life, Spread, due},
};

/// What to do next about one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Nothing; look again then.
    Keep {
        /// When it becomes due.
        until: Timestamp,
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
    /// The record names one, but its key or chain is gone.
    MissingData,
    /// It is due.
    Renewing,
    /// Other names or another profile are wanted now.
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
            Self::MissingData => "its key or chain is gone from the store",
            Self::Renewing => "it is due for renewal",
            Self::RequestChanged => "other names or another profile are wanted",
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
}

/// How the key and chain of a certificate were found in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // There, gone, or wrong.
pub enum Material {
    /// Key and chain are there and belong together.
    Whole,
    /// One of them is gone.
    Missing,
    /// They do not belong together.
    Mismatched,
}

/// Decides what to do next: pure and total.
///
/// `holding` is what there is, `failures` the attempts that failed since the last success or change of the
/// spec. Reasons are looked for in an order that puts what breaks service first.
#[must_use]
pub fn decide(
    spec: &CertificateSpec,
    holding: Option<Holding<'_>>,
    failures: Option<&Failures>,
    now: Timestamp,
) -> Decision {
    let due_at = holding.map(|held| {
        due(Life::new(held.facts, held.issued_at), *spec.renewal_policy(), Spread::of(spec.id()))
    });
    let why = match (holding, due_at) {
        (Some(held), Some(due_at)) => match reason(spec, held, due_at, now) {
            Some(why) => why,
            None => return Decision::Keep { until: due_at },
        },
        _ => Reason::DoesNotExist,
    };
    // A failure in the future was written by a clock that has been put right since: its wait may last years.
    let counts = |failures: &&Failures| failures.retry_at > now && failures.last_at <= now + CLOCK_CORRECTION;
    match failures.filter(counts) {
        Some(failures) => Decision::Wait { until: failures.retry_at, why },
        None => Decision::Renew { why },
    }
}

/// How far clocks of replicas may differ without one taking the other's failures for nonsense.
const CLOCK_CORRECTION: Duration = Duration::from_secs(3600);

fn reason(spec: &CertificateSpec, held: Holding<'_>, due_at: Timestamp, now: Timestamp) -> Option<Reason> {
    match held.material {
        Material::Missing => return Some(Reason::MissingData),
        Material::Mismatched => return Some(Reason::InvalidKeyPair),
        Material::Whole => {}
    }
    let issued_for = held.issued_for;
    if now > held.facts.not_after {
        Some(Reason::Expired)
    } else if issued_for.issuer_name() != spec.issuer_name() {
        Some(Reason::IncorrectIssuer)
    } else if held.facts.names != spec.name_set() || issued_for.profile_name() != spec.profile_name() {
        Some(Reason::RequestChanged)
    } else if issued_for.key() != spec.key() {
        Some(Reason::SecretMismatch)
    } else if now >= due_at {
        Some(Reason::Renewing)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IssueErrorClass, KeyAlgorithm};
    use perennial_core::Retry;

    const DAY: i64 = 86_400;

    fn spec() -> CertificateSpec {
        CertificateSpec::new("a", ["a.example", "*.a.example"]).unwrap()
    }

    fn facts() -> Facts {
        let (der, _) = crate::facts::tests::certificate(&["a.example", "*.a.example"], 0, 90 * DAY);
        Facts::from_der(&der).unwrap()
    }

    fn decided(
        spec: &CertificateSpec,
        material: Material,
        failures: Option<&Failures>,
        now: i64,
    ) -> Decision {
        let (facts, issued_for) = (facts(), self::spec());
        let issued_at = Timestamp::from_unix(0);
        let held = Holding { facts: &facts, issued_for: &issued_for, issued_at, material };
        decide(spec, Some(held), failures, Timestamp::from_unix(now))
    }

    fn renew(why: Reason) -> Decision {
        Decision::Renew { why }
    }

    #[test]
    fn every_reason_is_found_and_breaking_ones_first() {
        let spec = spec();
        let other_names = CertificateSpec::new("a", ["a.example"]).unwrap();
        let other_issuer = spec.clone().issuer("other").unwrap();
        let other_key = spec.clone().key_algorithm(KeyAlgorithm::Ed25519);
        let other_profile = spec.clone().profile("shortlived");
        for (wanted, material, now, why) in [
            (&spec, Material::Missing, 100 * DAY, Reason::MissingData),
            (&spec, Material::Mismatched, 100 * DAY, Reason::InvalidKeyPair),
            (&other_issuer, Material::Whole, 91 * DAY, Reason::Expired),
            (&other_issuer, Material::Whole, DAY, Reason::IncorrectIssuer),
            (&other_names, Material::Whole, DAY, Reason::RequestChanged),
            (&other_profile, Material::Whole, DAY, Reason::RequestChanged),
            (&other_key, Material::Whole, DAY, Reason::SecretMismatch),
            (&spec, Material::Whole, 61 * DAY, Reason::Renewing),
        ] {
            assert_eq!(decided(wanted, material, None, now), renew(why), "{why:?}");
        }
        assert_eq!(decide(&spec, None, None, Timestamp::from_unix(0)), renew(Reason::DoesNotExist));
    }

    #[test]
    fn the_names_in_the_certificate_count_and_not_those_that_were_asked_for() {
        let (der, _) = crate::facts::tests::certificate(&["a.example"], 0, 90 * DAY);
        let (facts, spec) = (Facts::from_der(&der).unwrap(), spec());
        let issued_at = facts.not_before;
        let held = Holding { facts: &facts, issued_for: &spec, issued_at, material: Material::Whole };
        let decision = decide(&spec, Some(held), None, Timestamp::from_unix(DAY));
        assert_eq!(decision, renew(Reason::RequestChanged));
    }

    #[test]
    fn a_good_certificate_is_kept_until_it_is_due_and_not_a_second_longer() {
        let Decision::Keep { until } = decided(&spec(), Material::Whole, None, DAY) else {
            panic!("not kept");
        };
        assert!((51 * DAY..=60 * DAY).contains(&until.unix()), "{until}");
        assert_eq!(decided(&spec(), Material::Whole, None, until.unix() - 1), Decision::Keep { until });
        assert_eq!(decided(&spec(), Material::Whole, None, until.unix()), renew(Reason::Renewing));
    }

    fn failed(at: i64) -> Failures {
        Failures {
            count: 1,
            last_at: Timestamp::from_unix(at),
            retry_at: Timestamp::from_unix(at + 60),
            class: IssueErrorClass::Transient,
            message: "the CA was busy".into(),
            retry: Retry::Backoff,
        }
    }

    #[test]
    fn a_failure_that_a_wrong_clock_dated_in_the_future_holds_nothing_back() {
        let future = failed(5_000 * DAY);
        assert_eq!(decided(&spec(), Material::Whole, Some(&future), 61 * DAY), renew(Reason::Renewing));
        let skewed = failed(61 * DAY + 30);
        let waits = Decision::Wait { until: skewed.retry_at, why: Reason::Renewing };
        assert_eq!(decided(&spec(), Material::Whole, Some(&skewed), 61 * DAY), waits);
    }

    #[test]
    fn a_failure_holds_the_next_attempt_back_and_nothing_else() {
        let failures = failed(61 * DAY);
        let waits = Decision::Wait { until: failures.retry_at, why: Reason::Renewing };
        assert_eq!(decided(&spec(), Material::Whole, Some(&failures), 61 * DAY + 59), waits);
        assert_eq!(
            decided(&spec(), Material::Whole, Some(&failures), 61 * DAY + 60),
            renew(Reason::Renewing)
        );
        assert!(matches!(decided(&spec(), Material::Whole, Some(&failures), DAY), Decision::Keep { .. }));
    }
}
