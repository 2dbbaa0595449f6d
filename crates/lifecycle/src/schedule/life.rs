//! When a certificate is due for renewal: a pure function of its dates, the policy and a fixed spread.

use std::time::Duration;

use perennial_core::Timestamp;

use super::{RenewalPolicy, Spread};
use crate::Facts;

/// The life of a certificate: what its dates say, and when we got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // A question with all its parts.
pub struct Life {
    /// The first moment it is valid.
    pub not_before: Timestamp,
    /// The last moment it is valid.
    pub not_after: Timestamp,
    /// When it was stored. CAs backdate, some by more than others.
    pub issued_at: Timestamp,
}

impl Life {
    /// The life of a certificate with these facts.
    #[must_use]
    pub const fn new(facts: &Facts, issued_at: Timestamp) -> Self {
        Self { not_before: facts.not_before, not_after: facts.not_after, issued_at }
    }

    /// Before this a policy makes nothing due: a quarter of what was left when it was issued. An issuer that
    /// shortens or backdates lifetimes must not start a renewal loop.
    #[must_use]
    pub fn earliest(self) -> Timestamp {
        let begins = self.issued_at.max(self.not_before);
        (begins + self.not_after.since(begins) / 4).min(self.not_after)
    }

    /// After this nothing holds a renewal back, neither the CA's wish nor maintenance windows: 19/20 of the
    /// life. Some must be left for retries.
    #[must_use]
    pub fn latest(self) -> Timestamp {
        self.share(19, 20).max(self.earliest()).min(self.not_after)
    }

    fn whole(self) -> Duration {
        self.not_after.since(self.not_before)
    }

    fn share(self, parts: u32, of: u32) -> Timestamp {
        self.not_before + Duration::from_secs(self.whole().as_secs() * u64::from(parts) / u64::from(of))
    }
}

/// When a certificate is due for renewal.
///
/// The policy's moment, moved earlier by up to a tenth of the life (at most nine days) by the spread; not after
/// [`Life::latest`] and, whatever the policy says, not before [`Life::earliest`]. What is never renewed is due
/// when it has ended.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_lifecycle::{RenewalPolicy, schedule::{Life, Spread, due}};
/// use std::time::Duration;
///
/// let issued_at = Timestamp::from_unix(1_800_000_000);
/// let day = Duration::from_secs(86_400);
/// let life = Life { not_before: issued_at, not_after: issued_at + 90 * day, issued_at };
/// assert_eq!(due(life, RenewalPolicy::Automatic, Spread::NONE), issued_at + 60 * day);
/// ```
#[must_use]
pub fn due(life: Life, policy: RenewalPolicy, spread: Spread) -> Timestamp {
    let wanted = match policy {
        RenewalPolicy::Automatic if life.whole() > SHORT_LIVED => life.share(2, 3),
        RenewalPolicy::Automatic => life.share(1, 2),
        RenewalPolicy::Before(duration) => life.not_after - duration,
        RenewalPolicy::Never => return life.not_after + Duration::from_secs(1),
        RenewalPolicy::Percentage(percent) => life.share(u32::from(100 - percent.min(100)), 100),
    };
    let width = (life.whole() / 10).min(WIDEST_SPREAD);
    (wanted - spread.of_width(width)).min(life.latest()).max(life.earliest())
}

/// How long a certificate of such a life serves before it is replaced, on average over the places of a spread;
/// `None` for what is never renewed. What an issuer suggests comes on top of it, and is about the same.
///
/// One over it is how often one certificate is renewed: the sum over a fleet is the fleet's mean, which
/// [`Limit::twice_the_mean`](crate::budget::Limit::twice_the_mean) makes a pace of.
///
/// ```
/// use perennial_lifecycle::{RenewalPolicy, schedule::cycle};
/// use std::time::Duration;
///
/// let day = Duration::from_secs(86_400);
/// // Sixty days, less half of the nine that a fleet is spread over.
/// assert_eq!(cycle(90 * day, RenewalPolicy::Automatic), Some(55 * day + day / 2));
/// assert_eq!(cycle(90 * day, RenewalPolicy::Never), None);
/// ```
#[must_use]
pub fn cycle(life: Duration, policy: RenewalPolicy) -> Option<Duration> {
    let begins = Timestamp::from_unix(0);
    let life = Life { not_before: begins, not_after: begins + life, issued_at: begins };
    (policy != RenewalPolicy::Never).then(|| due(life, policy, Spread::MIDDLE).since(begins))
}

