//! When to try again after a failure: a pure function.

use std::time::Duration;

use perennial_core::{Retry, Timestamp};

use crate::{CertificateSpec, Failures, IssueError, IssueErrorClass, schedule::Spread};

/// What to remember of a failed attempt, after those that failed before it: a pure function, and the persisted
/// shape of the ladder.
///
/// `expires` is the end of the certificate that serves, if there is one. A change of the spec forgets all
/// failures ([`still_count`]).
#[must_use]
pub fn fail(
    previous: Option<&Failures>,
    error: &IssueError,
    now: Timestamp,
    expires: Option<Timestamp>,
    spread: Spread,
) -> Failures {
    let before = previous.map_or(0, |failures| failures.count);
    let streak = previous.filter(|failures| failures.class == error.class).map_or(0, Failures::streak);
    let (count, streak) = (before.saturating_add(1), streak.saturating_add(1));
    // Another trouble begins a new row, for its remedy is another; but two that take turns must not go on for
    // ever at the first rung.
    let rung = streak.saturating_add((count - streak) / 4);
    Failures {
        count,
        streak,
        first_at: previous.map_or(Some(now), |failures| failures.first_at.or(Some(failures.last_at))),
        issuers_since: issuers_since(previous, error, now),
        last_at: now,
        retry_at: next_attempt(rung, error.class, error.retry(), now, expires, spread),
        class: error.class,
        message: error.message.clone(),
        retry: error.retry(),
    }
}

/// Since when it is the issuer that fails: in whom nobody else would. What is wrong on this machine says nothing of
/// it, and a proof that it has looked for, or a DNS provider that is down, that it is well.
fn issuers_since(previous: Option<&Failures>, error: &IssueError, now: Timestamp) -> Option<Timestamp> {
    let since = previous.and_then(|failures| failures.issuers_since);
    match error.class {
        _ if !error.is_the_issuers() => None,
        IssueErrorClass::Auth
        | IssueErrorClass::Contract
        | IssueErrorClass::Policy
        | IssueErrorClass::Transient => since.or(Some(now)),
        IssueErrorClass::Local => since,
        IssueErrorClass::Validation => None,
    }
}

/// Whether failures with one spec say anything about another: not when names, key, profile or the issuer
/// changed. Who mends a spec is not made to wait.
#[must_use]
pub fn still_count(tried: &CertificateSpec, wanted: &CertificateSpec) -> bool {
    tried.asks_same_certificate(wanted)
}

/// When to try again after the `rung`-th failure in a row.
///
/// The wait doubles from a base up to a cap, by whose fault it was:
///
/// | class | base | cap | because |
/// |---|---|---|---|
/// | transient | 1 min | 6 h | it passes by itself |
/// | validation | 5 min | 12 h | Let's Encrypt allows five failures an hour for a name |
/// | local | 1 min | 1 h | asking ourselves costs nobody anything |
/// | auth | 1 min, then 1 h | 24 h | a login may have run out: once more, at once; then somebody must mend it |
/// | contract, policy | 1 h | 24 h | somebody must mend it |
///
/// While a certificate is still valid the wait is at most an eighth of the life that is left, so that attempts
/// grow denser as the end comes near. The spread lengthens each wait by up to a quarter, so that a fleet that
/// failed together does not return together.
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
    rung: u32,
    class: IssueErrorClass,
    retry: Retry,
    now: Timestamp,
    expires: Option<Timestamp>,
    spread: Spread,
) -> Timestamp {
    if let Retry::At(moment) = retry {
        return moment.max(now + Duration::from_secs(doubled(MINUTE, rung).min(10 * MINUTE)));
    }
    let mut wait = match (retry, class) {
        (Retry::Never, _) | (_, IssueErrorClass::Contract | IssueErrorClass::Policy) => {
            doubled(HOUR, rung).min(DAY)
        }
        (_, IssueErrorClass::Auth) if rung <= 1 => MINUTE,
        (_, IssueErrorClass::Auth) => doubled(HOUR, rung - 1).min(DAY),
        (_, IssueErrorClass::Local) => doubled(MINUTE, rung).min(HOUR),
        (_, IssueErrorClass::Transient) => doubled(MINUTE, rung).min(6 * HOUR),
        (_, IssueErrorClass::Validation) => doubled(5 * MINUTE, rung).min(12 * HOUR),
    };
    if let Some(left) = expires.map(|expires| now.until(expires).as_secs()).filter(|left| *left > 0) {
        wait = wait.min((left / 8).max(SHORTEST));
    }
    let stretched = Duration::from_secs(wait) + spread.of_width(Duration::from_secs(wait / 4));
    now + stretched
}

