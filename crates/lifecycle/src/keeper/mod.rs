//! The driver: makes the world agree with the specs, for years.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use perennial_core::{Clock, SystemClock, Timestamp};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use crate::{
    CertificateId, CertificateSpec, Error, Event, EventKind, Events, Holding, Issuer, IssuerName, Journal,
    Material, Record, Store, StoreError, event::Audience, ladder, renews_at,
};

mod certificate;
use certificate::State;
pub use certificate::{Certificate, Issued};

mod step;

/// Makes the world agree with [`CertificateSpec`]s: issues, verifies, stores and renews.
///
/// Every step is committed to the store before its side effect, so a process that is killed at any moment
/// goes on where it stopped: the key is written before the order is made, the order's URL before challenges
/// are answered, and the certificate that serves is replaced only by a verified one.
///
/// Cloning is cheap; all clones drive the same certificates, each by one pass at a time. Dropping the last
/// clone and every [`Certificate`] ends the work; what is under way then is taken up at the next start.
///
/// See the crate `perennial` for the front door that most programs use.
#[derive(Clone)]
pub struct Keeper {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    issuers: BTreeMap<IssuerName, Arc<dyn Issuer>>,
    audience: Audience,
    store: Arc<dyn Store>,
    kept: Mutex<BTreeMap<CertificateId, Kept>>,
    turns: Mutex<BTreeMap<CertificateId, Arc<Turn>>>,
}

/// Whose turn it is with a certificate: two passes at once would order two certificates.
type Turn = tokio::sync::Mutex<()>;

/// A certificate with a task that keeps it.
struct Kept {
    state: watch::Receiver<State>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What one pass over a certificate came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// An attempt failed; the failure is on record.
    Failed {
        /// What went wrong.
        error: Error,
        /// When the next attempt is due, or sooner if something that was presented is still to be removed.
        until: Timestamp,
    },
    /// No attempt is made any more until the spec is changed.
    GivenUp {
        /// Why.
        error: Error,
        /// The end of time, or sooner if something that was presented is still to be removed.
        until: Timestamp,
    },
    /// A new certificate is in place.
    Issued {
        /// When it is due for renewal.
        until: Timestamp,
    },
    /// The certificate is good.
    Kept {
        /// When it is due for renewal.
        until: Timestamp,
    },
    /// An earlier attempt failed and the next is not due yet.
    Waiting {
        /// What went wrong then, in this process or in one before it.
        error: Error,
        /// As of [`Failed`](Self::Failed).
        until: Timestamp,
    },
}

impl Outcome {
    /// When the next pass has something to do.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        match self {
            Self::Failed { until, .. }
            | Self::GivenUp { until, .. }
            | Self::Issued { until }
            | Self::Kept { until }
            | Self::Waiting { until, .. } => *until,
        }
    }
}

impl Keeper {
    /// Starts a keeper over a store.
    pub fn builder(store: Arc<dyn Store>) -> KeeperBuilder {
        let (clock, audience) = (Arc::new(SystemClock::new()), Audience::new());
        KeeperBuilder { clock, issuers: BTreeMap::new(), audience, store }
    }

    /// Keeps a certificate from now on: writes the spec down, starts a task that issues and renews, and
    /// returns the handle. Calling it again with a changed spec changes the wish; a changed wish also ends
    /// the wait after a failure.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Spec`] or [`Error::UnknownIssuer`] when the spec cannot work, [`Error::Store`] when it
    /// cannot be written down.
    pub async fn keep(&self, spec: CertificateSpec) -> Result<Certificate, Error> {
        self.wish(spec.clone()).await?;
        let mut kept = self.inner.kept();
        // A store that panics ends its task: then a new one takes over.
        if let Some(known) = kept.get(spec.id()).filter(|known| !known.task.is_finished()) {
            known.wake.notify_one();
            return Ok(Certificate::new(self.clone(), spec.id().clone(), known.state.clone()));
        }
        let (sender, state) = watch::channel(State::default());
        let wake = Arc::new(Notify::new());
        // The task holds no strong reference: dropping the keeper ends it.
        let weak = Arc::downgrade(&self.inner);
        let (id, woken) = (spec.id().clone(), wake.clone());
        let task = tokio::spawn(async move {
            if let Some(inner) = weak.upgrade() {
                Self { inner }.show_stored(&id, &sender).await;
            }
            while let Some(inner) = weak.upgrade() {
                let clock = inner.clock.clone();
                let until = Self { inner }.pass(&id, &sender).await;
                tokio::select! {
                    () = clock.sleep_until(until) => {}
                    () = woken.notified() => {}
                }
            }
        });
        kept.insert(spec.id().clone(), Kept { state: state.clone(), wake, task });
        Ok(Certificate::new(self.clone(), spec.id().clone(), state))
    }

