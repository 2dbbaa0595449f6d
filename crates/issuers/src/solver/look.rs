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

/// Looks until the proof is seen, or time is up; returns the last report when there is evidence against it.
pub(super) async fn watch<R, F>(
    look: impl Fn() -> F,
    verdict: impl Fn(&R) -> Verdict,
    deadline: Instant,
) -> Result<Option<R>, Error>
where
    F: Future<Output = Result<R, Error>>,
{
    let (mut pause, mut in_vain) = (PAUSE, 0);
    loop {
        let report = look().await?;
        let seen = verdict(&report);
        in_vain = if seen == Verdict::Inconclusive { in_vain + 1 } else { 0 };
        if seen == Verdict::Pass || in_vain >= IN_VAIN {
            return Ok(None);
        }
        let next = Instant::now() + pause;
        if next >= deadline {
            return Ok((seen == Verdict::Fail).then_some(report));
        }
        time::sleep_until(next).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Watches several names, some of them at once; returns the reports of those that failed.
pub(super) async fn watch_all<R>(
    watches: Vec<impl Future<Output = Result<Option<R>, Error>>>,
) -> Result<Vec<R>, Error> {
    let watched: Vec<_> = stream::iter(watches).buffered(TOGETHER).collect().await;
    let mut reports = Vec::new();
    for report in watched {
        reports.extend(report?);
    }
    Ok(reports)
}
