//! Which certificate is due next in each of two lines: timers that share their memory.

use perennial_core::Timestamp;

use super::calendar::{CAPACITY, Calendar, Entries};
use crate::budget::Line;

/// Which certificate is due next in each of two lines: one timer for each, by a dense index of the caller's.
///
/// A bit more for each than in a [`Schedule`](super::Schedule), whichever line it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    entries: Entries,
    first: Calendar,
    renewal: Calendar,
    /// A bit for each index whose timer stands among the renewals.
    renewals: Vec<u64>,
}

impl Lines {
    /// When the timer of this index is due, if it has one, and in which line.
    pub(crate) fn get(&self, index: u32) -> Option<(Timestamp, Line)> {
        let entry = self.entries.timer(index)?;
        Some((Timestamp::from_unix(i64::from(entry.at)), self.line(index)))
    }

    /// Sets or moves a timer, as [`Schedule::set`](super::Schedule::set) does.
    pub(crate) fn set(&mut self, index: u32, at: Timestamp, line: Line) {
        if index >= CAPACITY {
            return;
        }
        self.remove(index);
        self.entries.reach(index);
        let word = index as usize / 64;
        if self.renewals.len() <= word {
            self.renewals.resize(word + 1, 0);
        }
        if let Some(word) = self.renewals.get_mut(word) {
            let bit = 1 << (index % 64);
            *word = if line == Line::Renewal { *word | bit } else { *word & !bit };
        }
        let (calendar, entries) = self.calendar(line);
        calendar.set(entries, index, at);
    }

    /// Removes a timer.
    pub(crate) fn remove(&mut self, index: u32) {
        let (calendar, entries) = self.calendar(self.line(index));
        calendar.remove(entries, index);
    }

    /// Removes the earliest timer of a line, if it is due, and returns its index and when it was due.
    pub(crate) fn pop(&mut self, now: Timestamp, line: Line) -> Option<(u32, Timestamp)> {
        let (calendar, entries) = self.calendar(line);
        let due = calendar.pop(entries, now)?;
        Some((due.index(), due.moment()))
    }

    /// When the earliest timer of both lines is due, as [`Schedule::next`](super::Schedule::next) tells.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let next = [&self.first, &self.renewal].map(|calendar| calendar.next(&self.entries));
        next.into_iter().flatten().min()
    }

    fn line(&self, index: u32) -> Line {
        let word = self.renewals.get(index as usize / 64).copied().unwrap_or_default();
        if word & (1 << (index % 64)) == 0 { Line::First } else { Line::Renewal }
    }

    const fn calendar(&mut self, line: Line) -> (&mut Calendar, &mut Entries) {
        let calendar = match line {
            Line::First => &mut self.first,
            Line::Renewal => &mut self.renewal,
        };
        (calendar, &mut self.entries)
    }
}

impl Default for Lines {
    fn default() -> Self {
        let entries = Entries::default();
        Self { entries, first: Calendar::new(0), renewal: Calendar::new(1), renewals: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(seconds: u32) -> Timestamp {
        Timestamp::from_unix(i64::from(seconds))
    }

    fn drained(lines: &mut Lines, now: u32, line: Line) -> Vec<u32> {
        std::iter::from_fn(|| lines.pop(at(now), line)).map(|(index, _)| index).collect()
    }

    #[test]
    fn one_that_changes_its_line_leaves_nothing_in_the_other() {
        let mut lines = Lines::default();
        lines.set(3, at(50), Line::First);
        lines.set(3, at(50), Line::Renewal);
        assert_eq!(lines.get(3), Some((at(50), Line::Renewal)));
        assert_eq!(drained(&mut lines, 99, Line::First), [0; 0]);
        lines.set(3, at(50), Line::First);
        assert_eq!(drained(&mut lines, 99, Line::Renewal), [0; 0]);
        assert_eq!(drained(&mut lines, 99, Line::First), [3]);
        assert_eq!((lines.next(), lines.get(3)), (None, None));
        lines.set(u32::MAX, at(1), Line::First);
        lines.set(CAPACITY, at(1), Line::Renewal);
        assert_eq!(lines.next(), None, "no index is so high");
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Set(u32, u32, Line),
        Remove(u32),
        Pop(u32, Line),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        // Moments that share digits, or are the same, are as likely as those that do not.
        let moment = prop_oneof![0u32..4, 0u32..9_000, 0u32..40_000_000, any::<u32>()];
        let line = proptest::sample::select(&[Line::First, Line::Renewal]);
        prop_oneof![
            (0u32..40, moment.clone(), line.clone())
                .prop_map(|(index, at, line)| Operation::Set(index, at, line)),
            (0u32..40).prop_map(Operation::Remove),
            (moment, line).prop_map(|(at, line)| Operation::Pop(at, line)),
        ]
    }

    proptest! {
        #[test]
        fn they_do_what_two_sorted_maps_do(operations in proptest::collection::vec(operation(), 1..200)) {
            let (mut lines, mut model) = (Lines::default(), BTreeMap::<u32, (u32, Line)>::new());
            for operation in operations {
                match operation {
                    Operation::Set(index, moment, line) => {
                        lines.set(index, at(moment), line);
                        model.insert(index, (moment, line));
                    }
                    Operation::Remove(index) => {
                        lines.remove(index);
                        model.remove(&index);
                    }
                    Operation::Pop(now, line) => {
                        let due = model.iter().filter(|(_, (at, of))| *at <= now && *of == line);
                        let mut due: Vec<_> = due.map(|(index, (at, _))| (*at, *index)).collect();
                        due.sort_unstable();
                        let due: Vec<u32> = due.into_iter().map(|(_, index)| index).collect();
                        prop_assert_eq!(drained(&mut lines, now, line), due);
                        model.retain(|_, (at, of)| *at > now || *of != line);
                    }
                }
                prop_assert_eq!(lines.next(), model.values().map(|(moment, _)| at(*moment)).min());
                for index in 0..40 {
                    let expected = model.get(&index).map(|(moment, line)| (at(*moment), *line));
                    prop_assert_eq!(lines.get(index), expected);
                }
            }
        }
    }
}
