//! What an issuer may write down while it works.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use perennial_core::{Clock, SecretBytes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use crate::{
    CertificateSpec, Event, EventKind, IssuerName, OrderRecord, Record, Stage, StoreError,
    event::Audience,
    keeper::Hold,
    record::{Attempt, Debt, Generation},
    store::{Batch, MemoryStore, Slot, Store, Version},
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

/// What an issuer may write down while it works on one certificate.
///
/// Every note is durable when the call returns, and is compared-and-swapped: if somebody else has taken the
/// certificate over, the note fails and the issuer stops; under a keeper the call does not even return, so that
/// nothing is removed that the next one needs.
pub struct Journal {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    audience: Audience,
    issuer: IssuerName,
    /// The lease that it is written under; a journal without a keeper has none.
    hold: Option<Arc<Hold>>,
    /// Whether the work goes on when a wish is changed that its attempt serves all the same.
    issues: bool,
    /// Whether an order was made while it was open.
    ordered: AtomicBool,
    state: Mutex<State>,
}

struct State {
    version: Version,
    record: Record,
    /// Whether the record has heard stages that the store has not seen.
    heard: bool,
}

impl Journal {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        audience: Audience,
        issuer: IssuerName,
        (version, record): (Version, Record),
    ) -> Self {
        let state = Mutex::new(State { version, record, heard: false });
        Self {
            store,
            clock,
            audience,
            issuer,
            hold: None,
            issues: false,
            ordered: AtomicBool::new(false),
            state,
        }
    }

    /// The same, for work that ends with a certificate or a failure: whoever looks at the record after that looks at
    /// the whole of it, a changed wish too.
    pub(crate) fn issuing(self) -> Self {
        Self { issues: true, ..self }
    }

    /// The same, written under a lease.
    pub(crate) fn under(self, hold: Arc<Hold>) -> Self {
        Self { hold: Some(hold), ..self }
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
        let attempt = Attempt::new(generation, spec.clone(), clock.now());
        let mut record = Record::new(spec);
        record.attempt = Some(attempt);
        record.last_generation = generation;
        let issuer = record.spec.issuer_name().clone();
        let version = store.commit(&record, None).await?;
        Ok(Self::new(store, clock, Audience::new(), issuer, (version, record)))
    }

    /// How far an earlier call came, if there was one.
    pub async fn progress(&self) -> Option<Progress> {
        self.state.lock().await.record.attempt.as_ref().and_then(|attempt| attempt.progress.clone())
    }

    /// Writes down how far the issuer has come.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then, and the issuer must not go on.
    pub async fn record(&self, progress: Progress) -> Result<(), StoreError> {
        self.change(|record| {
            if let Some(attempt) = &mut record.attempt {
                attempt.progress = Some(progress.clone());
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
        let own = state.record.debts.iter().filter(|debt| debt.issuer == self.issuer);
        own.map(|debt| debt.what.clone()).collect()
    }

    /// Writes down what the issuer is about to present. What is on record already is not written twice.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then, and nothing may be presented.
    pub async fn owe(&self, debts: &[Progress]) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.change(|record| {
            for what in debts {
                let is_on_record = |debt: &Debt| debt.issuer == self.issuer && debt.what == *what;
                if !record.debts.iter().any(is_on_record) {
                    let (issuer, what) = (self.issuer.clone(), what.clone());
                    record.debts.push(Debt { issuer, what, since: Some(now) });
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

    /// Commits a change of the record, unless there is nothing that the store does not know.
    async fn change(&self, change: impl Fn(&mut Record) + Send) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        let mut changed = state.record.clone();
        change(&mut changed);
        if !state.heard && changed == state.record {
            return Ok(());
        }
        loop {
            match (self.commit(&changed, state.version).await, &self.hold) {
                (Ok(version), _) => {
                    state.version = version;
                    break;
                }
                // Whoever has it now goes on with what was presented: nothing of it may be removed here.
                (Err(error @ StoreError::Fenced { .. }), Some(hold)) => {
                    drop(state);
                    hold.was_lost().await;
                    return Err(error);
                }
                (Err(error @ StoreError::Conflict { .. }), Some(_)) if self.issues => {
                    let (version, record) = self.rebased(&state.record).await?.ok_or(error)?;
                    state.version = version;
                    changed = record;
                    change(&mut changed);
                }
                (Err(error), _) => return Err(error),
            }
        }
        state.record = changed;
        state.heard = false;
        drop(state);
        if let Some(hold) = &self.hold {
            hold.reached_commit().await;
        }
        Ok(())
    }

    /// The record as it is now with what was heard here, where a wish was changed that this attempt serves as well as
    /// the one before. Under a lease nobody else changes anything but wishes.
    async fn rebased(&self, ours: &Record) -> Result<Option<(Version, Record)>, StoreError> {
        let Some((version, mut record)) = self.store.load(ours.id()).await? else { return Ok(None) };
        let (Some(own), Some(there)) = (&ours.attempt, &record.attempt) else { return Ok(None) };
        let serves = own.generation == there.generation
            && own.asked_for.asks_same_certificate(&record.spec)
            && !record.is_compromised(own.generation)
            && record.denied.is_none();
        record.attempt.clone_from(&ours.attempt);
        record.debts.clone_from(&ours.debts);
        Ok(serves.then_some((version, record)))
    }

    async fn commit(&self, record: &Record, version: Version) -> Result<Version, StoreError> {
        let batch = self.hold.as_ref().map_or_else(Batch::new, |hold| hold.batch());
        let versions = self.store.apply(&batch.change(record.clone(), Some(version))).await?;
        // One change has one version.
        Ok(versions.first().copied().unwrap_or(Version::FIRST))
    }

    /// Waits for something outside, such as propagation or a CA that takes its time, without holding one of the
    /// keeper's slots; takes one again afterwards, which may be later. Nothing that was not written down should be
    /// at hand meanwhile: a keeper that is shut down ends the work here.
    ///
    /// So sixty domains whose name servers are slow do not delay the sixty-first.
    pub async fn parked<F: Future + Send>(&self, wait: F) -> F::Output {
        match &self.hold {
            Some(hold) => hold.left_while(wait).await,
            None => wait.await,
        }
    }

    /// Whether an order was made while it was open.
    pub(crate) fn has_ordered(&self) -> bool {
        self.ordered.load(Ordering::SeqCst)
    }

    /// What the issuer keeps for itself across all its certificates, such as its account key.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub async fn issuer_state(&self) -> Result<Option<SecretBytes>, StoreError> {
        self.store.read(&Slot::IssuerState { issuer: self.issuer.clone() }).await
    }

    /// Keeps the issuer's own state, if what is there is still what [`issuer_state`](Self::issuer_state) has said:
    /// processes that share a store begin at the same moment, and all of them keep one account.
    ///
    /// # Errors
    /// [`StoreError::SlotConflict`] when somebody else has written it in between; otherwise when it cannot be written.
    pub async fn keep_issuer_state(
        &self,
        known: Option<&SecretBytes>,
        state: &SecretBytes,
    ) -> Result<(), StoreError> {
        let slot = Slot::IssuerState { issuer: self.issuer.clone() };
        self.store.write_if(&slot, known, state).await
    }

    /// Tells those who watch that a stage is done, and notes it in the [order on record](OrderRecord), which is
    /// durable with whatever is written next.
    pub async fn tell(&self, stage: Stage) {
        if let Stage::OrderCreated { .. } = stage {
            self.ordered.store(true, Ordering::SeqCst);
        }
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        if let Some(attempt) = &mut state.record.attempt {
            let heard = OrderRecord::hear(&mut attempt.order, &stage, now);
            state.heard |= heard;
        }
        let certificate = Some(state.record.id().clone());
        drop(state);
        self.audience.tell(Event::new(now, certificate, EventKind::Stage { stage }));
    }

    /// Writes down what was told since the last note, if anything was: after a failure nothing else may be written.
    ///
    /// # Errors
    /// [`StoreError`]; it is told with the next attempt then.
    pub(crate) async fn keep_told(&self) -> Result<(), StoreError> {
        self.change(|_| {}).await
    }

    pub(crate) async fn into_state(self) -> (Version, Record) {
        let state = self.state.into_inner();
        (state.version, state.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_core::SystemClock;

    fn what(text: &str) -> Progress {
        Progress::encode(&text).unwrap()
    }

    #[tokio::test]
    async fn of_two_who_keep_a_state_at_the_same_moment_one_is_told_to_look_again() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let journal = async |id: &str| {
            let spec = CertificateSpec::new(id, ["a.example"]).unwrap();
            Journal::begin(store.clone(), spec, clock()).await.unwrap()
        };
        let (one, two) = (journal("one").await, journal("two").await);
        let (ours, theirs) = (SecretBytes::new(*b"ours"), SecretBytes::new(*b"theirs"));
        assert!(one.issuer_state().await.unwrap().is_none() && two.issuer_state().await.unwrap().is_none());
        one.keep_issuer_state(None, &ours).await.unwrap();
        let refused = two.keep_issuer_state(None, &theirs).await.unwrap_err();
        assert!(matches!(refused, StoreError::SlotConflict { .. }), "{refused}");
        let kept = two.issuer_state().await.unwrap();
        assert!(kept.as_ref() == Some(&ours));
        two.keep_issuer_state(kept.as_ref(), &theirs).await.unwrap();
        assert!(one.issuer_state().await.unwrap().as_ref() == Some(&theirs));
    }

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    async fn journal(store: &Arc<dyn Store>) -> Journal {
        let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
        Journal::begin(store.clone(), spec, clock()).await.unwrap()
    }

    async fn stored(store: &Arc<dyn Store>) -> (Version, Record) {
        store.load(&"a".parse().unwrap()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_note_is_in_the_store_when_the_call_returns_and_is_made_once() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let journal = journal(&store).await;
        journal.record(what("order")).await.unwrap();
        journal.owe(&[what("txt"), what("txt")]).await.unwrap();
        let (version, record) = stored(&store).await;
        assert_eq!(record.attempt.and_then(|attempt| attempt.progress), Some(what("order")));
        assert_eq!(record.debts.len(), 1);
        journal.owe(&[what("txt")]).await.unwrap();
        assert_eq!(stored(&store).await.0, version, "a note that says nothing new is no commit");
        journal.paid(&[what("txt")]).await.unwrap();
        journal.start_over().await.unwrap();
        let (_, record) = stored(&store).await;
        assert_eq!((record.debts, record.attempt.unwrap().progress), (Vec::new(), None));
    }

    #[tokio::test]
    async fn an_issuer_sees_and_strikes_out_its_own_debts_alone() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let journal = journal(&store).await;
        journal.owe(&[what("txt")]).await.unwrap();
        let other = Journal::new(
            store.clone(),
            clock(),
            Audience::new(),
            "other".parse().unwrap(),
            stored(&store).await,
        );
        assert_eq!(other.debts().await, []);
        other.owe(&[what("txt")]).await.unwrap();
        assert_eq!(other.debts().await, [what("txt")]);
        other.paid(&[what("txt")]).await.unwrap();
        let (_, record) = stored(&store).await;
        assert_eq!(record.debts.iter().map(|debt| debt.issuer.as_str()).collect::<Vec<_>>(), ["default"]);
    }

    #[tokio::test]
    async fn who_was_overtaken_can_note_nothing_any_more() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let journal = journal(&store).await;
        let (version, record) = stored(&store).await;
        store.commit(&record, Some(version)).await.unwrap();
        for _ in 0..2 {
            let error = journal.record(what("order")).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        }
        assert_eq!(journal.progress().await, None, "what was not written is not remembered");
    }

    #[test]
    fn a_note_of_another_version_is_not_misread() {
        assert_eq!(what("7").decode::<u32>(), None);
        assert_eq!(Progress::encode(&7).unwrap().decode::<u32>(), Some(7));
    }

    #[tokio::test]
    async fn what_is_told_is_in_the_store_with_the_next_note_and_after_a_failure_without_one() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let journal = journal(&store).await;
        let order = |record: &Record| record.attempt.as_ref()?.order.as_ref().map(|order| order.url.clone());
        journal.tell(Stage::OrderCreated { url: "https://ca.example/1".to_owned() }).await;
        assert_eq!(order(&stored(&store).await.1), None);
        journal.record(what("order")).await.unwrap();
        assert_eq!(order(&stored(&store).await.1).as_deref(), Some("https://ca.example/1"));
        journal.tell(Stage::OrderCreated { url: "https://ca.example/2".to_owned() }).await;
        journal.keep_told().await.unwrap();
        let (version, record) = stored(&store).await;
        assert_eq!(order(&record).as_deref(), Some("https://ca.example/2"));
        journal.keep_told().await.unwrap();
        assert_eq!(stored(&store).await.0, version, "there is nothing new to write");
    }
}
