//! A file store that is open: what it knows without asking the disk, how it learns from what it reads, and its log.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use perennial_core::{Clock, SecretBytes, Timestamp};
use tokio::sync::Notify;

use super::{
    log::{BucketRow, Entry, Image, Intent, Log, Writer},
    place::{Lock, Place},
    stored::Stored,
};
use crate::{
    CertificateId, Record, StoreError,
    budget::{Bucket, BudgetKey, Line},
    store::{
        Fence, Slot, Version, check_slot,
        due::{DueIndex, Row},
    },
};

/// A store that is open.
///
/// Locks are taken in this order, and none for longer than its word says: `stripes` while certificates are
/// written, `issuers` while their state is, `budgets` while buckets are, `fences` while some are taken, `log` while
/// an entry is added, `state` while memory is looked at.
pub(super) struct Inner {
    pub(super) place: Place,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log: Log,
    pub(super) lock: Lock,
    pub(super) state: Mutex<State>,
    pub(super) stripes: Vec<Mutex<()>>,
    pub(super) issuers: Mutex<()>,
    pub(super) budgets: Mutex<()>,
    /// Held while fences are taken from disk.
    pub(super) fences: Mutex<()>,
    pub(super) woken: Notify,
}

/// What is known without asking the disk. It says what the log says, while the log's lock is held.
#[derive(Default)]
pub(super) struct State {
    pub(super) index: DueIndex,
    pub(super) buckets: HashMap<BudgetKey, (Version, Bucket)>,
    /// What could not be read.
    pub(super) quarantine: BTreeMap<CertificateId, StoreError>,
    /// Batches in the log that are not all in place.
    pub(super) intents: BTreeMap<u64, Intent>,
    /// Those of them that nobody is busy with any more.
    pub(super) left: BTreeSet<u64>,
    pub(super) last_intent: u64,
    /// Those whose last write failed: what is seen of them may not survive a power cut.
    pub(super) unsure: BTreeSet<CertificateId>,
    /// Records that count and could not be put in place yet, and the batch that they belong to.
    pub(super) unplaced: BTreeMap<CertificateId, (u64, Stored)>,
    /// What was wrong with the log.
    pub(super) log_faults: Vec<StoreError>,
    /// Up to which fence they may be used.
    pub(super) reserved: Fence,
}

/// How long one that cannot be read is put off: a file is mended by a person.
const ASIDE: Duration = Duration::from_secs(3_600);

/// Two certificates in 64 wait for each other at random, which is seldom enough.
pub(super) const STRIPES: usize = 64;

