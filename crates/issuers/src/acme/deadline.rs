//! Until when: no call of a CA or a DNS provider may hold an issuance for ever.

use std::time::Duration;

use perennial_core::Timestamp;
use tokio::time::{self, Instant};

use crate::Error;

/// Until when an issuance may take.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    /// On the issuer's clock, for waits at the CA's pace.
    pub(super) moment: Timestamp,
    /// In real time, for whatever else might hang.
    instant: Instant,
}

impl Deadline {
    pub(super) fn new(now: Timestamp, timeout: Duration) -> Self {
        // The clock tells whole seconds: the one that has begun does not count.
        let moment = now + timeout + Duration::from_secs(1);
        Self { moment, instant: Instant::now() + timeout }
    }

    pub(super) fn left(&self) -> Duration {
        self.instant.saturating_duration_since(Instant::now())
    }
}

/// Work that may take so long and no longer.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    time::timeout(limit, work).await.unwrap_or(Err(Error::TooSlow { doing, limit }))
}
