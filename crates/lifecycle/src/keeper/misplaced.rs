//! Putting right what a clock that was ahead has put off: the index would not show it for as long as the clock was.

use std::time::Duration;

use perennial_core::Timestamp;

use super::{Inner, due};
use crate::{Failures, Record, StoreError, failover, schedule::Spread, store::Due};

/// A clock that went back by less has put nothing off that cannot wait as long.
pub(super) const WORTH_A_LOOK: Duration = Duration::from_secs(3_600);

/// Looks through the index for what should have been looked at sooner, and makes it due, not all at once. `from` is
/// where to begin; `None` is where no clock that is right would put anything: at a start that is quick.
pub(super) async fn put_right(inner: &Inner, from: Option<Timestamp>) -> Result<(), StoreError> {
    let from = from.unwrap_or_else(|| inner.clock.now() + FARTHEST);
    let Ok(id) = "0".parse() else { return Ok(()) };
    let mut after = Due { at: from, id };
    while !inner.leases.is_closing() {
        let page = inner.store.scan_due(Timestamp::MAX, Some(&after), PAGE).await?;
        let Some(last) = page.last().cloned() else { return Ok(()) };
        after = last;
        for Due { id, .. } in page {
            // One that cannot be read is named elsewhere.
            let Ok(Some((version, record))) = inner.store.load(&id).await else { continue };
            let now = inner.clock.now();
            if is_misplaced(&record, now) {
                let next_at = now + Spread::of(&id).of_width(APART);
                let next_at = inner.leases.by_store_clock(next_at);
                // Who changes it meanwhile has looked at it.
                let _ = inner.store.commit(&Record { next_at, ..record }, Some(version)).await;
            }
        }
    }
    Ok(())
}

/// Whether it should be looked at before its time: its failures lie in the future, or its time lies beyond what it
/// may wait for.
fn is_misplaced(record: &Record, now: Timestamp) -> bool {
    let reloads = record.reloads.values().flatten();
    let rows =
        record.failures.iter().chain(record.elsewhere.values()).chain(&record.undelivered).chain(reloads);
    let mut rows = rows.filter(|failures: &&Failures| !failover::is_sane(failures, now));
    if rows.next().is_some() {
        return true;
    }
    // Given up, or denied: that is no matter of time.
    if record.denied.is_some() || (record.next_at == Timestamp::MAX && record.failures.is_some()) {
        return false;
    }
    record.next_at > due(record, now).max(now) + LONGEST_WAIT
}

/// No public certificate lives longer (CA/Browser Forum, Baseline Requirements §6.3.2); what is private is looked at
/// once more at each start.
const FARTHEST: Duration = Duration::from_secs(400 * 86_400);
/// The longest budget is a week's.
const LONGEST_WAIT: Duration = Duration::from_secs(8 * 86_400);
const APART: Duration = Duration::from_secs(600);
const PAGE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateSpec, IssueError, IssueErrorClass, ladder, record::tests::current};
    use perennial_core::Retry;

    const DAY: i64 = 86_400;

    #[test]
    fn what_a_clock_that_was_ahead_has_put_off_is_told_from_what_waits_rightly() {
        let at = Timestamp::from_unix;
        let fresh = Record::new(CertificateSpec::new("a", ["a.example"]).unwrap());
        let failed = |when: i64| {
            let error = IssueError::new(IssueErrorClass::Transient, "no", Retry::Backoff);
            let failures = ladder::fail(None, &error, at(when), None, Spread::NONE);
            Record { next_at: failures.retry_at, failures: Some(failures), ..fresh.clone() }
        };
        assert!(is_misplaced(&failed(4_000 * DAY), at(0)));
        assert!(!is_misplaced(&failed(0), at(10)));
        let serving = |next_at: i64| Record {
            current: Some(current(1)), // it ends at 1000
            next_at: at(next_at),
            ..fresh.clone()
        };
        assert!(!is_misplaced(&serving(500), at(0)));
        assert!(is_misplaced(&serving(4_000 * DAY), at(0)));
        let given_up = Record { next_at: Timestamp::MAX, ..failed(0) };
        assert!(!is_misplaced(&given_up, at(10)));
        // One that had ended by that clock, and was given up for that.
        assert!(is_misplaced(&Record { next_at: Timestamp::MAX, ..serving(0) }, at(0)));
    }
}