const fn doubled(base: u64, rung: u32) -> u64 {
    let doublings = rung.saturating_sub(1);
    // Every cap is reached before this many.
    base << if doublings < 16 { doublings } else { 16 }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Even a certificate that ends within minutes is not worth more than one attempt every half minute.
const SHORTEST: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wait(count: u32, class: IssueErrorClass, retry: Retry, left: Option<u64>) -> i64 {
        let expires = left.map(|left| Timestamp::from_unix(0) + Duration::from_secs(left));
        next_attempt(count, class, retry, Timestamp::from_unix(0), expires, Spread::NONE).unix()
    }

    #[test]
    fn what_somebody_must_mend_waits_longer() {
        assert_eq!(wait(1, IssueErrorClass::Policy, Retry::Never, None), 3600);
        assert_eq!(wait(9, IssueErrorClass::Policy, Retry::Never, None), 86_400);
        assert_eq!(wait(40, IssueErrorClass::Transient, Retry::Backoff, None), 6 * 3600);
        for (class, first) in [
            (IssueErrorClass::Auth, 60),
            (IssueErrorClass::Contract, 3600),
            (IssueErrorClass::Local, 60),
            (IssueErrorClass::Policy, 3600),
            (IssueErrorClass::Transient, 60),
            (IssueErrorClass::Validation, 300),
        ] {
            assert_eq!(wait(1, class, Retry::Backoff, None), first, "{class}");
            assert_eq!(wait(1, class, Retry::Never, None), 3600, "{class}");
        }
    }

    #[test]
    fn each_class_has_its_own_ladder() {
        let waits = |class| [1, 2, 3, 40].map(|rung| wait(rung, class, Retry::Backoff, None));
        assert_eq!(waits(IssueErrorClass::Auth), [60, 3_600, 7_200, 86_400]);
        assert_eq!(waits(IssueErrorClass::Contract), [3_600, 7_200, 14_400, 86_400]);
        assert_eq!(waits(IssueErrorClass::Local), [60, 120, 240, 3_600]);
        assert_eq!(waits(IssueErrorClass::Transient), [60, 120, 240, 21_600]);
        assert_eq!(waits(IssueErrorClass::Validation), [300, 600, 1_200, 43_200]);
    }

    #[test]
    fn proofs_that_fail_stay_within_the_five_an_hour_that_a_public_ca_allows() {
        let mut failures: Option<Failures> = None;
        let (mut now, mut within_an_hour) = (Timestamp::from_unix(0), 0);
        while now.unix() < 3_600 {
            within_an_hour += 1;
            failures = Some(failed(failures.as_ref(), IssueErrorClass::Validation, now.unix()));
            now = failures.as_ref().unwrap().retry_at;
        }
        assert!(within_an_hour <= 5, "{within_an_hour}");
    }

    fn failed(previous: Option<&Failures>, class: IssueErrorClass, now: i64) -> Failures {
        let error = IssueError::new(class, "no", Retry::Backoff);
        fail(previous, &error, Timestamp::from_unix(now), None, Spread::NONE)
    }

    #[test]
    fn another_trouble_begins_a_new_row_but_two_in_turn_climb_all_the_same() {
        let first = (0..8).fold(None, |before: Option<Failures>, at| {
            Some(failed(before.as_ref(), IssueErrorClass::Transient, at))
        });
        let first = first.unwrap();
        assert_eq!((first.count, first.streak, first.first_at), (8, 8, Some(Timestamp::from_unix(0))));
        let other = failed(Some(&first), IssueErrorClass::Local, 100);
        assert_eq!((other.count, other.streak), (9, 1));
        assert_eq!(other.retry_at.unix(), 100 + 60 * 4);
        let mut last = other;
        for (at, class) in
            (200..260).zip([IssueErrorClass::Transient, IssueErrorClass::Validation].into_iter().cycle())
        {
            last = failed(Some(&last), class, at);
        }
        assert!(last.retry_at.unix() > 6 * 3_600, "{last:?}");
    }

    #[test]
    fn an_old_record_knows_neither_its_row_nor_its_beginning() {
        let old = Failures { streak: 0, first_at: None, ..failed(None, IssueErrorClass::Transient, 50) };
        let next = failed(Some(&Failures { count: 5, ..old }), IssueErrorClass::Transient, 90);
        assert_eq!((next.count, next.streak, next.first_at), (6, 6, Some(Timestamp::from_unix(50))));
    }

    #[test]
    fn a_change_of_what_is_asked_for_forgets_and_a_change_of_dates_does_not() {
        let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
        assert!(still_count(&spec, &spec.clone().renewal(crate::RenewalPolicy::Never)));
        assert!(!still_count(&spec, &spec.clone().issuer("other").unwrap()));
        assert!(!still_count(&spec, &spec.clone().profile("shortlived")));
    }

    proptest! {
        #[test]
        fn no_values_panic_and_an_attempt_is_never_put_off_past_the_end_but_by_the_issuer(
            rung in any::<u32>(),
            class in proptest::sample::select(&[
                IssueErrorClass::Auth, IssueErrorClass::Contract, IssueErrorClass::Local,
                IssueErrorClass::Policy, IssueErrorClass::Transient, IssueErrorClass::Validation,
            ]),
            retry in prop_oneof![
                Just(Retry::Never), Just(Retry::Backoff), any::<i64>().prop_map(|at| Retry::At(Timestamp::from_unix(at))),
            ],
            now in any::<i64>(), left in 0u64..800 * 86_400, place in any::<u16>(), count in any::<u32>(),
        ) {
            let now = Timestamp::from_unix(now);
            let expires = now + Duration::from_secs(left);
            let next = next_attempt(rung, class, retry, now, Some(expires), Spread::at(place));
            prop_assert!(next >= now);
            match retry {
                Retry::At(moment) => prop_assert!(next >= moment),
                // Five attempts at least, while the end is more than minutes away.
                _ if left > 600 => prop_assert!(next <= now + Duration::from_secs(left / 6)),
                _ => {}
            }
            let before = Failures { count, ..failed(None, class, 0) };
            let _ = fail(Some(&before), &IssueError::new(class, "", retry), now, Some(expires), Spread::at(place));
        }
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
