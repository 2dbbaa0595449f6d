//! A store in which somebody else writes at the worst moment.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use perennial_lifecycle::{
    MemoryStore, Store as _, StoreError, Version,
    store::{Batch, Overlay},
};

/// A memory store in which, once, the record is written by somebody else just before our commit.
#[derive(Default)]
pub(crate) struct ContendedStore {
    inner: MemoryStore,
    pub(crate) overtake_next_commit: AtomicBool,
}

#[async_trait]
impl Overlay for ContendedStore {
    type Below = MemoryStore;

    fn below(&self) -> &MemoryStore {
        &self.inner
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
}
