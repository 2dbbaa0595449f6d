//! Which issuers are left alone for a while because they fail everybody: pure, and remembered by one process.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use perennial_core::Timestamp;

use crate::{
    Failures, IssueError, IssueErrorClass, IssuerName, Status, failover::is_sane, ladder, schedule::Spread,
};

/// Which issuers fail everybody.
///
/// A CA that is down would be asked by each of a million certificates, and each would climb its own ladder. After
/// three failures in a row, of whichever certificates, it rests: nobody asks until the ladder of what costs little
/// to ask says so, in an hour at the latest. Then those who want something ask, and the first answer ends it.
///
/// ```
/// use perennial_core::{Retry, Timestamp};
/// use perennial_lifecycle::{IssueError, IssueErrorClass, IssuerName, rest::{Rests, holds_back}};
///
/// let (issuer, now) = (IssuerName::default(), Timestamp::from_unix(1_800_000_000));
/// let down = IssueError::new(IssueErrorClass::Transient, "no connection", Retry::Backoff);
/// let mut rests = Rests::default();
/// (0..3).for_each(|_| rests.failed(&issuer, &down, now));
/// assert!(rests.of(&issuer, now).and_then(|rest| holds_back(rest, None, now)).is_some());
/// rests.answered(&issuer);
/// assert!(rests.of(&issuer, now).is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rests {
    failures: BTreeMap<IssuerName, Failures>,
    /// Those that do not say when they would like certificates to be renewed.
    silent: BTreeMap<IssuerName, Failures>,
    /// Those that were heard of, and whether they took our credentials the last time.
    known: BTreeMap<IssuerName, bool>,
    /// Those that have said last that they cannot sign.
    unready: BTreeSet<IssuerName>,
}

impl Rests {
    /// An issuer has failed somebody. What is not its own fault says nothing, and whoever refuses is there.
    pub fn failed(&mut self, issuer: &IssuerName, error: &IssueError, now: Timestamp) {
        match verdict(error) {
            Verdict::Answer => {
                self.answered(issuer);
                self.known.insert(issuer.clone(), error.class != IssueErrorClass::Auth);
            }
            Verdict::Failure => climb(&mut self.failures, issuer, error, now),
            Verdict::Nothing => {}
        }
    }

    /// An issuer has answered.
    pub fn answered(&mut self, issuer: &IssuerName) {
        self.failures.remove(issuer);
        self.unready.remove(issuer);
        self.known.insert(issuer.clone(), true);
    }

    /// What an issuer said when it was asked whether it could sign: that it cannot is a failure, that it can proves
    /// nothing yet.
    pub fn looked(&mut self, issuer: &IssuerName, error: Option<&IssueError>, now: Timestamp) {
        match error {
            Some(error) => {
                self.failed(issuer, error, now);
                self.unready.insert(issuer.clone());
            }
            None => drop(self.unready.remove(issuer)),
        }
    }

    /// Its failures, while it rests.
    #[must_use]
    pub fn of(&self, issuer: &IssuerName, now: Timestamp) -> Option<&Failures> {
        resting(&self.failures, issuer, now)
    }

    /// Whether it answers and takes our credentials, as far as anybody here has heard of it.
    #[must_use]
    pub fn readiness(&self, issuer: &IssuerName) -> Status {
        let fails = self.failures.get(issuer).is_some_and(|failures| failures.count >= ENOUGH);
        match self.known.get(issuer) {
            _ if fails || self.unready.contains(issuer) => Status::False,
            Some(true) => Status::True,
            Some(false) => Status::False,
            None => Status::Unknown,
        }
    }

    /// What became of the question when it would like a certificate to be renewed.
    pub fn asked(&mut self, issuer: &IssuerName, error: Option<&IssueError>, now: Timestamp) {
        match error.map_or(Verdict::Answer, verdict) {
            Verdict::Answer => drop(self.silent.remove(issuer)),
            Verdict::Failure => error.into_iter().for_each(|it| climb(&mut self.silent, issuer, it, now)),
            Verdict::Nothing => {}
        }
    }

    /// Until when it is not asked that, because it does not answer.
    #[must_use]
    pub fn silent_until(&self, issuer: &IssuerName, now: Timestamp) -> Option<Timestamp> {
        resting(&self.silent, issuer, now).map(|failures| failures.retry_at)
    }
}

/// Until when a rest holds back a certificate that ends then: an eighth of what is left of it at most, as a failure
/// of its own would; `None` when it does not.
#[must_use]
pub fn holds_back(rest: &Failures, expires: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let left = expires.map(|expires| rest.last_at.until(expires)).filter(|left| !left.is_zero());
    let most = left.map_or(Timestamp::MAX, |left| rest.last_at + (left / 8).max(SHORTEST));
    let until = rest.retry_at.min(most);
    (until > now).then_some(until)
}

