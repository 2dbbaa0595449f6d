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
/// not return together. A moment that the issuer named ([`Retry::At`]) always wins.
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
        // A moment in the past would be a hot loop; a second is the least the clock can tell.
        return moment.max(now + Duration::from_secs(1));
    }
    let (base, cap) = match (retry, class) {
        (Retry::Never, _)
        | (_, IssueErrorClass::Policy | IssueErrorClass::Auth | IssueErrorClass::Contract) => {
            (HOUR, 24 * HOUR)
        }
        _ => (60, 6 * HOUR),
    };
    let doubled = base << count.saturating_sub(1).min(16);
    let mut wait = doubled.min(cap);
    if let Some(left) = expires.map(|expires| now.until(expires).as_secs()).filter(|left| *left > 0) {
        wait = wait.min((left / 8).max(SHORTEST));
    }
    let stretched = Duration::from_secs(wait) + spread.of_width(Duration::from_secs(wait / 4));
    now + stretched
}

const HOUR: u64 = 3600;
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
    fn the_moment_that_the_issuer_named_wins_and_never_lies_in_the_past() {
        let named = Retry::At(Timestamp::from_unix(7));
        assert_eq!(wait(9, IssueErrorClass::Transient, named, Some(8)), 7);
        assert_eq!(wait(9, IssueErrorClass::Transient, Retry::At(Timestamp::from_unix(-5)), None), 1);
    }
}
