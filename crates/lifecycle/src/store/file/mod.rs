//! A store in a directory of one machine.
//!
//! ```text
//! ROOT/
//!   lock                                  held while a process has the store open; which fences are used
//!   index.log                             what is due when, budgets, and batches that are about to be written
//!   certificates/ID/record.json           version and record, replaced atomically
//!   certificates/ID/00000001/privkey.pem  one directory a generation, 0600
//!   certificates/ID/00000001/cert.pem chain.pem fullchain.pem
//!   certificates/ID/current -> 00000001   flips after the record names a new generation
//!   issuers/NAME                          an issuer's own state, 0600
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::{Clock, SecretBytes, SystemClock, Timestamp};

use super::{Batch, Claim, Due, Held, Owner, Quarantined, Slot, Store, Version, due::Row};
use crate::{
    CertificateId, Generation, Record, StoreError,
    budget::{Bucket, BudgetKey, Line},
    durable::Disk,
};

mod claims;

mod commit;

mod inner;
use inner::Inner;

mod log;

mod open;
use open::Search;

mod place;
use place::Place;

mod stored;

/// A store in a directory of one machine.
///
/// A server reads `ROOT/certificates/ID/current/fullchain.pem` and `…/privkey.pem`: the link flips from one
/// generation to the next in one step, so key and chain always belong together. One process at a time has
/// the directory open; use a local file system, since locks on network ones lie.
///
/// It opens from its index log, a million certificates in about a second, and reads every record once in the
/// background. What cannot be read is named by [`quarantined`](Store::quarantined), left as it is, and tried again
/// after an hour. On a full disk everything can still be read; who writes or claims is told, and goes on when there
/// is space.
///
/// ```
/// use perennial_lifecycle::{CertificateSpec, FileStore, Record, Store as _};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// let store = FileStore::open(directory.path().join("certificates"))?;
/// let record = Record::new(CertificateSpec::new("shop", ["shop.example"])?);
/// store.commit(&record, None).await?;
/// assert_eq!(store.load(record.id()).await?.map(|(_, record)| record), Some(record));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileStore {
    open: Arc<Open>,
}

/// A store that is open, until nobody has it any more.
struct Open {
    /// Ends before the lock is given back.
    _search: Search,
    inner: Arc<Inner>,
}

/// Describes a store; see [`FileStore::builder`].
pub struct FileStoreBuilder {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    disk: Disk,
}

impl FileStoreBuilder {
    /// Who says what is due and whose claim is over. Default: the operating system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the directory, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::NewerStore`] when a newer version
    /// has changed its form, [`StoreError::Io`] when it cannot be made or read.
    pub fn open(self) -> Result<FileStore, StoreError> {
        let Self { root, clock, disk } = self;
        let inner = Arc::new(Inner::open(Place { root, disk }, clock)?);
        Ok(FileStore { open: Arc::new(Open { _search: Search::begin(&inner), inner }) })
    }
}

impl FileStore {
    /// Begins to describe a store in this directory.
    #[must_use]
    pub fn builder(root: impl Into<PathBuf>) -> FileStoreBuilder {
        let clock = Arc::new(SystemClock::new());
        FileStoreBuilder { root: root.into(), clock, disk: Disk::default() }
    }

    /// Opens the directory, and makes it if there is none.
    ///
    /// # Errors
    /// As [`FileStoreBuilder::open`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::builder(root).open()
    }

    /// The directory whose `current` link servers read: `fullchain.pem` and `privkey.pem` lie below it.
    #[must_use]
    pub fn current(&self, id: &CertificateId) -> PathBuf {
        self.open.inner.place.certificate(id).join("current")
    }

    /// Adds certificates to the index that have no records, to measure the index alone: those that are claimed
    /// are found gone.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    #[doc(hidden)]
    pub fn index_only(
        &self,
        rows: impl IntoIterator<Item = (CertificateId, Timestamp)>,
    ) -> Result<(), StoreError> {
        let inner = &self.open.inner;
        let mut writer = inner.log.writer();
        rows.into_iter().for_each(|(id, at)| inner.state().put(&id, Row::new(at, Line::Renewal)));
        inner.rewrite(&mut writer)
    }

    /// File work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let open = self.open.clone();
        let root = open.inner.place.root.clone();
        tokio::task::spawn_blocking(move || work(&open.inner)).await.unwrap_or_else(|error| {
            Err(StoreError::Io { doing: "work on", path: root, reason: error.to_string() })
        })
    }
}

#[async_trait]
impl Store for FileStore {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        let id = id.clone();
        self.blocking(move |inner| inner.load(&id)).await
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        let batch = batch.clone();
        self.blocking(move |inner| inner.apply(&batch)).await
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        Ok(self.open.inner.state().index.list(after, most))
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let owner = owner.clone();
        self.blocking(move |inner| inner.claim(&owner, ttl, most)).await
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        let (owner, id) = (owner.clone(), id.clone());
        self.blocking(move |inner| inner.claim_one(&owner, ttl, &id)).await
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        let now = self.open.inner.clock.now();
        let mut state = self.open.inner.state();
        let lost = held.iter().filter(|held| !state.index.extend(now, held, ttl));
        Ok(lost.map(|held| held.id.clone()).collect())
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        let mut state = self.open.inner.state();
        if held.iter().filter(|held| state.index.release(held)).count() > 0 {
            self.open.inner.wake();
        }
        Ok(())
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let after = after.cloned();
        self.blocking(move |inner| Ok(inner.state().index.scan(until, after.as_ref(), most))).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.open.inner.state().index.next())
    }

    async fn woken(&self) {
        self.open.inner.woken.notified().await;
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        let slot = slot.clone();
        self.blocking(move |inner| inner.place.read(&slot)).await
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        let (slot, bytes) = (slot.clone(), bytes.clone());
        self.blocking(move |inner| inner.write(&slot, bytes.expose())).await
    }

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        let (slot, expected, bytes) = (slot.clone(), expected.cloned(), bytes.clone());
        self.blocking(move |inner| inner.write_if(&slot, expected.as_ref(), bytes.expose())).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        let id = id.clone();
        self.blocking(move |inner| inner.place.forget(&id, generation)).await
    }

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        let state = self.open.inner.state();
        Ok(keys.iter().map(|key| state.buckets.get(key).copied()).collect())
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.blocking(|inner| Ok(inner.quarantined())).await
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        let (id, held) = (id.clone(), held.cloned());
        self.blocking(move |inner| inner.remove(&id, expected, held.as_ref())).await
    }
}

#[cfg(test)]
mod crowd;

#[cfg(test)]
mod faults;

#[cfg(test)]
mod tests;
