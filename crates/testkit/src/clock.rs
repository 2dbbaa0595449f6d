//! A clock that moves when the test says so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock, Timestamp};
use tokio::sync::watch;

use crate::sync::lock;

/// A clock that stands still until the test moves it.
///
/// Clones show the same time. Whoever sleeps on it is woken when the time that he waits for is reached, so a
/// year passes in as long as the code under test needs to think. It counts in nanoseconds, so that naps
/// of a fraction of a second add up; [`now`](Clock::now) drops the fraction as every [`Clock`] does.
///
/// ```
/// use perennial_core::{Clock, Timestamp};
/// use perennial_testkit::ManualClock;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
/// let sleeper = tokio::spawn({
///     let clock = clock.clone();
///     async move { clock.sleep(Duration::from_secs(90 * 86_400)).await }
/// });
/// clock.wait_for_sleepers(1).await; // instead of hoping that the task has come so far
/// clock.advance(Duration::from_secs(90 * 86_400));
/// sleeper.await.unwrap();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<watch::Sender<State>>);

#[derive(Debug)]
struct State {
    /// Nanoseconds since 1970 began.
    now: i128,
    /// How much of them has passed, and was not jumped over.
    passed: i128,
    /// Deadline by sleeper, in the same unit.
    sleepers: BTreeMap<u64, i128>,
    next_sleeper: u64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let state = State { now: nanoseconds(now), passed: 0, sleepers: BTreeMap::new(), next_sleeper: 0 };
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// Lets `duration` pass and wakes everybody whose deadline was reached.
    pub fn advance(&self, duration: Duration) {
        self.0.send_modify(|state| {
            state.now = state.now.saturating_add(length(duration));
            state.passed = state.passed.saturating_add(length(duration));
        });
    }

    /// Jumps to `now`, forwards or backwards, as an operator may; wakes everybody whose deadline was reached. No
    /// time has [passed](Clock::monotonic) by it.
    pub fn set(&self, now: Timestamp) {
        self.0.send_modify(|state| state.now = nanoseconds(now));
    }

    /// How many sleep and are not due yet.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.0.borrow().waiting().count()
    }

    /// Waits, in real time, until at least `count` sleepers wait for this clock.
    ///
    /// This is what a test awaits between "the code under test has decided to sleep" and
    /// [`advance`](Self::advance).
    pub async fn wait_for_sleepers(&self, count: usize) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.0.subscribe().wait_for(|state| state.waiting().count() >= count).await;
    }

    /// The earliest moment that anybody waits for, rounded up to the next whole second; `None` when nobody
    /// sleeps. [`set`](Self::set) to it wakes at least one sleeper.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let earliest = self.0.borrow().waiting().min()?;
        let seconds = (earliest + (SECOND - 1)).div_euclid(SECOND);
        Some(Timestamp::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let seconds = self.0.borrow().now.div_euclid(SECOND);
        Timestamp::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
    }

    /// What was [advanced](Self::advance), and nothing of what was [set](Self::set).
    fn monotonic(&self) -> Option<Duration> {
        let nanoseconds = u64::try_from(self.0.borrow().passed).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(nanoseconds))
    }

    async fn sleep(&self, duration: Duration) {
        let sleeper = Sleeper::lie_down(self, duration);
        let _ = self.0.subscribe().wait_for(|state| state.now >= sleeper.deadline).await;
    }
}

impl State {
    fn waiting(&self) -> impl Iterator<Item = i128> {
        self.sleepers.values().copied().filter(|deadline| *deadline > self.now)
    }
}

/// A clock on which nobody waits: whoever sleeps is awake at once, and the time is what it would be then.
///
/// For code whose waits are not what a test is about; [`naps`](Self::naps) says which there were. Clones show
/// the same time.
///
/// ```
/// use perennial_core::{Clock, Timestamp};
/// use perennial_testkit::SkippingClock;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let clock = SkippingClock::new(Timestamp::from_unix(1_800_000_000));
/// clock.sleep(Duration::from_secs(3600)).await;
/// assert_eq!(clock.now(), Timestamp::from_unix(1_800_003_600));
/// assert_eq!(clock.naps(), [Duration::from_secs(3600)]);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SkippingClock {
    time: ManualClock,
    naps: Arc<Mutex<Vec<Duration>>>,
}

