//! Where values lie by the hash of their names, to be read while they are changed.
//!
//! Among a hundred thousand names what a look-up costs is how often it waits for memory. Eight slots are a group, and
//! seven bits of the hash of each lie in one word: all such words together are small enough for a near cache, and
//! lead to the one slot that it can be (the idea is that of Swiss tables). That has the rest of the hash and the value
//! itself in it, and no name. So a name that is here is found in one far place and the value, and of most that are not
//! here nothing far is touched.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;

/// Slots for a number of names, which is chosen in the beginning. Many may read them; one at a time changes them.
///
/// A slot once claimed stays its hash's, so that what a reader finds there is that hash's, whatever is changed meanwhile.
pub(super) struct Slots<V> {
    /// Seeded by chance: whoever chooses names cannot choose them to have one hash.
    hasher: RandomState,
    /// A power of two of them. A byte each is zero, or [`CLAIMED`] with seven bits of the slot's hash.
    groups: Box<[AtomicU64]>,
    /// Eight for a group.
    slots: Box<[Slot<V>]>,
    /// Beside the slots where a name has several values, which is rare; made when there is the first.
    several: OnceLock<Box<[Several<V>]>>,
}

/// Four of them share a line of the cache and none lies across two.
#[repr(align(16))]
struct Slot<V> {
    /// The hash, and [`SEVERAL`] where it is so.
    word: AtomicU64,
    /// The first of the values; none where they were taken away.
    first: ArcSwapOption<V>,
}

type Several<V> = ArcSwapOption<Vec<Ranked<V>>>;

/// A value, and which of several it is.
pub(super) struct Ranked<V> {
    /// The highest is the best.
    pub(super) rank: i64,
    /// Until when it is as good as its rank says, in Unix seconds.
    pub(super) ends: i64,
    pub(super) value: Arc<V>,
}

impl<V> Clone for Ranked<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<V> Slots<V> {
    /// Slots for so many names, with room for more of them, by a new hash.
    pub(super) fn for_names(count: usize) -> Self {
        let groups = count.saturating_add(count / 2).div_ceil(GROUP).next_power_of_two().max(FEWEST);
        Self {
            hasher: RandomState::new(),
            groups: std::iter::repeat_with(AtomicU64::default).take(groups).collect(),
            slots: std::iter::repeat_with(Slot::empty).take(GROUP * groups).collect(),
            several: OnceLock::new(),
        }
    }

    /// How many may be claimed: one of eight stays free, so that few groups are full, where a search goes on.
    pub(super) const fn most(&self) -> usize {
        (GROUP - 1) * self.groups.len()
    }

    /// The hash of what names are looked for by here.
    pub(super) fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key) & !SEVERAL
    }

    /// The place that was claimed for a hash.
    pub(super) fn find(&self, hash: u64) -> Option<Values<'_, V>> {
        let byte = byte(hash) * FIRST_BITS;
        for index in self.probe(hash) {
            let group = self.groups.get(index)?.load(Ordering::Acquire);
            // A byte of zero where they are equal. The highest bit of some others is set too; their slots say otherwise.
            let other = group ^ byte;
            let mut equal = other.wrapping_sub(FIRST_BITS) & !other & LAST_BITS;
            while equal != 0 {
                let index = slot_of(index, equal);
                let slot = self.slots.get(index)?;
                let word = slot.word.load(Ordering::Acquire);
                if word & !SEVERAL == hash {
                    return Some(Values { slots: self, slot, index });
                }
                equal &= equal - 1;
            }
            if group & LAST_BITS != LAST_BITS {
                return None;
            }
        }
        None
    }

    /// Claims a place for a hash that has none. The caller has counted that there is room.
    pub(super) fn claim(&self, hash: u64, values: Vec<Ranked<V>>) {
        for index in self.probe(hash) {
            let Some(group) = self.groups.get(index) else { return };
            let claimed = group.load(Ordering::Acquire);
            let free = !claimed & LAST_BITS;
            if free != 0 {
                let index = slot_of(index, free);
                let Some(slot) = self.slots.get(index) else { return };
                slot.word.store(hash, Ordering::Release);
                Values { slots: self, slot, index }.set(values);
                let place = free.trailing_zeros() / u8::BITS * u8::BITS;
                group.store(claimed | byte(hash) << place, Ordering::Release);
                return;
            }
        }
    }

    /// The groups to look into, one after the other.
    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + use<V> {
        let (first, mask) = ((hash >> 1) as usize, self.groups.len().wrapping_sub(1));
        (0..self.groups.len()).map(move |step| first.wrapping_add(step) & mask)
    }
}

impl<V> Slot<V> {
    fn empty() -> Self {
        Self { word: AtomicU64::default(), first: ArcSwapOption::empty() }
    }
}

/// The values of one hash, as many as there are.
pub(super) struct Values<'a, V> {
    slots: &'a Slots<V>,
    slot: &'a Slot<V>,
    index: usize,
}

impl<V> Values<'_, V> {
    /// The only one, or of several that which `choose` takes.
    pub(super) fn value(&self, choose: impl Fn(&[Ranked<V>]) -> Option<Arc<V>>) -> Option<Arc<V>> {
        if self.slot.word.load(Ordering::Acquire) & SEVERAL != 0
            && let Some(several) = self.slots.several.get()
            && let Some(several) = &*several.get(self.index)?.load()
        {
            return choose(several);
        }
        self.slot.first.load_full()
    }

    /// Whether there is none.
    pub(super) fn is_free(&self) -> bool {
        self.slot.first.load().is_none()
    }

    /// Changes what they are. A reader gets what was there or what is there now.
    pub(super) fn set(&self, values: Vec<Ranked<V>>) {
        let hash = self.slot.word.load(Ordering::Acquire) & !SEVERAL;
        let first = values.first().map(|ranked| ranked.value.clone());
        if values.len() > 1 {
            let several = self.slots.several.get_or_init(|| {
                std::iter::repeat_with(ArcSwapOption::empty).take(self.slots.slots.len()).collect()
            });
            several.get(self.index).into_iter().for_each(|it| it.store(Some(Arc::new(values.clone()))));
            self.slot.word.store(hash | SEVERAL, Ordering::Release);
            self.slot.first.store(first);
        } else {
            self.slot.first.store(first);
            self.slot.word.store(hash, Ordering::Release);
            let several = self.slots.several.get().and_then(|several| several.get(self.index));
            several.into_iter().for_each(|it| it.store(None));
        }
    }
}

/// What stands for a hash in the word of its group: its highest bits. The lowest choose the group.
const fn byte(hash: u64) -> u64 {
    hash >> 57 | CLAIMED
}

/// The slot of a group that the lowest bit in a word is for.
const fn slot_of(group: usize, bits: u64) -> usize {
    GROUP * group + (bits.trailing_zeros() / u8::BITS) as usize
}

/// That a hash has several values.
const SEVERAL: u64 = 1;

const CLAIMED: u64 = 0x80;

/// The lowest and the highest bit of each byte.
const FIRST_BITS: u64 = 0x0101_0101_0101_0101;
const LAST_BITS: u64 = 0x8080_8080_8080_8080;

/// As many as a word has bytes.
const GROUP: usize = 8;

/// A server of one site needs no more than 56 names, and a kilobyte is nothing.
const FEWEST: usize = 8;
