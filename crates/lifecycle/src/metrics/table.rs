//! What a scrape has to know of each certificate: about 20 bytes beside its name.
//!
//! Rows lie in pages, sorted by the certificate's id, and a scrape reads pages that nobody changes: whoever writes
//! one meanwhile writes a copy of it, so that a slow scrape holds nobody up.

use std::sync::Arc;

use perennial_core::Timestamp;

/// A moment in five bytes: seconds since [`Timestamp::MIN`], which lasts beyond [`Timestamp::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment([u8; 5]);

impl Moment {
    /// There is none.
    const NEVER: Self = Self([u8::MAX; 5]);

    pub(super) fn new(at: Option<Timestamp>) -> Self {
        let Some(at) = at else { return Self::NEVER };
        let [b0, b1, b2, b3, b4, ..] = at.since(Timestamp::MIN).as_secs().to_le_bytes();
        Self([b0, b1, b2, b3, b4])
    }

    pub(super) fn get(self) -> Option<Timestamp> {
        if self == Self::NEVER {
            return None;
        }
        let [b0, b1, b2, b3, b4] = self.0;
        let seconds = u64::from_le_bytes([b0, b1, b2, b3, b4, 0, 0, 0]);
        Some(Timestamp::MIN + std::time::Duration::from_secs(seconds))
    }
}

/// What is known of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) not_before: Moment,
    pub(super) not_after: Moment,
    pub(super) renews_at: Moment,
    pub(super) flags: Flags,
    /// Which issuer and namespace, by their number in [`Groups`](super::groups::Groups).
    pub(super) group: u16,
}

/// What does not change with time alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    /// It is the one that is wanted; whether it has ended is asked at the scrape.
    pub(super) const WANTED: Self = Self(1);
    /// The last attempt failed, or the last delivery, or somebody has said no.
    pub(super) const FAILING: Self = Self(2);
    /// An attempt is on record.
    pub(super) const ISSUING: Self = Self(4);
    /// Its record cannot be read.
    pub(super) const UNREADABLE: Self = Self(8);

    pub(super) const fn with(self, flag: Self, set: bool) -> Self {
        if set { Self(self.0 | flag.0) } else { self }
    }

    pub(super) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
}

/// Rows by the ids of their certificates.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// None of them is empty, and all ids of one come before those of the next.
    pages: Vec<Arc<Page>>,
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct Page {
    /// All ids, one behind the other.
    ids: String,
    /// Where each ends.
    ends: Vec<u16>,
    rows: Vec<Row>,
}

/// As many rows as a page holds: 64 characters an id make 16 KiB, which a `u16` can count.
const FULL: usize = 256;

impl Table {
    /// How many rows there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// All rows in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.pages.iter().flat_map(|page| page.iter())
    }

    /// The row of a certificate.
    pub(super) fn get(&self, id: &str) -> Option<Row> {
        let page = self.pages.get(self.page_of(id)?)?;
        page.find(id).ok().and_then(|at| page.rows.get(at).copied())
    }

    /// Puts a row in its place.
    pub(super) fn set(&mut self, id: &str, row: Row) {
        let at = match self.page_of(id) {
            Some(at) => at,
            None => {
                self.pages.push(Arc::default());
                0
            }
        };
        let last = at + 1 == self.pages.len();
        let Some(page) = self.pages.get_mut(at) else { return };
        let page = Arc::make_mut(page);
        match page.find(id) {
            Ok(known) => {
                if let Some(place) = page.rows.get_mut(known) {
                    *place = row;
                }
                return;
            }
            // Ids that come in order fill page after page.
            Err(place) if last && place == page.rows.len() && page.rows.len() >= FULL => {
                page.shrink();
                let mut next = Page::default();
                next.insert(0, id, row);
                self.pages.push(Arc::new(next));
            }
            Err(place) => {
                page.insert(place, id, row);
                if page.rows.len() > FULL {
                    let upper = page.split();
                    self.pages.insert(at + 1, Arc::new(upper));
                }
            }
        }
        self.len += 1;
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(at) = self.page_of(id) else { return };
        let Some(Ok(place)) = self.pages.get(at).map(|page| page.find(id)) else { return };
        if let Some(page) = self.pages.get_mut(at) {
            Arc::make_mut(page).remove(place);
        }
        if self.pages.get(at).is_some_and(|page| page.rows.is_empty()) {
            self.pages.remove(at);
        }
        self.len -= 1;
    }

    /// The ids between two others, in order: after `after` and up to `until`, to its end without one.
    pub(super) fn between(&self, after: Option<&str>, until: Option<&str>) -> Vec<String> {
        let first = after.and_then(|after| self.page_of(after)).unwrap_or(0);
        let ids = self.pages.iter().skip(first).flat_map(|page| page.iter()).map(|(id, _)| id);
        let ids = ids.skip_while(|id| after.is_some_and(|after| *id <= after));
        ids.take_while(|id| until.is_none_or(|until| *id <= until)).map(str::to_owned).collect()
    }

    /// The page that has the id, or would have it; `None` while there is none.
    fn page_of(&self, id: &str) -> Option<usize> {
        if self.pages.is_empty() {
            return None;
        }
        let after = self.pages.partition_point(|page| page.first().is_some_and(|first| first <= id));
        Some(after.saturating_sub(1))
    }
}

