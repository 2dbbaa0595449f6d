//! A store in memory: for tests, and for programs that fetch their certificate anew at every start.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use perennial_core::SecretBytes;

use super::{Slot, Store, Version, check_version};
use crate::{CertificateId, Generation, Record, StoreError};

/// A store in memory. Nothing survives the process.
///
/// A program that starts often must not use it with a public CA: each start would order a new certificate
/// and soon meet a rate limit.
#[derive(Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    records: BTreeMap<CertificateId, (Version, Record)>,
    slots: BTreeMap<Slot, SecretBytes>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A panic in another thread left the maps whole: each change is one call.
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        Ok(self.content().records.get(id).cloned())
    }

    async fn commit(&self, record: &Record, expected: Option<Version>) -> Result<Version, StoreError> {
        let mut content = self.content();
        let found = content.records.get(record.id()).map(|(version, _)| *version);
        let version = check_version(record, expected, found)?;
        content.records.insert(record.id().clone(), (version, record.clone()));
        Ok(version)
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let content = self.content();
        Ok(content.records.range((from, Bound::Unbounded)).take(most).map(|(id, _)| id.clone()).collect())
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        Ok(self.content().slots.get(slot).cloned())
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.content().slots.insert(slot.clone(), bytes.clone());
        Ok(())
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        let mut content = self.content();
        content.slots.remove(&Slot::Chain { certificate: id.clone(), generation });
        content.slots.remove(&Slot::PrivateKey { certificate: id.clone(), generation });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_laws_of_stores() {
        crate::store::laws::check(&MemoryStore::new()).await.unwrap();
    }
}
