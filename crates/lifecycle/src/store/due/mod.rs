//! Which certificate is due when, and who holds it: the index of the stores that live in one process.
//!
//! It holds no clock and touches nothing: `now` comes in as a value.

use std::{
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use perennial_core::Timestamp;

use super::{Due, Fence, Held, Owner};
use crate::{CertificateId, StoreError, schedule::Schedule};

mod names;
use names::Names;

/// Which certificate is due when, and who holds it.
///
/// Some fifty bytes a certificate, its name included. The time of a certificate that is held is the end of its
/// claim, so that one that is over is found as one that is due is.
#[derive(Default)]
pub(super) struct DueIndex {
    names: Names,
    timers: Schedule,
    /// By the index of the name.
    held: HashMap<u32, Hold>,
    /// The newest fence of all certificates: so none is used again when a certificate is removed and comes back.
    newest: Fence,
    /// What [`next`](Self::next) answered last.
    said: Option<Timestamp>,
}

/// A claim that was neither let go nor replaced by another. It may be over by time.
struct Hold {
    owner: Owner,
    fence: Fence,
    until: Timestamp,
    /// When the certificate is due once it is let go.
    next_at: Timestamp,
}

impl DueIndex {
    /// How many certificates there are.
    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    /// Sets when a certificate is due, which may be new, and returns whether that is earlier than was
    /// [said](Self::next). While it is held that counts when it is let go.
    pub(super) fn put(&mut self, id: &CertificateId, next_at: Timestamp) -> bool {
        self.put_name(id.as_str(), next_at)
    }

    /// The same for what is known to be an id.
    pub(super) fn put_name(&mut self, name: &str, next_at: Timestamp) -> bool {
        let next_at = Self::clamped(next_at);
        let index = self.names.insert(name);
        if let Some(hold) = self.held.get_mut(&index) {
            hold.next_at = next_at;
            return false;
        }
        self.timers.set(index, next_at);
        self.is_earlier(next_at)
    }

    /// A moment as the index can hold it: from 1970 to 2106.
    pub(super) fn clamped(at: Timestamp) -> Timestamp {
        at.clamp(Timestamp::from_unix(0), Timestamp::from_unix(u32::MAX.into()))
    }

    fn is_earlier(&self, at: Timestamp) -> bool {
        self.said.is_none_or(|said| at < said)
    }

    /// Removes a certificate; whoever holds it has lost it.
    pub(super) fn remove(&mut self, id: &CertificateId) {
        if let Some(index) = self.names.remove(id.as_str()) {
            self.timers.remove(index);
            self.held.remove(&index);
        }
    }

    /// Claims the one that is due for the longest time.
    pub(super) fn claim(&mut self, now: Timestamp, owner: &Owner, ttl: Duration) -> Option<Held> {
        loop {
            let index = self.timers.pop(now)?;
            // A timer without a name is none.
            if let Some(id) = self.names.id(index) {
                return Some(self.hold(now, owner, ttl, index, id));
            }
        }
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
        free.then(|| self.hold(now, owner, ttl, index, id.clone()))
    }

    fn hold(&mut self, now: Timestamp, owner: &Owner, ttl: Duration, index: u32, id: CertificateId) -> Held {
        let next_at = match self.held.get(&index) {
            Some(over) => over.next_at,
            None => self.timers.at(index).unwrap_or(now),
        };
        let until = end(now, ttl);
        self.newest = self.newest.next();
        let fence = self.newest;
        self.held.insert(index, Hold { owner: owner.clone(), fence, until, next_at });
        self.timers.set(index, until);
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
        }
        self.timers.set(index, until);
        true
    }

    /// Lets go of a certificate, and returns whether it is due earlier than was [said](Self::next).
    pub(super) fn release(&mut self, held: &Held) -> bool {
        let Some(hold) = self.holder(held).and_then(|index| self.held.remove_entry(&index)) else {
            return false;
        };
        self.timers.set(hold.0, hold.1.next_at);
        self.is_earlier(hold.1.next_at)
    }

    /// Ends the claim of a certificate, if there is one, whosever it is.
    pub(super) fn let_go(&mut self, id: &CertificateId) {
        let hold = self.names.find(id.as_str()).and_then(|index| self.held.remove_entry(&index));
        if let Some((index, hold)) = hold {
            self.timers.set(index, hold.next_at);
        }
    }

    /// Whether a certificate of this id is known.
    pub(super) fn knows(&self, id: &CertificateId) -> bool {
        self.names.find(id.as_str()).is_some()
    }

    /// When a certificate is due once nobody holds it; `None` when it is unknown.
    pub(super) fn next_at(&self, id: &CertificateId) -> Option<Timestamp> {
        let index = self.names.find(id.as_str())?;
        self.held.get(&index).map_or_else(|| self.timers.at(index), |hold| Some(hold.next_at))
    }

    /// Up to `most` ids that come after `after`, in order.
    pub(super) fn list(&self, after: Option<&CertificateId>, most: usize) -> Vec<CertificateId> {
        self.names.after(after.map(CertificateId::as_str)).filter_map(|(_, id)| id).take(most).collect()
    }

    /// All certificates in the order of their ids, each with when it is due once nobody holds it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<Timestamp>)> + use<'_> {
        self.names.iter().map(|(index, name)| {
            let next_at = self.held.get(&index).map(|hold| hold.next_at);
            (name, next_at.or_else(|| self.timers.at(index)))
        })
    }

    /// Up to `most` certificates in the order of time that are not after `until` and come after `after`.
    ///
    /// It looks at all of them: the calendar knows what is next, not what is after whom.
    pub(super) fn scan(&self, until: Timestamp, after: Option<&Due>, most: usize) -> Vec<Due> {
        let mut first = BinaryHeap::new();
        for (index, name) in self.names.iter() {
            let Some(at) = self.timers.at(index).filter(|at| *at <= until) else { continue };
            let row = (at, name);
            let comes_after = after.is_none_or(|after| row > (after.at, after.id.as_str()));
            let fits = first.len() < most || first.peek().is_some_and(|last| row < *last);
            if comes_after && fits {
                first.push(row);
                if first.len() > most {
                    first.pop();
                }
            }
        }
        let rows = first.into_sorted_vec().into_iter();
        rows.filter_map(|(at, name)| Some(Due { at, id: name.parse().ok()? })).collect()
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
