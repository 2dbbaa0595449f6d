//! Tokens, taken from the budgets that the store holds for all who share it.

use super::Inner;
use crate::{
    StoreError, Version,
    budget::{self, Bucket, BudgetKey, Charge, Demand, Refusal},
    store::Batch,
};

impl Inner {
    /// Takes all that is demanded and writes it down together with the batch, or does neither.
    pub(super) async fn spend(
        &self,
        demands: &[Demand],
        batch: Batch,
    ) -> Result<Result<Vec<Version>, Refusal>, StoreError> {
        if demands.is_empty() {
            return if batch.is_empty() {
                Ok(Ok(Vec::new()))
            } else {
                self.store.apply(&batch).await.map(Ok)
            };
        }
        // Those of one process do not get into each other's way.
        let _one = self.spending.lock().await;
        let keys: Vec<BudgetKey> = demands.iter().map(|demand| demand.key.clone()).collect();
        for _ in 0..TRIES {
            let stored = self.store.buckets(&keys).await?;
            let stored = || stored.iter().copied().chain(std::iter::repeat(None));
            // Those who share a bucket count by one clock.
            let now = self.leases.by_store_clock(self.clock.now());
            let from: Vec<_> = demands
                .iter()
                .zip(stored())
                .map(|(demand, stored)| (demand.limit, stored.map_or(Bucket::FULL, |(_, bucket)| bucket)))
                .collect();
            let taken = match budget::take(&from, now) {
                Ok(taken) => taken,
                Err(shortage) => {
                    let key = keys.get(shortage.which).cloned().unwrap_or(BudgetKey::Fleet);
                    return Ok(Err(Refusal { key, until: self.leases.by_our_clock(shortage.until) }));
                }
            };
            let mut batch = batch.clone();
            for ((key, stored), bucket) in keys.iter().zip(stored()).zip(taken) {
                batch = batch.bucket(key.clone(), stored.map(|(version, _)| version), bucket);
            }
            match self.store.apply(&batch).await {
                Err(StoreError::BudgetConflict { .. }) => {}
                applied => return applied.map(Ok),
            }
        }
        // Others take from it faster than we can look: there is no hurry to join them.
        let key = keys.into_iter().next().unwrap_or(BudgetKey::Fleet);
        Ok(Err(Refusal { key, until: self.clock.now() + PAUSE }))
    }

    /// Gives tokens back that were not spent after all, `under` the lease of the work: who has lost that knows
    /// nothing of what becomes of it. What cannot be given back comes back by itself.
    pub(super) async fn give_back(&self, demands: &[Demand], under: &Batch) {
        if demands.is_empty() {
            return;
        }
        let _one = self.spending.lock().await;
        let keys: Vec<BudgetKey> = demands.iter().map(|demand| demand.key.clone()).collect();
        for _ in 0..TRIES {
            let Ok(stored) = self.store.buckets(&keys).await else { return };
            let mut batch = under.clone();
            for (demand, stored) in demands.iter().zip(stored) {
                if let Some((version, bucket)) = stored {
                    batch = batch.bucket(demand.key.clone(), Some(version), bucket.give_back(demand.limit));
                }
            }
            if !matches!(self.store.apply(&batch).await, Err(StoreError::BudgetConflict { .. })) {
                return;
            }
        }
    }

    /// Lets the budgets that every attempt meets follow a jump of our clock; the other side's did not jump. Those
    /// of single domains are not followed: they hold nobody back for longer than they would if they were empty.
    ///
    /// Where others share them they are counted by the store's clock, which has not jumped: if each of ten processes
    /// on one machine let them follow, they would be moved ten times as far.
    pub(super) async fn clock_jumped(&self, jump: crate::ClockJump) -> Result<(), StoreError> {
        if self.store.is_shared() {
            self.leases.jumped(jump);
            return Ok(());
        }
        let keys = self.common_budgets();
        let _one = self.spending.lock().await;
        let stored = self.store.buckets(&keys).await?;
        let mut batch = Batch::new();
        for (key, stored) in keys.into_iter().zip(stored) {
            if let Some((version, bucket)) = stored {
                batch = batch.bucket(key, Some(version), bucket.after(jump));
            }
        }
        match self.store.apply(&batch).await {
            // Somebody who shares them has taken meanwhile, and by a clock of his own.
            Ok(_) | Err(StoreError::BudgetConflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What only a failed proof spends.
pub(super) fn of_failures(demands: &[Demand]) -> Vec<Demand> {
    demands.iter().filter(|demand| demand.charge == Charge::OnFailure).cloned().collect()
}

/// Ten processes that take from one bucket at once each lose nine times at most.
const TRIES: usize = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_secs(5);