    /// Writes a spec down without starting a task: for programs that call [`step`](Self::step) themselves.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub async fn wish(&self, spec: CertificateSpec) -> Result<(), Error> {
        spec.validate()?;
        self.inner.issuer(&spec)?;
        loop {
            let (expected, record) = match self.inner.store.load(spec.id()).await? {
                Some((_, record)) if record.spec == spec => return Ok(()),
                Some((version, mut record)) => {
                    if !ladder::still_count(&record.spec, &spec) {
                        record.failures = None;
                    }
                    record.spec = spec.clone();
                    record.spec_generation = record.spec_generation.saturating_add(1);
                    record.observe(None, self.inner.clock.now());
                    (Some(version), record)
                }
                None => {
                    let mut record = Record::new(spec.clone());
                    record.observe(Some(Material::Missing), self.inner.clock.now());
                    (None, record)
                }
            };
            match self.inner.store.commit(&record, expected).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One pass over a certificate: decides, and issues if that is the decision.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when nobody wished for it, [`Error::Store`] when not even a failure can
    /// be written down. A failed issuance is an [`Outcome::Failed`].
    pub async fn step(&self, id: &CertificateId) -> Result<Outcome, Error> {
        step::step(&self.inner, id).await
    }

    /// Gives an issuance up, and lets its issuer remove what it presented: for programs that have dropped the
    /// future of [`step`](Self::step). A pass that still runs elsewhere fails at its next note.
    ///
    /// # Errors
    /// [`Error::Issue`] when something could not be removed; it stays on record.
    pub async fn abandon(&self, id: &CertificateId) -> Result<(), Error> {
        loop {
            let (version, record) = self.inner.record(id).await?;
            match step::drop_attempt(&self.inner, version, record).await {
                Ok((version, record)) => return step::settle(&self.inner, version, record).await.2,
                // The last note of the dropped future was still being written.
                Err(Error::Store(StoreError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What happens from now on, as a stream.
    pub fn events(&self) -> Events {
        self.inner.audience.listen()
    }

    /// The certificate that serves now, with its key, or `None` when there is none yet or its key and chain do
    /// not belong together any more.
    ///
    /// # Errors
    /// [`Error::Store`] when key or chain cannot be read.
    pub async fn current(&self, id: &CertificateId) -> Result<Option<Issued>, Error> {
        let (_, record) = self.inner.record(id).await?;
        step::load_current(&self.inner, &record).await
    }

    /// Stops keeping: ends every task where it stands. What is under way is on record and taken up at the
    /// next start. Handles answer [`Error::ShutDown`] from then on.
    pub fn shut_down(&self) {
        self.inner.kept().clear();
    }

    /// Shows what the store holds before the first pass: a renewal that hangs must not keep a program that
    /// starts from serving a good certificate.
    async fn show_stored(&self, id: &CertificateId, state: &watch::Sender<State>) {
        let Ok((_, record)) = self.inner.record(id).await else { return };
        let now = self.inner.clock.now();
        let good = record.current.as_ref().is_some_and(|current| {
            current.issued_for.asks_same_certificate(&record.spec) && current.facts.not_after > now
        });
        if let (true, Ok(Some(issued))) = (good, step::load_current(&self.inner, &record).await) {
            state.send_modify(|state| state.current = Some(Arc::new(issued)));
        }
    }

    /// One pass of a task; returns when to look again.
    async fn pass(&self, id: &CertificateId, state: &watch::Sender<State>) -> Timestamp {
        let outcome = self.step(id).await;
        let current = self.current(id).await;
        let now = self.inner.clock.now();
        let (until, trouble) = match outcome {
            Ok(
                Outcome::Failed { error, until }
                | Outcome::GivenUp { error, until }
                | Outcome::Waiting { error, until },
            ) => (until, Some(error)),
            Ok(Outcome::Issued { until }) => (until.max(now + ISSUANCE_PAUSE), None),
            Ok(Outcome::Kept { until }) => (until, None),
            Err(error) => (now + STORE_PAUSE, Some(error)),
        };
        state.send_modify(|state| {
            match current {
                Ok(Some(issued))
                    if state.current.as_ref().is_none_or(|old| old.generation != issued.generation) =>
                {
                    state.current = Some(Arc::new(issued));
                }
                // A store that is gone takes nothing away from those who serve.
                _ => {}
            }
            state.trouble = trouble;
            state.passes += 1;
        });
        until
    }
}

/// How long to leave a store alone that cannot be read or written.
const STORE_PAUSE: Duration = Duration::from_secs(60);

/// How long to leave a certificate alone that was issued just now: an issuer whose certificates end within
/// seconds must not be asked for the next one every second.
const ISSUANCE_PAUSE: Duration = Duration::from_secs(60);

impl Inner {
    /// Waits for the turn of a certificate.
    async fn turn(&self, id: &CertificateId) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(id.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<CertificateId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issuer(&self, spec: &CertificateSpec) -> Result<&Arc<dyn Issuer>, Error> {
        let name = spec.issuer_name();
        self.issuers.get(name).ok_or_else(|| self.unknown_issuer(spec.id(), name))
    }

    fn unknown_issuer(&self, id: &CertificateId, issuer: &IssuerName) -> Error {
        let known: Vec<_> = self.issuers.keys().map(IssuerName::as_str).collect();
        Error::UnknownIssuer { id: id.clone(), issuer: issuer.clone(), known: known.join(", ") }
    }

    async fn record(&self, id: &CertificateId) -> Result<(crate::Version, Record), Error> {
        self.store.load(id).await?.ok_or_else(|| Error::UnknownCertificate { id: id.clone() })
    }

    fn journal(&self, issuer: &IssuerName, state: (crate::Version, Record)) -> Journal {
        Journal::new(self.store.clone(), self.clock.clone(), self.audience.clone(), issuer.clone(), state)
    }

    fn tell(&self, id: &CertificateId, kind: EventKind) {
        self.audience.tell(Event::new(self.clock.now(), Some(id.clone()), kind));
    }
}

/// When a certificate that serves now is due.
fn due(record: &Record, now: Timestamp) -> Timestamp {
    record.current.as_ref().map_or(Timestamp::MIN, |current| {
        renews_at(&record.spec, &Holding::new(current, Material::Whole), now)
    })
}

/// Settings of a [`Keeper`].
#[must_use = "a builder does nothing until `build`"]
pub struct KeeperBuilder {
    clock: Arc<dyn Clock>,
    issuers: BTreeMap<IssuerName, Arc<dyn Issuer>>,
    audience: Audience,
    store: Arc<dyn Store>,
}

impl KeeperBuilder {
    /// Whose time counts. Default: the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// An issuer and the name that specs call it by.
    pub fn issuer(mut self, name: IssuerName, issuer: Arc<dyn Issuer>) -> Self {
        self.issuers.insert(name, issuer);
        self
    }

    /// Who is told what happens; repeatable. It is called between steps and must return quickly; see
    /// [`Keeper::events`] for those who take their time.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.audience.observe(observer);
        self
    }

    /// Makes the keeper.
    pub fn build(self) -> Keeper {
        let Self { clock, issuers, audience, store } = self;
        let (kept, turns) = (Mutex::default(), Mutex::default());
        Keeper { inner: Arc::new(Inner { clock, issuers, audience, store, kept, turns }) }
    }
}