/// Let's Encrypt's line between short-lived and other certificates.
const SHORT_LIVED: Duration = Duration::from_secs(10 * 86_400);
/// A tenth of ninety days; wider would waste life without flattening more.
const WIDEST_SPREAD: Duration = Duration::from_secs(9 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    fn days_until_due(life_days: u64, policy: RenewalPolicy) -> u64 {
        let issued_at = Timestamp::from_unix(0);
        let not_after = issued_at + Duration::from_secs(life_days * DAY);
        let life = Life { not_before: issued_at, not_after, issued_at };
        due(life, policy, Spread::NONE).since(issued_at).as_secs() / DAY
    }

    #[test]
    fn two_thirds_of_a_long_life_and_half_of_a_short_one() {
        assert_eq!(days_until_due(90, RenewalPolicy::Automatic), 60);
        assert_eq!(days_until_due(45, RenewalPolicy::Automatic), 30);
        assert_eq!(days_until_due(6, RenewalPolicy::Automatic), 3);
        assert_eq!(days_until_due(10, RenewalPolicy::Automatic), 5);
        assert_eq!(days_until_due(12, RenewalPolicy::Automatic), 8);
    }

    #[test]
    fn a_percentage_is_of_the_life_that_is_left() {
        assert_eq!(days_until_due(100, RenewalPolicy::Percentage(30)), 70);
        assert_eq!(days_until_due(90, RenewalPolicy::Before(Duration::from_secs(20 * DAY))), 70);
    }

    #[test]
    fn a_renew_before_longer_than_the_life_does_not_loop() {
        let policy = RenewalPolicy::Before(Duration::from_secs(720 * 3600));
        assert_eq!(days_until_due(30, policy), 7); // a quarter of 30 days, not at once
    }

    #[test]
    fn a_policy_that_leaves_no_time_is_moved_to_the_floor() {
        let policy = RenewalPolicy::Before(Duration::from_secs(300));
        assert_eq!(days_until_due(100, policy), 95);
    }

    #[test]
    fn a_cycle_is_the_mean_over_the_places_of_the_spread() {
        let day = Duration::from_secs(DAY);
        for (life, policy) in [
            (Duration::from_secs(160 * 3_600), RenewalPolicy::Automatic),
            (45 * day, RenewalPolicy::Automatic),
            (200 * day, RenewalPolicy::Percentage(33)),
            (365 * day, RenewalPolicy::Before(30 * day)),
            (30 * day, RenewalPolicy::Before(30 * day)), // no spread below the floor
        ] {
            let begins = Timestamp::from_unix(0);
            let of = Life { not_before: begins, not_after: begins + life, issued_at: begins };
            let served = |place| due(of, policy, Spread::at(place)).since(begins).as_secs();
            let mean = (0..=u16::MAX).map(served).sum::<u64>() / 65_536;
            assert!(
                cycle(life, policy).unwrap().as_secs().abs_diff(mean) <= 60,
                "{life:?} {policy:?}: {mean}"
            );
        }
        assert_eq!(cycle(90 * day, RenewalPolicy::Never), None);
    }

    #[test]
    fn a_certificate_that_is_dated_back_is_not_due_at_once() {
        let (der, _) = crate::facts::tests::certificate(&["a.example"], 0, 4_800);
        let facts = Facts::from_der(&der).unwrap();
        let due_when = |issued_at| {
            let life = Life::new(&facts, Timestamp::from_unix(issued_at));
            due(life, RenewalPolicy::Automatic, Spread::NONE).unix()
        };
        assert_eq!(due_when(0), 2_400);
        assert_eq!(due_when(3_600), 3_900); // a quarter of the 1200 s that were left
        assert_eq!(due_when(9_999), 4_800);
    }

    #[test]
    fn the_spread_of_a_long_life_is_nine_days_and_of_a_short_one_a_tenth() {
        let issued_at = Timestamp::from_unix(0);
        let earliest = |life_days| {
            let not_after = issued_at + Duration::from_secs(life_days * DAY);
            let life = Life { not_before: issued_at, not_after, issued_at };
            due(life, RenewalPolicy::Automatic, Spread(u16::MAX)).since(issued_at).as_secs() / DAY
        };
        assert_eq!((earliest(90), earliest(390), earliest(10)), (51, 251, 4));
    }

    #[test]
    fn a_fleet_imported_in_one_minute_is_spread_over_days() {
        let mut per_hour = std::collections::BTreeMap::new();
        let issued_at = Timestamp::from_unix(0);
        let life =
            Life { not_before: issued_at, not_after: issued_at + Duration::from_secs(90 * DAY), issued_at };
        for i in 0..10_000 {
            let id = format!("host-{i}").parse().unwrap();
            let due = due(life, RenewalPolicy::Automatic, Spread::of(&id));
            *per_hour.entry(due.unix() / 3600).or_insert(0u32) += 1;
        }
        let busiest = per_hour.values().max().copied().unwrap();
        // 10 000 over nine days are 46 an hour; twice that would be a clump.
        assert!(busiest < 92, "{busiest} in one hour");
    }

    proptest! {
        #[test]
        fn due_lies_between_a_quarter_and_19_twentieths_of_life(
            life in 0u64..400 * DAY,
            before in 0u64..800 * DAY,
            place in any::<u16>(),
        ) {
            let from = Timestamp::from_unix(1_800_000_000);
            let life_span = Life { not_before: from, not_after: from + Duration::from_secs(life), issued_at: from };
            for policy in [RenewalPolicy::Automatic, RenewalPolicy::Before(Duration::from_secs(before)), RenewalPolicy::Percentage(1)] {
                let due = due(life_span, policy, Spread(place)).since(from).as_secs();
                prop_assert!(due >= life / 4 && due <= life * 19 / 20, "{due} of {life}");
            }
        }
    }
}
