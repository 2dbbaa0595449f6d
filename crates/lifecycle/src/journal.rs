//! What an issuer may write down while it works.

use std::sync::Arc;

use perennial_core::{Clock, SecretBytes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use crate::{
    CertificateSpec, Event, EventKind, IssuerName, Record, Stage, StoreError,
    record::{Attempt, Debt, Generation},
    store::{MemoryStore, Slot, Store, Version},
};

/// How far an issuer has come, in its own words: a JSON text that only the issuer reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Progress(String);

impl Progress {
    /// Writes the issuer's own value down.
    ///
    /// # Errors
    /// The message of the serializer, when the value has no JSON form (map keys that are no text).
    pub fn encode<T: Serialize>(value: &T) -> Result<Self, String> {
        serde_json::to_string(value).map(Self).map_err(|error| error.to_string())
    }

    /// Reads it back; `None` when it was written by another version in a form that cannot be read.
    #[must_use]
    pub fn decode<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.0).ok()
    }
}

/// Who is told what happens.
pub(crate) type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// What an issuer may write down while it works on one certificate.
///
/// Every note is durable when the call returns, and is compared-and-swapped: if somebody else has taken the
/// certificate over, the note fails and the issuer stops.
pub struct Journal {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    observer: Option<Observer>,
    issuer: IssuerName,
    state: Mutex<(Version, Record)>,
}

impl Journal {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        observer: Option<Observer>,
        issuer: IssuerName,
        (version, record): (Version, Record),
    ) -> Self {
        Self { store, clock, observer, issuer, state: Mutex::new((version, record)) }
    }

    /// A journal over a memory store of its own, to use an [`Issuer`](crate::Issuer) without a keeper.
    ///
    /// # Errors
    /// [`StoreError`] never in practice: memory is empty and willing.
    pub async fn in_memory(spec: CertificateSpec, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::begin(Arc::new(MemoryStore::new()), spec, clock).await
    }

    /// A journal over a store, for a certificate that the store does not know yet, to use an
    /// [`Issuer`](crate::Issuer) without a keeper.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the store knows the certificate already.
    pub async fn begin(
        store: Arc<dyn Store>,
        spec: CertificateSpec,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let generation = Generation::from_number(1);
        let attempt =
            Attempt { generation, asked_for: spec.clone(), started_at: clock.now(), progress: None };
        let mut record = Record::new(spec);
        record.attempt = Some(attempt);
        record.last_generation = generation;
        let issuer = record.spec.issuer_name().clone();
        let version = store.commit(&record, None).await?;
        Ok(Self::new(store, clock, None, issuer, (version, record)))
    }

    /// How far an earlier call came, if there was one.
    pub async fn progress(&self) -> Option<Progress> {
        self.state.lock().await.1.attempt.as_ref().and_then(|attempt| attempt.progress.clone())
    }

    /// Writes down how far the issuer has come.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then, and the issuer must not go on.
    pub async fn record(&self, progress: Progress) -> Result<(), StoreError> {
        self.change(|record| {
            if let Some(attempt) = &mut record.attempt {
                attempt.progress = Some(progress);
            }
        })
        .await
    }

    /// Forgets how far the issuer has come: what it got cannot be used, and the next call begins anew. Debts
    /// stay.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is forgotten then.
    pub async fn start_over(&self) -> Result<(), StoreError> {
        self.change(|record| {
            if let Some(attempt) = &mut record.attempt {
                attempt.progress = None;
            }
        })
        .await
    }

    /// What this issuer presented for this certificate and has not removed yet, in earlier calls too.
    pub async fn debts(&self) -> Vec<Progress> {
        let state = self.state.lock().await;
        let own = state.1.debts.iter().filter(|debt| debt.issuer == self.issuer);
        own.map(|debt| debt.what.clone()).collect()
    }

    /// Writes down what the issuer is about to present. What is on record already is not written twice.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then, and nothing may be presented.
    pub async fn owe(&self, debts: &[Progress]) -> Result<(), StoreError> {
        self.change(|record| {
            for what in debts {
                let debt = Debt { issuer: self.issuer.clone(), what: what.clone() };
                if !record.debts.contains(&debt) {
                    record.debts.push(debt);
                }
            }
        })
        .await
    }

    /// Strikes out what was removed again.
    ///
    /// # Errors
    /// [`StoreError`]; it stays on record then, and is removed once more later.
    pub async fn paid(&self, debts: &[Progress]) -> Result<(), StoreError> {
        self.change(|record| {
            record.debts.retain(|debt| debt.issuer != self.issuer || !debts.contains(&debt.what));
        })
        .await
    }

    /// Commits a change of the record, unless it changes nothing.
    async fn change(&self, change: impl FnOnce(&mut Record) + Send) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        let (version, record) = &mut *state;
        let mut changed = record.clone();
        change(&mut changed);
        if changed != *record {
            *version = self.store.commit(&changed, Some(*version)).await?;
            *record = changed;
        }
        Ok(())
    }

    /// What the issuer keeps for itself across all its certificates, such as its account key.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub async fn issuer_state(&self) -> Result<Option<SecretBytes>, StoreError> {
        self.store.read(&Slot::IssuerState { issuer: self.issuer.clone() }).await
    }

    /// Keeps the issuer's own state, replacing what was there.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be written.
    pub async fn keep_issuer_state(&self, state: &SecretBytes) -> Result<(), StoreError> {
        self.store.write(&Slot::IssuerState { issuer: self.issuer.clone() }, state).await
    }

    /// Tells those who watch that a stage is done.
    pub async fn tell(&self, stage: Stage) {
        let Some(observer) = &self.observer else { return };
        let certificate = self.state.lock().await.1.id().clone();
        observer(&Event { at: self.clock.now(), certificate, kind: EventKind::Stage { stage } });
    }

    pub(crate) async fn into_state(self) -> (Version, Record) {
        self.state.into_inner()
    }
}
