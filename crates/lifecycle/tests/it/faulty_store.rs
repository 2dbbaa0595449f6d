//! A store that does what it is told not to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock, SecretBytes};
use perennial_lifecycle::{
    CertificateId, MemoryStore, Slot, Store as _, StoreError, Version,
    store::{Batch, Call, Claim, Held, Overlay, Owner},
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
impl Overlay for FaultyStore {
    type Below = MemoryStore;

    fn below(&self) -> &MemoryStore {
        &self.inner
    }

    async fn around<T: Send>(&self, _: &'static str, call: Call<'_, T>) -> Result<T, StoreError> {
        self.reached()?;
        call.await
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        self.has_time()?;
        self.inner.apply(batch).await
    }

    fn is_shared(&self) -> bool {
        self.shared.load(Ordering::SeqCst)
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        if self.frozen.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        self.inner.claim(owner, ttl, most).await
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        if self.deaf.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        self.inner.extend(held, ttl).await
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        let cursed = self.panics_for.lock().unwrap().clone();
        assert!(cursed.is_none() || slot.certificate() != cursed.as_ref(), "told to panic");
        if self.unreadable.lock().unwrap().as_ref() == Some(slot) {
            return Err(StoreError::Sealed { slot: slot.clone(), reason: "told so".to_owned() });
        }
        self.inner.read(slot).await
    }
}
