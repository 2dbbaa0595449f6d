//! A store that is watched: what goes through it keeps the rows up to date, and is measured.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::{SecretBytes, Timestamp};
use tokio::time::Instant;

use super::{Metrics, instruments::StoreOp};
use crate::{
    CertificateId, Generation, Record, Slot, Store, StoreError, Version,
    budget::{Bucket, BudgetKey},
    store::{Batch, Claim, Due, Held, Owner, Quarantined},
};

/// The store underneath, watched.
pub(super) struct Watched {
    store: Arc<dyn Store>,
    metrics: Metrics,
}

impl Watched {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    /// Measures a call. Tokio's clock goes on when the wall clock jumps, and stands still in tests that stop it.
    async fn measured<T>(
        &self,
        op: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = call.await;
        let instruments = &self.metrics.inner.instruments;
        let outcome = result.as_ref().map_or_else(outcome, |_| "ok");
        let took = began.elapsed().as_secs_f64();
        instruments.store_op_seconds.get_or_create(&StoreOp { op, outcome }).observe(took);
        if matches!(result, Err(StoreError::Fenced { .. })) {
            instruments.leases_fenced.inc();
        }
        result
    }

    fn note_claims<'a>(&self, claims: impl Iterator<Item = &'a Claim>) {
        for claim in claims {
            self.metrics.inner.instruments.leases_acquired.inc();
            // In a fleet somebody else may have written it last.
            self.metrics.note(&claim.record);
        }
    }
}

const fn outcome(error: &StoreError) -> &'static str {
    match error {
        StoreError::BudgetConflict { .. } | StoreError::Conflict { .. } => "conflict",
        StoreError::Fenced { .. } => "fenced",
        StoreError::Damaged { .. } | StoreError::NewerSchema { .. } => "unreadable",
        _ => "error",
    }
}

#[async_trait]
impl Store for Watched {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        self.measured("load", self.store.load(id)).await
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        let versions = self.measured("apply", self.store.apply(batch)).await?;
        batch.changes().iter().for_each(|change| self.metrics.note(&change.record));
        for change in batch.buckets() {
            self.metrics.inner.fleet.note_bucket(&change.key, change.bucket);
        }
        Ok(versions)
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        self.measured("list", self.store.list(after, most)).await
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let claims = self.measured("claim", self.store.claim(owner, ttl, most)).await?;
        self.metrics.inner.fleet.note_look();
        self.note_claims(claims.iter());
        Ok(claims)
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        let claim = self.measured("claim_one", self.store.claim_one(owner, ttl, id)).await?;
        self.note_claims(claim.iter());
        Ok(claim)
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        self.measured("extend", self.store.extend(held, ttl)).await
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        self.measured("release", self.store.release(held)).await
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.measured("scan_due", self.store.scan_due(until, after, most)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.measured("next_due", self.store.next_due()).await
    }

    async fn woken(&self) {
        self.store.woken().await;
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        self.measured("read", self.store.read(slot)).await
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.measured("write", self.store.write(slot, bytes)).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        self.measured("forget", self.store.forget(id, generation)).await
    }

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        let buckets = self.measured("buckets", self.store.buckets(keys)).await?;
        for (key, bucket) in keys.iter().zip(&buckets) {
            let bucket = bucket.map_or(Bucket::FULL, |(_, bucket)| bucket);
            self.metrics.inner.fleet.note_bucket(key, bucket);
        }
        Ok(buckets)
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        let quarantined = self.measured("quarantined", self.store.quarantined()).await?;
        self.metrics.inner.fleet.note_quarantined(quarantined.len());
        quarantined.iter().filter_map(|one| one.id.as_ref()).for_each(|id| {
            self.metrics.inner.fleet.note_unreadable(id.as_str());
        });
        Ok(quarantined)
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        self.measured("remove", self.store.remove(id, expected, held)).await?;
        self.metrics.forget(id);
        Ok(())
    }
}
