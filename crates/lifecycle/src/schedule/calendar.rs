//! A calendar of timers, in twelve bytes each.
//!
//! The present hour is a heap, which is small and stays in the processor's cache; later hours of the half year, and
//! later half years, are slots with doubly linked lists, so that an entry is set, moved or removed by touching its
//! neighbours. When an hour begins its lists become the heap. One heap of all would cost as many bytes and, for
//! every change, a walk through levels that are each a cache miss; a hierarchical wheel of seconds touches each
//! entry, and its page, twice more.

use std::{cmp::Reverse, collections::BinaryHeap};

use perennial_core::Timestamp;

/// The timers of one calendar or of several, by a dense index.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) at: u32,
    next: u32,
    /// [`ABSENT`] for an index that has no timer, the [mark](Calendar::mark) of its calendar for one in a heap.
    prev: u32,
}

impl Entries {
    /// Room for so many indexes without growing.
    pub(super) fn with_capacity(indexes: usize) -> Self {
        Self(Vec::with_capacity(indexes))
    }

    /// Makes sure that there is an entry for this index. An eighth more than needed when it grows: doubling would
    /// cost as much memory again as all the entries.
    pub(super) fn reach(&mut self, index: u32) {
        let needed = index as usize + 1;
        if self.0.len() >= needed {
            return;
        }
        let missing = needed - self.0.len();
        if self.0.capacity() < needed {
            self.0.reserve_exact(missing.max(self.0.len() / 8));
        }
        self.0.resize(needed, Entry { at: 0, next: NONE, prev: ABSENT });
    }

    /// The timer of this index, if it has one.
    pub(super) fn timer(&self, index: u32) -> Option<Entry> {
        self.get(index).copied().filter(|entry| entry.prev != ABSENT)
    }

    fn get(&self, index: u32) -> Option<&Entry> {
        self.0.get(index as usize)
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.0.get_mut(index as usize)
    }

    fn forget(&mut self, index: u32) {
        if let Some(entry) = self.get_mut(index) {
            entry.prev = ABSENT;
        }
    }
}

/// Which of some timers is due next. The timers themselves lie in [`Entries`], which other calendars may share.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    /// What tells its own timers in the heap from those of others.
    mark: u32,
    /// What is due before the hour ends that the calendar stands in, the past included. Removed entries stay
    /// until they come up, but for the first: that one is always a timer.
    present: BinaryHeap<Reverse<Due>>,
    /// How many in `present` are timers.
    live: usize,
    /// The first entry of each list of each slot: hours, then half years.
    heads: Box<[Heads]>,
    /// A bit for each slot that has entries.
    occupied: Box<[u64]>,
    /// Where the calendar stands, in [seconds](second). No slot up to its hour has entries.
    cursor: u32,
    length: usize,
}

/// The first entries of a slot's lists. Who walks over a list waits for memory at each entry; over several at once, he
/// waits for all of them together.
type Heads = [u32; LISTS];

/// A moment and an index, in one word: moments first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due(u64);

impl Due {
    const fn new(at: u32, index: u32) -> Self {
        Self((at as u64) << 32 | index as u64)
    }

    const fn at(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(super) const fn index(self) -> u32 {
        self.0 as u32
    }

    /// When it is due.
    pub(super) fn moment(self) -> Timestamp {
        Timestamp::from_unix(i64::from(self.at()))
    }
}

impl Calendar {
    /// One without timers; of several that share their entries, which.
    pub(super) fn new(number: u32) -> Self {
        Self {
            mark: PRESENT - number,
            present: BinaryHeap::new(),
            live: 0,
            heads: vec![NO_HEADS; SLOTS].into_boxed_slice(),
            occupied: vec![0; SLOTS / 64].into_boxed_slice(),
            cursor: 0,
            length: 0,
        }
    }

    /// How many timers there are.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Sets a timer for an index that has an entry, and no timer.
    pub(super) fn set(&mut self, entries: &mut Entries, index: u32, at: Timestamp) {
        self.length += 1;
        self.insert(entries, index, second(at));
    }

    /// Removes a timer and returns when it would have been due.
    pub(super) fn remove(&mut self, entries: &mut Entries, index: u32) -> Option<Timestamp> {
        let entry = entries.timer(index)?;
        if entry.prev == self.mark {
            entries.forget(index);
            self.live -= 1;
            self.sweep(entries);
        } else {
            self.unlink(entries, index, entry);
            entries.forget(index);
        }
        self.length -= 1;
        Some(Timestamp::from_unix(i64::from(entry.at)))
    }

    /// Removes the earliest timer, if it is due, and returns it; `None` when none is.
    pub(super) fn pop(&mut self, entries: &mut Entries, now: Timestamp) -> Option<Due> {
        let now = second(now);
        while self.present.is_empty() {
            let Some((slot, begins)) = self.next_slot().filter(|(_, begins)| *begins <= now) else {
                // What is set from now on for this hour belongs to the heap.
                self.cursor = self.cursor.max(now);
                return None;
            };
            self.cursor = begins;
            self.open(entries, slot);
        }
        let Reverse(due) = *self.present.peek().filter(|Reverse(due)| due.at() <= now)?;
        self.present.pop();
        entries.forget(due.index());
        self.live -= 1;
        self.length -= 1;
        self.sweep(entries);
        Some(due)
    }

