//! Where the lines of what is due begin.
//!
//! The entry of a row that was claimed stays in the index until the server tidies up. A look from the very beginning
//! passes all of them, so the more was claimed the longer a claim would take. So each claim begins where the one before
//! it found the first that was free.
//!
//! What somebody puts further forward meanwhile is seen when this process hears of it, and within [`LOOK_AGAIN`] in
//! any case.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use perennial_core::Timestamp;
use tokio::time::Instant;

/// How long nothing is looked for before the first that was found. So much later an urgent certificate may be claimed
/// while there are others: a second is nothing to any of them, and a look costs milliseconds.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The place of a row in a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// As its column has it, in seconds since 1970.
    pub(crate) at: i64,
    pub(crate) id: String,
}

impl Place {
    /// Before all that anybody can be at: no id is empty.
    fn first() -> Self {
        Self { at: Timestamp::MIN.unix(), id: String::new() }
    }
}

/// One value for each line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines<T> {
    pub(crate) renewals: T,
    pub(crate) firsts: T,
}

/// Where one claim begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    round: u64,
    pub(crate) from: Lines<Place>,
}

impl Look {
    /// From the very beginning, whatever is known. Nothing is remembered of it.
    pub(crate) fn whole() -> Self {
        Self { round: 0, from: Lines { renewals: Place::first(), firsts: Place::first() } }
    }

    /// Whether it can have passed over anything.
    pub(crate) fn is_whole(&self) -> bool {
        let first = Place::first();
        self.from.renewals == first && self.from.firsts == first
    }
}

/// Where the next claim begins.
#[derive(Debug, Default)]
pub(crate) struct Front(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How often it was forgotten: who looked before that has nothing to say afterwards.
    round: u64,
    /// When somebody looked from the very beginning.
    looked: Option<Instant>,
    found: Lines<Option<Place>>,
}

impl Known {
    fn forget(&mut self) {
        *self = Self { round: self.round + 1, looked: None, found: Lines::default() };
    }
}

impl Front {
    /// Where to begin at this moment.
    pub(crate) fn look(&self, now: Instant) -> Look {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_AGAIN) {
            known.forget();
            known.looked = Some(now);
        }
        let start = |found: &Option<Place>| found.clone().unwrap_or_else(Place::first);
        let from = Lines { renewals: start(&known.found.renewals), firsts: start(&known.found.firsts) };
        Look { round: known.round, from }
    }

    /// Keeps what a look found first. Where it found nothing in a line, others may hold what is there.
    pub(crate) fn found(&self, look: &Look, first: Lines<Option<Place>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.round == look.round {
            known.found.renewals = first.renewals.or_else(|| known.found.renewals.take());
            known.found.firsts = first.firsts.or_else(|| known.found.firsts.take());
        }
    }

    /// Something may have been put further forward.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: i64) -> Place {
        Place { at, id: "shop".to_owned() }
    }

    fn of_renewals(at: i64) -> Lines<Option<Place>> {
        Lines { renewals: Some(place(at)), firsts: None }
    }

    #[test]
    fn a_claim_begins_where_the_one_before_it_found_the_first() {
        let (front, now) = (Front::default(), Instant::now());
        let look = front.look(now);
        assert!(look.is_whole());
        front.found(&look, of_renewals(7));
        let next = front.look(now);
        assert_eq!((next.from.renewals.clone(), next.from.firsts.clone()), (place(7), Place::first()));
        assert!(!next.is_whole());
        // A line in which nothing was free begins where it began.
        front.found(&next, Lines { renewals: None, firsts: Some(place(9)) });
        assert_eq!(front.look(now).from, Lines { renewals: place(7), firsts: place(9) });
    }

    #[test]
    fn after_a_second_a_claim_begins_at_the_beginning_however_often_it_was_looked_between() {
        let (front, begun) = (Front::default(), Instant::now());
        for tenths in 0..10 {
            let look = front.look(begun + Duration::from_millis(100 * tenths));
            assert_eq!(look.is_whole(), tenths == 0, "{tenths}");
            front.found(&look, of_renewals(7));
        }
        assert!(front.look(begun + LOOK_AGAIN).is_whole());
    }

    #[test]
    fn who_looked_before_something_was_put_forward_says_nothing_about_what_comes_first() {
        let (front, now) = (Front::default(), Instant::now());
        let look = front.look(now);
        front.forget();
        front.found(&look, of_renewals(7));
        assert!(front.look(now).is_whole());
        let old = front.look(now);
        assert!(front.look(now + LOOK_AGAIN).is_whole());
        front.found(&old, of_renewals(7));
        assert!(front.look(now + LOOK_AGAIN).is_whole());
    }
}
