//! How long a token is good, and when to see to it: pure.

use std::time::Duration;

use perennial_core::Timestamp;

/// What is known of a token's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// When it was given or renewed.
    since: Timestamp,
    /// For how long from then on; `None`: without end.
    length: Option<Duration>,
    renewable: bool,
    /// After a renewal that failed: not again before.
    not_before: Timestamp,
}

/// What to do about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To get another one.
    Login,
    /// It is good.
    None,
    /// It is good, and can be good for longer.
    Renewal,
}

impl Lease {
    pub(super) fn new(now: Timestamp, seconds: u64, renewable: bool) -> Self {
        let length = (seconds > 0).then(|| Duration::from_secs(seconds).min(LONGEST));
        Self { since: now, length, renewable, not_before: now }
    }

    /// After a renewal. Near a token's last moment each one gives less: then it is left to end, or there would be no
    /// end of renewals.
    pub(super) fn renewed(&self, now: Timestamp, seconds: u64, renewable: bool) -> Self {
        let next = Self::new(now, seconds, renewable);
        let shrinks = match (self.length, next.length) {
            (Some(before), Some(after)) => after < before / 2,
            _ => false,
        };
        Self { renewable: renewable && !shrinks, ..next }
    }

    /// After a renewal that failed.
    pub(super) fn not_renewed(&self, now: Timestamp) -> Self {
        Self { not_before: now + PAUSE, ..self.clone() }
    }

    pub(super) fn need(&self, now: Timestamp) -> Need {
        let Some(length) = self.length else { return Need::None };
        // A clock that was set back: what was counted from it is worth nothing.
        if now < self.since {
            return Need::Login;
        }
        let age = now.since(self.since);
        if age >= length - length / 10 {
            Need::Login
        } else if self.renewable && age >= length * 2 / 3 && now >= self.not_before {
            Need::Renewal
        } else {
            Need::None
        }
    }
}

/// Vault's own default limit is 32 days; no moment overflows with this one.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long to leave a Vault alone that has not renewed a token which is good still.
const PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn at(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_renewed_after_two_thirds_and_replaced_before_its_last_tenth() {
        let needs = |lease: &Lease, moments: &[(u64, Need)]| {
            for (seconds, need) in moments {
                assert_eq!(lease.need(at(*seconds)), *need, "after {seconds} s");
            }
        };
        let renewable = Lease::new(START, 900, true);
        needs(&renewable, &[(0, Need::None), (599, Need::None), (600, Need::Renewal), (809, Need::Renewal)]);
        needs(&renewable, &[(810, Need::Login), (5_000, Need::Login)]);
        needs(&Lease::new(START, 900, false), &[(600, Need::None), (809, Need::None), (810, Need::Login)]);
        needs(&Lease::new(START, 0, true), &[(0, Need::None), (1_000_000_000, Need::None)]);
        assert_eq!(renewable.need(START - Duration::from_secs(1)), Need::Login);
    }

    #[test]
    fn a_renewal_that_failed_is_not_repeated_at_once() {
        let lease = Lease::new(START, 900, true).not_renewed(at(600));
        assert_eq!(
            [at(629), at(630), at(810)].map(|now| lease.need(now)),
            [Need::None, Need::Renewal, Need::Login]
        );
    }

    #[test]
    fn a_token_whose_renewals_shrink_is_left_to_end() {
        let lease = Lease::new(START, 900, true);
        assert_eq!(lease.renewed(at(600), 900, true).need(at(1_200)), Need::Renewal);
        let last = lease.renewed(at(600), 300, true);
        assert_eq!([at(800), at(870)].map(|now| last.need(now)), [Need::None, Need::Login]);
    }

    proptest! {
        #[test]
        fn no_lease_panics_and_every_end_is_seen_before_it_comes(seconds in any::<u64>(), later in 0u64..1 << 40) {
            let lease = Lease::new(START, seconds, later % 2 == 0);
            let need = lease.need(at(later));
            prop_assert!(seconds == 0 || later < seconds || need == Need::Login || seconds > LONGEST.as_secs());
            let _ = lease.renewed(at(later), seconds / 3, true).not_renewed(at(later)).need(START);
        }
    }
}
