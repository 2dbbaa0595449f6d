//! Which certificate is due next: a timer for each of millions, in twelve bytes.
//!
//! A calendar: the present hour is a heap, which is small and stays in the processor's cache; later hours of
//! the half year, and later half years, are slots with doubly linked lists, so that an entry is set, moved or
//! removed by touching its neighbours. When an hour begins its list becomes the heap. One heap of all would cost
//! as many bytes and, for every change, a walk through levels that are each a cache miss; a hierarchical wheel of
//! seconds touches each entry, and its page, twice more.

use std::{cmp::Reverse, collections::BinaryHeap};

use perennial_core::Timestamp;

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
    entries: Vec<Entry>,
    /// What is due before the hour ends that the calendar stands in, the past included. Removed entries stay
    /// until they come up, but for the first: that one is always a timer.
    present: BinaryHeap<Reverse<Due>>,
    /// How many in `present` are timers.
    live: usize,
    /// The first entry of each slot's list: hours, then half years.
    heads: Box<[u32]>,
    /// A bit for each slot that has entries.
    occupied: Box<[u64]>,
    /// Where the calendar stands, in [seconds](second). No slot up to its hour has entries.
    cursor: u32,
    length: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u32,
    next: u32,
    /// [`ABSENT`] for an index that has no timer, [`PRESENT`] for one in the heap.
    prev: u32,
}

/// A moment and an index, in one word: moments first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due(u64);

impl Due {
    const fn new(at: u32, index: u32) -> Self {
        Self((at as u64) << 32 | index as u64)
    }

    const fn at(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    const fn index(self) -> u32 {
        self.0 as u32
    }
}

impl Schedule {
    /// The highest index plus one that can have a timer.
    pub const CAPACITY: u32 = PRESENT;

