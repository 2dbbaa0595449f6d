//! Which certificate is due next: a timer for each of millions.

use perennial_core::Timestamp;

use super::calendar::{CAPACITY, Calendar, Due, Entries};

/// Which certificate is due next: one timer for each, by a dense index of the caller's.
///
/// Twelve bytes an entry, eight more for those of the present hour and of the past, and 18 kB in all. Setting,
/// moving and removing take the same time whatever the number. It holds no clock: `now` is an argument and may go
/// back.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_lifecycle::schedule::Schedule;
///
/// let at = Timestamp::from_unix;
/// let mut schedule = Schedule::new();
/// schedule.set(0, at(1_800_000_300));
/// schedule.set(1, at(1_800_000_200));
/// schedule.set(0, at(1_800_000_100)); // moved
/// assert_eq!(schedule.next(), Some(at(1_800_000_100)));
/// assert_eq!(schedule.pop(at(1_800_000_150)), Some(0));
/// assert_eq!(schedule.pop(at(1_800_000_150)), None); // the other is not due yet
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    entries: Entries,
    calendar: Calendar,
}

impl Schedule {
    /// The highest index plus one that can have a timer.
    pub const CAPACITY: u32 = CAPACITY;

    /// No timers.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Entries::default(), calendar: Calendar::new(0) }
    }

    /// Room for indexes below `indexes` without growing.
    #[must_use]
    pub fn with_capacity(indexes: usize) -> Self {
        Self { entries: Entries::with_capacity(indexes.min(Self::CAPACITY as usize)), ..Self::new() }
    }

    /// How many timers there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.calendar.len()
    }

    /// Whether there is no timer at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the timer of this index is due, if it has one.
    #[must_use]
    pub fn at(&self, index: u32) -> Option<Timestamp> {
        self.entries.timer(index).map(|entry| Timestamp::from_unix(i64::from(entry.at)))
    }

    /// Sets or moves a timer. A moment outside 1970..2106 counts as the nearest inside: who is woken then
    /// decides again.
    ///
    /// Indexes count from 0 without great gaps: the highest one ever set decides the memory. One at or above
    /// [`CAPACITY`](Self::CAPACITY) is left alone.
    pub fn set(&mut self, index: u32, at: Timestamp) {
        if index >= Self::CAPACITY {
            return;
        }
        self.remove(index);
        self.entries.reach(index);
        self.calendar.set(&mut self.entries, index, at);
    }

    /// Removes a timer and returns when it would have been due.
    pub fn remove(&mut self, index: u32) -> Option<Timestamp> {
        self.calendar.remove(&mut self.entries, index)
    }

    /// Removes the earliest timer, if it is due, and returns its index; `None` when none is.
    pub fn pop(&mut self, now: Timestamp) -> Option<u32> {
        self.calendar.pop(&mut self.entries, now).map(Due::index)
    }

    /// When the earliest timer is due. Between hours it looks at every timer of the next one, so it is for those
    /// who are about to sleep.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.calendar.next(&self.entries)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new()
    }
}