impl SkippingClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { time: ManualClock::new(now), naps: Arc::default() }
    }

    /// How long was slept, each time.
    #[must_use]
    pub fn naps(&self) -> Vec<Duration> {
        lock(&self.naps).clone()
    }
}

#[async_trait]
impl Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        self.time.now()
    }

    fn monotonic(&self) -> Option<Duration> {
        self.time.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        lock(&self.naps).push(duration);
        self.time.advance(duration);
        // Others get their turn, as they would.
        tokio::task::yield_now().await;
    }
}

/// A registered sleeper; forgotten when its future ends or is dropped.
struct Sleeper<'a> {
    clock: &'a ManualClock,
    number: u64,
    deadline: i128,
}

impl<'a> Sleeper<'a> {
    fn lie_down(clock: &'a ManualClock, duration: Duration) -> Self {
        let mut sleeper = Self { clock, number: 0, deadline: 0 };
        clock.0.send_modify(|state| {
            sleeper.number = state.next_sleeper;
            sleeper.deadline = state.now.saturating_add(length(duration));
            state.next_sleeper += 1;
            state.sleepers.insert(sleeper.number, sleeper.deadline);
        });
        sleeper
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.clock.0.send_modify(|state| {
            state.sleepers.remove(&self.number);
        });
    }
}

const SECOND: i128 = 1_000_000_000;

fn nanoseconds(moment: Timestamp) -> i128 {
    i128::from(moment.unix()) * SECOND
}

fn length(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_unix(1_000))
    }

    fn sleep_in_background(clock: &ManualClock, duration: Duration) -> tokio::task::JoinHandle<Timestamp> {
        let clock = clock.clone();
        tokio::spawn(async move {
            clock.sleep(duration).await;
            clock.now()
        })
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_is_reached_and_not_before() {
        let clock = clock();
        let short = sleep_in_background(&clock, Duration::from_millis(1_500));
        let long = sleep_in_background(&clock, Duration::from_secs(60));
        clock.wait_for_sleepers(2).await;
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.sleepers(), 2);
        clock.advance(Duration::from_millis(500));
        assert_eq!(short.await.unwrap(), Timestamp::from_unix(1_001));
        assert_eq!(clock.sleepers(), 1);
        clock.set(Timestamp::from_unix(5_000));
        assert_eq!(long.await.unwrap(), Timestamp::from_unix(5_000));
    }

    #[tokio::test]
    async fn the_next_deadline_is_rounded_up_so_that_setting_it_wakes_somebody() {
        let clock = clock();
        assert_eq!(clock.next_deadline(), None);
        let sleeper = sleep_in_background(&clock, Duration::from_millis(2_250));
        clock.wait_for_sleepers(1).await;
        assert_eq!(clock.next_deadline(), Some(Timestamp::from_unix(1_003)));
        clock.set(Timestamp::from_unix(1_003));
        sleeper.await.unwrap();
        assert_eq!(clock.next_deadline(), None);
    }

    #[tokio::test]
    async fn a_dropped_sleep_is_forgotten() {
        let clock = clock();
        let sleeper = sleep_in_background(&clock, Duration::from_secs(60));
        clock.wait_for_sleepers(1).await;
        sleeper.abort();
        assert!(sleeper.await.unwrap_err().is_cancelled());
        assert_eq!(clock.sleepers(), 0);
    }

    #[tokio::test]
    async fn a_clock_set_back_makes_sleepers_wait_longer() {
        let clock = clock();
        let sleeper = sleep_in_background(&clock, Duration::from_secs(10));
        clock.wait_for_sleepers(1).await;
        clock.set(Timestamp::from_unix(0));
        clock.advance(Duration::from_secs(1_009));
        assert_eq!(clock.sleepers(), 1);
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn the_ends_of_time_do_not_panic() {
        let clock = ManualClock::new(Timestamp::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
        let sleeper = sleep_in_background(&clock, Duration::MAX);
        clock.wait_for_sleepers(1).await;
        assert_eq!(clock.next_deadline(), Some(Timestamp::MAX));
        sleeper.abort();
    }
}
