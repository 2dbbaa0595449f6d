//! Which of several issuers is asked next: a pure function.

use std::time::Duration;

use perennial_core::Timestamp;

use crate::Failures;

/// One of the issuers that may be asked for a certificate.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // A question with all its parts.
pub struct Candidate<'a> {
    /// Its failures with this certificate, in a row.
    pub failures: Option<&'a Failures>,
    /// Its failures with whatever certificate, in a row, while it rests because of them.
    pub rest: Option<&'a Failures>,
    /// Whether an order for this certificate is open with it.
    pub open: bool,
}

/// Who is asked, and until when that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Who and until when.
pub struct Choice {
    /// The index among the candidates.
    pub which: usize,
    /// When to choose again, if it goes on failing until then.
    pub until: Timestamp,
}

/// Chooses whom to ask for a certificate that ends then: the first that is not given up.
///
/// The first is the one that is wished for, and it is asked for as long as there is time: it is given up for the
/// next after a fifth of the life that was left when it first failed, ten minutes at least and three days at most.
/// So one that serves sixty more days waits three days for its own CA, a six-day one that was due at half of its
/// life waits fourteen hours, and one that is missing or has ended waits ten minutes. The same holds for the next
/// ones. When all are given up, the one that has an order open goes on with it, unless it fails everybody: one that
/// is dropped is paid for again. Else whoever may be asked soonest is.
///
/// Failures count that another issuer would not have: those of the network, of credentials, of a CA's policy and
/// of a wrong certificate. A proof that is not seen, a DNS provider that is down, and what is wrong on this machine,
/// would fail anywhere.
///
/// ```
/// use perennial_core::{Retry, Timestamp};
/// use perennial_lifecycle::{
///     IssueError, IssueErrorClass,
///     failover::{Candidate, choose},
///     ladder::fail,
///     schedule::Spread,
/// };
///
/// let at = |hours: i64| Timestamp::from_unix(1_800_000_000 + hours * 3_600);
/// let down = IssueError::new(IssueErrorClass::Transient, "no connection", Retry::Backoff);
/// let failures = fail(None, &down, at(0), Some(at(72)), Spread::NONE);
/// let candidates = [Candidate { failures: Some(&failures), ..Candidate::default() }, Candidate::default()];
/// assert_eq!(choose(&candidates, Some(at(72)), at(14)).which, 0);
/// assert_eq!(choose(&candidates, Some(at(72)), at(15)).which, 1);
/// ```
#[must_use]
pub fn choose(candidates: &[Candidate<'_>], expires: Option<Timestamp>, now: Timestamp) -> Choice {
    if candidates.len() < 2 {
        return Choice { which: 0, until: Timestamp::MAX };
    }
    for (which, candidate) in candidates.iter().enumerate() {
        match candidate.given_up_at(expires, now) {
            Some(until) if until <= now => {}
            until => return Choice { which, until: until.unwrap_or(Timestamp::MAX) },
        }
    }
    if let Some(which) = candidates.iter().position(|candidate| candidate.open && candidate.rest.is_none()) {
        return Choice { which, until: Timestamp::MAX };
    }
    let soonest = candidates.iter().enumerate().min_by_key(|(_, candidate)| candidate.may_be_asked_at());
    Choice { which: soonest.map_or(0, |(which, _)| which), until: Timestamp::MAX }
}

impl Candidate<'_> {
    /// When it is given up, if it goes on failing.
    fn given_up_at(&self, expires: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let own = self.failures.filter(|failures| is_sane(failures, now));
        let rest = self.rest.filter(|failures| is_sane(failures, now));
        let rest = rest.map(|failures| failures.first_at.unwrap_or(failures.last_at));
        let first = own.and_then(|failures| failures.issuers_since).into_iter().chain(rest).min()?;
        let left = expires.map_or(Duration::ZERO, |expires| expires.since(first));
        Some(first + (left / 5).clamp(SHORTEST, LONGEST))
    }

    fn may_be_asked_at(&self) -> Timestamp {
        let moments = self.failures.into_iter().chain(self.rest).map(|failures| failures.retry_at);
        moments.max().unwrap_or(Timestamp::MIN)
    }
}

/// Whether they were not written by a clock that was ahead.
pub(crate) fn is_sane(failures: &Failures, now: Timestamp) -> bool {
    failures.last_at <= now + CLOCK_CORRECTION
}

