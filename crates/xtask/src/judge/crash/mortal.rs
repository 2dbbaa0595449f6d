//! A store that may be the death of the process that uses it.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial::{
    core::SecretBytes,
    lifecycle::{
        CertificateId, Generation, Slot, Store, StoreError, Version,
        store::{Batch, Change, Claim, Held, Overlay, Owner},
    },
};
use rustix::process::{Signal, getpid, kill_process};

use super::life::{Death, Word};

/// Does what another store does, says what is done, and kills the process before or after one operation.
pub(super) struct Mortal {
    inner: Arc<dyn Store>,
    death: Option<Death>,
    begun: AtomicU32,
}

impl Mortal {
    pub(super) fn new(inner: Arc<dyn Store>, death: Option<Death>) -> Self {
        Self { inner, death, begun: AtomicU32::new(0) }
    }

    /// An operation that writes.
    async fn step<T>(
        &self,
        word: Word,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        self.die_if(Death::Before(number));
        let done = work.await;
        match (&done, word) {
            (Err(error), Word::Did { what, progress }) => {
                say(&Word::Failed { what, progress, why: error.to_string() });
            }
            (_, word) => say(&word),
        }
        self.die_if(Death::After(number));
        done
    }

    /// A claim that was given is a step; looking for one is none.
    fn claimed<'a>(&self, claims: impl Iterator<Item = &'a Claim>) {
        for claim in claims {
            let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
            self.die_if(Death::Before(number));
            say(&did(format!("the claim of {}", claim.held.id)));
            self.die_if(Death::After(number));
        }
    }

    fn die_if(&self, here: Death) {
        if self.death == Some(here) {
            // Nothing follows: the signal is there when the call returns.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

/// Says it in one write, so that who is killed has said it or not.
pub(super) fn say(word: &Word) {
    if let Ok(mut line) = serde_json::to_vec(word) {
        line.push(b'\n');
        // Who listens may have gone; that is no reason to stop.
        let _ = std::io::stdout().lock().write_all(&line);
    }
}

fn did(what: String) -> Word {
    Word::Did { what, progress: None }
}

/// What is written together: what there is to see of it, and how far its order has come.
fn applied(batch: &Batch) -> Word {
    let mut parts: Vec<String> =
        batch.writes().iter().map(|(slot, _)| format!("the write of {slot}")).collect();
    let mut progress = None;
    for Change { record, .. } in batch.changes() {
        let attempt = record.attempt.as_ref();
        let state = attempt.and_then(|attempt| attempt.progress.as_ref()?.decode::<serde_json::Value>());
        progress = state.and_then(|state| state["state"].as_str().map(str::to_owned));
        parts.push(format!(
            "the commit of generation {:?}, attempt {:?} {}, {} debts",
            record.current.as_ref().map(|current| current.generation.number()),
            attempt.map(|attempt| attempt.generation.number()),
            progress.as_deref().unwrap_or("without progress"),
            record.debts.len(),
        ));
    }
    parts.extend(batch.buckets().iter().map(|change| format!("the bucket {:?}", change.key)));
    Word::Did { what: parts.join(" and "), progress }
}

/// What only reads is no step, and neither is extending: how often that comes depends on how long the others take.
#[async_trait]
impl Overlay for Mortal {
    type Below = dyn Store;

    fn below(&self) -> &Self::Below {
        &*self.inner
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        self.step(applied(batch), self.below().apply(batch)).await
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let claims = self.below().claim(owner, ttl, most).await?;
        self.claimed(claims.iter());
        Ok(claims)
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        let claim = self.below().claim_one(owner, ttl, id).await?;
        self.claimed(claim.iter());
        Ok(claim)
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        self.step(did("letting go".to_owned()), self.below().release(held)).await
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.step(did(format!("the write of {slot}")), self.below().write(slot, bytes)).await
    }

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        let what = did(format!("the write of {slot}"));
        self.step(what, self.below().write_if(slot, expected, bytes)).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        let what = format!("the end of generation {}", generation.number());
        self.step(did(what), self.below().forget(id, generation)).await
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        self.step(did(format!("the end of {id}")), self.below().remove(id, expected, held)).await
    }
}
