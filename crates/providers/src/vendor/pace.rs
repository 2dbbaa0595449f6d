//! When the next request may go out: one answer for everybody who shows the same credential at the same place.
//!
//! A vendor counts the requests of a credential, not those of a program's objects. So clients of one process that
//! are the same to the vendor take from one bucket, and are held back by each other's Retry-After.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use perennial_core::{Clock, Timestamp};

use super::{Fingerprint, bucket::Bucket};
use crate::Rate;

/// What those share who are the same to a vendor.
#[derive(Debug)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    bucket: Option<Bucket>,
    /// Until when the vendor wants to be left alone.
    /// Since when, and until when.
    hold: Option<(Timestamp, Timestamp)>,
}

/// Who shares a pace.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Sharer {
    pub(super) kind: &'static str,
    pub(super) base: String,
    pub(super) who: Fingerprint,
    /// Times of different clocks cannot be held against each other. Whoever keeps a pace alive keeps its clock
    /// alive, too, so that no other clock comes to the same address.
    clock: usize,
}

impl Sharer {
    pub(super) fn new(kind: &'static str, base: String, who: Fingerprint, clock: &Arc<dyn Clock>) -> Self {
        Self { kind, base, who, clock: Arc::as_ptr(clock).cast::<()>() as usize }
    }
}

static PACES: LazyLock<Mutex<HashMap<Sharer, Weak<Pace>>>> = LazyLock::new(Mutex::default);

/// Clients come and go with configurations; their paces need not stay.
const SWEEP_AT: usize = 1024;

impl State {
    /// A clock that was set back to before the hold began ends it: it would last for as long as the clock was set back.
    fn held(&mut self, now: Timestamp) -> Duration {
        self.hold = self.hold.filter(|(since, until)| *since <= now && now < *until);
        self.hold.map_or(Duration::ZERO, |(_, until)| now.until(until))
    }
}

impl Pace {
    /// Of somebody who shares it with nobody.
    pub(super) fn of_its_own(rate: Option<Rate>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { bucket: rate.map(Bucket::new), hold: None })))
    }

    /// Of everybody who is the same to a vendor. Whoever comes first with a rate sets it.
    pub(super) fn shared(sharer: Sharer, rate: Option<Rate>) -> Arc<Self> {
        let mut paces = PACES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pace) = paces.get(&sharer).and_then(Weak::upgrade) {
            let mut state = pace.state();
            state.bucket = state.bucket.take().or_else(|| rate.map(Bucket::new));
            drop(state);
            return pace;
        }
        if paces.len() >= SWEEP_AT {
            paces.retain(|_, pace| pace.strong_count() > 0);
        }
        let pace = Self::of_its_own(rate);
        paces.insert(sharer, Arc::downgrade(&pace));
        pace
    }

    /// How long to wait for one's turn, which is taken if that is no longer than `longest`.
    ///
    /// # Errors
    /// The wait that is longer; nothing is taken then.
    pub(super) fn turn(&self, clock: &dyn Clock, longest: Duration) -> Result<Duration, Duration> {
        let now = clock.now();
        let timer = clock.monotonic().unwrap_or_else(|| now.since(Timestamp::MIN));
        let mut state = self.state();
        let held = state.held(now);
        let paced = state.bucket.as_mut().map_or(Duration::ZERO, |bucket| bucket.take(timer));
        let wait = held.max(paced);
        if wait <= longest {
            return Ok(wait);
        }
        if let Some(bucket) = &mut state.bucket {
            bucket.put_back();
        }
        Err(wait)
    }

    /// For how long the vendor still wants to be left alone.
    pub(super) fn held(&self, now: Timestamp) -> Duration {
        self.state().held(now)
    }

    /// The vendor wants to be left alone from now on until then.
    pub(super) fn hold(&self, now: Timestamp, until: Timestamp) {
        let mut state = self.state();
        let until = if state.held(now) > now.until(until) { now + state.held(now) } else { until };
        state.hold = Some((now, until));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_testkit::SkippingClock;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SkippingClock::new(Timestamp::from_unix(1_800_000_000)))
    }

    fn pace(base: &str, token: &str, clock: &Arc<dyn Clock>) -> Arc<Pace> {
        let sharer = Sharer::new("test of paces", base.to_owned(), Fingerprint::of([token]), clock);
        Pace::shared(sharer, None)
    }

    #[test]
    fn a_pace_is_that_of_one_credential_at_one_place_by_one_clock() {
        let (one, other) = (clock(), clock());
        let first = pace("https://a.example", "t0k3n", &one);
        assert!(Arc::ptr_eq(&first, &pace("https://a.example", "t0k3n", &one)));
        for apart in [
            pace("https://a.example", "0th3r", &one),
            pace("https://b.example", "t0k3n", &one),
            pace("https://a.example", "t0k3n", &other),
        ] {
            assert!(!Arc::ptr_eq(&first, &apart));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_ends_a_hold() {
        let (pace, at) = (Pace::of_its_own(None), Timestamp::from_unix);
        pace.hold(at(1_000), at(1_010));
        assert_eq!(pace.held(at(1_004)), Duration::from_secs(6));
        pace.hold(at(1_004), at(1_006));
        assert_eq!(pace.held(at(1_005)), Duration::from_secs(5), "the longer one counts");
        assert_eq!(pace.held(at(500)), Duration::ZERO);
        assert_eq!(pace.held(at(1_005)), Duration::ZERO);
    }

    #[test]
    fn what_nobody_holds_is_swept() {
        let clock = clock();
        for number in 0..3 * SWEEP_AT {
            drop(pace("https://swept.example", &number.to_string(), &clock));
        }
        assert!(PACES.lock().unwrap().len() <= SWEEP_AT + 100);
    }

    #[test]
    fn whoever_brings_a_rate_brings_it_to_those_who_are_there_already() {
        let clock = clock();
        let first = pace("https://rate.example", "t0k3n", &clock);
        let sharer =
            Sharer::new("test of paces", "https://rate.example".into(), Fingerprint::of(["t0k3n"]), &clock);
        let second = Pace::shared(sharer, Some(Rate::new(2, Duration::from_secs(20))));
        let turn = |pace: &Pace| pace.turn(&*clock, Duration::from_secs(30));
        assert_eq!((turn(&first), turn(&second)), (Ok(Duration::ZERO), Ok(Duration::from_secs(10))));
        assert_eq!((turn(&first), turn(&first)), (Ok(Duration::from_secs(20)), Ok(Duration::from_secs(30))));
        // Nothing was taken by who would have waited too long.
        assert_eq!(
            (turn(&first), turn(&first)),
            (Err(Duration::from_secs(40)), Err(Duration::from_secs(40)))
        );
    }
}
