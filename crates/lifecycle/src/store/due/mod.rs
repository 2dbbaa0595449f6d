//! Which certificate is due when, and who holds it: the index of the stores that live in one process.
//!
//! It holds no clock and touches nothing: `now` comes in as a value.

use std::{collections::HashMap, time::Duration};

use perennial_core::Timestamp;

use super::{Due, Fence, Held, Owner};
use crate::{CertificateId, Record, StoreError, budget::Line, schedule::Lines};

mod names;
use names::Names;

mod pages;
use pages::Pages;

/// Which certificate is due when, and who holds it.
///
/// Some fifty bytes a certificate, its name included. The time of a certificate that is held is the end of its
/// claim, so that one that is over is found as one that is due is.
///
/// Certificates stand in two lines, and are handed out of each in turn: whatever is due in one of them keeps nothing
/// waiting in the other.
pub(super) struct DueIndex {
    names: Names,
    timers: Lines,
    /// Out of which line the next one is handed out.
    turn: Line,
    /// By the index of the name.
    held: HashMap<u32, Hold>,
    /// The newest fence of all certificates: so none is used again when a certificate is removed and comes back.
    newest: Fence,
    /// What [`next`](Self::next) answered last.
    said: Option<Timestamp>,
    pages: Pages,
}

/// A claim that was neither let go nor replaced by another. It may be over by time.
struct Hold {
    owner: Owner,
    fence: Fence,
    until: Timestamp,
    /// Where the certificate stands once it is let go.
    row: Row,
}

/// Where a certificate stands: when it is due, and in which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) at: Timestamp,
    pub(super) line: Line,
}

impl Row {
    /// As an index holds it: from 1970 to 2106.
    pub(super) fn new(at: Timestamp, line: Line) -> Self {
        let at = at.clamp(Timestamp::from_unix(0), Timestamp::from_unix(u32::MAX.into()));
        Self { at, line }
    }

    /// Where a record says that it stands.
    pub(super) fn of(record: &Record) -> Self {
        let line = if record.current.is_some() { Line::Renewal } else { Line::First };
        Self::new(record.next_at, line)
    }
}

impl Default for DueIndex {
    /// Renewals are handed out first: one that runs out is worse than one that begins later.
    fn default() -> Self {
        Self {
            names: Names::default(),
            timers: Lines::default(),
            turn: Line::Renewal,
            held: HashMap::new(),
            newest: Fence::default(),
            said: None,
            pages: Pages::default(),
        }
    }
}

impl DueIndex {
    /// How many certificates there are.
    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    /// Sets where a certificate stands, which may be new, and returns whether that is earlier than was
    /// [said](Self::next). While it is held that counts when it is let go.
    pub(super) fn put(&mut self, id: &CertificateId, row: Row) -> bool {
        self.put_name(id.as_str(), row)
    }

    /// The same for what is known to be an id.
    pub(super) fn put_name(&mut self, name: &str, row: Row) -> bool {
        let index = self.names.insert(name);
        if let Some(hold) = self.held.get_mut(&index) {
            hold.row = row;
            return false;
        }
        self.set(index, row);
        self.is_earlier(row.at)
    }

    fn set(&mut self, index: u32, Row { at, line }: Row) {
        self.timers.set(index, at, line);
        self.pages.changed(at);
    }

    fn is_earlier(&self, at: Timestamp) -> bool {
        self.said.is_none_or(|said| at < said)
    }

    /// Removes a certificate; whoever holds it has lost it.
    pub(super) fn remove(&mut self, id: &CertificateId) {
        if let Some(index) = self.names.remove(id.as_str()) {
            self.timers.remove(index);
            self.held.remove(&index);
            self.pages.clear();
        }
    }

    /// Claims the one that is due for the longest time, out of each line in turn while both have one.
    pub(super) fn claim(&mut self, now: Timestamp, owner: &Owner, ttl: Duration) -> Option<Held> {
        let turn = self.turn;
        for line in [turn, turn.other()] {
            while let Some((index, row)) = self.pop(now, line) {
                // A timer without a name is none.
                if let Some(id) = self.names.id(index) {
                    self.turn = line.other();
                    return Some(self.hold(now, owner, ttl, index, row, id));
                }
            }
        }
        None
    }

    fn pop(&mut self, now: Timestamp, line: Line) -> Option<(u32, Row)> {
        let (index, at) = self.timers.pop(now, line)?;
        Some((index, Row { at, line }))
    }

    /// Claims this one, unless somebody holds it.
    pub(super) fn claim_one(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Option<Held> {
        let index = self.names.find(id.as_str())?;
        let free = self.held.get(&index).is_none_or(|hold| hold.until <= now);
        let (at, line) = self.timers.get(index).filter(|_| free)?;
        Some(self.hold(now, owner, ttl, index, Row { at, line }, id.clone()))
    }

    /// Holds one that stood there.
    fn hold(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        ttl: Duration,
        index: u32,
        stood: Row,
        id: CertificateId,
    ) -> Held {
        let row = self.held.get(&index).map_or(stood, |over| over.row);
        let until = end(now, ttl);
        self.newest = self.newest.next();
        let fence = self.newest;
        self.held.insert(index, Hold { owner: owner.clone(), fence, until, row });
        self.set(index, Row::new(until, row.line));
        Held { id, owner: owner.clone(), fence }
    }

    /// Whether a claim is the newest of its certificate and was not let go.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub(super) fn check(&self, held: &Held) -> Result<(), StoreError> {
        if self.holder(held).is_some() {
            return Ok(());
        }
        let hold = self.names.find(held.id.as_str()).and_then(|index| self.held.get(&index));
        let newest = hold.map(|hold| hold.fence);
        Err(StoreError::Fenced { id: held.id.clone(), held: held.fence, newest })
    }