/// What one retry of a passing trouble takes.
const SHORTEST: Duration = Duration::from_secs(600);
/// Outages of public CAs last hours; who has no answer in three days had better ask elsewhere.
const LONGEST: Duration = Duration::from_secs(3 * 86_400);
/// As far as clocks of replicas may differ.
const CLOCK_CORRECTION: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IssueError, IssueErrorClass, ladder, schedule::Spread};
    use perennial_core::Retry;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn failed(class: IssueErrorClass, since: i64) -> Failures {
        ladder::fail(None, &IssueError::new(class, "no", Retry::Backoff), at(since), None, Spread::NONE)
    }

    fn given_up_after(class: IssueErrorClass, left: Option<i64>) -> Option<i64> {
        let failures = failed(class, 0);
        let candidates =
            [Candidate { failures: Some(&failures), ..Candidate::default() }, Candidate::default()];
        let until = choose(&candidates, left.map(at), at(0)).until;
        (until != Timestamp::MAX).then_some(until.unix())
    }

    #[test]
    fn the_first_is_waited_for_as_long_as_there_is_time() {
        let transient = IssueErrorClass::Transient;
        assert_eq!(given_up_after(transient, Some(60 * DAY)), Some(3 * DAY));
        assert_eq!(given_up_after(transient, Some(5 * DAY)), Some(DAY));
        assert_eq!(given_up_after(transient, Some(HOUR)), Some(720));
        assert_eq!(given_up_after(transient, Some(-HOUR)), Some(600));
        assert_eq!(given_up_after(transient, None), Some(600));
    }

    #[test]
    fn what_would_fail_anywhere_is_no_reason_to_ask_elsewhere() {
        for (class, counts) in [
            (IssueErrorClass::Auth, true),
            (IssueErrorClass::Contract, true),
            (IssueErrorClass::Local, false),
            (IssueErrorClass::Policy, true),
            (IssueErrorClass::Transient, true),
            (IssueErrorClass::Validation, false),
        ] {
            assert_eq!(given_up_after(class, None).is_some(), counts, "{class}");
        }
    }

    #[test]
    fn a_dns_provider_that_is_down_is_down_for_every_issuer() {
        let down = IssueError::new(IssueErrorClass::Transient, "no", Retry::Backoff).elsewhere();
        let failures = ladder::fail(None, &down, at(0), None, Spread::NONE);
        let candidates =
            [Candidate { failures: Some(&failures), ..Candidate::default() }, Candidate::default()];
        assert_eq!(choose(&candidates, None, at(DAY)).which, 0);
    }

    #[test]
    fn patience_begins_when_it_is_the_issuer_that_fails_and_not_with_what_failed_before() {
        let fail = |before: Option<&Failures>, class, when| {
            let error = IssueError::new(class, "no", Retry::Backoff);
            ladder::fail(before, &error, at(when), None, Spread::NONE)
        };
        let unseen = fail(None, IssueErrorClass::Validation, 0);
        let blip = fail(Some(&unseen), IssueErrorClass::Transient, 4 * DAY);
        let which = |failures: &Failures, now| {
            let first = Candidate { failures: Some(failures), ..Candidate::default() };
            choose(&[first, Candidate::default()], None, at(now)).which
        };
        assert_eq!((which(&blip, 4 * DAY), which(&blip, 4 * DAY + 600)), (0, 1));
        // What is wrong on this machine in between is neither its failure nor its answer.
        let ours = fail(Some(&blip), IssueErrorClass::Local, 4 * DAY + 60);
        assert_eq!((which(&ours, 4 * DAY + 599), which(&ours, 4 * DAY + 600)), (0, 1));
    }

    #[test]
    fn one_that_fails_everybody_is_given_up_without_having_failed_this_one() {
        let rest = failed(IssueErrorClass::Local, 0); // the ladder that rests climb
        let candidates = [Candidate { rest: Some(&rest), ..Candidate::default() }, Candidate::default()];
        assert_eq!(choose(&candidates, None, at(599)).which, 0);
        assert_eq!(choose(&candidates, None, at(600)).which, 1);
    }

    #[test]
    fn when_all_are_given_up_whoever_may_be_asked_soonest_is() {
        let (one, two) = (failed(IssueErrorClass::Policy, 0), failed(IssueErrorClass::Transient, 0));
        let candidate = |failures| Candidate { failures: Some(failures), ..Candidate::default() };
        assert_eq!(choose(&[candidate(&one), candidate(&two)], None, at(DAY)).which, 1);
        assert_eq!(choose(&[candidate(&two), candidate(&one)], None, at(DAY)).which, 0);
        assert_eq!(choose(&[], None, at(DAY)).which, 0);
        // An order that is open is not dropped for another one, unless there is nobody to go on with it.
        let open = Candidate { open: true, ..candidate(&one) };
        assert_eq!(choose(&[open, candidate(&two)], None, at(DAY)).which, 0);
        let alone = Candidate { rest: Some(&one), ..open };
        assert_eq!(choose(&[alone, candidate(&two)], None, at(DAY)).which, 1);
        assert_eq!(choose(&[open, Candidate::default()], None, at(DAY)).which, 1);
    }

    #[test]
    fn failures_of_a_clock_that_was_ahead_say_nothing() {
        let ahead = failed(IssueErrorClass::Transient, 400 * DAY);
        let candidates = [Candidate { failures: Some(&ahead), ..Candidate::default() }, Candidate::default()];
        assert_eq!(choose(&candidates, None, at(0)), Choice { which: 0, until: Timestamp::MAX });
    }

    proptest! {
        #[test]
        fn time_alone_never_leads_back_and_one_that_has_not_failed_is_always_found(
            firsts in proptest::collection::vec(proptest::option::of(-9_000i64..9_000), 1..5),
            expires in proptest::option::of(-9_000i64..900_000), now in 0i64..90_000, later in 0i64..90_000,
        ) {
            let failures: Vec<_> =
                firsts.iter().map(|first| first.map(|at| failed(IssueErrorClass::Transient, at))).collect();
            let candidates: Vec<_> =
                failures.iter().map(|failures| Candidate { failures: failures.as_ref(), ..Candidate::default() }).collect();
            let expires = expires.map(at);
            let (now, then) = (choose(&candidates, expires, at(now)), choose(&candidates, expires, at(now + later)));
            if let Some(untried) = firsts.iter().position(Option::is_none) {
                prop_assert!(now.which <= untried && now.which <= then.which && then.which <= untried);
            }
            prop_assert!(now.which < candidates.len());
        }

        #[test]
        fn no_values_panic(first in any::<i64>(), last in any::<i64>(), expires in any::<i64>(), now in any::<i64>()) {
            let failures = Failures { issuers_since: Some(at(first)), first_at: Some(at(first)), last_at: at(last), ..failed(IssueErrorClass::Auth, 0) };
            let candidates = [Candidate { failures: Some(&failures), rest: Some(&failures), open: true }; 2];
            let _ = choose(&candidates, Some(at(expires)), at(now));
        }
    }
}