    /// No timers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            present: BinaryHeap::new(),
            live: 0,
            heads: vec![NONE; SLOTS].into_boxed_slice(),
            occupied: vec![0; SLOTS / 64].into_boxed_slice(),
            cursor: 0,
            length: 0,
        }
    }

    /// Room for indexes below `indexes` without growing.
    #[must_use]
    pub fn with_capacity(indexes: usize) -> Self {
        Self { entries: Vec::with_capacity(indexes.min(Self::CAPACITY as usize)), ..Self::new() }
    }

    /// How many timers there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no timer at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// When the timer of this index is due, if it has one.
    #[must_use]
    pub fn at(&self, index: u32) -> Option<Timestamp> {
        self.entry(index).map(|entry| Timestamp::from_unix(i64::from(entry.at)))
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
        let needed = index as usize + 1;
        if self.entries.len() < needed {
            self.grow(needed);
        }
        self.length += 1;
        self.insert(index, second(at));
    }

    /// Removes a timer and returns when it would have been due.
    pub fn remove(&mut self, index: u32) -> Option<Timestamp> {
        let entry = self.entry(index)?;
        if entry.prev == PRESENT {
            self.forget(index);
            self.live -= 1;
            self.sweep();
        } else {
            self.unlink(entry);
            self.forget(index);
        }
        self.length -= 1;
        Some(Timestamp::from_unix(i64::from(entry.at)))
    }

    /// Removes the earliest timer, if it is due, and returns its index; `None` when none is.
    pub fn pop(&mut self, now: Timestamp) -> Option<u32> {
        let now = second(now);
        while self.present.is_empty() {
            let Some((slot, begins)) = self.next_slot().filter(|(_, begins)| *begins <= now) else {
                // What is set from now on for this hour belongs to the heap.
                self.cursor = self.cursor.max(now);
                return None;
            };
            self.cursor = begins;
            self.open(slot);
        }
        let Reverse(due) = *self.present.peek().filter(|Reverse(due)| due.at() <= now)?;
        self.present.pop();
        self.forget(due.index());
        self.live -= 1;
        self.length -= 1;
        self.sweep();
        Some(due.index())
    }

    /// When the earliest timer is due. Between hours it looks at every timer of the next one, so it is for those
    /// who are about to sleep.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        let mut earliest = self.present.peek().map(|Reverse(due)| due.at());
        if earliest.is_none() {
            let (slot, _) = self.next_slot()?;
            let mut at = self.head(slot);
            while let Some(entry) = at.and_then(|index| self.entries.get(index as usize)) {
                earliest = Some(earliest.map_or(entry.at, |earliest| earliest.min(entry.at)));
                at = (entry.next != NONE).then_some(entry.next);
            }
        }
        earliest.map(|at| Timestamp::from_unix(i64::from(at)))
    }

    fn insert(&mut self, index: u32, at: u32) {
        match slot(at, self.cursor) {
            None => {
                if let Some(entry) = self.entries.get_mut(index as usize) {
                    *entry = Entry { at, next: NONE, prev: PRESENT };
                    self.present.push(Reverse(Due::new(at, index)));
                    self.live += 1;
                }
            }
            Some(slot) => self.link(index, at, slot),
        }
    }

    /// Lays the entries of a slot that has begun into finer ones, or the heap.
    fn open(&mut self, slot: usize) {
        let mut next = self.head(slot);
        self.clear(slot);
        let mut present = std::mem::take(&mut self.present).into_vec();
        while let Some((index, entry)) = next.and_then(|at| Some((at, self.entries.get_mut(at as usize)?))) {
            next = (entry.next != NONE).then_some(entry.next);
            let at = entry.at;
            match self::slot(at, self.cursor) {
                None => {
                    entry.prev = PRESENT;
                    present.push(Reverse(Due::new(at, index)));
                    self.live += 1;
                }
                Some(finer) => self.link(index, at, finer),
            }
        }
        // In one go: that takes as long as one walk over it.
        self.present = present.into();
    }

    /// Takes away what is no timer any more: at the top always, and everywhere when it is most of the heap.
    fn sweep(&mut self) {
        if self.present.len() > 2 * self.live + 64 {
            let entries = &self.entries;
            self.present.retain(|Reverse(due)| is_timer(entries, *due));
            let mut all = std::mem::take(&mut self.present).into_vec();
            all.sort_unstable();
            all.dedup();
            self.present = all.into();
        }
        while self.present.peek().is_some_and(|Reverse(due)| !is_timer(&self.entries, *due)) {
            self.present.pop();
        }
    }

    /// An eighth more than needed when it grows: doubling would cost as much memory again as all the entries.
    fn grow(&mut self, needed: usize) {
        let missing = needed - self.entries.len();
        if self.entries.capacity() < needed {
            self.entries.reserve_exact(missing.max(self.entries.len() / 8));
        }
        self.entries.resize(needed, Entry { at: 0, next: NONE, prev: ABSENT });
    }

    fn entry(&self, index: u32) -> Option<Entry> {
        self.entries.get(index as usize).copied().filter(|entry| entry.prev != ABSENT)
    }

    fn forget(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.prev = ABSENT;
        }
    }

    fn head(&self, slot: usize) -> Option<u32> {
        self.heads.get(slot).copied().filter(|head| *head != NONE)
    }

    fn link(&mut self, index: u32, at: u32, slot: usize) {
        let next = self.head(slot);
        if let Some(next) = next.and_then(|next| self.entries.get_mut(next as usize)) {
            next.prev = index;
        } else if let Some(word) = self.occupied.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
        if let (Some(entry), Some(head)) = (self.entries.get_mut(index as usize), self.heads.get_mut(slot)) {
            *entry = Entry { at, next: next.unwrap_or(NONE), prev: NONE };
            *head = index;
        }
    }

    fn unlink(&mut self, Entry { at, next, prev }: Entry) {
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.prev = prev;
        }
        if prev != NONE {
            if let Some(prev) = self.entries.get_mut(prev as usize) {
                prev.next = next;
            }
            return;
        }
        let Some(slot) = slot(at, self.cursor) else { return };
        if next == NONE {
            self.clear(slot);
        } else if let Some(head) = self.heads.get_mut(slot) {
            *head = next;
        }
    }

    fn clear(&mut self, slot: usize) {
        if let Some(head) = self.heads.get_mut(slot) {
            *head = NONE;
        }
        if let Some(word) = self.occupied.get_mut(slot / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    /// The first slot that has entries, and its first second.
    fn next_slot(&self) -> Option<(usize, u32)> {
        let half_year = self.cursor >> HALF_YEAR << HALF_YEAR;
        let hour = self.occupied_in(hour_slot(self.cursor) + 1, HOURS);
        let hour = hour.map(|slot| (slot, half_year | digit(slot) << HOUR));
        hour.or_else(|| {
            let slot = self.occupied_in(half_year_slot(self.cursor) + 1, SLOTS)?;
            Some((slot, digit(slot - HOURS) << HALF_YEAR))
        })
    }

    fn occupied_in(&self, from: usize, to: usize) -> Option<usize> {
        let mut wanted = !0 << (from % 64);
        for at in from / 64..to / 64 {
            let word = self.occupied.get(at)? & wanted;
            if word != 0 {
                return Some(at * 64 + word.trailing_zeros() as usize);
            }
            wanted = !0;
        }
        None
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

/// Whether an element of the heap still stands for a timer.
fn is_timer(entries: &[Entry], due: Due) -> bool {
    entries.get(due.index() as usize).is_some_and(|entry| entry.prev == PRESENT && entry.at == due.at())
}

/// Where an entry lies while the calendar stands at `cursor`: in a slot, or in the heap.
const fn slot(at: u32, cursor: u32) -> Option<usize> {
    if at >> HOUR <= cursor >> HOUR {
        None
    } else if at >> HALF_YEAR == cursor >> HALF_YEAR {
        Some(hour_slot(at))
    } else {
        Some(half_year_slot(at))
    }
}

const fn hour_slot(at: u32) -> usize {
    (at >> HOUR) as usize % HOURS
}

const fn half_year_slot(at: u32) -> usize {
    HOURS + (at >> HALF_YEAR) as usize
}

fn digit(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(0)
}

/// Seconds since 1970, as far as four bytes go.
fn second(at: Timestamp) -> u32 {
    u32::try_from(at.unix().max(0)).unwrap_or(u32::MAX)
}

/// An hour here has 2¹² seconds: one and eight minutes.
const HOUR: u32 = 12;
/// A half year has 2²⁴ seconds, 194 days: longer than most certificates live.
const HALF_YEAR: u32 = 24;
/// The hours of a half year.
const HOURS: usize = 1 << (HALF_YEAR - HOUR);
/// Those, and the half years until 2106.
const SLOTS: usize = HOURS + (1 << (32 - HALF_YEAR));
/// The end of a list.
const NONE: u32 = u32::MAX;
/// In no list and not in the heap.
const ABSENT: u32 = u32::MAX - 1;
/// In the heap.
const PRESENT: u32 = u32::MAX - 2;

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
