//! Names and what serves them, read by every handshake and changed now and then.
//!
//! A reader takes no lock and makes no copy: it looks into [`Slots`], by the hash of the name alone. A writer knows the
//! names, and changes the slots of its own, whatever others there are; when there is no room it makes new slots beside
//! those that are read.
//!
//! The hash is keyed by chance, anew should two names have the same. A name that nobody has put here has the hash of one
//! of them once in 2⁶³ ÷ names, and what it is answered with then is a certificate that its client refuses.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;

use super::slots::{Ranked, Slots};

/// A map of names that is read without a lock. A name may have several values.
pub(super) struct Table<V> {
    slots: ArcSwap<Slots<V>>,
    /// What the slots are made from; held by whoever changes them.
    names: Mutex<Names<V>>,
}

/// What is looked for.
#[derive(Clone, Copy, Hash)]
pub(super) struct Key<'a> {
    /// Whether it is all names below this one.
    pub(super) is_wildcard: bool,
    pub(super) name: &'a str,
}

/// What the slots are made from.
struct Names<V> {
    exact: Known<V>,
    wildcards: Known<V>,
    /// How many slots have a hash.
    used: usize,
}

/// Names as they are, and the values of each, the highest rank first.
type Known<V> = HashMap<Box<str>, Vec<Ranked<V>>>;

impl<V> Table<V> {
    pub(super) fn new() -> Self {
        let names = Names { exact: HashMap::new(), wildcards: HashMap::new(), used: 0 };
        Self { slots: ArcSwap::from_pointee(Slots::for_names(0)), names: Mutex::new(names) }
    }

    /// The value of the first of these that has one; of several that which `choose` takes, who gets the highest rank
    /// first.
    pub(super) fn find<'a>(
        &self,
        keys: impl IntoIterator<Item = Key<'a>>,
        choose: impl Fn(&[Ranked<V>]) -> Option<Arc<V>>,
    ) -> Option<Arc<V>> {
        let slots = self.slots.load();
        keys.into_iter().find_map(|key| slots.find(slots.hash(key))?.value(&choose))
    }

    /// Adds a value to those of a name.
    pub(super) fn insert(&self, key: Key<'_>, value: Ranked<V>) {
        self.change(key, |values| add(values, value));
    }

    /// Puts a value into the place of another, in one step for who looks.
    pub(super) fn replace(&self, key: Key<'_>, old: &Arc<V>, value: Ranked<V>) {
        self.change(key, |values| {
            take(values, old);
            add(values, value);
        });
    }

    /// Takes one value of a name away; nothing happens where it has no such.
    pub(super) fn remove(&self, key: Key<'_>, value: &Arc<V>) {
        self.change(key, |values| take(values, value));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let names = self.names();
        names.exact.values().chain(names.wildcards.values()).map(Vec::len).sum()
    }

    fn change(&self, key: Key<'_>, change: impl FnOnce(&mut Vec<Ranked<V>>)) {
        let mut names = self.names();
        let mut values = names.of(key).remove(key.name).unwrap_or_default();
        let was_there = !values.is_empty();
        change(&mut values);
        let slots = self.slots.load();
        let placed = names.place(&slots, key, &values, was_there);
        if !values.is_empty() {
            names.of(key).insert(key.name.into(), values);
        }
        if !placed {
            self.slots.store(Arc::new(names.slots()));
        }
    }

    fn names(&self) -> MutexGuard<'_, Names<V>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Names<V> {
    fn of(&mut self, key: Key<'_>) -> &mut Known<V> {
        if key.is_wildcard { &mut self.wildcards } else { &mut self.exact }
    }

    /// Lets the values of a name be found, if there is room for it, and no other name has its hash.
    fn place(&mut self, slots: &Slots<V>, key: Key<'_>, values: &[Ranked<V>], was_there: bool) -> bool {
        let hash = slots.hash(key);
        let values = values.to_vec();
        match slots.find(hash) {
            Some(slot) if was_there || slot.is_free() => slot.set(values),
            None if values.is_empty() => {}
            None if self.used < slots.most() => {
                self.used += 1;
                slots.claim(hash, values);
            }
            _ => return false,
        }
        true
    }

    /// New slots for all of them, with room for more.
    fn slots(&mut self) -> Slots<V> {
        let count = self.exact.len() + self.wildcards.len();
        let (exact, wildcards) = (std::mem::take(&mut self.exact), std::mem::take(&mut self.wildcards));
        let mut slots = Slots::for_names(count);
        while !self.place_all(&slots, [(false, &exact), (true, &wildcards)]) {
            slots = Slots::for_names(count);
        }
        (self.exact, self.wildcards) = (exact, wildcards);
        slots
    }

    fn place_all(&mut self, slots: &Slots<V>, names: [(bool, &Known<V>); 2]) -> bool {
        self.used = 0;
        names.into_iter().all(|(is_wildcard, names)| {
            let mut names = names.iter();
            names.all(|(name, values)| self.place(slots, Key { is_wildcard, name }, values, false))
        })
    }
}

