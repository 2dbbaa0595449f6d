//! From when until when a certificate is valid.

use std::time::Duration;

use perennial_core::Timestamp;

/// From when until when: both moments belong to it (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// From when until when a certificate will be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// Whether it ends sooner than was asked for, because whoever signs it does.
    pub(crate) is_cut: bool,
}

impl Validity {
    /// A life of so long that begins a little before now, for clients whose clocks are late, and lies within that
    /// of whoever signs.
    pub(crate) fn new(now: Timestamp, backdate: Duration, lifetime: Duration, within: Option<Span>) -> Self {
        let begin = Timestamp::from_unix(0).max(back(now, backdate));
        let (not_before, wanted) = match within {
            Some(within) => (begin.max(within.not_before), begin + lifetime),
            None => (begin, begin + lifetime),
        };
        let wanted = wanted.min(Timestamp::from_unix(LAST));
        let end = within.map_or(wanted, |within| wanted.min(within.not_after));
        Self { not_before, not_after: end, is_cut: end < wanted }
    }
}

fn back(now: Timestamp, by: Duration) -> Timestamp {
    let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix(now.unix().saturating_sub(seconds))
}

/// The last second of the year 9999: later there is no `GeneralizedTime`.
pub(super) const LAST: i64 = 253_402_300_799;

/// Ninety days, as Let's Encrypt had it: long enough for a fortnight without anybody, short enough to be practised.
pub(crate) const LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// A minute: clocks that are set by a network differ by less.
pub(crate) const BACKDATE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn it_lives_as_long_as_was_asked_for_and_begins_a_minute_ago() {
        let validity = Validity::new(at(1_000_000), BACKDATE, DAY, None);
        assert_eq!((validity.not_before.unix(), validity.not_after.unix()), (999_940, 1_086_340));
        assert!(!validity.is_cut);
    }

    #[test]
    fn it_neither_begins_before_its_issuer_nor_ends_after_it() {
        let within = Span { not_before: at(999_990), not_after: at(1_000_500) };
        let validity = Validity::new(at(1_000_000), BACKDATE, DAY, Some(within));
        assert_eq!((validity.not_before, validity.not_after), (within.not_before, within.not_after));
        assert!(validity.is_cut);
        let wide = Span { not_before: at(0), not_after: at(9_000_000) };
        assert!(!Validity::new(at(1_000_000), BACKDATE, DAY, Some(wide)).is_cut);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_it_lies_within_its_issuer(
            now in any::<i64>(), backdate in any::<u64>(), lifetime in any::<u64>(),
            from in 0i64..2_000_000_000, life in 0i64..2_000_000_000,
        ) {
            let within = Span { not_before: at(from), not_after: at(from + life) };
            let (backdate, lifetime) = (Duration::from_secs(backdate), Duration::from_secs(lifetime));
            let validity = Validity::new(at(now), backdate, lifetime, Some(within));
            prop_assert!(validity.not_before >= within.not_before);
            prop_assert!(validity.not_after <= within.not_after);
            let _ = crate::signing::moment(validity.not_after);
        }
    }
}
