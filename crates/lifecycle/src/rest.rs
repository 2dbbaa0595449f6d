//! Which issuers are left alone for a while because they fail everybody: pure, and remembered by one process.

use std::collections::BTreeMap;

use perennial_core::Timestamp;

use crate::{Failures, IssueError, IssueErrorClass, IssuerName, failover::is_sane, ladder, schedule::Spread};

/// Which issuers fail everybody.
///
/// A CA that is down would be asked by each of a million certificates, and each would climb its own ladder. After
/// three failures in a row, of whichever certificates, it rests: nobody asks until the ladder of what costs little
/// to ask says so, in an hour at the latest. Then those who want something ask, and the first answer ends it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rests {
    failures: BTreeMap<IssuerName, Failures>,
}

impl Rests {
    /// An issuer has failed somebody. What is not its own fault says nothing, and whoever refuses is there.
    pub(crate) fn failed(&mut self, issuer: &IssuerName, error: &IssueError, now: Timestamp) {
        if error.class != IssueErrorClass::Transient {
            return self.answered(issuer);
        }
        if !error.is_the_issuers() {
            return;
        }
        let error = IssueError::new(IssueErrorClass::Local, error.message.as_str(), error.retry());
        let before = self.failures.get(issuer).filter(|failures| is_sane(failures, now));
        let failures = ladder::fail(before, &error, now, None, Spread::NONE);
        self.failures.insert(issuer.clone(), failures);
    }

    /// An issuer has answered.
    pub(crate) fn answered(&mut self, issuer: &IssuerName) {
        self.failures.remove(issuer);
    }

    /// Its failures, while it rests.
    pub(crate) fn of(&self, issuer: &IssuerName, now: Timestamp) -> Option<&Failures> {
        let failures = self.failures.get(issuer)?;
        (failures.count >= ENOUGH && failures.retry_at > now && is_sane(failures, now)).then_some(failures)
    }
}

/// Two may be a coincidence.
const ENOUGH: u32 = 3;

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
    fn what_is_not_its_fault_gives_nobody_rest() {
        let (mut rests, issuer) = (Rests::default(), IssuerName::default());
        for _ in 0..9 {
            rests.failed(&issuer, &error(IssueErrorClass::Transient).elsewhere(), at(0));
        }
        assert!(rests.of(&issuer, at(1)).is_none());
    }
}