    /// The index of what a claim holds, if it does.
    fn holder(&self, held: &Held) -> Option<u32> {
        let index = self.names.find(held.id.as_str())?;
        let hold = self.held.get(&index)?;
        (hold.owner == held.owner && hold.fence == held.fence).then_some(index)
    }

    /// Holds a certificate for longer; whether it was not lost.
    pub(super) fn extend(&mut self, now: Timestamp, held: &Held, ttl: Duration) -> bool {
        let Some(index) = self.holder(held) else { return false };
        let until = end(now, ttl);
        if let Some(hold) = self.held.get_mut(&index) {
            hold.until = until;
            let line = hold.row.line;
            self.set(index, Row::new(until, line));
        }
        true
    }

    /// Lets go of a certificate, and returns whether it is due earlier than was [said](Self::next).
    pub(super) fn release(&mut self, held: &Held) -> bool {
        let Some(hold) = self.holder(held).and_then(|index| self.held.remove_entry(&index)) else {
            return false;
        };
        self.set(hold.0, hold.1.row);
        self.is_earlier(hold.1.row.at)
    }

    /// Ends the claim of a certificate, if there is one, whosever it is.
    pub(super) fn let_go(&mut self, id: &CertificateId) {
        let hold = self.names.find(id.as_str()).and_then(|index| self.held.remove_entry(&index));
        if let Some((index, hold)) = hold {
            self.set(index, hold.row);
        }
    }

    /// Whether a certificate of this id is known.
    pub(super) fn knows(&self, id: &CertificateId) -> bool {
        self.names.find(id.as_str()).is_some()
    }

    /// Where a certificate stands once nobody holds it; `None` when it is unknown.
    pub(super) fn row(&self, id: &CertificateId) -> Option<Row> {
        self.row_of(self.names.find(id.as_str())?)
    }

    fn row_of(&self, index: u32) -> Option<Row> {
        let there = || self.timers.get(index).map(|(at, line)| Row { at, line });
        self.held.get(&index).map_or_else(there, |hold| Some(hold.row))
    }

    /// Up to `most` ids that come after `after`, in order.
    pub(super) fn list(&self, after: Option<&CertificateId>, most: usize) -> Vec<CertificateId> {
        self.names.after(after.map(CertificateId::as_str)).filter_map(|(_, id)| id).take(most).collect()
    }

    /// All certificates in the order of their ids, each with where it stands once nobody holds it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<Row>)> + use<'_> {
        self.names.iter().map(|(index, name)| (name, self.row_of(index)))
    }

    /// Up to `most` certificates in the order of time that are not after `until` and come after `after`.
    ///
    /// The calendars know what is next, not what is after whom, so it looks at all timers; and notes what comes
    /// next while it does, for many pages. No record is read for it: a million timers lie in memory, and one look at
    /// them serves sixteen thousand rows. An order that is kept at every change, such as a `BTreeSet`, would be 27
    /// bytes a certificate and two more changes a claim, for what is asked at a start, after a jump of the clock, and
    /// by people.
    pub(super) fn scan(&mut self, until: Timestamp, after: Option<&Due>, most: usize) -> Vec<Due> {
        if most == 0 {
            return Vec::new();
        }
        let (names, timers) = (&self.names, &self.timers);
        let at = |index| timers.get(index).map(|(at, _)| at);
        let rows = names.iter().filter_map(|(index, name)| Some((at(index)?, name, index)));
        let after = after.map(|after| (after.at, after.id.as_str()));
        let page = self.pages.page(rows, |index| Some((at(index)?, names.name(index))), after, most);
        let page = page.into_iter().take_while(|(at, _)| *at <= until);
        page.filter_map(|(at, index)| Some(Due { at, id: names.id(index)? })).collect()
    }

    /// The first moment at which there will be something to claim.
    pub(super) fn next(&mut self) -> Option<Timestamp> {
        self.said = self.timers.next();
        self.said
    }

    /// The newest fence of all.
    pub(super) const fn newest_fence(&self) -> Fence {
        self.newest
    }

    /// Fences grow from here: older ones may be in use.
    pub(super) fn fences_from(&mut self, fence: Fence) {
        self.newest = self.newest.max(fence);
    }
}

/// When a claim ends at the earliest that is made now. The clock cuts fractions of a second off, so what looks
/// like one second may be none: one more.
fn end(now: Timestamp, ttl: Duration) -> Timestamp {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    now + Duration::from_secs(whole.saturating_add(1))
}

#[cfg(test)]
mod tests;