/// What a failure says about an issuer.
enum Verdict {
    /// That it is there.
    Answer,
    Failure,
    Nothing,
}

fn verdict(error: &IssueError) -> Verdict {
    match error.class {
        _ if !error.is_the_issuers() => Verdict::Nothing,
        IssueErrorClass::Local => Verdict::Nothing,
        IssueErrorClass::Transient if !error.is_limit() => Verdict::Failure,
        _ => Verdict::Answer,
    }
}

/// One more failure. What those meet who had asked before it came to rest is the same one.
fn climb(
    failures: &mut BTreeMap<IssuerName, Failures>,
    issuer: &IssuerName,
    error: &IssueError,
    now: Timestamp,
) {
    let before = failures.get(issuer).filter(|failures| is_sane(failures, now));
    if before.is_some_and(|before| before.count >= ENOUGH && now < before.retry_at) {
        return;
    }
    let error = IssueError::new(IssueErrorClass::Local, error.message.as_str(), error.retry());
    let mut next = ladder::fail(before, &error, now, None, Spread::NONE);
    // A moment that it has named to some is theirs.
    next.retry_at = next.retry_at.min(now + LONGEST);
    failures.insert(issuer.clone(), next);
}

fn resting<'a>(
    failures: &'a BTreeMap<IssuerName, Failures>,
    issuer: &IssuerName,
    now: Timestamp,
) -> Option<&'a Failures> {
    let failures = failures.get(issuer)?;
    (failures.count >= ENOUGH && failures.retry_at > now && is_sane(failures, now)).then_some(failures)
}