impl Page {
    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| usize::from(*end))
    }

    fn id(&self, at: usize) -> Option<&str> {
        self.ids.get(self.start(at)..usize::from(*self.ends.get(at)?))
    }

    fn first(&self) -> Option<&str> {
        self.id(0)
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.rows.iter().enumerate().filter_map(|(at, row)| Some((self.id(at)?, row)))
    }

    fn find(&self, id: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.rows.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.id(middle).map(|known| known.cmp(id)) {
                Some(std::cmp::Ordering::Less) => low = middle + 1,
                Some(std::cmp::Ordering::Equal) => return Ok(middle),
                Some(std::cmp::Ordering::Greater) | None => high = middle,
            }
        }
        Err(low)
    }

    fn insert(&mut self, place: usize, id: &str, row: Row) {
        let (start, len) = (self.start(place), u16::try_from(id.len()).unwrap_or(0));
        self.ids.insert_str(start, id);
        self.ends.iter_mut().skip(place).for_each(|end| *end += len);
        self.ends.insert(place, u16::try_from(start).unwrap_or(0) + len);
        self.rows.insert(place, row);
    }

    fn remove(&mut self, place: usize) {
        let (start, Some(end)) = (self.start(place), self.ends.get(place).copied()) else { return };
        let len = end - u16::try_from(start).unwrap_or(0);
        self.ids.replace_range(start..usize::from(end), "");
        self.ends.iter_mut().skip(place).for_each(|end| *end -= len);
        self.ends.remove(place);
        self.rows.remove(place);
    }

    /// Leaves the lower half and returns the upper one.
    fn split(&mut self) -> Self {
        let half = self.rows.len() / 2;
        let start = self.start(half);
        let (ids, rows) = (self.ids.split_off(start), self.rows.split_off(half));
        let below = u16::try_from(start).unwrap_or(0);
        let ends = self.ends.split_off(half).into_iter().map(|end| end - below).collect();
        Self { ids, ends, rows }
    }

    /// A page that is full for good needs no room to grow.
    fn shrink(&mut self) {
        self.ids.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.rows.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn row(number: u16) -> Row {
        let at = Moment::new(Some(Timestamp::from_unix(number.into())));
        let never = Moment::new(None);
        Row { not_before: at, not_after: at, renews_at: never, flags: Flags::WANTED, group: number }
    }

    #[test]
    fn a_row_takes_twenty_bytes_and_a_moment_is_exact_in_every_year() {
        assert_eq!(size_of::<Row>() + size_of::<u16>(), 20);
        for at in
            [Timestamp::MIN, Timestamp::MAX, Timestamp::from_unix(0), Timestamp::from_unix(4_294_967_296)]
        {
            assert_eq!(Moment::new(Some(at)).get(), Some(at));
        }
        assert_eq!(Moment::new(None).get(), None);
    }

    #[test]
    fn ids_in_order_fill_their_pages_and_others_find_their_place() {
        let mut table = Table::default();
        for number in 0..2_000_u16 {
            table.set(&format!("c{number:05}"), row(number));
        }
        assert_eq!((table.len(), table.pages.len()), (2_000, 8));
        table.set("c00777b", row(1));
        assert_eq!(table.get("c00777b"), Some(row(1)));
        assert_eq!(table.len(), 2_001);
    }

    #[test]
    fn who_reads_sees_no_change_meanwhile() {
        let mut table = Table::default();
        table.set("a", row(1));
        let read = table.clone();
        table.set("a", row(2));
        table.remove("a");
        assert_eq!((read.get("a"), read.len(), table.len()), (Some(row(1)), 1, 0));
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map(steps in proptest::collection::vec((any::<bool>(), 0..600_u16), 0..2_000)) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (set, number) in steps {
                let id = format!("c{}", u32::from(number) * 7_919 % 601);
                if set || number % 3 > 0 {
                    table.set(&id, row(number));
                    map.insert(id, row(number));
                } else {
                    table.remove(&id);
                    map.remove(&id);
                }
            }
            prop_assert_eq!(table.len(), map.len());
            let rows: Vec<_> = table.iter().map(|(id, row)| (id.to_owned(), *row)).collect();
            prop_assert_eq!(&rows, &map.iter().map(|(id, row)| (id.clone(), *row)).collect::<Vec<_>>());
            for (id, row) in &map {
                prop_assert_eq!(table.get(id), Some(*row));
            }
            let between = table.between(Some("c2"), Some("c4"));
            let expected: Vec<_> = map.keys().filter(|id| id.as_str() > "c2" && id.as_str() <= "c4").cloned().collect();
            prop_assert_eq!(between, expected);
        }
    }
}