/// One timer for each moment, with indexes from 0 in the order of the moments.
impl FromIterator<Timestamp> for Schedule {
    fn from_iter<I: IntoIterator<Item = Timestamp>>(moments: I) -> Self {
        let moments = moments.into_iter();
        let mut schedule = Self::with_capacity(moments.size_hint().0);
        for (index, at) in (0..Self::CAPACITY).zip(moments) {
            schedule.set(index, at);
        }
        schedule
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(seconds: u32) -> Timestamp {
        Timestamp::from_unix(i64::from(seconds))
    }

    fn drained(schedule: &mut Schedule, now: u32) -> Vec<u32> {
        std::iter::from_fn(|| schedule.pop(at(now))).collect()
    }

    #[test]
    fn the_earliest_comes_first_across_seconds_hours_and_half_years() {
        let moments = [40_000_000, 7, 5_000, 4_000_000_000, 6, 20_000_000, 4_096, 4_095];
        let mut schedule: Schedule = moments.into_iter().map(at).collect();
        assert_eq!(schedule.next(), Some(at(6)));
        assert_eq!(drained(&mut schedule, 5), [0; 0]);
        assert_eq!(drained(&mut schedule, u32::MAX), [4, 1, 7, 6, 2, 5, 0, 3]);
        assert!(schedule.is_empty() && schedule.next().is_none());
    }

    #[test]
    fn what_is_late_is_due_at_once_and_what_a_clock_that_was_set_back_put_off_is_not() {
        let mut schedule: Schedule = [at(1_000_000), at(2_000_000)].into_iter().collect();
        assert_eq!(drained(&mut schedule, 1_500_000), [0]);
        schedule.set(0, at(900_000));
        assert_eq!(schedule.next(), Some(at(900_000)));
        // The clock goes back to before the wheel: nothing may come out early, or it is put off for ever.
        assert_eq!(drained(&mut schedule, 800_000), [0; 0]);
        schedule.set(2, at(850_000));
        assert_eq!(drained(&mut schedule, 860_000), [2]);
        assert_eq!(drained(&mut schedule, 2_000_000), [0, 1]);
    }

    #[test]
    fn moments_that_four_bytes_cannot_hold_count_as_the_nearest() {
        let mut schedule: Schedule = [Timestamp::MAX, Timestamp::MIN].into_iter().collect();
        assert_eq!(schedule.pop(Timestamp::from_unix(0)), Some(1));
        assert_eq!(schedule.pop(at(u32::MAX - 1)), None);
        assert_eq!(schedule.pop(Timestamp::MAX), Some(0));
        schedule.set(u32::MAX, at(1));
        assert!(schedule.is_empty());
    }

    #[test]
    fn an_index_without_a_timer_answers_nothing() {
        let mut schedule = Schedule::default();
        schedule.set(9, at(1));
        assert_eq!(
            (schedule.len(), schedule.at(3), schedule.remove(3), schedule.remove(70)),
            (1, None, None, None)
        );
        assert_eq!(schedule.remove(9), Some(at(1)));
        assert_eq!((schedule.len(), schedule.at(9)), (0, None));
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Set(u32, u32),
        Remove(u32),
        Pop(u32),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        // Moments that share digits are as likely as those that do not.
        let moment = prop_oneof![0u32..9_000, 0u32..40_000_000, any::<u32>()];
        prop_oneof![
            (0u32..40, moment.clone()).prop_map(|(index, at)| Operation::Set(index, at)),
            (0u32..40).prop_map(Operation::Remove),
            moment.prop_map(Operation::Pop),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_map_does(operations in proptest::collection::vec(operation(), 1..200)) {
            let (mut schedule, mut model) = (Schedule::new(), BTreeMap::<u32, u32>::new());
            for operation in operations {
                match operation {
                    Operation::Set(index, moment) => {
                        schedule.set(index, at(moment));
                        model.insert(index, moment);
                    }
                    Operation::Remove(index) => {
                        prop_assert_eq!(schedule.remove(index), model.remove(&index).map(at));
                    }
                    Operation::Pop(now) => {
                        let mut due: Vec<_> = model.iter().map(|(id, at)| (*at, *id)).filter(|(at, _)| *at <= now).collect();
                        due.sort_unstable();
                        let due: Vec<u32> = due.into_iter().map(|(_, index)| index).collect();
                        prop_assert_eq!(drained(&mut schedule, now), due);
                        model.retain(|_, at| *at > now);
                    }
                }
                prop_assert_eq!(schedule.len(), model.len());
                prop_assert_eq!(schedule.next(), model.values().min().copied().map(at));
            }
        }

        #[test]
        fn while_time_goes_on_the_order_is_that_of_time(
            moments in proptest::collection::vec(0u32..50_000_000, 1..200),
            step in 1u32..3_000_000,
        ) {
            let mut schedule: Schedule = moments.iter().copied().map(at).collect();
            let mut popped = Vec::new();
            for now in (0..=50_000_000 + step).step_by(step as usize) {
                popped.extend(drained(&mut schedule, now).into_iter().map(|index| moments[index as usize]));
            }
            let mut sorted = moments.clone();
            sorted.sort_unstable();
            prop_assert_eq!(popped, sorted);
        }
    }
}
