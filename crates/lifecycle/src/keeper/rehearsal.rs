//! Asking a staging issuer first: what fails there costs no rate limit of the real one.

use super::Inner;
use crate::{Error, Failures, IssueErrorClass, IssuerName, Record, schedule::Life};
use perennial_core::Timestamp;

/// Who is asked first, and from which failure in a row on.
#[derive(Clone, Debug)]
pub(super) struct Rehearsal {
    pub(super) stage: IssuerName,
    pub(super) after: u32,
}

impl Inner {
    /// Who is asked before this issuer is, if somebody is. An order that is open is walked to its end, and there is no
    /// time for it when nothing may hold a renewal back any more.
    pub(super) fn stage_for(&self, record: &Record, issuer: &IssuerName) -> Option<IssuerName> {
        let rehearsal = self.rehearsals.get(issuer)?;
        let open = record.attempt.as_ref().is_some_and(|it| it.issuer() == issuer && it.progress.is_some());
        let failures = crate::failures_with(record, issuer);
        let late = record.current.as_ref().is_some_and(|current| {
            let now = self.clock.now();
            Life::new(&current.facts, current.issued_at).latest() <= now && now <= current.facts.not_after
        });
        let wanted = !open && !late && is_wanted(failures, record.rehearsed_at, rehearsal.after);
        wanted.then(|| rehearsal.stage.clone())
    }

    /// Whether somebody is asked first here: that is no change of the issuer.
    pub(super) fn is_stage(&self, issuer: &IssuerName) -> bool {
        self.rehearsals.values().any(|rehearsal| rehearsal.stage == *issuer)
    }
}

/// Whether a rehearsal that failed like this says nothing about the real issuer: its stage is in trouble itself. What
/// is refused or not seen there, or fails on the way to others, fails again.
pub(super) const fn says_nothing(error: &Error) -> bool {
    match error {
        Error::Contract { .. } => true,
        Error::Issue(error) => {
            error.is_the_issuers()
                && matches!(
                    error.class,
                    IssueErrorClass::Auth | IssueErrorClass::Contract | IssueErrorClass::Transient
                )
        }
        _ => false,
    }
}

/// Whether to rehearse: after so many failures in a row, unless it has gone well since the last of them.
fn is_wanted(failures: Option<&Failures>, rehearsed_at: Option<Timestamp>, after: u32) -> bool {
    match failures {
        None => after == 0 && rehearsed_at.is_none(),
        Some(failures) => {
            failures.count >= after && rehearsed_at.is_none_or(|rehearsed| rehearsed < failures.last_at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IssueError, IssueErrorClass, ladder, schedule::Spread};
    use perennial_core::Retry;

    #[test]
    fn it_is_rehearsed_after_so_many_failures_and_once_for_each_of_them() {
        let at = Timestamp::from_unix;
        let error = IssueError::new(IssueErrorClass::Policy, "no", Retry::Backoff);
        let one = ladder::fail(None, &error, at(100), None, Spread::NONE);
        let two = ladder::fail(Some(&one), &error, at(200), None, Spread::NONE);
        assert!(!is_wanted(None, None, 2) && !is_wanted(Some(&one), None, 2));
        assert!(is_wanted(Some(&two), None, 2));
        assert!(!is_wanted(Some(&two), Some(at(200)), 2), "it has gone well since");
        assert!(is_wanted(Some(&two), Some(at(150)), 2), "it has failed since");
        // From the first on.
        assert!(is_wanted(None, None, 0) && !is_wanted(None, Some(at(1)), 0));
    }
}