/// Two may be a coincidence.
const ENOUGH: u32 = 3;
/// What the ladder of what costs little to ask comes to.
const LONGEST: Duration = Duration::from_secs(3_600);
const SHORTEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_core::Retry;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn error(class: IssueErrorClass) -> IssueError {
        IssueError::new(class, "no", Retry::Backoff)
    }

    #[test]
    fn three_failures_in_a_row_give_it_rest_and_an_answer_ends_it() {
        let (mut rests, issuer) = (Rests::default(), IssuerName::default());
        for _ in 0..2 {
            rests.failed(&issuer, &error(IssueErrorClass::Transient), at(0));
        }
        assert!(rests.of(&issuer, at(1)).is_none());
        rests.failed(&issuer, &error(IssueErrorClass::Transient), at(0));
        assert_eq!(rests.of(&issuer, at(1)).map(|rest| rest.retry_at), Some(at(240)));
        assert!(rests.of(&issuer, at(240)).is_none(), "somebody may try");
        rests.failed(&issuer, &error(IssueErrorClass::Transient), at(240));
        assert!(rests.of(&issuer, at(241)).is_some(), "one more failure is enough then");
        rests.failed(&issuer, &error(IssueErrorClass::Policy), at(300));
        assert!(rests.of(&issuer, at(301)).is_none(), "whoever refuses is there");
    }

    #[test]
    fn one_is_ready_that_answers_and_takes_our_credentials_and_stays_unready_until_it_does() {
        let (mut rests, issuer) = (Rests::default(), IssuerName::default());
        assert_eq!(rests.readiness(&issuer), Status::Unknown);
        rests.failed(&issuer, &error(IssueErrorClass::Transient), at(0));
        assert_eq!(rests.readiness(&issuer), Status::Unknown, "one failure says nothing");
        rests.failed(&issuer, &error(IssueErrorClass::Policy), at(1));
        assert_eq!(rests.readiness(&issuer), Status::True, "whoever refuses is there");
        rests.failed(&issuer, &error(IssueErrorClass::Auth), at(2));
        assert_eq!(rests.readiness(&issuer), Status::False);
        rests.failed(&issuer, &error(IssueErrorClass::Auth).elsewhere(), at(3));
        rests.answered(&issuer);
        assert_eq!(rests.readiness(&issuer), Status::True);
        for _ in 0..3 {
            assert_eq!(rests.readiness(&issuer), Status::True);
            rests.failed(&issuer, &error(IssueErrorClass::Transient), at(4));
        }
        assert_eq!(rests.readiness(&issuer), Status::False, "when it may be asked again, too");
    }

    #[test]
    fn one_that_says_that_it_cannot_sign_is_unready_until_it_says_otherwise() {
        let (mut rests, issuer) = (Rests::default(), IssuerName::default());
        for class in [IssueErrorClass::Local, IssueErrorClass::Auth, IssueErrorClass::Transient] {
            rests.looked(&issuer, Some(&error(class)), at(0));
            assert_eq!(rests.readiness(&issuer), Status::False, "{class}");
            rests.looked(&issuer, None, at(1));
        }
        rests.looked(&issuer, Some(&error(IssueErrorClass::Transient).elsewhere()), at(2));
        assert_eq!(rests.readiness(&issuer), Status::False);
        assert!(rests.of(&issuer, at(3)).is_none(), "it is somebody else that is missing");
        rests.answered(&issuer);
        assert_eq!(rests.readiness(&issuer), Status::True);
    }

    fn resting() -> (Rests, IssuerName) {
        let (mut rests, issuer) = (Rests::default(), IssuerName::default());
        for _ in 0..3 {
            rests.failed(&issuer, &error(IssueErrorClass::Transient), at(0));
        }
        (rests, issuer)
    }

    #[test]
    fn a_moment_that_it_names_to_some_is_not_waited_for_by_all() {
        let (mut rests, issuer) = (Rests::default(), IssuerName::default());
        let tomorrow = IssueError::new(IssueErrorClass::Transient, "no", Retry::At(at(34 * 3_600)));
        for _ in 0..3 {
            rests.failed(&issuer, &tomorrow, at(0));
        }
        assert_eq!(rests.of(&issuer, at(1)).map(|rest| rest.retry_at), Some(at(3_600)));
    }

    #[test]
    fn one_glitch_that_many_meet_is_one_failure() {
        let (mut rests, issuer) = resting();
        for second in 0..64 {
            rests.failed(&issuer, &error(IssueErrorClass::Transient), at(second));
        }
        assert_eq!(rests.of(&issuer, at(64)).map(|rest| rest.retry_at), Some(at(240)));
        rests.failed(&issuer, &error(IssueErrorClass::Transient), at(240));
        assert_eq!(rests.of(&issuer, at(241)).map(|rest| rest.retry_at), Some(at(240 + 480)));
    }

    #[test]
    fn what_did_not_come_from_it_is_no_answer() {
        for silent in [error(IssueErrorClass::Local), error(IssueErrorClass::Auth).elsewhere()] {
            let (mut rests, issuer) = resting();
            rests.failed(&issuer, &silent, at(1));
            assert!(rests.of(&issuer, at(2)).is_some(), "{silent:?}");
        }
    }

    #[test]
    fn one_that_only_counts_is_there() {
        let (mut rests, issuer) = resting();
        let limited = IssueError::new(IssueErrorClass::Transient, "no", Retry::At(at(90_000))).limit();
        rests.failed(&issuer, &limited, at(1));
        assert!(rests.of(&issuer, at(2)).is_none());
        for _ in 0..9 {
            rests.failed(&issuer, &limited, at(1));
        }
        assert!(rests.of(&issuer, at(2)).is_none());
    }

    #[test]
    fn a_certificate_that_ends_soon_is_not_held_back_for_long() {
        let (rests, issuer) = resting();
        let rest = rests.of(&issuer, at(1)).unwrap();
        assert_eq!(rest.retry_at, at(240));
        for (expires, until) in
            [(None, Some(240)), (Some(90_000), Some(240)), (Some(800), Some(100)), (Some(-5), Some(240))]
        {
            assert_eq!(holds_back(rest, expires.map(at), at(1)), until.map(at), "{expires:?}");
        }
        assert_eq!(holds_back(rest, Some(at(800)), at(100)), None);
        assert_eq!(holds_back(rest, Some(at(10)), at(29)), Some(at(30)));
    }

    #[test]
    fn one_that_does_not_say_when_is_not_asked_that_for_a_while_and_asked_for_certificates_all_the_same() {
        let (mut rests, issuer) = (Rests::default(), IssuerName::default());
        let silence = error(IssueErrorClass::Transient);
        for _ in 0..9 {
            rests.asked(&issuer, Some(&silence), at(0));
        }
        assert_eq!((rests.silent_until(&issuer, at(1)), rests.of(&issuer, at(1))), (Some(at(240)), None));
        rests.asked(&issuer, Some(&error(IssueErrorClass::Policy)), at(1));
        assert_eq!(rests.silent_until(&issuer, at(2)), None);
        for _ in 0..2 {
            rests.asked(&issuer, Some(&silence), at(2));
        }
        rests.asked(&issuer, None, at(2));
        rests.asked(&issuer, Some(&silence), at(2));
        assert_eq!(rests.silent_until(&issuer, at(3)), None);
    }

    #[test]
    fn what_is_not_its_fault_gives_nobody_rest() {
        let (mut rests, issuer) = (Rests::default(), IssuerName::default());
        for _ in 0..9 {
            rests.failed(&issuer, &error(IssueErrorClass::Transient).elsewhere(), at(0));
        }
        assert!(rests.of(&issuer, at(1)).is_none());
    }
}
