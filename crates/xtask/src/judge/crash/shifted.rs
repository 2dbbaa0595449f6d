//! A clock that is wrong by as much as one likes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock, SystemClock, Timestamp};

/// The operating system's clock, so many seconds off; clones are the same clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Shifted {
    system: SystemClock,
    by: Arc<AtomicI64>,
}

impl Shifted {
    pub(super) fn by(seconds: i64) -> Self {
        let clock = Self::default();
        clock.set(seconds);
        clock
    }

    pub(super) fn set(&self, seconds: i64) {
        self.by.store(seconds, Ordering::Relaxed);
    }

    /// Puts it forward to a moment, unless it is later already: somebody's wait is over.
    pub(super) fn skip_to(&self, moment: Timestamp) {
        let ahead = moment.unix().saturating_sub(self.system.now().unix());
        self.by.fetch_max(ahead, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        let by = self.by.load(Ordering::Relaxed);
        Timestamp::from_unix(self.system.now().unix().saturating_add(by))
    }

    async fn sleep(&self, duration: Duration) {
        self.system.sleep(duration).await;
    }
}
