//! Who knows the time and can wait.

use std::time::Duration;

use async_trait::async_trait;

use crate::Timestamp;

/// Who knows the time and can wait for more of it.
///
/// Deciding code takes `now` as an argument; only drivers hold a clock. [`SystemClock`] asks the operating
/// system; `perennial_testkit::ManualClock` moves when a test says so, which is how a virtual year passes in
/// milliseconds.
///
/// # Contract
/// - `now` may jump in both directions: operators set clocks, machines sleep. Callers decide again after
///   every wait.
/// - `sleep` returns no earlier than `duration` of the clock's own time later. Dropping its future ends the
///   wait.
/// - Both may be called from any number of tasks at once.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall-clock time, in whole seconds.
    fn now(&self) -> Timestamp;

    /// How long it has run, by a timer that nobody sets, from any moment on; `None` unless it can tell. Held
    /// against [`now`](Self::now) it shows when the wall clock has jumped. It may stop while the machine sleeps.
    fn monotonic(&self) -> Option<Duration> {
        None
    }

    /// Waits until `duration` has passed.
    async fn sleep(&self, duration: Duration);

    /// Waits until the wall clock shows `deadline` or later.
    ///
    /// Naps of at most an hour, and looks again after each: a timer that counts monotonic time stops while
    /// the machine is suspended, and a renewal that is due on Monday must not come on Thursday because of it.
    async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            let left = self.now().until(deadline);
            if left.is_zero() {
                return;
            }
            self.sleep(left.min(LONGEST_NAP)).await;
        }
    }
}

/// See [`Clock::sleep_until`]: the most that a suspended machine can be late by.
const LONGEST_NAP: Duration = Duration::from_secs(3600);

/// The operating system's clock; sleeps through tokio's timer.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

#[cfg(feature = "tokio")]
impl SystemClock {
    /// The operating system's clock.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[cfg(feature = "tokio")]
#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A machine whose clock stands before 1970 is told so by every certificate; not a reason to panic.
        Timestamp::from_unix(since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
    fn monotonic(&self) -> Option<Duration> {
        static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        Some(BEGUN.get_or_init(std::time::Instant::now).elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn _object_safe(_: &dyn Clock) {}

    /// Every sleep takes twice as long on the wall as asked: a machine that was suspended.
    struct Suspended(AtomicI64);

    #[async_trait]
    impl Clock for Suspended {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(self.0.load(Ordering::SeqCst))
        }

        async fn sleep(&self, duration: Duration) {
            self.0.fetch_add(2 * i64::try_from(duration.as_secs()).unwrap(), Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn sleep_until_is_late_by_at_most_one_nap_on_a_suspended_machine() {
        let clock = Suspended(AtomicI64::new(0));
        clock.sleep_until(Timestamp::from_unix(100_000)).await;
        let late = clock.now().since(Timestamp::from_unix(100_000));
        assert!(late <= LONGEST_NAP, "late by {late:?}");
    }
}