fn add<V>(values: &mut Vec<Ranked<V>>, value: Ranked<V>) {
    let place = values.partition_point(|other| other.rank > value.rank);
    // Nearly every name has one value.
    values.reserve_exact(1);
    values.insert(place, value);
}

fn take<V>(values: &mut Vec<Ranked<V>>, value: &Arc<V>) {
    if let Some(place) = values.iter().position(|other| Arc::ptr_eq(&other.value, value)) {
        values.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const fn exact(name: &str) -> Key<'_> {
        Key { is_wildcard: false, name }
    }

    const fn ranked<V>(rank: i64, value: Arc<V>) -> Ranked<V> {
        Ranked { rank, ends: i64::MAX, value }
    }

    fn values(table: &Table<u32>, key: Key<'_>) -> Vec<u32> {
        let all = Mutex::new(None);
        let found = table.find([key], |values| {
            *all.lock().unwrap() = Some(values.iter().map(|ranked| *ranked.value).collect());
            values.first().map(|ranked| ranked.value.clone())
        });
        all.into_inner().unwrap().unwrap_or_else(|| found.iter().map(|value| **value).collect())
    }

    #[test]
    fn names_are_found_while_the_table_grows_and_gone_when_they_are_removed() {
        let table = Table::new();
        let name = |index: u32| format!("site-{index}.example");
        let mut kept = Vec::new();
        for index in 0..1_000 {
            let value = Arc::new(index);
            table.insert(exact(&name(index)), ranked(0, value.clone()));
            kept.push(value);
            assert_eq!(values(&table, exact(&name(index / 2))), [index / 2]);
        }
        let most = table.slots.load().most();
        assert!((1_000..=2_048).contains(&most), "{most}");
        for (index, value) in (0..).zip(&kept) {
            table.remove(exact(&name(index)), value);
            assert_eq!(values(&table, exact(&name(index))), [0; 0]);
        }
        assert_eq!(table.len(), 0);
        assert!(kept.iter().all(|value| Arc::strong_count(value) == 1), "nothing holds what was taken away");
    }

    #[test]
    fn slots_of_names_that_are_gone_are_made_free_when_there_is_no_room() {
        let table = Table::new();
        let most = table.slots.load().most();
        for index in 0..10_000 {
            let (name, value) = (index.to_string(), Arc::new(index));
            table.insert(exact(&name), ranked(0, value.clone()));
            assert_eq!(values(&table, exact(&name)), [index]);
            table.remove(exact(&name), &value);
        }
        assert_eq!(table.slots.load().most(), most);
    }

    #[test]
    fn a_hash_that_another_name_has_leads_to_a_new_one() {
        let table = Table::new();
        table.insert(exact("a"), ranked(0, Arc::new(1)));
        // Another name's slot has the hash of the next one.
        let slots = table.slots.load_full();
        slots.claim(slots.hash(exact("b")), vec![ranked(0, Arc::new(3))]);
        table.insert(exact("b"), ranked(0, Arc::new(2)));
        assert!(!Arc::ptr_eq(&slots, &table.slots.load()));
        assert_eq!((values(&table, exact("a")), values(&table, exact("b"))), (vec![1], vec![2]));
    }

    #[test]
    fn nothing_holds_one_of_several_values_that_was_taken_away() {
        let (table, [kept, gone]) = (Table::new(), [1, 2].map(Arc::new));
        table.insert(exact("a"), ranked(1, kept));
        table.insert(exact("a"), ranked(2, gone.clone()));
        assert_eq!(values(&table, exact("a")), [2, 1]);
        table.remove(exact("a"), &gone);
        assert_eq!((values(&table, exact("a")), Arc::strong_count(&gone)), (vec![1], 1));
    }

    #[test]
    fn a_name_and_all_names_below_it_are_two_and_the_first_that_is_asked_for_is_found() {
        let table = Table::new();
        let below = Key { is_wildcard: true, name: "a" };
        table.insert(exact("a"), ranked(0, Arc::new(1)));
        assert_eq!(values(&table, below), [0; 0]);
        table.insert(below, ranked(0, Arc::new(2)));
        let find = |keys: [Key<'_>; 2]| {
            table.find(keys, |all| all.first().map(|it| it.value.clone())).map(|value| *value)
        };
        assert_eq!(find([exact("a"), below]), Some(1));
        assert_eq!(find([below, exact("a")]), Some(2));
        assert_eq!(find([exact("b"), below]), Some(2));
        assert_eq!(find([exact("b"), exact("c")]), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u32),
        Remove(u8, u32),
        Replace(u8, u32, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (name, value) = (0u8..200, 0u32..4);
        prop_oneof![
            2 => (name.clone(), value.clone()).prop_map(|(name, value)| Step::Insert(name, value)),
            1 => (name.clone(), value.clone()).prop_map(|(name, value)| Step::Remove(name, value)),
            1 => (name, value.clone(), value).prop_map(|(name, old, new)| Step::Replace(name, old, new)),
        ]
    }

    proptest! {
        #[test]
        fn it_knows_what_a_plain_map_would_know(steps in proptest::collection::vec(step(), 0..600)) {
            let shared: Vec<Arc<u32>> = (0..4).map(Arc::new).collect();
            let (table, mut model) = (Table::new(), BTreeMap::<u8, Vec<u32>>::new());
            let take = |known: &mut Vec<u32>, value| {
                known.iter().position(|it| *it == value).map(|place| known.remove(place));
            };
            for step in steps {
                let (Step::Insert(name, _) | Step::Remove(name, _) | Step::Replace(name, ..)) = step;
                let (key, known) = (name.to_string(), model.entry(name).or_default());
                match step {
                    Step::Insert(_, value) => {
                        table.insert(exact(&key), ranked(value.into(), shared[value as usize].clone()));
                        known.push(value);
                    }
                    Step::Remove(_, value) => {
                        table.remove(exact(&key), &shared[value as usize]);
                        take(known, value);
                    }
                    Step::Replace(_, old, value) => {
                        let (old_value, new) = (&shared[old as usize], shared[value as usize].clone());
                        table.replace(exact(&key), old_value, ranked(value.into(), new));
                        take(known, old);
                        known.push(value);
                    }
                }
                known.sort_unstable_by(|left, right| right.cmp(left));
            }
            prop_assert_eq!(table.len(), model.values().map(Vec::len).sum::<usize>());
            for name in 0..200 {
                let known = model.get(&name).cloned().unwrap_or_default();
                prop_assert_eq!(values(&table, exact(&name.to_string())), known);
            }
        }
    }
}