    /// When the earliest timer is due. Between hours it looks at every timer of the next one, so it is for those
    /// who are about to sleep.
    pub(super) fn next(&self, entries: &Entries) -> Option<Timestamp> {
        let mut earliest = self.present.peek().map(|Reverse(due)| due.at());
        if earliest.is_none() {
            let (slot, _) = self.next_slot()?;
            let mut heads = self.heads(slot);
            while heads != NO_HEADS {
                for at in &mut heads {
                    let Some(entry) = entries.get(*at) else {
                        *at = NONE;
                        continue;
                    };
                    earliest = Some(earliest.map_or(entry.at, |earliest| earliest.min(entry.at)));
                    *at = entry.next;
                }
            }
        }
        earliest.map(|at| Timestamp::from_unix(i64::from(at)))
    }

    fn insert(&mut self, entries: &mut Entries, index: u32, at: u32) {
        match slot(at, self.cursor) {
            None => {
                if let Some(entry) = entries.get_mut(index) {
                    *entry = Entry { at, next: NONE, prev: self.mark };
                    self.present.push(Reverse(Due::new(at, index)));
                    self.live += 1;
                }
            }
            Some(slot) => self.link(entries, index, at, slot),
        }
    }

    /// Lays the entries of a slot that has begun into finer ones, or the heap.
    fn open(&mut self, entries: &mut Entries, slot: usize) {
        let mut heads = self.heads(slot);
        self.clear(slot);
        let mut present = std::mem::take(&mut self.present).into_vec();
        while heads != NO_HEADS {
            for head in &mut heads {
                let index = *head;
                let Some(entry) = entries.get_mut(index) else {
                    *head = NONE;
                    continue;
                };
                *head = entry.next;
                let at = entry.at;
                match self::slot(at, self.cursor) {
                    None => {
                        entry.prev = self.mark;
                        present.push(Reverse(Due::new(at, index)));
                        self.live += 1;
                    }
                    Some(finer) => self.link(entries, index, at, finer),
                }
            }
        }
        // In one go: that takes as long as one walk over it.
        self.present = present.into();
    }

    /// Takes away what is no timer any more: at the top always, and everywhere when it is most of the heap.
    fn sweep(&mut self, entries: &Entries) {
        let mark = self.mark;
        if self.present.len() > 2 * self.live + 64 {
            self.present.retain(|Reverse(due)| is_timer(entries, mark, *due));
            let mut all = std::mem::take(&mut self.present).into_vec();
            all.sort_unstable();
            all.dedup();
            self.present = all.into();
        }
        while self.present.peek().is_some_and(|Reverse(due)| !is_timer(entries, mark, *due)) {
            self.present.pop();
        }
    }

    fn heads(&self, slot: usize) -> Heads {
        self.heads.get(slot).copied().unwrap_or(NO_HEADS)
    }

    /// The head of the list that an index belongs to.
    fn head(&mut self, slot: usize, index: u32) -> Option<&mut u32> {
        self.heads.get_mut(slot)?.get_mut(index as usize % LISTS)
    }

    fn link(&mut self, entries: &mut Entries, index: u32, at: u32, slot: usize) {
        let Some(head) = self.head(slot, index) else { return };
        let next = std::mem::replace(head, index);
        if let Some(next) = entries.get_mut(next) {
            next.prev = index;
        } else if let Some(word) = self.occupied.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
        if let Some(entry) = entries.get_mut(index) {
            *entry = Entry { at, next, prev: NONE };
        }
    }

    fn unlink(&mut self, entries: &mut Entries, index: u32, Entry { at, next, prev }: Entry) {
        if let Some(next) = entries.get_mut(next) {
            next.prev = prev;
        }
        if prev != NONE {
            if let Some(prev) = entries.get_mut(prev) {
                prev.next = next;
            }
            return;
        }
        let Some(slot) = slot(at, self.cursor) else { return };
        if let Some(head) = self.head(slot, index) {
            *head = next;
        }
        if self.heads(slot) == NO_HEADS {
            self.clear(slot);
        }
    }

    fn clear(&mut self, slot: usize) {
        if let Some(heads) = self.heads.get_mut(slot) {
            *heads = NO_HEADS;
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

/// Whether an element of the heap still stands for a timer.
fn is_timer(entries: &Entries, mark: u32, due: Due) -> bool {
    entries.get(due.index()).is_some_and(|entry| entry.prev == mark && entry.at == due.at())
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
/// The lists of a slot: as many misses as a processor's core has under way at once, nearly.
const LISTS: usize = 8;
const NO_HEADS: Heads = [NONE; LISTS];
/// The end of a list.
const NONE: u32 = u32::MAX;
/// In no list and not in the heap.
const ABSENT: u32 = u32::MAX - 1;
/// In the heap of the first calendar; in those of others are the numbers before it.
const PRESENT: u32 = u32::MAX - 2;
/// The highest index plus one that can have a timer, with two calendars at most.
pub(super) const CAPACITY: u32 = PRESENT - 1;
