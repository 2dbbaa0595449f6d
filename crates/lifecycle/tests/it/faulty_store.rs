//! A store that does what it is told not to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock, SecretBytes, Timestamp};
use perennial_lifecycle::{
    CertificateId, Generation, MemoryStore, Record, Slot, Store, StoreError, Version,
    budget::{Bucket, BudgetKey},
    store::{Batch, Claim, Due, Held, Owner, Quarantined},
};

/// A memory store with switches.
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    /// Which of the next batches it is too busy for: so many are written before, and so many are refused then.
    pub(crate) busy: Mutex<Option<(usize, usize)>>,
    /// It extends no lease.
    pub(crate) deaf: AtomicBool,
    /// It hands nothing out.
    pub(crate) frozen: AtomicBool,
    /// It cannot be reached.
    pub(crate) gone: AtomicBool,
    /// It panics when the key of this certificate is read.
    pub(crate) panics_for: Mutex<Option<CertificateId>>,
    /// Others use it too, and it has a clock of its own.
    pub(crate) shared: AtomicBool,
    /// It cannot read this.
    pub(crate) unreadable: Mutex<Option<Slot>>,
}

impl FaultyStore {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: MemoryStore::with_clock(clock),
            busy: Mutex::default(),
            deaf: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            panics_for: Mutex::default(),
            shared: AtomicBool::new(false),
            unreadable: Mutex::default(),
        }
    }

    fn has_time(&self) -> Result<(), StoreError> {
        match &mut *self.busy.lock().unwrap() {
            None | Some((_, 0)) => return Ok(()),
            Some((0, times)) => *times -= 1,
            Some((before, _)) => {
                *before -= 1;
                return Ok(());
            }
        }
        let (store, reason) = ("the store".to_owned(), "all connections were in use".to_owned());
        Err(StoreError::Unavailable { doing: "write to", store, reason })
    }

    fn reached(&self) -> Result<(), StoreError> {
        if self.gone.load(Ordering::SeqCst) {
            let (store, reason) = ("the store".to_owned(), "told to be gone".to_owned());
            return Err(StoreError::Unavailable { doing: "reach", store, reason });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        self.reached()?;
        self.inner.load(id).await
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        self.reached()?;
        self.has_time()?;
        self.inner.apply(batch).await
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        self.reached()?;
        self.inner.list(after, most).await
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        self.reached()?;
        if self.frozen.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        self.inner.claim(owner, ttl, most).await
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        self.reached()?;
        self.inner.claim_one(owner, ttl, id).await
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        self.reached()?;
        if self.deaf.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        self.inner.extend(held, ttl).await
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        self.reached()?;
        self.inner.release(held).await
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.reached()?;
        self.inner.scan_due(until, after, most).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.reached()?;
        self.inner.next_due().await
    }

    fn is_shared(&self) -> bool {
        self.shared.load(Ordering::SeqCst)
    }

    async fn woken(&self) {
        self.inner.woken().await;
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        self.reached()?;
        let cursed = self.panics_for.lock().unwrap().clone();
        assert!(cursed.is_none() || slot.certificate() != cursed.as_ref(), "told to panic");
        if self.unreadable.lock().unwrap().as_ref() == Some(slot) {
            return Err(StoreError::Sealed { slot: slot.clone(), reason: "told so".to_owned() });
        }
        self.inner.read(slot).await
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.reached()?;
        self.inner.write(slot, bytes).await
    }

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        self.reached()?;
        self.inner.write_if(slot, expected, bytes).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        self.reached()?;
        self.inner.forget(id, generation).await
    }

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        self.reached()?;
        self.inner.buckets(keys).await
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.reached()?;
        self.inner.quarantined().await
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        self.reached()?;
        self.inner.remove(id, expected, held).await
    }
}
