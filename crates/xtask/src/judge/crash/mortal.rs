//! A store that may be the death of the process that uses it.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use perennial::{
    core::SecretBytes,
    lifecycle::{CertificateId, Generation, Record, Slot, Store, StoreError, Version},
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

/// A record that is committed: what there is to see of it, and how far its order has come.
fn committed(record: &Record) -> Word {
    let attempt = record.attempt.as_ref();
    let progress = attempt.and_then(|attempt| attempt.progress.as_ref());
    let state = progress.and_then(|progress| progress.decode::<serde_json::Value>());
    let progress = state.and_then(|state| state["state"].as_str().map(str::to_owned));
    let number = |generation: Generation| generation.number();
    let what = format!(
        "the commit of generation {:?}, attempt {:?} {}, {} debts",
        record.current.as_ref().map(|current| number(current.generation)),
        attempt.map(|attempt| number(attempt.generation)),
        progress.as_deref().unwrap_or("without progress"),
        record.debts.len(),
    );
    Word::Did { what, progress }
}

#[async_trait]
impl Store for Mortal {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        self.inner.load(id).await
    }

    async fn commit(&self, record: &Record, expected: Option<Version>) -> Result<Version, StoreError> {
        self.step(committed(record), self.inner.commit(record, expected)).await
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
        self.step(did(format!("the write of {slot}")), self.inner.write(slot, bytes)).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        let what = format!("the end of generation {}", generation.number());
        self.step(did(what), self.inner.forget(id, generation)).await
    }
}
