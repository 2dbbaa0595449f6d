//! When to try again after a failure: a pure function.

use std::time::Duration;

use perennial_core::{Retry, Timestamp};

use crate::{IssueErrorClass, schedule::Spread};

/// When to try again after the `count`-th failure in a row.
///
/// The wait doubles from a base up to a cap: one minute up to six hours for what passes by itself, one hour
/// up to a day for what somebody must mend (a forbidden name, a wrong secret). While a certificate is still
/// valid the wait is at most an eighth of the life that is left, so that attempts grow denser as the end
/// comes near. The spread lengthens each wait by up to a quarter, so that a fleet that failed together does
/// not return together.
///
/// A moment that the issuer named ([`Retry::At`]) is waited for however late it is. It does not hurry us: a
/// server that says "one second" to everything is asked at most once a minute, and less often the longer it
/// goes on, down to once in ten minutes.
///
/// ```
/// use perennial_core::{Retry, Timestamp};
/// use perennial_lifecycle::{IssueErrorClass, ladder::next_attempt, schedule::Spread};
///
/// let now = Timestamp::from_unix(0);
/// let waits: Vec<i64> = (1..=4)
///     .map(|n| next_attempt(n, IssueErrorClass::Transient, Retry::Backoff, now, None, Spread::NONE).unix())
///     .collect();
/// assert_eq!(waits, [60, 120, 240, 480]);
/// ```
#[must_use]
pub fn next_attempt(
    count: u32,
    class: IssueErrorClass,
    retry: Retry,
    now: Timestamp,
    expires: Option<Timestamp>,
    spread: Spread,
) -> Timestamp {
    if let Retry::At(moment) = retry {
        return moment.max(now + Duration::from_secs(doubled(MINUTE, count).min(10 * MINUTE)));
    }
    let (base, cap) = match (retry, class) {
        (Retry::Never, _)
        | (_, IssueErrorClass::Policy | IssueErrorClass::Auth | IssueErrorClass::Contract) => {
            (HOUR, 24 * HOUR)
        }
        _ => (MINUTE, 6 * HOUR),
    };
    let mut wait = doubled(base, count).min(cap);
    if let Some(left) = expires.map(|expires| now.until(expires).as_secs()).filter(|left| *left > 0) {
        wait = wait.min((left / 8).max(SHORTEST));
    }
    let stretched = Duration::from_secs(wait) + spread.of_width(Duration::from_secs(wait / 4));
    now + stretched
}

const fn doubled(base: u64, count: u32) -> u64 {
    let doublings = count.saturating_sub(1);
    // Every cap is reached before this many.
    base << if doublings < 16 { doublings } else { 16 }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Even a certificate that ends within minutes is not worth more than one attempt every half minute.
const SHORTEST: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(count: u32, class: IssueErrorClass, retry: Retry, left: Option<u64>) -> i64 {
        let expires = left.map(|left| Timestamp::from_unix(0) + Duration::from_secs(left));
        next_attempt(count, class, retry, Timestamp::from_unix(0), expires, Spread::NONE).unix()
    }

    #[test]
    fn what_somebody_must_mend_waits_longer() {
        assert_eq!(wait(1, IssueErrorClass::Policy, Retry::Never, None), 3600);
        assert_eq!(wait(9, IssueErrorClass::Policy, Retry::Never, None), 86_400);
        assert_eq!(wait(40, IssueErrorClass::Transient, Retry::Backoff, None), 6 * 3600);
    }

    #[test]
    fn attempts_grow_denser_as_the_end_comes_near() {
        assert_eq!(wait(20, IssueErrorClass::Transient, Retry::Backoff, Some(8000)), 1000);
        assert_eq!(wait(20, IssueErrorClass::Transient, Retry::Backoff, Some(10)), 30);
        // Once it has expired there is nothing left to divide.
        assert_eq!(wait(1, IssueErrorClass::Transient, Retry::Backoff, Some(0)), 60);
    }

    #[test]
    fn the_moment_that_the_issuer_named_is_waited_for_but_does_not_hurry_us() {
        let wait_for = |count, moment| {
            wait(count, IssueErrorClass::Transient, Retry::At(Timestamp::from_unix(moment)), Some(8))
        };
        assert_eq!(wait_for(1, 86_400), 86_400);
        assert_eq!(wait_for(1, -5), 60);
        assert_eq!(wait_for(2, 1), 120);
        assert_eq!(wait_for(u32::MAX, 1), 600);
    }

    #[test]
    fn a_fleet_that_failed_together_does_not_return_together() {
        let now = Timestamp::from_unix(0);
        let mut waits = std::collections::BTreeSet::new();
        for i in 0..100 {
            let spread = Spread::of(&format!("host-{i}").parse().unwrap());
            let next = next_attempt(7, IssueErrorClass::Transient, Retry::Backoff, now, None, spread).unix();
            assert!((3_840..=4_800).contains(&next), "{next}");
            waits.insert(next);
        }
        assert!(waits.len() > 80, "{} different moments", waits.len());
    }
}
