//! A store in memory: for tests, and for programs that fetch their certificate anew at every start.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock, SecretBytes, SystemClock, Timestamp};
use tokio::sync::Notify;

use super::{
    Batch, Claim, Due, Held, Owner, Quarantined, Slot, Store, Version, check_bucket, check_slot,
    check_version,
    due::{DueIndex, Row},
};
use crate::{
    CertificateId, Generation, Record, StoreError,
    budget::{Bucket, BudgetKey},
};

/// A store in memory. Nothing survives the process.
///
/// A program that starts often must not use it with a public CA: each start would order a new certificate
/// and soon meet a rate limit.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    content: Mutex<Content>,
    woken: Notify,
}

#[derive(Default)]
struct Content {
    records: HashMap<CertificateId, (Version, Record)>,
    slots: BTreeMap<Slot, SecretBytes>,
    buckets: HashMap<BudgetKey, (Version, Bucket)>,
    index: DueIndex,
}

impl MemoryStore {
    /// An empty store with the operating system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// An empty store with this clock, which says what is due and whose claim is over.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, content: Mutex::default(), woken: Notify::new() }
    }

    /// A panic in another thread left the maps whole: nothing between two changes of one batch can panic.
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever waits now, and whoever waits next: it may be about to.
    fn wake(&self) {
        self.woken.notify_waiters();
        self.woken.notify_one();
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Content {
    fn version(&self, id: &CertificateId) -> Option<Version> {
        self.records.get(id).map(|(version, _)| *version)
    }

    /// Checks all of a batch before any of it is written.
    fn check(&self, batch: &Batch) -> Result<Checked, StoreError> {
        batch.holds().iter().try_for_each(|held| self.index.check(held))?;
        let mut checked = Checked::default();
        for change in batch.changes() {
            let id = change.record.id();
            let found = checked.records.get(id).copied().or_else(|| self.version(id));
            let version = check_version(id, change.expected, found)?;
            checked.records.insert(id.clone(), version);
            checked.versions.push(version);
        }
        for change in batch.buckets() {
            let found = checked.buckets.get(&change.key).copied();
            let found = found.or_else(|| self.buckets.get(&change.key).map(|(version, _)| *version));
            checked.buckets.insert(change.key.clone(), check_bucket(change, found)?);
        }
        Ok(checked)
    }

    fn claimed(&self, held: Held, until: Timestamp) -> Option<Claim> {
        let (version, record) = self.records.get(&held.id)?.clone();
        Some(Claim { held, until, version, record })
    }
}

/// The versions that a batch leads to.
#[derive(Default)]
struct Checked {
    versions: Vec<Version>,
    records: HashMap<CertificateId, Version>,
    buckets: HashMap<BudgetKey, Version>,
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        Ok(self.content().records.get(id).cloned())
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        let mut content = self.content();
        let content = &mut *content;
        let checked = content.check(batch)?;
        content.slots.extend(batch.writes().iter().cloned());
        let mut earlier = false;
        for (change, version) in batch.changes().iter().zip(&checked.versions) {
            let id = change.record.id();
            content.records.insert(id.clone(), (*version, change.record.clone()));
            earlier |= content.index.put(id, Row::of(&change.record));
        }
        for change in batch.buckets() {
            if let Some(version) = checked.buckets.get(&change.key) {
                content.buckets.insert(change.key.clone(), (*version, change.bucket));
            }
        }
        if earlier {
            self.wake();
        }
        Ok(checked.versions)
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        Ok(self.content().index.list(after, most))
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let now = self.clock.now();
        let mut content = self.content();
        let mut claims = Vec::new();
        while claims.len() < most
            && let Some(held) = content.index.claim(now, owner, ttl)
        {
            claims.extend(content.claimed(held, now + ttl));
        }
        Ok(claims)
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        let now = self.clock.now();
        let mut content = self.content();
        let held = content.index.claim_one(now, owner, ttl, id);
        Ok(held.and_then(|held| content.claimed(held, now + ttl)))
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        let now = self.clock.now();
        let mut content = self.content();
        let lost = held.iter().filter(|held| !content.index.extend(now, held, ttl));
        Ok(lost.map(|held| held.id.clone()).collect())
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        let mut content = self.content();
        if held.iter().filter(|held| content.index.release(held)).count() > 0 {
            self.wake();
        }
        Ok(())
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        Ok(self.content().index.scan(until, after, most))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.content().index.next())
    }

    async fn woken(&self) {
        self.woken.notified().await;
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        Ok(self.content().slots.get(slot).cloned())
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.content().slots.insert(slot.clone(), bytes.clone());
        Ok(())
    }

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        let mut content = self.content();
        check_slot(slot, expected, content.slots.get(slot))?;
        content.slots.insert(slot.clone(), bytes.clone());
        Ok(())
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        let mut content = self.content();
        content.slots.remove(&Slot::Chain { certificate: id.clone(), generation });
        content.slots.remove(&Slot::PrivateKey { certificate: id.clone(), generation });
        Ok(())
    }

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        let content = self.content();
        Ok(keys.iter().map(|key| content.buckets.get(key).copied()).collect())
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        Ok(Vec::new()) // Nothing in memory is damaged.
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        let mut content = self.content();
        held.map_or(Ok(()), |held| content.index.check(held))?;
        check_version(id, Some(expected), content.version(id))?;
        content.records.remove(id);
        content.slots.retain(|slot, _| slot.certificate() != Some(id));
        content.index.remove(id);
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
