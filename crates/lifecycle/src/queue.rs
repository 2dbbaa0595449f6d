//! Who comes first when more is due than can be done at once: a pure structure.
//!
//! Three lanes take turns: first certificates, renewals, and those that failed before. So renewals do not starve
//! new customers, new customers do not let certificates expire, and sixty broken domains delay nobody: what
//! failed before never has more than half of the slots. First certificates are taken in turns of their zones; of
//! renewals and retries those whose deadline is nearest come first, to the hour, and within it the zones take
//! turns.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
};

use perennial_core::Timestamp;

/// Something to do about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Built by whoever has work.
pub struct Work<Z> {
    /// Which certificate, by the caller's dense index.
    pub index: u32,
    /// In which lane.
    pub lane: Lane,
    /// What it shares with others that must not crowd it out: its registered domain, or its owner.
    pub zone: Z,
    /// How urgent it is: where there is a certificate, the moment after which nothing may hold its renewal back
    /// ([`Life::latest`](crate::schedule::Life::latest)). For one that is missing or has ended, now: it comes
    /// after those that can still be saved, and before those that have time.
    pub deadline: Timestamp,
}

/// The lanes, which take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums)] // The rule is about these three.
pub enum Lane {
    /// There is no certificate yet, or another one is wanted.
    First,
    /// There is one, and it ends some day.
    Renewal,
    /// An attempt failed before: it may well fail again, and take its time.
    Retry,
}

/// Who comes first when more is due than can be done at once.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_lifecycle::queue::{Lane, Queue, Work};
///
/// let at = Timestamp::from_unix;
/// let mut queue = Queue::new(2);
/// for (index, deadline) in [(1, at(90_000)), (2, at(50_000)), (3, at(10))] {
///     let lane = if index == 3 { Lane::Retry } else { Lane::Renewal };
///     queue.push(Work { index, lane, zone: "shop.example", deadline });
/// }
/// assert_eq!(queue.start(), Some(2)); // the nearest end
/// assert_eq!(queue.start(), Some(3)); // the other lane's turn
/// assert_eq!(queue.start(), None); // both slots are taken
/// queue.finish(2);
/// assert_eq!(queue.start(), Some(1));
/// ```
#[derive(Clone, Debug)]
pub struct Queue<Z> {
    slots: usize,
    lanes: [Waiting<Z>; 3],
    /// Whose turn it is next.
    turn: usize,
    /// Where each that waits is found.
    waiting: HashMap<u32, (Lane, Z, Timestamp)>,
    running: HashMap<u32, Lane>,
    retries_running: usize,
}

impl<Z: Ord + Clone> Queue<Z> {
    /// An empty queue before so many slots: how many attempts may be made at once.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            lanes: [
                Waiting::new(Order::Zones),
                Waiting::new(Order::Deadlines),
                Waiting::new(Order::Deadlines),
            ],
            turn: 0,
            waiting: HashMap::new(),
            running: HashMap::new(),
            retries_running: 0,
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many have a slot.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether this one waits or has a slot.
    #[must_use]
    pub fn knows(&self, index: u32) -> bool {
        self.waiting.contains_key(&index) || self.running.contains_key(&index)
    }

    /// Adds work, or changes the place of what waits already. What has a slot is left alone: one attempt for a
    /// certificate at a time.
    pub fn push(&mut self, work: Work<Z>) {
        if self.running.contains_key(&work.index) {
            return;
        }
        self.remove(work.index);
        self.lane(work.lane).insert(&work.zone, work.deadline, work.index);
        self.waiting.insert(work.index, (work.lane, work.zone, work.deadline));
    }

    /// Takes back what waits.
    pub fn remove(&mut self, index: u32) {
        if let Some((lane, zone, deadline)) = self.waiting.remove(&index) {
            self.lane(lane).remove(&zone, deadline, index);
        }
    }

    /// Gives the next one a slot and returns its index; `None` when nobody waits who may have one.
    pub fn start(&mut self) -> Option<u32> {
        if self.running.len() >= self.slots {
            return None;
        }
        for offset in 0..LANES.len() {
            let turn = (self.turn + offset) % LANES.len();
            let Some(lane) = LANES.get(turn).copied() else { continue };
            if lane == Lane::Retry && self.retries_running >= self.slots.div_ceil(2) {
                continue;
            }
            if let Some(index) = self.lane(lane).pop() {
                self.turn = turn + 1;
                self.waiting.remove(&index);
                self.running.insert(index, lane);
                self.retries_running += usize::from(lane == Lane::Retry);
                return Some(index);
            }
        }
        None
    }

    /// Gives a slot to one that has had one and left it, if one is free; tells whether it was. It stands in no
    /// lane's way: what it does was begun.
    pub fn resume(&mut self, index: u32, lane: Lane) -> bool {
        if self.running.len() >= self.slots {
            return false;
        }
        if self.running.insert(index, lane).is_none() {
            self.retries_running += usize::from(lane == Lane::Retry);
        }
        true
    }

    /// Frees the slot of one that is done, or that waits for something and needs none meanwhile.
    pub fn finish(&mut self, index: u32) {
        if self.running.remove(&index) == Some(Lane::Retry) {
            self.retries_running -= 1;
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut Waiting<Z> {
        let [first, renewal, retry] = &mut self.lanes;
        match lane {
            Lane::First => first,
            Lane::Renewal => renewal,
            Lane::Retry => retry,
        }
    }
}

const LANES: [Lane; 3] = [Lane::First, Lane::Renewal, Lane::Retry];

/// What a lane goes by before the zones take turns.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// The hour of the deadline.
    Deadlines,
    /// Nothing.
    Zones,
}

