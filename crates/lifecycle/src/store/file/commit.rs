//! How a file store writes: what is promised is durable, and what is not whole is not seen.
//!
//! A record that moves forward in time, or is new, is noted in the log before it is written, and one that moves
//! back afterwards: whatever a crash leaves, the index never says later than the record. A batch of several
//! records is written to the log whole, which is when it counts, and then put in place, after a crash too.

use std::{collections::BTreeMap, sync::PoisonError};

use super::{
    inner::{Inner, due},
    log::{BucketRow, Entry, Intent},
    stored::Stored,
};
use crate::{
    CertificateId, StoreError,
    store::{Batch, Held, Version, check_bucket, check_version, due::Row},
};

/// What a batch would write.
#[derive(Default)]
struct Checked {
    versions: Vec<Version>,
    records: BTreeMap<CertificateId, Stored>,
    buckets: Vec<BucketRow>,
}

impl Inner {
    /// See [`Store::apply`](crate::Store::apply).
    pub(super) fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        let records = batch.changes().iter().map(|change| change.record.id());
        let slots = batch.writes().iter().filter_map(|(slot, _)| slot.certificate());
        let holds = batch.holds().iter().map(|held| &held.id);
        let _stripes = self.stripes(records.chain(slots).chain(holds));
        let _issuers = batch.writes().iter().find_map(|(slot, _)| self.issuers_of(slot));
        let _budgets = (!batch.buckets().is_empty())
            .then(|| self.budgets.lock().unwrap_or_else(PoisonError::into_inner));
        let Checked { versions, records, buckets } = self.check(batch)?;
        for (slot, bytes) in batch.writes() {
            self.place.write(slot, bytes.expose())?;
        }
        if buckets.is_empty() && records.len() <= 1 {
            records.into_values().try_for_each(|stored| self.write_one(&stored))?;
        } else {
            self.write_many(Intent { records: records.into_values().collect(), buckets })?;
        }
        Ok(versions)
    }

    /// Checks all of a batch before any of it is written.
    fn check(&self, batch: &Batch) -> Result<Checked, StoreError> {
        self.check_holds(batch.holds())?;
        let mut checked = Checked::default();
        for change in batch.changes() {
            let id = change.record.id();
            let found = match checked.records.get(id) {
                Some(stored) => Some((stored.version, stored.fence)),
                None => {
                    self.put_in_place(id)?;
                    let found = self.place.read_record(id);
                    self.look_at(id, &found);
                    found?.map(|stored| (stored.version, stored.fence))
                }
            };
            let version = check_version(id, change.expected, found.map(|(version, _)| version))?;
            let held = batch.holds().iter().filter(|held| held.id == *id).map(|held| held.fence);
            let fence = held.chain(found.map(|(_, fence)| fence)).max().unwrap_or_default();
            let stored = Stored { version, fence, record: change.record.clone() };
            checked.records.insert(id.clone(), stored);
            checked.versions.push(version);
        }
        let state = self.state();
        // One that was full and forgotten does not come back with a version that somebody may remember.
        let fresh = Version::from_number(state.last_intent.saturating_add(1));
        for change in batch.buckets() {
            let earlier = checked.buckets.iter().rev().find(|(key, ..)| *key == change.key);
            let found = earlier.map(|(_, version, _)| *version);
            let found = found.or_else(|| state.buckets.get(&change.key).map(|(version, _)| *version));
            let version = check_bucket(change, found)?.max(fresh);
            checked.buckets.push((change.key.clone(), version, change.bucket));
        }
        Ok(checked)
    }

    pub(super) fn check_holds(&self, holds: &[Held]) -> Result<(), StoreError> {
        let state = self.state();
        holds.iter().try_for_each(|held| state.index.check(held))
    }

    /// Writes one record, which its own file makes whole.
    fn write_one(&self, stored: &Stored) -> Result<(), StoreError> {
        let id = stored.record.id();
        let row = Row::of(&stored.record);
        let known = self.state().index.row(id);
        let mut wakes = false;
        let is_before = known.is_none_or(|known| row.at < known.at);
        if is_before {
            let position = self.note(&[due(id, row)], |state| wakes = state.index.put(id, row))?;
            self.log.sync(position).inspect_err(|_| self.found_again(id))?;
        } else {
            self.mend()?;
        }
        self.place.write_record(stored).inspect_err(|_| self.found_again(id))?;
        // Before it is put off: whoever claims it next mends what could not be done here.
        self.place.point_current(&stored.record)?;
        if !is_before && known != Some(row) && self.note(&[due(id, row)], |state| state.put(id, row)).is_err()
        {
            // The log says earlier, which does no harm.
            self.state().put(id, row);
        }
        {
            let mut state = self.state();
            state.quarantine.remove(id);
            state.unsure.remove(id);
        }
        if wakes {
            self.wake();
        }
        Ok(())
    }

    /// Makes sure that what is seen of a certificate stays so, before the index follows it. Nobody may be writing it.
    pub(super) fn make_sure(&self, id: &CertificateId) -> Result<(), StoreError> {
        if self.state().unsure.contains(id) {
            self.place.settle(id)?;
            self.state().unsure.remove(id);
        }
        Ok(())
    }

    /// After a write that failed: what is on disk says what is due when.
    fn found_again(&self, id: &CertificateId) {
        match self.place.read_record(id) {
            Ok(Some(stored)) => {
                // A later moment may be gone with the next power cut.
                let mut state = self.state();
                state.unsure.insert(id.clone());
                let row = Row::of(&stored.record);
                let at = state.index.row(id).map_or(row.at, |known| known.at.min(row.at));
                state.put(id, Row { at, ..row });
            }
            Ok(None) => self.state().index.remove(id),
            Err(_) => {} // It is due when the index says, and then it is named.
        }
    }

    /// Writes what belongs together: the log first, and then each record.
    fn write_many(&self, intent: Intent) -> Result<(), StoreError> {
        let mut entries = Vec::new();
        let mut puts = Vec::new();
        {
            let state = self.state();
            for stored in &intent.records {
                let (id, row) = (stored.record.id(), Row::of(&stored.record));
                if state.index.row(id).is_none_or(|known| row.at < known.at) {
                    entries.push(due(id, row));
                    puts.push((id, row));
                }
            }
        }
        let mut writer = self.log.writer();
        self.mend_with(&mut writer)?;
        let number = self.state().last_intent.saturating_add(1);
        entries.push(Entry::Intent(number, intent.clone()));
        let position = self.log.append(&mut writer, &entries)?;
        let mut wakes = false;
        {
            let mut state = self.state();
            state.last_intent = number;
            state.intents.insert(number, intent.clone());
            for (id, row) in &puts {
                wakes |= state.index.put(id, *row);
            }
        }
        drop(writer);
        if let Err(error) = self.log.sync(position) {
            // It may be durable or not: the log is written anew, without it, before anything else is.
            let mut writer = self.log.writer();
            writer.doubt();
            self.state().intents.remove(&number);
            drop(writer);
            intent.records.iter().for_each(|stored| self.found_again(stored.record.id()));
            return Err(error);
        }
        // From here on it counts. What cannot be put in place now is put there later.
        {
            let mut state = self.state();
            state.take_buckets(&intent.buckets);
            for stored in &intent.records {
                state.quarantine.remove(stored.record.id());
                state.unplaced.insert(stored.record.id().clone(), (number, stored.clone()));
            }
        }
        for stored in &intent.records {
            let _ = self.put_in_place(stored.record.id());
        }
        self.done(number);
        {
            let mut state = self.state();
            if state.intents.contains_key(&number) {
                state.left.insert(number);
            }
        }
        if wakes {
            self.wake();
        }
        Ok(())
    }

    /// Puts a record in place that counts already, if it is not, and lets servers see it.
    pub(super) fn put_in_place(&self, id: &CertificateId) -> Result<(), StoreError> {
        let Some((number, stored)) = self.state().unplaced.get(id).cloned() else { return Ok(()) };
        if self.place.read_record(id)?.is_none_or(|found| found.version < stored.version) {
            self.place.write_record(&stored).inspect_err(|_| {
                self.state().unsure.insert(id.clone());
            })?;
            self.state().unsure.remove(id);
        }
        self.make_sure(id)?;
        self.place.point_current(&stored.record)?;
        {
            let mut state = self.state();
            state.unplaced.remove(id);
            state.index.put(id, Row::of(&stored.record));
        }
        self.done(number);
        Ok(())
    }

    /// Notes that all of a batch is in place, if it is. Nobody else may be busy with it.
    fn done(&self, number: u64) {
        // What the log could not be told is told to it later.
        let _ = self.try_done(number);
    }

    fn try_done(&self, number: u64) -> Result<(), StoreError> {
        let mut writer = self.log.writer();
        let state = self.state();
        if state.unplaced.values().any(|(of, _)| *of == number) {
            return Ok(());
        }
        let Some(intent) = state.intents.get(&number) else { return Ok(()) };
        let ids: Vec<_> = intent.records.iter().map(|stored| stored.record.id().clone()).collect();
        // While the log is ours its times are those of memory: nothing newer is noted before this.
        let rows: Vec<_> = ids.iter().filter_map(|id| Some((id, state.index.row(id)?))).collect();
        drop(state);
        let mut entries: Vec<_> = rows.iter().map(|(id, row)| due(id, *row)).collect();
        entries.push(Entry::Done(number));
        self.mend_with(&mut writer)?;
        self.log.append(&mut writer, &entries)?;
        let mut state = self.state();
        state.intents.remove(&number);
        state.left.remove(&number);
        Ok(())
    }

    /// Puts everything in place that could not be before, as far as it can be now.
    pub(super) fn put_all_in_place(&self) {
        let state = self.state();
        if state.left.is_empty() {
            return;
        }
        let left = state.left.clone();
        let unplaced = state.unplaced.iter().filter(|(_, (of, _))| left.contains(of));
        let ids: Vec<CertificateId> = unplaced.map(|(id, _)| id.clone()).collect();
        drop(state);
        for id in &ids {
            let _stripes = self.stripes([id]);
            let _ = self.put_in_place(id);
        }
        left.into_iter().for_each(|number| self.done(number));
    }

    /// See [`Store::remove`](crate::Store::remove).
    pub(super) fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        let _stripes = self.stripes([id]);
        self.check_holds(held.map(std::slice::from_ref).unwrap_or_default())?;
        self.put_in_place(id)?;
        let found = self.place.read_record(id)?;
        check_version(id, Some(expected), found.map(|stored| stored.version))?;
        self.forget_intents(id)?;
        self.place.remove_certificate(id)?;
        self.gone(id);
        Ok(())
    }

    /// Makes sure that no batch of the log makes a certificate anew after it was removed.
    fn forget_intents(&self, id: &CertificateId) -> Result<(), StoreError> {
        let names = |intent: &Intent| intent.records.iter().any(|stored| stored.record.id() == id);
        let state = self.state();
        let numbers: Vec<u64> =
            state.intents.iter().filter(|(_, intent)| names(intent)).map(|(number, _)| *number).collect();
        drop(state);
        numbers.into_iter().for_each(|number| self.done(number));
        let mut writer = self.log.writer();
        if self.state().intents.values().any(names) {
            // The rest of it is not in place yet, or that it is could not be noted: the log says it without this one.
            for intent in self.state().intents.values_mut() {
                intent.records.retain(|stored| stored.record.id() != id);
            }
            writer.doubt();
        }
        self.mend_with(&mut writer)?;
        let end = writer.position();
        drop(writer);
        self.log.sync(end)
    }
}
