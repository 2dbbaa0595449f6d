//! A store in which somebody else writes at the worst moment.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{SecretBytes, Timestamp};
use perennial_lifecycle::{
    CertificateId, Generation, MemoryStore, Record, Slot, Store, StoreError, Version,
    budget::{Bucket, BudgetKey},
    store::{Batch, Claim, Due, Held, Owner, Quarantined},
};

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

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        if let Some(change) = batch.changes().first()
            && self.overtake_next_commit.swap(false, Ordering::SeqCst)
            && let Some((version, theirs)) = self.inner.load(change.record.id()).await?
        {
            self.inner.commit(&theirs, Some(version)).await?;
        }
        self.inner.apply(batch).await
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        self.inner.list(after, most).await
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        self.inner.claim(owner, ttl, most).await
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        self.inner.claim_one(owner, ttl, id).await
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        self.inner.extend(held, ttl).await
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        self.inner.release(held).await
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.inner.scan_due(until, after, most).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due().await
    }

    async fn woken(&self) {
        self.inner.woken().await;
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        self.inner.read(slot).await
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.inner.write(slot, bytes).await
    }

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        self.inner.write_if(slot, expected, bytes).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        self.inner.forget(id, generation).await
    }

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        self.inner.buckets(keys).await
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.inner.quarantined().await
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        self.inner.remove(id, expected, held).await
    }
}
