//! What a scan asks for next: whoever reads a page of the index reads the next one as well.

use std::collections::BinaryHeap;

use perennial_core::Timestamp;

/// Rows that were found on the way to a page, for the pages after it: the index is looked through once for many.
#[derive(Default)]
pub(super) struct Pages(Option<Ahead>);

/// All rows of the index that come after one and not after the last of these.
struct Ahead {
    /// Moments and indexes of names, in the order of moments and names.
    rows: Vec<(Timestamp, u32)>,
    /// What they come after.
    after: Option<(Timestamp, Box<str>)>,
    /// Whether no row comes after them.
    are_last: bool,
}

/// As many as thirty pages of five hundred: a quarter of a megabyte while somebody scans.
const AHEAD: usize = 16_384;

impl Pages {
    /// The first `most` rows after one. `rows` are all there are, in any order, and are looked at where the page is
    /// not known yet; `now_at` tells where a row stands now.
    pub(super) fn page<'a>(
        &mut self,
        rows: impl Iterator<Item = (Timestamp, &'a str, u32)>,
        now_at: impl Fn(u32) -> Option<(Timestamp, &'a str)>,
        after: Option<(Timestamp, &str)>,
        most: usize,
    ) -> Vec<(Timestamp, u32)> {
        let known = self.0.as_ref().and_then(|ahead| ahead.page(&now_at, after, most));
        let page = known.unwrap_or_else(|| {
            let ahead = Ahead::find(rows, after, most.max(AHEAD));
            let page = ahead.page(&now_at, after, most).unwrap_or_default();
            self.0 = Some(ahead);
            page
        });
        if page.len() < most {
            self.clear(); // It was the last one.
        }
        page
    }

    /// A row was set that stands there now.
    pub(super) fn changed(&mut self, at: Timestamp) {
        if self.0.as_ref().is_some_and(|ahead| ahead.reaches(at)) {
            self.clear();
        }
    }

    /// Whether nothing is known of the pages that follow.
    #[cfg(test)]
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// A name is gone: its index may become another's.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

impl Ahead {
    fn find<'a>(
        rows: impl Iterator<Item = (Timestamp, &'a str, u32)>,
        after: Option<(Timestamp, &str)>,
        most: usize,
    ) -> Self {
        let mut first = BinaryHeap::new();
        let mut are_last = true;
        for row in rows.filter(|(at, name, _)| after.is_none_or(|after| (*at, *name) > after)) {
            if first.len() < most {
                first.push(row);
                continue;
            }
            are_last = false;
            if first.peek().is_some_and(|last| row < *last) {
                first.pop();
                first.push(row);
            }
        }
        let rows = first.into_sorted_vec().into_iter().map(|(at, _, index)| (at, index)).collect();
        Self { rows, after: after.map(|(at, name)| (at, name.into())), are_last }
    }

    /// A page out of these rows; `None` where they do not tell all of it.
    fn page<'a>(
        &self,
        now_at: impl Fn(u32) -> Option<(Timestamp, &'a str)>,
        after: Option<(Timestamp, &str)>,
        most: usize,
    ) -> Option<Vec<(Timestamp, u32)>> {
        let begin = self.after.as_ref().map(|(at, name)| (*at, &**name));
        if after < begin {
            return None;
        }
        let is_before = |row: &(Timestamp, u32)| {
            let name = now_at(row.1).map_or("", |(_, name)| name);
            after.is_some_and(|after| (row.0, name) <= after)
        };
        let rest = self.rows.get(self.rows.partition_point(is_before)..).unwrap_or_default();
        // What has moved since stands elsewhere.
        let rest = rest.iter().filter(|(at, index)| now_at(*index).is_some_and(|(now, _)| now == *at));
        let page: Vec<_> = rest.take(most).copied().collect();
        (page.len() == most || self.are_last).then_some(page)
    }

    /// Whether a row of this moment would stand among these.
    fn reaches(&self, at: Timestamp) -> bool {
        let is_after = self.after.as_ref().is_none_or(|(after, _)| at >= *after);
        is_after && (self.are_last || self.rows.last().is_some_and(|(last, _)| at <= *last))
    }
}
