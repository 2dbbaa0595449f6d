//! Whether what was delivered is still what is wanted: pure, and decided without a new certificate.

use std::{fmt, time::Duration};

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CertificateSpec, Facts};

/// What was delivered last, for the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)] // Plain data that those who deliver write down.
pub struct Delivered {
    /// Which certificate, by its [fingerprint](Facts::fingerprint).
    pub fingerprint: String,
    /// What was asked for then: outputs, labels, template.
    pub delivered_for: CertificateSpec,
    /// When.
    pub at: Timestamp,
    /// How often in a row it was delivered because somebody else had overwritten it, or it was gone.
    #[serde(default)]
    pub overwritten: u32,
}

/// How the outputs of a certificate were found.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // A question with all its parts.
pub struct Delivery<'a> {
    /// What was delivered last, if anything.
    pub delivered: Option<&'a Delivered>,
    /// What is there now.
    pub found: Found,
}

/// What is there of something that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // There, gone, or not ours any more.
pub enum Found {
    /// What was delivered, as far as anybody has looked.
    AsDelivered,
    /// Something is missing.
    Gone,
    /// Somebody else has written something else.
    Overwritten,
}

/// Why a certificate is delivered once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Redelivery {
    /// What was delivered is gone.
    Gone,
    /// This certificate has not been delivered yet.
    NotYet,
    /// Somebody else has overwritten it.
    Overwritten,
    /// Other outputs, labels or another template are wanted now.
    WishChanged,
}

impl fmt::Display for Redelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "what was delivered is gone",
            Self::NotYet => "it has not been delivered yet",
            Self::Overwritten => "somebody else has overwritten what was delivered",
            Self::WishChanged => "other outputs, labels or another template are wanted",
        })
    }
}

/// What to do about the delivery of a certificate that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Deliver it.
    Deliver(Redelivery),
    /// Nothing.
    Fine,
    /// Deliver it, but not before then.
    Later(Timestamp),
}

/// Compares what was delivered, and what was found of it, with what is wanted.
///
/// Two owners of one place would overwrite each other for ever, as fast as they can. So the first overwriting is
/// answered at once, and each further one in a row after a wait that doubles, from an hour to a day. The same holds
/// for what is gone: another owner may remove it, and a place may not show at once what it holds.
pub(crate) fn judge(
    spec: &CertificateSpec,
    facts: &Facts,
    delivery: Delivery<'_>,
    now: Timestamp,
) -> Verdict {
    let Some(delivered) = delivery.delivered else {
        let nowhere = spec.outputs().is_empty();
        return if nowhere { Verdict::Fine } else { Verdict::Deliver(Redelivery::NotYet) };
    };
    if !spec.asks_same_delivery(&delivered.delivered_for) {
        return Verdict::Deliver(Redelivery::WishChanged);
    }
    if delivered.fingerprint != facts.fingerprint {
        return Verdict::Deliver(Redelivery::NotYet);
    }
    match delivery.found {
        Found::AsDelivered => Verdict::Fine,
        found @ (Found::Gone | Found::Overwritten) => {
            let doublings = delivered.overwritten.saturating_sub(1).min(5);
            let wait = if delivered.overwritten == 0 { 0 } else { (HOUR << doublings).min(24 * HOUR) };
            // One that is dated in the future was written by a clock that was ahead.
            let again = delivered.at.min(now) + Duration::from_secs(wait);
            let why = if found == Found::Gone { Redelivery::Gone } else { Redelivery::Overwritten };
            if again > now { Verdict::Later(again) } else { Verdict::Deliver(why) }
        }
    }
}

const HOUR: u64 = 3_600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OutputFormat;

    fn spec() -> CertificateSpec {
        let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
        spec.output("gateway".parse().unwrap(), OutputFormat::Pem)
    }

    fn facts() -> Facts {
        let (der, _) = crate::facts::tests::certificate(&["a.example"], 0, 1_000_000);
        Facts { fingerprint: "this one".to_owned(), ..Facts::from_der(&der).unwrap() }
    }

    fn delivered(at: i64, overwritten: u32) -> Delivered {
        let (fingerprint, at) = ("this one".to_owned(), Timestamp::from_unix(at));
        Delivered { fingerprint, delivered_for: spec(), at, overwritten }
    }

    fn judged(spec: &CertificateSpec, delivered: Option<&Delivered>, found: Found, now: i64) -> Verdict {
        judge(spec, &facts(), Delivery { delivered, found }, Timestamp::from_unix(now))
    }

    #[test]
    fn each_reason_to_deliver_is_told_apart() {
        let nowhere = CertificateSpec::new("a", ["a.example"]).unwrap();
        assert_eq!(judged(&nowhere, None, Found::Gone, 0), Verdict::Fine);
        assert_eq!(judged(&spec(), None, Found::Gone, 0), Verdict::Deliver(Redelivery::NotYet));
        let earlier = Delivered { fingerprint: "another".to_owned(), ..delivered(0, 0) };
        assert_eq!(
            judged(&spec(), Some(&earlier), Found::AsDelivered, 0),
            Verdict::Deliver(Redelivery::NotYet)
        );
        let labelled = spec().label("team", "shop");
        let now = delivered(0, 0);
        assert_eq!(
            judged(&labelled, Some(&now), Found::AsDelivered, 0),
            Verdict::Deliver(Redelivery::WishChanged)
        );
        assert_eq!(judged(&spec(), Some(&now), Found::Gone, 0), Verdict::Deliver(Redelivery::Gone));
        assert_eq!(judged(&spec(), Some(&now), Found::AsDelivered, 0), Verdict::Fine);
        // Of another renewal policy a delivery knows nothing.
        let moved = spec().renewal(crate::RenewalPolicy::Never);
        assert_eq!(judged(&moved, Some(&now), Found::AsDelivered, 0), Verdict::Fine);
    }

    #[test]
    fn two_owners_of_one_place_do_not_overwrite_each_other_as_fast_as_they_can() {
        // Nor is a place filled without end that goes on saying that there is nothing.
        let gone = |overwritten| judged(&spec(), Some(&delivered(100, overwritten)), Found::Gone, 101);
        assert_eq!(gone(0), Verdict::Deliver(Redelivery::Gone));
        assert_eq!(gone(1), Verdict::Later(Timestamp::from_unix(3_700)));
        let again = Verdict::Deliver(Redelivery::Overwritten);
        let judged =
            |overwritten, now| judged(&spec(), Some(&delivered(100, overwritten)), Found::Overwritten, now);
        assert_eq!(judged(0, 101), again);
        assert_eq!(judged(1, 101), Verdict::Later(Timestamp::from_unix(3_700)));
        assert_eq!(judged(1, 3_700), again);
        assert_eq!(judged(3, 101), Verdict::Later(Timestamp::from_unix(14_500)));
        assert_eq!(judged(u32::MAX, 101), Verdict::Later(Timestamp::from_unix(86_500)));
        // By a clock that was set back since, it is delivered no later than after one wait.
        assert_eq!(judged(1, 50), Verdict::Later(Timestamp::from_unix(3_650)));
    }
}
