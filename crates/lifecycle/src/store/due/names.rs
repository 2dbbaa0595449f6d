//! The names of millions of certificates, each once, with a dense number.

use crate::CertificateId;

/// Names in one piece of memory, a dense index for each, and their order.
///
/// A name takes its own bytes and some fifteen more. An index is used again when its name was removed.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each name lies, by its index.
    places: Vec<Place>,
    /// Indexes whose names were removed.
    free: Vec<u32>,
    /// Bytes of names that were removed.
    garbage: usize,
    order: Order,
}

/// Where a name begins, and in the lowest byte how long it is; 0 for none.
#[derive(Clone, Copy)]
struct Place(u64);

impl Place {
    const NOWHERE: Self = Self(0);

    const fn new(start: usize, length: u8) -> Self {
        Self((start as u64) << 8 | length as u64)
    }

    const fn range(self) -> std::ops::Range<usize> {
        let start = (self.0 >> 8) as usize;
        start..start + (self.0 & 0xff) as usize
    }
}

/// Indexes in the order of their names, in pieces: to insert one moves a piece of them at most.
#[derive(Default)]
struct Order {
    pieces: Vec<Vec<u32>>,
    length: usize,
}

/// Four kilobytes: moving them costs less than one miss of a cache for each of them would.
const PIECE: usize = 1_024;

impl Names {
    /// How many names there are.
    pub(super) const fn len(&self) -> usize {
        self.order.length
    }

    /// The index of a name, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let (piece, at) = self.place_of(name)?.ok()?;
        self.order.pieces.get(piece)?.get(at).copied()
    }

    /// The index of a name, which it gets now if it is new.
    pub(super) fn insert(&mut self, name: &str) -> u32 {
        let (piece, at) = match self.place_of(name) {
            Some(Ok((piece, at))) => {
                let found = self.order.pieces.get(piece).and_then(|piece| piece.get(at));
                return found.copied().unwrap_or(u32::MAX);
            }
            Some(Err(place)) => place,
            None => (0, 0),
        };
        let index = self.store(name);
        self.order.insert(piece, at, index);
        index
    }

    /// Removes a name and returns the index that it had.
    pub(super) fn remove(&mut self, name: &str) -> Option<u32> {
        let (piece, at) = self.place_of(name)?.ok()?;
        let index = self.order.remove(piece, at)?;
        if let Some(place) = self.places.get_mut(index as usize) {
            self.garbage += place.range().len();
            *place = Place::NOWHERE;
        }
        self.free.push(index);
        if self.garbage > self.bytes.len() / 2 {
            self.compact();
        }
        Some(index)
    }

    /// The id of an index.
    pub(super) fn id(&self, index: u32) -> Option<CertificateId> {
        self.name(index).parse().ok()
    }

    /// All of them in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.order.pieces.iter().flatten().map(|index| (*index, self.name(*index)))
    }

    /// Those that come after a name, in order.
    pub(super) fn after(&self, name: Option<&str>) -> impl Iterator<Item = (u32, Option<CertificateId>)> {
        let (piece, at) = match name.and_then(|name| self.place_of(name)) {
            Some(Ok((piece, at))) => (piece, at + 1),
            Some(Err(place)) => place,
            None => (0, 0),
        };
        let pieces = self.order.pieces.get(piece..).unwrap_or_default();
        pieces.iter().flatten().skip(at).map(|index| (*index, self.id(*index)))
    }

    /// The text of an index; empty for one without a name.
    pub(super) fn name(&self, index: u32) -> &str {
        let place = self.places.get(index as usize).copied().unwrap_or(Place::NOWHERE);
        let bytes = self.bytes.get(place.range()).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Where a name lies in the order, or where it would; `None` while there are no names.
    fn place_of(&self, name: &str) -> Option<Result<(usize, usize), (usize, usize)>> {
        let is_last = |piece: &[u32]| piece.last().is_some_and(|last| self.name(*last) < name);
        // Names come in order when there are many.
        let last = self.order.pieces.len().checked_sub(1)?;
        if let Some(piece) = self.order.pieces.get(last).filter(|piece| is_last(piece)) {
            return Some(Err((last, piece.len())));
        }
        let first = |piece: &Vec<u32>| piece.first().is_some_and(|first| self.name(*first) <= name);
        let number = self.order.pieces.partition_point(first).saturating_sub(1);
        let piece = self.order.pieces.get(number)?;
        let found = piece.binary_search_by(|index| self.name(*index).cmp(name));
        Some(found.map(|at| (number, at)).map_err(|at| (number, at)))
    }

    fn store(&mut self, name: &str) -> u32 {
        // An id has 64 letters at most.
        let place = Place::new(self.bytes.len(), u8::try_from(name.len()).unwrap_or(u8::MAX));
        reserve(&mut self.bytes, name.len());
        self.bytes.extend_from_slice(name.as_bytes());
        if let Some(index) = self.free.pop() {
            if let Some(free) = self.places.get_mut(index as usize) {
                *free = place;
            }
            return index;
        }
        reserve(&mut self.places, 1);
        self.places.push(place);
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    /// Moves the names together.
    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.garbage);
        for place in &mut self.places {
            let name = self.bytes.get(place.range()).unwrap_or_default();
            if !name.is_empty() {
                let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
                *place = Place::new(bytes.len(), length);
                bytes.extend_from_slice(name);
            }
        }
        self.bytes = bytes;
        self.garbage = 0;
    }
}

