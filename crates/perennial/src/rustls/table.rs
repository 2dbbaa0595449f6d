//! Names and what serves them, read by every handshake and changed now and then.
//!
//! A reader takes no lock and makes no copy: it hashes the name, and looks into one bucket of a few entries. A
//! writer replaces the bucket that it changes, whatever else there is; when there are more names than buckets it
//! builds twice as many beside those that are read, once for as many insertions as there were before.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::{ArcSwap, ArcSwapOption};

/// A map of names that is read without a lock. A name may have several values.
pub(super) struct Table<V> {
    /// Seeded by chance: whoever chooses names cannot choose them to share a bucket.
    hasher: RandomState,
    buckets: ArcSwap<Buckets<V>>,
    /// How many entries there are; held by whoever changes them.
    count: Mutex<usize>,
}

/// As many as a power of two.
type Buckets<V> = Box<[ArcSwapOption<Bucket<V>>]>;
type Bucket<V> = Box<[Entry<V>]>;

struct Entry<V> {
    hash: u64,
    name: Arc<str>,
    value: Arc<V>,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { hash: self.hash, name: self.name.clone(), value: self.value.clone() }
    }
}

impl<V> Table<V> {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            buckets: ArcSwap::from_pointee(empty(FEWEST)),
            count: Mutex::new(0),
        }
    }

    /// Shows the values of a name to `look`, in no order, and returns its answer; `None` for a name that has none.
    pub(super) fn find<T>(&self, name: &str, look: impl FnOnce(Values<'_, V>) -> T) -> Option<T> {
        let hash = self.hasher.hash_one(name);
        let buckets = self.buckets.load();
        let bucket = slot(&buckets, hash)?.load();
        let entries = bucket.as_ref()?;
        let is_own = |entry: &Entry<V>| entry.hash == hash && *entry.name == *name;
        let first = entries.iter().position(is_own)?;
        Some(look(Values { entries: entries.get(first..)?, hash, name }))
    }

    /// Adds a value to those of a name.
    pub(super) fn insert(&self, name: Arc<str>, value: Arc<V>) {
        let mut count = self.count();
        if *count >= self.buckets.load().len() {
            self.grow();
        }
        let hash = self.hasher.hash_one(&*name);
        self.change(hash, |entries| entries.push(Entry { hash, name, value }));
        *count += 1;
    }

    /// Takes one value of a name away; nothing happens where it has no such.
    pub(super) fn remove(&self, name: &str, value: &Arc<V>) {
        let mut count = self.count();
        let hash = self.hasher.hash_one(name);
        let is_it = |entry: &Entry<V>| *entry.name == *name && Arc::ptr_eq(&entry.value, value);
        self.change(hash, |entries| {
            if let Some(index) = entries.iter().position(is_it) {
                entries.swap_remove(index);
                *count -= 1;
            }
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        *self.count()
    }

    /// Replaces the bucket of a hash. The caller holds the count.
    fn change(&self, hash: u64, change: impl FnOnce(&mut Vec<Entry<V>>)) {
        let buckets = self.buckets.load();
        let Some(slot) = slot(&buckets, hash) else { return };
        let mut entries = slot.load().as_ref().map(|bucket| bucket.to_vec()).unwrap_or_default();
        change(&mut entries);
        slot.store((!entries.is_empty()).then(|| Arc::new(entries.into_boxed_slice())));
    }

    /// Twice as many buckets. The caller holds the count.
    fn grow(&self) {
        let buckets = self.buckets.load();
        let mut sorted: Vec<Vec<Entry<V>>> =
            std::iter::repeat_with(Vec::new).take(2 * buckets.len()).collect();
        for bucket in buckets.iter() {
            for entry in bucket.load().iter().flat_map(|bucket| bucket.iter()) {
                let index = index(entry.hash, sorted.len());
                sorted.get_mut(index).into_iter().for_each(|entries| entries.push(entry.clone()));
            }
        }
        let more = sorted.into_iter().map(|entries| {
            let bucket = (!entries.is_empty()).then(|| Arc::new(entries.into_boxed_slice()));
            ArcSwapOption::new(bucket)
        });
        self.buckets.store(Arc::new(more.collect()));
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of one name.
pub(super) struct Values<'a, V> {
    entries: &'a [Entry<V>],
    hash: u64,
    name: &'a str,
}

impl<'a, V> Iterator for Values<'a, V> {
    type Item = &'a Arc<V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (entry, rest) = self.entries.split_first()?;
            self.entries = rest;
            if entry.hash == self.hash && *entry.name == *self.name {
                return Some(&entry.value);
            }
        }
    }
}

fn empty<V>(buckets: usize) -> Buckets<V> {
    std::iter::repeat_with(ArcSwapOption::empty).take(buckets).collect()
}

fn slot<V>(buckets: &Buckets<V>, hash: u64) -> Option<&ArcSwapOption<Bucket<V>>> {
    buckets.get(index(hash, buckets.len()))
}

/// `buckets` is a power of two.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
const fn index(hash: u64, buckets: usize) -> usize {
    hash as usize & buckets.wrapping_sub(1)
}

/// A server of one site needs no more, and half a kilobyte is nothing.
const FEWEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn values(table: &Table<u32>, name: &str) -> Vec<u32> {
        let mut values: Vec<u32> =
            table.find(name, |values| values.map(|value| **value).collect()).unwrap_or_default();
        values.sort_unstable();
        values
    }

    #[test]
    fn names_are_found_while_the_table_grows_and_gone_when_they_are_removed() {
        let table = Table::new();
        let name = |index: u32| -> Arc<str> { format!("site-{index}.example").into() };
        let mut kept = Vec::new();
        for index in 0..1_000 {
            let value = Arc::new(index);
            table.insert(name(index), value.clone());
            kept.push(value);
            assert_eq!(values(&table, &name(index / 2)), [index / 2]);
        }
        assert_eq!(table.buckets.load().len(), 1_024);
        for (index, value) in (0..).zip(&kept) {
            table.remove(&name(index), value);
            assert_eq!(values(&table, &name(index)), [0; 0]);
        }
        assert_eq!(table.len(), 0);
        assert!(table.buckets.load().iter().all(|bucket| bucket.load().is_none()));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u32),
        Remove(u8, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (0u8..200, 0u32..3).prop_map(|(name, value)| Step::Insert(name, value)),
            1 => (0u8..200, 0u32..3).prop_map(|(name, value)| Step::Remove(name, value)),
        ]
    }

    proptest! {
        #[test]
        fn it_knows_what_a_plain_map_would_know(steps in proptest::collection::vec(step(), 0..400)) {
            let (table, mut model) = (Table::new(), BTreeMap::<(u8, u32), Vec<Arc<u32>>>::new());
            for step in steps {
                match step {
                    Step::Insert(name, value) => {
                        let shared = Arc::new(value);
                        table.insert(name.to_string().into(), shared.clone());
                        model.entry((name, value)).or_default().push(shared);
                    }
                    Step::Remove(name, value) => match model.get_mut(&(name, value)).and_then(Vec::pop) {
                        Some(shared) => table.remove(&name.to_string(), &shared),
                        None => table.remove(&name.to_string(), &Arc::new(value)),
                    },
                }
            }
            prop_assert_eq!(table.len(), model.values().map(Vec::len).sum::<usize>());
            for name in 0..200 {
                let known: Vec<u32> = model
                    .range((name, 0)..=(name, u32::MAX))
                    .flat_map(|((_, value), shared)| vec![*value; shared.len()])
                    .collect();
                prop_assert_eq!(values(&table, &name.to_string()), known);
            }
        }
    }
}
