//! What those who hold handles are shown: what a pass came to, what the store holds, what other processes wrote.

use std::sync::{Arc, MutexGuard, PoisonError};

use perennial_core::Timestamp;

use super::{Inner, certificate::Issued, material, watched};
use crate::{CertificateId, Error, Record};

impl Inner {
    /// Shows those who hold a handle what a pass came to.
    pub(super) async fn show(&self, id: &CertificateId, trouble: Option<Option<&Error>>) {
        let Some(known) = self.watched.known(id) else { return };
        let read = match self.store.load(id).await {
            Ok(Some((version, record))) => self.newer(&known, &record).await.map(|newer| (version, newer)),
            // A store that is gone takes nothing away from those who serve.
            _ => None,
        };
        self.watched.tell(id, |state| {
            if let Some(trouble) = trouble {
                state.trouble = trouble.cloned();
            }
            if let Some((version, newer)) = read {
                state.version = Some(version);
                state.current = newer.or_else(|| state.current.take());
            }
        });
    }

    /// The certificate on record, where it is another one than those who watch know, and fit to serve; `None` when
    /// it cannot be read.
    async fn newer(&self, known: &watched::State, record: &Record) -> Option<Option<Arc<Issued>>> {
        let generation = record.current.as_ref().map(|current| current.generation);
        let is_known = generation == known.current.as_ref().map(|known| known.generation());
        if is_known || !is_fit(record, self.clock.now()) {
            return Some(None);
        }
        material::current(self, record).await.ok().map(|issued| issued.map(Arc::new))
    }

    /// Shows what the store holds before anything is done: a renewal that hangs must not keep a program that
    /// starts from serving a good certificate.
    pub(super) async fn show_stored(&self, id: &CertificateId) -> Result<(), Error> {
        let (version, record) = self.record(id).await?;
        let now = self.clock.now();
        let fit = is_fit(&record, now);
        let issued = if fit { material::current(self, &record).await? } else { None };
        if fit && issued.is_none() {
            // Its key or chain is gone or foreign: somebody wants it, so it is looked at now.
            self.note_found(version, &record, material::found(self, &record).await?).await;
        }
        let trouble = record.failures.as_ref().filter(|failures| failures.retry_at > now);
        let trouble = trouble.map(|failures| Error::from(failures.error()));
        self.watched.tell(id, |state| {
            if state.version.is_none() {
                state.version = Some(version);
                state.current = issued.map(Arc::new).or_else(|| state.current.take());
                state.trouble = trouble;
            }
        });
        Ok(())
    }

    /// Shows those who hold handles what other processes have written: some of them at each look, in turns.
    pub(super) async fn refresh(&self) {
        let after = self.refreshed().clone();
        let some = self.watched.after(after.as_ref(), REFRESHED);
        for id in &some {
            let known = self.watched.known(id).and_then(|state| state.version);
            // What this process does is shown when it is done.
            let (version, record) = match self.store.load(id).await {
                Ok(Some(stored)) => stored,
                // Another process keeps it no longer. One that was never seen may be about to be wished for.
                Ok(None) if known.is_some() => {
                    self.watched.end(id, &Error::UnknownCertificate { id: id.clone() });
                    continue;
                }
                _ => continue,
            };
            if known.is_some_and(|known| version > known) {
                self.show(id, None).await;
            }
            // Who holds a handle asks no more. What cannot be written now is written at the next look.
            let _ = self.note_asked(version, record).await;
        }
        // A turn that is short is the last one.
        *self.refreshed() = if some.len() < REFRESHED { None } else { some.into_iter().last() };
    }

    fn refreshed(&self) -> MutexGuard<'_, Option<CertificateId>> {
        self.refreshed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is stored can serve: it has the names that are wished for, and has not ended. Another issuer or key may
/// be wished for by now; until that one is there, this one is better than none.
fn is_fit(record: &Record, now: Timestamp) -> bool {
    let current = record.current.as_ref();
    current.is_some_and(|current| record.spec.has_names_of(&current.facts) && current.facts.not_after > now)
}

/// Handles that are refreshed at once; the next ones half a minute later.
const REFRESHED: usize = 1_000;
