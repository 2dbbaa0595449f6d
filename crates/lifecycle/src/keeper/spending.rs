//! Tokens, taken from the budgets that the store holds for all who share it.

use perennial_core::Timestamp;

use super::Inner;
use crate::{
    StoreError, Version,
    budget::{Bucket, BudgetKey, Charge, Demand, Limit, Line, Refusal, Shared},
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
        for _ in 0..TRIES {
            let rows = self.rows(demands).await?;
            let taken = match take(&rows, self.counted_at()) {
                Ok(taken) => taken,
                Err((row, until)) => {
                    self.wait_in_line(row, until).await;
                    let until = self.leases.by_our_clock(until);
                    return Ok(Err(Refusal { key: row.demand.key.clone(), until }));
                }
            };
            let batch = taken
                .into_iter()
                .fold(batch.clone(), |batch, (key, version, bucket)| batch.bucket(key, version, bucket));
            match self.store.apply(&batch).await {
                Err(StoreError::BudgetConflict { .. }) => {}
                applied => return applied.map(Ok),
            }
        }
        // Others take from it faster than we can look: there is no hurry to join them.
        let key = demands.first().map_or(BudgetKey::Fleet, |demand| demand.key.clone());
        Ok(Err(Refusal { key, until: self.clock.now() + PAUSE }))
    }

    /// Those who share a bucket count by one clock.
    fn counted_at(&self) -> Timestamp {
        self.leases.by_store_clock(self.clock.now())
    }

    /// What the store knows of the buckets that are demanded, in one question.
    async fn rows<'a>(&self, demands: &'a [Demand]) -> Result<Vec<Row<'a>>, StoreError> {
        let keys: Vec<BudgetKey> = demands.iter().flat_map(keys).collect();
        let mut stored = self.store.buckets(&keys).await?.into_iter();
        let mut next = || {
            let (version, bucket) = stored.next().flatten().unzip();
            Cell { version, bucket: bucket.unwrap_or(Bucket::FULL) }
        };
        let row = |demand: &'a Demand| Row {
            demand,
            bucket: next(),
            line: demand.line.map(|line| (line, next(), next())),
        };
        Ok(demands.iter().map(row).collect())
    }

    /// Writes down that somebody of this line waits until then, and as long as it may take to come back. Who cannot
    /// be written down is one of many.
    async fn wait_in_line(&self, row: &Row<'_>, until: Timestamp) {
        let Some((line, ..)) = row.line else { return };
        let key = BudgetKey::Waiting(line, Box::new(row.demand.key.clone()));
        let Ok(stored) = self.store.buckets(std::slice::from_ref(&key)).await else { return };
        let (version, known) = stored.into_iter().next().flatten().unzip();
        if known.is_some_and(|known| !known.is_full(until)) {
            return;
        }
        let now = self.counted_at();
        let waiting = Bucket::emptied(Limit::pace(now.until(until) + Refusal::LONGEST_SPREAD), now);
        let _ = self.store.apply(&Batch::new().bucket(key, version, waiting)).await;
    }

    /// Gives tokens back that were not spent after all, `under` the lease of the work: who has lost that knows
    /// nothing of what becomes of it. What cannot be given back comes back by itself.
    pub(super) async fn give_back(&self, demands: &[Demand], under: &Batch) {
        if demands.is_empty() {
            return;
        }
        let _one = self.spending.lock().await;
        for _ in 0..TRIES {
            let Ok(rows) = self.rows(demands).await else { return };
            let mut batch = under.clone();
            for Row { demand, bucket, line } in rows {
                let share = line.map(|(line, share, _)| {
                    (BudgetKey::Share(line, Box::new(demand.key.clone())), share, demand.limit.half())
                });
                for (key, cell, limit) in
                    [(demand.key.clone(), bucket, demand.limit)].into_iter().chain(share)
                {
                    if cell.version.is_some() {
                        batch = batch.bucket(key, cell.version, cell.bucket.give_back(limit));
                    }
                }
            }
            if !matches!(self.store.apply(&batch).await, Err(StoreError::BudgetConflict { .. })) {
                return;
            }
        }
    }

    /// Empties what an issuer says is used up: it has counted more than we have, and the others of a fleet need not
    /// each hear it.
    pub(super) async fn used_up(&self, demands: &[Demand]) {
        if demands.is_empty() {
            return;
        }
        let _one = self.spending.lock().await;
        for _ in 0..TRIES {
            let Ok(rows) = self.rows(demands).await else { return };
            let now = self.counted_at();
            let batch = rows.iter().fold(Batch::new(), |batch, row| {
                let key = row.demand.key.clone();
                batch.bucket(key, row.bucket.version, Bucket::emptied(row.demand.limit, now))
            });
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

/// A bucket as the store has it.
#[derive(Clone, Copy)]
struct Cell {
    version: Option<Version>,
    bucket: Bucket,
}

/// A demand, and what the store has of it: where it waits in a line, that line's share and who waits in the other.
struct Row<'a> {
    demand: &'a Demand,
    bucket: Cell,
    line: Option<(Line, Cell, Cell)>,
}

/// The keys of a [`Row`], in the order of its cells.
fn keys(demand: &Demand) -> Vec<BudgetKey> {
    match demand.line {
        Some(line) => Shared::keys(&demand.key, line).into(),
        None => vec![demand.key.clone()],
    }
}

type Taken = Vec<(BudgetKey, Option<Version>, Bucket)>;

/// Takes all that is demanded, or names the one that is refilled last, and when.
fn take<'r, 'd>(rows: &'r [Row<'d>], now: Timestamp) -> Result<Taken, (&'r Row<'d>, Timestamp)> {
    let (mut taken, mut shortage) = (Vec::new(), None::<(&Row<'_>, Timestamp)>);
    for row in rows {
        let Row { demand: Demand { key, limit, .. }, bucket, line } = row;
        let got = match line {
            None => bucket.bucket.take(*limit, now).map(|rest| (rest, None)),
            Some((line, share, others)) => {
                let shared =
                    Shared { bucket: bucket.bucket, share: share.bucket, others_wait: others.bucket };
                let share = |rest| (BudgetKey::Share(*line, Box::new(key.clone())), share.version, rest);
                shared.take(*limit, now).map(|(rest, of_share)| (rest, Some(share(of_share))))
            }
        };
        match got {
            Ok((rest, share)) => {
                taken.push((key.clone(), bucket.version, rest));
                taken.extend(share);
            }
            Err(until) if shortage.is_none_or(|(_, latest)| until > latest) => shortage = Some((row, until)),
            Err(_) => {}
        }
    }
    shortage.map_or(Ok(taken), Err)
}

/// What only a failed proof spends.
pub(super) fn of_failures(demands: &[Demand]) -> Vec<Demand> {
    demands.iter().filter(|demand| demand.charge == Charge::OnFailure).cloned().collect()
}

/// Ten processes that take from one bucket at once each lose nine times at most.
const TRIES: usize = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_secs(5);