impl Inner {
    /// A panic elsewhere left it whole: each change of it is one call.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps everybody else from writing these certificates.
    pub(super) fn stripes<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a CertificateId>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let stripe = |id: &CertificateId| {
            let mut hasher = DefaultHasher::new();
            id.hash(&mut hasher);
            usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0)
        };
        // In order, so that nobody waits for somebody who waits for him.
        let wanted: BTreeSet<usize> = ids.into_iter().map(stripe).collect();
        let stripes = wanted.into_iter().filter_map(|stripe| self.stripes.get(stripe));
        stripes.map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    /// Whoever waits now, and whoever waits next: it may be about to.
    pub(super) fn wake(&self) {
        self.woken.notify_waiters();
        self.woken.notify_one();
    }

    /// See [`Store::load`](crate::Store::load).
    pub(super) fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        let mut found = self.stored(id);
        let is_settled = match &found {
            Ok(Some(stored)) => self.state().index.knows(id) && self.place.is_pointed_at(&stored.record),
            Ok(None) => !self.state().index.knows(id),
            Err(_) => true,
        };
        if !is_settled {
            // Nobody is in the middle of writing it now: a crash came in between, or somebody removed it by hand.
            let _stripes = self.stripes([id]);
            // What cannot be put in place, or a link that cannot be moved, is told to whoever commits; reading goes
            // on without it.
            let _ = self.put_in_place(id);
            found = self.stored(id);
            match &found {
                Ok(Some(stored)) => {
                    self.take_in(stored);
                    let _ = self.place.point_current(&stored.record);
                }
                Ok(None) => self.gone(id),
                Err(_) => {}
            }
        }
        self.look_at(id, &found);
        Ok(found?.map(|stored| (stored.version, stored.record)))
    }

    /// The record that counts: in place, or about to be.
    pub(super) fn stored(&self, id: &CertificateId) -> Result<Option<Stored>, StoreError> {
        if let Some((_, stored)) = self.state().unplaced.get(id) {
            return Ok(Some(stored.clone()));
        }
        self.place.read_record(id)
    }

    /// Lets the index learn from a record that was read: it may be readable again, or earlier than the index says,
    /// because somebody restored it.
    pub(super) fn look_at(&self, id: &CertificateId, found: &Result<Option<Stored>, StoreError>) {
        let mut state = self.state();
        match found {
            Ok(Some(stored)) => {
                state.quarantine.remove(id);
                let row = Row::of(&stored.record);
                // One that is unknown may have been removed since it was read.
                let known = state.index.row(id);
                if known.is_some_and(|known| known.at > row.at || known.line != row.line) {
                    let at = known.map_or(row.at, |known| known.at.min(row.at));
                    let row = Row { at, ..row };
                    let wakes = state.index.put(id, row);
                    drop(state);
                    // What the log cannot be told now is found in the record again.
                    let _ = self.note(&[due(id, row)], |_| {});
                    if wakes {
                        self.wake();
                    }
                }
            }
            Ok(None) => {}
            Err(error @ (StoreError::Damaged { .. } | StoreError::NewerSchema { .. })) => {
                state.set_aside(id, error.clone(), self.clock.now());
            }
            Err(error) => {
                if !state.index.knows(id) {
                    state.index.put(id, Row::new(Timestamp::MIN, Line::Renewal)); // It is tried again.
                }
                state.quarantine.insert(id.clone(), error.clone());
            }
        }
    }

    /// Takes a certificate in that the index does not know. Nobody may be writing it.
    fn take_in(&self, stored: &Stored) {
        let (id, row) = (stored.record.id(), Row::of(&stored.record));
        let mut state = self.state();
        if state.index.knows(id) {
            return;
        }
        let wakes = state.index.put(id, row);
        drop(state);
        // What the log cannot be told now is found again.
        let _ = self.note(&[due(id, row)], |_| {});
        if wakes {
            self.wake();
        }
    }

    /// Strikes out a certificate that has no record.
    pub(super) fn gone(&self, id: &CertificateId) {
        let mirror = |state: &mut State| {
            state.index.remove(id);
            state.quarantine.remove(id);
        };
        if self.note(&[Entry::Gone(id.as_str())], mirror).is_err() {
            // The log names it still: it will be found gone once more.
            mirror(&mut self.state());
        }
    }

    /// Adds to the log, and lets memory follow before anybody else adds something.
    pub(super) fn note(
        &self,
        entries: &[Entry<'_>],
        mirror: impl FnOnce(&mut State),
    ) -> Result<u64, StoreError> {
        let mut writer = self.log.writer();
        self.mend_with(&mut writer)?;
        let position = self.log.append(&mut writer, entries)?;
        mirror(&mut self.state());
        Ok(position)
    }

    /// Nothing is written while the log cannot be: what it holds has to be known before something newer exists.
    pub(super) fn mend(&self) -> Result<(), StoreError> {
        self.mend_with(&mut self.log.writer())
    }

    pub(super) fn mend_with(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if writer.is_broken() {
            return self.rewrite(writer);
        }
        if writer.is_long() && self.rewrite(writer).is_err() {
            if writer.is_broken() {
                return self.rewrite(writer);
            }
            writer.put_off(); // A long log is as good as a short one.
        }
        Ok(())
    }

    /// Writes the log anew from memory.
    pub(super) fn rewrite(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let image = self.image()?;
        self.log.replace(writer, &image)
    }

    /// All that the log has to say.
    fn image(&self) -> Result<Image, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        // A bucket that is full says nothing.
        state.buckets.retain(|_, (_, bucket)| !bucket.is_full(now));
        let fences = std::iter::once(Entry::Fences(state.reserved));
        let aside = &state.quarantine;
        let is_aside = |name: &str| name.parse().is_ok_and(|id| aside.contains_key::<CertificateId>(&id));
        let dues = state.index.iter().map(|(name, row)| {
            // What was put off because it cannot be read is due whenever its record says.
            let at = row.filter(|_| aside.is_empty() || !is_aside(name)).map(|row| row.at);
            Entry::Due(name, at.map_or(0, second), row.map_or(Line::Renewal, |row| row.line))
        });
        let rows = state.buckets.iter();
        let rows = rows.map(|(key, (version, bucket))| Entry::Bucket((key.clone(), *version, *bucket)));
        let intents = state.intents.iter().map(|(number, intent)| Entry::Intent(*number, intent.clone()));
        self.log.image(fences.chain(dues).chain(rows).chain(intents))
    }

    /// See [`Store::write`](crate::Store::write).
    pub(super) fn write(&self, slot: &Slot, bytes: &[u8]) -> Result<(), StoreError> {
        let _stripes = self.stripes(slot.certificate());
        let _issuers = self.issuers_of(slot);
        self.place.write(slot, bytes)
    }

    /// See [`Store::write_if`](crate::Store::write_if).
    pub(super) fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let _stripes = self.stripes(slot.certificate());
        let _issuers = self.issuers_of(slot);
        check_slot(slot, expected, self.place.read(slot)?.as_ref())?;
        self.place.write(slot, bytes)
    }

    /// Keeps everybody else from writing a slot that belongs to no certificate.
    pub(super) fn issuers_of(&self, slot: &Slot) -> Option<MutexGuard<'_, ()>> {
        let is_theirs = slot.certificate().is_none();
        is_theirs.then(|| self.issuers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Sets where a certificate stands, where that need wake nobody.
    pub(super) fn put(&mut self, id: &CertificateId, row: Row) {
        self.index.put(id, row);
    }

    /// Names a certificate that cannot be read, and puts it off: somebody may mend it.
    pub(super) fn set_aside(&mut self, id: &CertificateId, error: StoreError, now: Timestamp) {
        self.index.let_go(id);
        // Of one that is unknown nobody knows whether it has a certificate.
        let line = self.index.row(id).map_or(Line::Renewal, |known| known.line);
        self.index.put(id, Row::new(now + ASIDE, line));
        self.quarantine.insert(id.clone(), error);
    }

    /// Takes buckets over that are newer than what is known.
    pub(super) fn take_buckets(&mut self, rows: &[BucketRow]) {
        for (key, version, bucket) in rows {
            let known = self.buckets.entry(key.clone()).or_insert((*version, *bucket));
            if known.0 < *version {
                *known = (*version, *bucket);
            }
        }
    }
}

pub(super) fn due(id: &CertificateId, row: Row) -> Entry<'_> {
    Entry::Due(id.as_str(), second(row.at), row.line)
}

/// What the index can hold fits.
fn second(at: Timestamp) -> u32 {
    u32::try_from(at.unix().max(0)).unwrap_or(u32::MAX)
}