/// Those who wait in one lane.
#[derive(Clone, Debug)]
struct Waiting<Z> {
    order: Order,
    hours: BTreeMap<i64, Hour<Z>>,
}

/// Those of one hour: by zone, and within it by deadline.
#[derive(Clone, Debug)]
struct Hour<Z> {
    zones: BTreeMap<Z, BTreeSet<(Timestamp, u32)>>,
    /// The zone that was served last.
    last: Option<Z>,
}

impl<Z: Ord + Clone> Waiting<Z> {
    const fn new(order: Order) -> Self {
        Self { order, hours: BTreeMap::new() }
    }

    const fn hour(&self, deadline: Timestamp) -> i64 {
        match self.order {
            Order::Deadlines => deadline.unix().div_euclid(3_600),
            Order::Zones => 0,
        }
    }

    fn insert(&mut self, zone: &Z, deadline: Timestamp, index: u32) {
        let hour = self.hour(deadline);
        let hour = self.hours.entry(hour).or_insert_with(|| Hour { zones: BTreeMap::new(), last: None });
        hour.zones.entry(zone.clone()).or_default().insert((deadline, index));
    }

    fn remove(&mut self, zone: &Z, deadline: Timestamp, index: u32) {
        let at = self.hour(deadline);
        let Some(hour) = self.hours.get_mut(&at) else { return };
        if let Some(waiting) = hour.zones.get_mut(zone) {
            waiting.remove(&(deadline, index));
            if waiting.is_empty() {
                hour.zones.remove(zone);
            }
        }
        if hour.zones.is_empty() {
            self.hours.remove(&at);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let mut entry = self.hours.first_entry()?;
        let hour = entry.get_mut();
        let from = hour.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = hour.zones.range((from, Bound::Unbounded)).next().or_else(|| hour.zones.iter().next());
        let zone = next.map(|(zone, _)| zone.clone())?;
        let waiting = hour.zones.get_mut(&zone)?;
        let (_, index) = waiting.pop_first()?;
        if waiting.is_empty() {
            hour.zones.remove(&zone);
        }
        if hour.zones.is_empty() {
            entry.remove();
        } else {
            hour.last = Some(zone);
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn work(index: u32, lane: Lane, zone: u32, hours: i64) -> Work<u32> {
        Work { index, lane, zone, deadline: Timestamp::from_unix(hours * 3_600) }
    }

    fn queue(slots: usize, works: impl IntoIterator<Item = Work<u32>>) -> Queue<u32> {
        let mut queue = Queue::new(slots);
        works.into_iter().for_each(|work| queue.push(work));
        queue
    }

    #[test]
    fn sixty_broken_domains_do_not_delay_the_sixty_first() {
        let broken = (0..600).map(|index| work(index, Lane::Retry, index, 0));
        let mut queue = queue(60, broken);
        let started: Vec<_> = std::iter::from_fn(|| queue.start()).collect();
        assert_eq!((started.len(), queue.running()), (30, 30)); // they hang there for ever
        queue.push(work(1_000, Lane::First, 7_000, 0));
        queue.push(work(1_001, Lane::Renewal, 7_001, 0));
        assert_eq!((queue.start(), queue.start()), (Some(1_000), Some(1_001)));
        // With one slot there is no half, and nobody is shut out.
        let mut narrow = self::queue(1, [work(1, Lane::Retry, 1, 0)]);
        assert_eq!(narrow.start(), Some(1));
    }

    #[test]
    fn one_customer_with_thousands_of_names_waits_behind_no_longer_than_a_turn() {
        let many = (0..5_000).map(|index| work(index, Lane::First, 1, 0));
        let mut queue = queue(10_000, many.chain([work(9_000, Lane::First, 2, 99)]));
        let first: Vec<_> = (0..2).filter_map(|_| queue.start()).collect();
        assert!(first.contains(&9_000), "{first:?}");
    }

    #[test]
    fn the_nearest_end_comes_first_and_zones_take_turns_within_the_hour() {
        let works = [
            work(1, Lane::Renewal, 1, 9),
            work(2, Lane::Renewal, 1, 5),
            work(3, Lane::Renewal, 1, 5),
            work(4, Lane::Renewal, 2, 5),
        ];
        let mut queue = queue(9, works);
        let started: Vec<_> = std::iter::from_fn(|| queue.start()).collect();
        assert_eq!(started, [2, 4, 3, 1]);
    }

    #[test]
    fn what_has_a_slot_is_not_started_twice_and_what_was_taken_back_never() {
        let mut queue = queue(9, [work(1, Lane::Renewal, 1, 9), work(2, Lane::Renewal, 1, 9)]);
        queue.push(work(1, Lane::Renewal, 1, 3)); // nearer than it was thought
        assert_eq!((queue.len(), queue.start()), (2, Some(1)));
        queue.push(work(1, Lane::Renewal, 1, 3));
        queue.remove(2);
        assert_eq!((queue.start(), queue.knows(1), queue.knows(2)), (None, true, false));
        queue.finish(1);
        queue.finish(1);
        assert!(queue.is_empty() && queue.running() == 0);
    }

    fn lane() -> impl Strategy<Value = Lane> {
        proptest::sample::select(&LANES)
    }

    proptest! {
        #[test]
        fn no_lane_with_work_is_passed_over_for_longer_than_two_turns(
            works in proptest::collection::vec((lane(), 0u32..5, 0i64..9), 1..200),
        ) {
            let works: Vec<_> =
                (0u32..).zip(works).map(|(index, (lane, zone, at))| work(index, lane, zone, at)).collect();
            let mut left = LANES.map(|lane| works.iter().filter(|work| work.lane == lane).count());
            let mut passed_over = [0; 3];
            // Slots without end: what is asked about here is the order alone.
            let mut queue = queue(10_000, works.clone());
            while let Some(index) = queue.start() {
                let lane = works[index as usize].lane;
                for (at, candidate) in LANES.into_iter().enumerate() {
                    if candidate == lane {
                        left[at] -= 1;
                        passed_over[at] = 0;
                    } else if left[at] > 0 {
                        passed_over[at] += 1;
                        prop_assert!(passed_over[at] <= 2);
                    }
                }
            }
            prop_assert_eq!(left, [0; 3]);
        }

        #[test]
        fn it_counts_what_it_holds(
            operations in proptest::collection::vec((0u8..4, 0u32..12, lane(), 0u32..3, 0i64..5), 0..150),
            slots in 1usize..6,
        ) {
            let mut queue = Queue::new(slots);
            let (mut waiting, mut running) = (BTreeSet::new(), BTreeMap::new());
            let mut lanes = BTreeMap::new();
            for (operation, index, lane, zone, at) in operations {
                match operation {
                    0 | 1 => {
                        queue.push(work(index, lane, zone, at));
                        if !running.contains_key(&index) {
                            waiting.insert(index);
                            lanes.insert(index, lane);
                        }
                    }
                    2 => {
                        queue.finish(index);
                        running.remove(&index);
                    }
                    _ => {
                        if let Some(started) = queue.start() {
                            prop_assert!(waiting.remove(&started));
                            running.insert(started, lanes[&started]);
                        }
                    }
                }
                prop_assert_eq!((queue.len(), queue.running()), (waiting.len(), running.len()));
                let retries = running.values().filter(|lane| **lane == Lane::Retry).count();
                prop_assert!(running.len() <= slots && retries <= slots.div_ceil(2));
            }
        }
    }
}
