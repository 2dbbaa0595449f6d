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
    CertificateId, MemoryStore, Slot, Store as _, StoreError,
    store::{Call, Claim, Held, Overlay, Owner},
};

/// A memory store with switches.
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    /// It extends no lease.
    pub(crate) deaf: AtomicBool,
    /// It hands nothing out.
    pub(crate) frozen: AtomicBool,
    /// It cannot be reached.
    pub(crate) gone: AtomicBool,
    /// It panics when the key of this certificate is read.
    pub(crate) panics_for: Mutex<Option<CertificateId>>,
    /// It cannot read this.
    pub(crate) unreadable: Mutex<Option<Slot>>,
}

impl FaultyStore {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: MemoryStore::with_clock(clock),
            deaf: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            panics_for: Mutex::default(),
            unreadable: Mutex::default(),
        }
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
