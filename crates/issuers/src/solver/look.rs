//! Looking for a proof before the CA does, until it is seen.

use std::{future::Future, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::{self, Instant};

use super::http01::Verdict;
use crate::Error;

/// What a look of one's own is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Evidence that the CA will fail stops the proof, which is a failure ([`Error::NotServed`], [`Error::NotShown`]). What
    /// cannot be told from here does not, for the CA may well see what this host cannot. The default: it costs no rate
    /// limit where there is evidence, and blocks nobody where there is none.
    #[default]
    Require,
    /// Nobody looks.
    Skip,
    /// Nobody looks; the CA is told after so long a time, as where a load balancer takes a while to see a new server.
    Wait(Duration),
    /// A look is made and reported, and the CA is told whatever it has shown.
    Warn,
}

/// A load balancer takes up a server within a few health checks, and a file on a share is there sooner.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);
/// The first pause between two looks, and the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How often a look may come to nothing before the CA is asked to judge.
const IN_VAIN: usize = 2;
/// How many names are looked at together.
const TOGETHER: usize = 16;

/// Until when somebody looks.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    /// After this no look begins.
    looks: Instant,
    /// After this none goes on, whatever it would have shown.
    all: Instant,
}

impl Ends {
    /// Looks begin for as long as a solver is patient, and all is over at the deadline of its order.
    pub(super) fn new(patience: Duration, deadline: Duration) -> Self {
        let now = Instant::now();
        Self { looks: now + patience.min(deadline), all: now + deadline }
    }
}

/// Looks until the proof is seen, or time is up; returns the last report when there is evidence against it.
pub(super) async fn watch<R, F>(
    look: impl Fn() -> F,
    verdict: impl Fn(&R) -> Verdict,
    ends: Ends,
) -> Result<Option<R>, Error>
where
    F: Future<Output = Result<R, Error>>,
{
    let (mut pause, mut in_vain, mut evidence) = (PAUSE, 0, None);
    loop {
        // What is cut off tells nothing, and what was seen before stands.
        let Ok(report) = time::timeout_at(ends.all, look()).await else { return Ok(evidence) };
        let report = report?;
        let seen = verdict(&report);
        in_vain = if seen == Verdict::Inconclusive { in_vain + 1 } else { 0 };
        if seen == Verdict::Pass || in_vain >= IN_VAIN {
            return Ok(None);
        }
        evidence = (seen == Verdict::Fail).then_some(report);
        let next = Instant::now() + pause;
        if next >= ends.looks {
            return Ok(evidence);
        }
        time::sleep_until(next).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Watches several names, some of them at once; returns the reports of those that failed. A name whose turn comes when
/// looks are over has none, and the CA judges, unless others have failed.
pub(super) async fn watch_all<R>(
    watches: Vec<impl Future<Output = Result<Option<R>, Error>>>,
    ends: Ends,
) -> Result<Vec<R>, Error> {
    let in_time = watches.into_iter().enumerate().map(|(at, watch)| async move {
        if at < TOGETHER || Instant::now() < ends.looks { watch.await } else { Ok(None) }
    });
    let watched: Vec<_> = stream::iter(in_time).buffered(TOGETHER).collect().await;
    let mut reports = Vec::new();
    for report in watched {
        reports.extend(report?);
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// What comes of so many names, each look at which takes so long, and after how long.
    async fn looked(
        names: usize,
        takes: Duration,
        seen: Verdict,
        (patience, deadline): (Duration, Duration),
    ) -> (usize, Duration) {
        let begun = Instant::now();
        let ends = Ends::new(patience, deadline);
        let look = move || async move {
            time::sleep(takes).await;
            Ok(seen)
        };
        let watches = (0..names).map(|_| watch(look, |seen| *seen, ends)).collect();
        let failed = watch_all(watches, ends).await.unwrap();
        (failed.len(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn looks_at_many_names_end_with_the_deadline_however_slow_they_are() {
        let slow = Duration::from_secs(50);
        for seen in [Verdict::Fail, Verdict::Inconclusive, Verdict::Pass] {
            let (_, took) = looked(100, slow, seen, (MINUTE, MINUTE)).await;
            assert!(took <= MINUTE, "{seen:?}: {took:?}");
            // A look that has begun in time is waited for where the order has time.
            let (_, took) = looked(100, slow, seen, (MINUTE, 10 * MINUTE)).await;
            assert!(took <= MINUTE + slow, "{seen:?}: {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn evidence_stands_when_a_later_look_is_cut_off_and_each_name_is_looked_at_once() {
        let (failed, took) = looked(1, Duration::from_secs(40), Verdict::Fail, (MINUTE, MINUTE)).await;
        assert_eq!((failed, took), (1, MINUTE));
        let (failed, _) = looked(1, 2 * MINUTE, Verdict::Fail, (MINUTE, MINUTE)).await;
        assert_eq!(failed, 0, "nobody knows");
        let (failed, took) = looked(10, Duration::ZERO, Verdict::Fail, (Duration::ZERO, MINUTE)).await;
        assert_eq!((failed, took), (10, Duration::ZERO));
        let (failed, _) = looked(100, Duration::from_secs(50), Verdict::Fail, (MINUTE, 10 * MINUTE)).await;
        assert_eq!(failed, 16, "those that come too late are for the CA to judge");
    }
}
