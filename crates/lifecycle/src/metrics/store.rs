//! A store that is watched: what goes through it keeps the rows up to date, and is measured.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Metrics, instruments::StoreOp};
use crate::{
    CertificateId, Store, StoreError, Version,
    budget::{Bucket, BudgetKey},
    store::{Batch, Call, Claim, Held, Overlay, Owner, Quarantined},
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
        StoreError::BudgetConflict { .. } | StoreError::Conflict { .. } | StoreError::SlotConflict { .. } => {
            "conflict"
        }
        StoreError::Fenced { .. } => "fenced",
        StoreError::Damaged { .. } | StoreError::NewerSchema { .. } => "unreadable",
        _ => "error",
    }
}

#[async_trait]
impl Overlay for Watched {
    type Below = dyn Store;

    fn below(&self) -> &Self::Below {
        &*self.store
    }

    /// Measures every call. Tokio's clock goes on when the wall clock jumps, and stands still in tests that stop it.
    async fn around<T: Send>(&self, method: &'static str, call: Call<'_, T>) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = call.await;
        let instruments = &self.metrics.inner.instruments;
        let outcome = result.as_ref().map_or_else(outcome, |_| "ok");
        let took = began.elapsed().as_secs_f64();
        instruments.store_op_seconds.get_or_create(&StoreOp { op: method, outcome }).observe(took);
        if matches!(result, Err(StoreError::Fenced { .. })) {
            instruments.leases_fenced.inc();
        }
        result
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        let versions = self.below().apply(batch).await?;
        batch.changes().iter().for_each(|change| self.metrics.note(&change.record));
        for change in batch.buckets() {
            self.metrics.inner.fleet.note_bucket(&change.key, change.bucket);
        }
        Ok(versions)
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let claims = self.below().claim(owner, ttl, most).await?;
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
        let claim = self.below().claim_one(owner, ttl, id).await?;
        self.note_claims(claim.iter());
        Ok(claim)
    }

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        let buckets = self.below().buckets(keys).await?;
        for (key, bucket) in keys.iter().zip(&buckets) {
            let bucket = bucket.map_or(Bucket::FULL, |(_, bucket)| bucket);
            self.metrics.inner.fleet.note_bucket(key, bucket);
        }
        Ok(buckets)
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        let quarantined = self.below().quarantined().await?;
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
        self.below().remove(id, expected, held).await?;
        self.metrics.forget(id);
        Ok(())
    }
}
