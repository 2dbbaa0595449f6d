//! How a file store hands certificates out.
//!
//! A claim need not be durable: one process has the store, and with it ends whoever held something. Only its fence
//! must not be used again, so each process takes a block of them when it opens the store.

use std::{sync::PoisonError, time::Duration};

use perennial_core::Timestamp;

use super::{inner::Inner, log::Entry, place::Noted};
use crate::{
    CertificateId, StoreError,
    store::{
        Claim, Fence, Held, Owner, Quarantined,
        due::{DueIndex, Row},
    },
};

/// How many fences are taken from disk at a time: enough for days of a busy fleet.
const BLOCK: u64 = 1 << 20;

/// How many records in a row may be unreadable for reasons of the system's before a claim gives up: then it is
/// the disk.
const MOST_FAILURES: usize = 8;

/// See [`Store::quarantined`](crate::Store::quarantined).
const MOST_NAMED: usize = 1_000;

impl Inner {
    /// See [`Store::claim`](crate::Store::claim).
    pub(super) fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let now = self.clock.now();
        self.put_all_in_place();
        let (mut claims, mut failures) = (Vec::new(), Vec::new());
        while claims.len() < most && failures.len() < MOST_FAILURES {
            let Some(held) = self.draw(|index| index.claim(now, owner, ttl))? else { break };
            match self.hand_out(held, now + ttl) {
                Ok(claim) => claims.extend(claim),
                Err(StoreError::Damaged { .. } | StoreError::NewerSchema { .. }) => {}
                // It is held by nobody who knows of it, and comes again when that ends.
                Err(error) => failures.push(error),
            }
        }
        match failures.pop() {
            Some(error) if claims.is_empty() && failures.len() + 1 == MOST_FAILURES => Err(error),
            _ => Ok(claims),
        }
    }

    /// Claims something while there are fences.
    fn draw(&self, claim: impl Fn(&mut DueIndex) -> Option<Held>) -> Result<Option<Held>, StoreError> {
        loop {
            let mut state = self.state();
            let newest = state.index.newest_fence();
            if newest < state.reserved {
                return Ok(claim(&mut state.index));
            }
            drop(state);
            self.take_fences(newest)?;
        }
    }

    /// See [`Store::claim_one`](crate::Store::claim_one).
    pub(super) fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        let now = self.clock.now();
        if !self.state().index.knows(id) {
            self.load(id)?; // Somebody may have put it there by hand.
        }
        let Some(held) = self.draw(|index| index.claim_one(now, owner, ttl, id))? else { return Ok(None) };
        self.hand_out(held.clone(), now + ttl).inspect_err(|_| {
            self.state().index.release(&held);
        })
    }

    /// The record of a certificate that was just claimed. Whoever held it before and is in the middle of a write
    /// is waited for; whoever comes later is fenced.
    fn hand_out(&self, held: Held, until: Timestamp) -> Result<Option<Claim>, StoreError> {
        let _stripes = self.stripes([&held.id]);
        let found = self.stored(&held.id);
        self.look_at(&held.id, &found);
        let Some(stored) = found? else {
            self.gone(&held.id);
            return Ok(None);
        };
        self.make_sure(&held.id)?;
        // A crash may have come between the record and the link.
        self.place.point_current(&stored.record)?;
        self.state().put(&held.id, Row::of(&stored.record));
        Ok(Some(Claim { held, until, version: stored.version, record: stored.record }))
    }

    /// Writes down that fences up to a block more than this one may be used.
    pub(super) fn take_fences(&self, from: Fence) -> Result<(), StoreError> {
        let _fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        if from < self.state().reserved {
            return Ok(()); // Somebody else has taken some meanwhile.
        }
        let reserved = Fence::from_number(from.number().saturating_add(BLOCK));
        let position = self.note(&[Entry::Fences(reserved)], |_| {})?;
        self.log.sync(position)?;
        self.lock.write(&self.place.disk, Noted { fences: reserved, closed_at: 0 })?;
        let mut state = self.state();
        state.reserved = state.reserved.max(reserved);
        Ok(())
    }

    /// See [`Store::quarantined`](crate::Store::quarantined).
    pub(super) fn quarantined(&self) -> Vec<Quarantined> {
        let ids: Vec<CertificateId> = self.state().quarantine.keys().take(MOST_NAMED).cloned().collect();
        for id in &ids {
            let _stripes = self.stripes([id]);
            let found = self.stored(id);
            self.look_at(id, &found);
            if found == Ok(None) {
                self.gone(id);
            }
        }
        let state = self.state();
        let log = state.log_faults.iter().map(|error| Quarantined { id: None, error: error.clone() });
        let records = state.quarantine.iter();
        let records = records.map(|(id, error)| Quarantined { id: Some(id.clone()), error: error.clone() });
        log.chain(records).take(MOST_NAMED).collect()
    }
}
