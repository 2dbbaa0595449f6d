//! Which certificate is due next: a timer for each of millions, in twelve bytes.
//!
//! A hierarchical wheel (Varghese and Lauck, 1987): one slot a second for the present hour, one slot an hour
//! for the present half year, one slot a half year for the rest. An entry lies in a doubly linked list of its
//! slot, so it is moved or removed by touching its neighbours, and it changes its slot at most twice before
//! it is due. A heap with an index costs as many bytes and a walk through its levels, each a cache miss, for
//! every change.

use perennial_core::Timestamp;

/// Which certificate is due next: one timer for each, by a dense index of the caller's.
///
/// Twelve bytes an entry and 34 kB in all; setting, moving and removing take the same time whatever the
/// number. It holds no clock: `now` is an argument and may go back.
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
    /// The first entry of each slot's list: seconds, hours, half years, and last what is late.
    heads: Box<[u32]>,
    /// A bit for each slot that has entries.
    occupied: Box<[u64]>,
    /// Where the wheel stands, in [seconds](second). Nothing but the late list has entries before it.
    cursor: u32,
    length: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u32,
    next: u32,
    /// [`ABSENT`] for an index that has no timer.
    prev: u32,
}

impl Schedule {
    /// The highest index plus one that can have a timer.
    pub const CAPACITY: u32 = ABSENT;

