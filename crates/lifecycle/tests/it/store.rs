//! A store in which somebody else writes at the worst moment.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use perennial_core::SecretBytes;
use perennial_lifecycle::{CertificateId, Generation, MemoryStore, Record, Slot, Store, StoreError, Version};

/// A memory store in which, once, the record is written by somebody else just before our commit.
#[derive(Default)]
pub(crate) struct ContendedStore {
    inner: MemoryStore,
    pub(crate) overtake_next_commit: AtomicBool,
}

#[async_trait]
impl Store for ContendedStore {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        self.inner.load(id).await
    }

    async fn commit(&self, record: &Record, expected: Option<Version>) -> Result<Version, StoreError> {
        if self.overtake_next_commit.swap(false, Ordering::SeqCst)
            && let Some((version, theirs)) = self.inner.load(record.id()).await?
        {
            self.inner.commit(&theirs, Some(version)).await?;
        }
        self.inner.commit(record, expected).await
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        self.inner.list(after, most).await
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        self.inner.read(slot).await
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.inner.write(slot, bytes).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        self.inner.forget(id, generation).await
    }
}