impl Order {
    fn insert(&mut self, piece: usize, at: usize, index: u32) {
        self.length += 1;
        let Some(found) = self.pieces.get_mut(piece) else {
            let mut first = Vec::with_capacity(PIECE);
            first.push(index);
            self.pieces.push(first);
            return;
        };
        if found.len() < PIECE {
            found.insert(at.min(found.len()), index);
            return;
        }
        // At the end a full piece stays full; else there will be room in both halves.
        let cut = if at == found.len() { at } else { PIECE / 2 };
        let mut upper = Vec::with_capacity(PIECE);
        upper.extend(found.drain(cut..));
        if at <= cut && cut < PIECE {
            found.insert(at, index);
        } else {
            upper.insert(at - cut, index);
        }
        self.pieces.insert(piece + 1, upper);
    }

    fn remove(&mut self, piece: usize, at: usize) -> Option<u32> {
        let found = self.pieces.get_mut(piece).filter(|found| at < found.len())?;
        let index = found.remove(at);
        if found.is_empty() {
            self.pieces.remove(piece);
        }
        self.length -= 1;
        Some(index)
    }
}

/// An eighth more than needed: doubling would cost as much memory again as everything there is.
pub(super) fn reserve<T>(vector: &mut Vec<T>, more: usize) {
    if vector.capacity() - vector.len() < more {
        vector.reserve_exact(more.max(vector.len() / 8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn many_names_in_any_order_are_found_and_listed() {
        for reversed in [false, true] {
            let mut numbers: Vec<u32> = (0..5_000).collect();
            if reversed {
                numbers.reverse();
            }
            let mut names = Names::default();
            let indexes: Vec<u32> = numbers.iter().map(|n| names.insert(&format!("{n:05}"))).collect();
            assert_eq!(indexes, (0..5_000).collect::<Vec<_>>());
            let listed: Vec<String> = names.iter().map(|(_, name)| name.to_owned()).collect();
            assert!(listed.is_sorted() && listed.len() == 5_000);
            assert_eq!(names.find("01234"), Some(if reversed { 3_765 } else { 1_234 }));
            assert_eq!(names.after(Some("04997x")).count(), 2);
        }
    }

    proptest! {
        #[test]
        fn they_are_what_a_sorted_set_is(operations in proptest::collection::vec((any::<bool>(), 0u16..600), 1..2_000)) {
            let (mut names, mut model) = (Names::default(), BTreeSet::new());
            for (add, number) in operations {
                let name = format!("n{}{}", number % 7, number);
                if add {
                    let index = names.insert(&name);
                    prop_assert_eq!(names.name(index), name.as_str());
                    model.insert(name);
                } else {
                    prop_assert_eq!(names.remove(&name).is_some(), model.remove(&name));
                    prop_assert_eq!(names.find(&name), None);
                }
            }
            prop_assert_eq!(names.len(), model.len());
            prop_assert!(names.iter().map(|(_, name)| name).eq(model.iter().map(String::as_str)));
            prop_assert!(names.places.len() <= 600 && names.garbage <= names.bytes.len() / 2);
            let (_, after) = model.iter().enumerate().nth(model.len() / 2).map_or((0, None), |(n, name)| (n, Some(name)));
            let ids: Vec<_> = names.after(after.map(String::as_str)).filter_map(|(_, id)| id).collect();
            let expected: Vec<_> = model.iter().filter(|name| after.is_none_or(|after| *name > after)).collect();
            prop_assert!(ids.iter().map(CertificateId::as_str).eq(expected.into_iter().map(String::as_str)));
        }
    }
}