    /// No timers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            heads: vec![NONE; SLOTS + 1].into_boxed_slice(),
            occupied: vec![0; SLOTS.div_ceil(64)].into_boxed_slice(),
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
        self.present(index).map(|entry| Timestamp::from_unix(i64::from(entry.at)))
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
        self.link(index, second(at));
    }

    /// Removes a timer and returns when it would have been due.
    pub fn remove(&mut self, index: u32) -> Option<Timestamp> {
        let at = self.present(index)?.at;
        self.unlink(index, slot(at, self.cursor));
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.prev = ABSENT;
        }
        self.length -= 1;
        Some(Timestamp::from_unix(i64::from(at)))
    }

    /// Removes one timer that is due and returns its index; `None` when none is due.
    ///
    /// The earliest comes first, but for those that were set to a moment before one already returned or asked
    /// for: they come before all others, in any order.
    pub fn pop(&mut self, now: Timestamp) -> Option<u32> {
        let now = second(now);
        if let Some(late) = self.head(LATE) {
            if self.entries.get(late as usize).is_some_and(|entry| entry.at > now) {
                self.rewind(now);
                return self.pop_late(now).or_else(|| self.pop_in_time(now));
            }
            return self.pop_late(now);
        }
        self.pop_in_time(now)
    }

    /// When the earliest timer is due. It looks at every timer of the earliest hour that has one, so it is for
    /// those who are about to sleep.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        let slot = self
            .head(LATE)
            .map(|_| LATE)
            .or_else(|| self.occupied_from(self.cursor))
            .or_else(|| self.occupied_after(self.cursor, Level::Hours))
            .or_else(|| self.occupied_after(self.cursor, Level::HalfYears))?;
        let mut earliest = u32::MAX;
        let mut at = self.head(slot);
        while let Some(entry) = at.and_then(|index| self.entries.get(index as usize)) {
            earliest = earliest.min(entry.at);
            at = (entry.next != NONE).then_some(entry.next);
        }
        Some(Timestamp::from_unix(i64::from(earliest)))
    }

    fn pop_late(&mut self, now: u32) -> Option<u32> {
        let index = self.head(LATE)?;
        self.entries.get(index as usize).filter(|entry| entry.at <= now)?;
        self.take(index, LATE);
        Some(index)
    }

    fn pop_in_time(&mut self, now: u32) -> Option<u32> {
        loop {
            if let Some(slot) = self.occupied_from(self.cursor) {
                let at = self.cursor & !Level::Seconds.mask() | slot_digit(slot);
                if at > now {
                    break;
                }
                self.cursor = at;
                let index = self.head(slot)?;
                self.take(index, slot);
                return Some(index);
            }
            let (slot, begins) = match self.occupied_after(self.cursor, Level::Hours) {
                Some(slot) => (slot, self.beginning(slot, Level::Hours)),
                None => match self.occupied_after(self.cursor, Level::HalfYears) {
                    Some(slot) => (slot, self.beginning(slot, Level::HalfYears)),
                    None => break,
                },
            };
            if begins > now {
                break;
            }
            self.cursor = begins;
            self.spill(slot);
        }
        // Everything up to now is out: what is set from now on for a moment before it is late.
        self.cursor = self.cursor.max(now);
        None
    }

    fn take(&mut self, index: u32, slot: usize) {
        self.unlink(index, slot);
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.prev = ABSENT;
        }
        self.length -= 1;
    }

    /// Lays the entries of an hour or half year that has begun into finer slots.
    fn spill(&mut self, slot: usize) {
        let mut next = self.head(slot);
        self.clear(slot);
        while let Some((index, entry)) = next.and_then(|at| Some((at, *self.entries.get(at as usize)?))) {
            next = (entry.next != NONE).then_some(entry.next);
            self.link(index, entry.at);
        }
    }

    /// Turns the wheel back: the clock was set back, and entries that were late by the old one are in time.
    fn rewind(&mut self, now: u32) {
        self.heads.fill(NONE);
        self.occupied.fill(0);
        self.cursor = now;
        for index in 0..u32::try_from(self.entries.len()).unwrap_or(ABSENT) {
            if let Some(entry) = self.present(index) {
                self.link(index, entry.at);
            }
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

    fn present(&self, index: u32) -> Option<Entry> {
        self.entries.get(index as usize).copied().filter(|entry| entry.prev != ABSENT)
    }

    fn head(&self, slot: usize) -> Option<u32> {
        self.heads.get(slot).copied().filter(|head| *head != NONE)
    }

    fn link(&mut self, index: u32, at: u32) {
        let slot = slot(at, self.cursor);
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

    fn unlink(&mut self, index: u32, slot: usize) {
        let Some(&Entry { next, prev, .. }) = self.entries.get(index as usize) else { return };
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.prev = prev;
        }
        if prev != NONE {
            if let Some(prev) = self.entries.get_mut(prev as usize) {
                prev.next = next;
            }
        } else if next == NONE {
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

    /// The first slot with entries among the seconds of this hour, this second included.
    fn occupied_from(&self, cursor: u32) -> Option<usize> {
        self.occupied_in(Level::Seconds.slot(cursor), Level::Seconds.end())
    }

    /// The first slot with entries of a level, after the one that the cursor is in.
    fn occupied_after(&self, cursor: u32, level: Level) -> Option<usize> {
        self.occupied_in(level.slot(cursor) + 1, level.end())
    }

    fn occupied_in(&self, from: usize, to: usize) -> Option<usize> {
        let mut ignored = !0 << (from % 64);
        for at in from / 64..to / 64 {
            let word = self.occupied.get(at)? & ignored;
            if word != 0 {
                return Some(at * 64 + word.trailing_zeros() as usize);
            }
            ignored = !0;
        }
        None
    }

    /// The first second of a slot.
    fn beginning(&self, slot: usize, level: Level) -> u32 {
        let digit = u32::try_from(slot - level.first()).unwrap_or(0) << level.shift();
        let higher = match level {
            Level::HalfYears => 0,
            Level::Hours => self.cursor >> Level::HalfYears.shift() << Level::HalfYears.shift(),
            Level::Seconds => self.cursor >> Level::Hours.shift() << Level::Hours.shift(),
        };
        higher | digit
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

/// How fine a part of the wheel is. A digit of the second, in a numeral system of 2¹², 2¹² and 2⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// 4096 slots of a second: an hour and eight minutes.
    Seconds,
    /// 4096 slots of 4096 seconds: 194 days, longer than most certificates live.
    Hours,
    /// 256 slots of 194 days: until 2106.
    HalfYears,
}

impl Level {
    const fn shift(self) -> u32 {
        match self {
            Self::Seconds => 0,
            Self::Hours => 12,
            Self::HalfYears => 24,
        }
    }

    const fn mask(self) -> u32 {
        match self {
            Self::Seconds | Self::Hours => 0xfff,
            Self::HalfYears => 0xff,
        }
    }

    const fn first(self) -> usize {
        match self {
            Self::Seconds => 0,
            Self::Hours => 4096,
            Self::HalfYears => 8192,
        }
    }

    const fn end(self) -> usize {
        self.first() + self.mask() as usize + 1
    }

    const fn slot(self, at: u32) -> usize {
        self.first() + (at >> self.shift() & self.mask()) as usize
    }
}

/// Where an entry lies while the wheel stands at `cursor`: by the highest digit in which they differ.
const fn slot(at: u32, cursor: u32) -> usize {
    if at < cursor {
        LATE
    } else if (at ^ cursor) >> Level::Hours.shift() == 0 {
        Level::Seconds.slot(at)
    } else if (at ^ cursor) >> Level::HalfYears.shift() == 0 {
        Level::Hours.slot(at)
    } else {
        Level::HalfYears.slot(at)
    }
}

fn slot_digit(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(0) & Level::Seconds.mask()
}

/// Seconds since 1970, as far as four bytes go.
fn second(at: Timestamp) -> u32 {
    u32::try_from(at.unix().max(0)).unwrap_or(u32::MAX)
}

const SLOTS: usize = Level::HalfYears.end();
/// The slot of what was set to a moment that the wheel has passed.
const LATE: usize = SLOTS;
/// The end of a list.
const NONE: u32 = u32::MAX;
/// Not in any list.
const ABSENT: u32 = u32::MAX - 1;

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
                        let mut popped = drained(&mut schedule, now);
                        popped.sort_unstable();
                        let due: Vec<u32> = model.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
                        prop_assert_eq!(popped, due);
                        model.retain(|_, at| *at > now);
                    }
                }
                prop_assert_eq!(schedule.len(), model.len());
                // Late entries come in any order, but whoever sleeps is told the earliest of them.
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
