//! The driver: makes the world agree with the specs, for years.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicI64},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use perennial_core::{Clock, Timestamp};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time,
};

use crate::{
    Approver, CertificateId, CertificateSpec, Error, Event, EventKind, Events, Failures, Holding, IssueError,
    Issuer, IssuerName, Material, OnDemand, Output, Record, Sink, SinkName, Status, Store, StoreError,
    Version,
    budget::{BudgetKey, Demand, Limit, Limits},
    event::Audience,
    ladder, renews_at,
    rest::Rests,
    store::Owner,
};

mod adopting;
mod approving;
mod board;
use board::{Board, Seat};

mod builder;
pub use builder::KeeperBuilder;

mod certificate;
pub use certificate::{Certificate, Issued};

mod delivering;
mod desk;
use desk::{Desk, Page};

mod engine;
mod failing;
mod health;
mod lease;
pub(crate) use lease::Hold;
use lease::{Ended, Leases, Ticket};

mod material;
mod misplaced;
mod moment;
mod outcome;
pub use outcome::Outcome;

mod pass;
mod quarantine;
use quarantine::Unreadable;

mod rehearsal;
mod reloading;
use rehearsal::Rehearsal;

mod removing;
mod revoking;
mod settling;
mod showing;
mod spending;

mod standing;
pub(crate) use standing::Standing;

mod suggested;
mod turns;
use turns::Turns;

mod walk;
mod watched;
use watched::Watched;

mod wishes;

/// Makes the world agree with [`CertificateSpec`]s: issues, verifies, stores and renews.
///
/// It works on whatever is due in its store, certificate by certificate: it claims them in batches, gives each a
/// slot, commits every step under its claim before the step's side effect, and lets go. So a process that is
/// killed at any moment goes on where it stopped, several processes share one store without getting into each
/// other's way, and a certificate that nobody works on costs no memory: when it is due next stands in the store.
///
/// Cloning is cheap; all clones drive the same certificates. Dropping the last clone and every [`Certificate`]
/// ends the work where it stands, and [`shut_down`](Self::shut_down) ends it in good order; what is under way then
/// is taken up at the next start.
///
/// See the crate `perennial` for the front door that most programs use.
#[derive(Clone)]
pub struct Keeper {
    inner: Arc<Inner>,
    /// Held by those who want the work to go on, and not by the work.
    life: Arc<Life>,
}

struct Inner {
    approver: Option<Arc<dyn Approver>>,
    clock: Arc<dyn Clock>,
    issuers: BTreeMap<IssuerName, Arc<dyn Issuer>>,
    limits: BTreeMap<IssuerName, Limits>,
    provider_limits: BTreeMap<String, Limit>,
    pace: Option<Limit>,
    sinks: BTreeMap<SinkName, Arc<dyn Sink>>,
    hooks: BTreeMap<SinkName, reloading::Bell>,
    audience: Audience,
    store: Arc<dyn Store>,
    owner: Owner,
    grace: Duration,
    on_demand: Option<(Arc<dyn OnDemand>, Limit)>,
    /// Until when no certificate is to be had at first sight, in Unix seconds.
    no_more_until: AtomicI64,
    board: Arc<Board>,
    leases: Arc<Leases>,
    rehearsals: BTreeMap<IssuerName, Rehearsal>,
    rests: Arc<Mutex<Rests>>,
    spending: tokio::sync::Mutex<()>,
    turns: Arc<Turns>,
    unreadable: Mutex<Unreadable>,
    watched: Arc<Watched>,
    /// Up to where handles were refreshed.
    refreshed: Mutex<Option<CertificateId>>,
    wake: Notify,
    workload: watch::Sender<Workload>,
}

/// Ends the loop when nobody wants it any more.
#[derive(Default)]
struct Life {
    engine: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.get_mut().take() {
            engine.abort();
        }
    }
}

/// How much there is to do, as of the last look at the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// How many are claimed and wait for a slot.
    pub waiting: usize,
    /// How many have a slot.
    pub running: usize,
    /// How many have left their slot while they wait for something outside, such as propagation.
    pub parked: usize,
    /// When the store is looked at next, unless something happens before.
    pub next_look: Timestamp,
    /// Whether the store could be read and written.
    pub store_answers: bool,
}

impl Workload {
    const fn rests_at(&self, now: Timestamp) -> bool {
        self.waiting == 0
            && self.running == 0
            && self.parked == 0
            && self.store_answers
            && self.next_look.unix() > now.unix()
    }
}

impl Keeper {
    /// Starts a keeper over a store. A keeper that was started works on everything that the store holds.
    pub fn builder(store: Arc<dyn Store>) -> KeeperBuilder {
        KeeperBuilder::new(store)
    }

    /// Keeps a certificate from now on: writes the spec down, [starts](Self::start) the work, and returns the
    /// handle. Calling it again with a changed spec changes the wish; a changed wish also ends the wait after a
    /// failure, and what was denied is asked about again. Until the new certificate is there, the one that is stored
    /// goes on serving, and is shown as long as it has the names that are wished for.
    ///
    /// The certificate is kept until it is [removed](Self::remove), whether somebody holds its handle or not.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Spec`], [`Error::UnknownIssuer`], [`Error::UnknownSink`] or [`Error::UnsupportedFormat`] when the spec
    /// cannot work, [`Error::Store`] when it cannot be written down.
    pub async fn keep(&self, spec: CertificateSpec) -> Result<Certificate, Error> {
        self.wish(spec.clone()).await?;
        self.start().await;
        self.watch(spec.id()).await
    }

    /// The handle of a certificate that the store knows already.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when nobody wished for it, [`Error::Store`] when its record cannot be read.
    pub async fn watch(&self, id: &CertificateId) -> Result<Certificate, Error> {
        let (state, interest) = self.inner.watched.join(id);
        self.inner.show_stored(id).await?;
        Ok(Certificate::new(self.clone(), id.clone(), state, interest))
    }

    /// Begins to work on everything that is due in the store, now and from now on. Calling it again does nothing.
    ///
    /// Must be called within a tokio runtime.
    pub async fn start(&self) {
        let mut engine = self.life.engine.lock().await;
        // A panic ends the loop: then another one takes over.
        if engine.as_ref().is_none_or(JoinHandle::is_finished) {
            *engine = Some(tokio::spawn(engine::run(self.inner.clone())));
        }
    }

    /// Writes a spec down and leaves the work to whoever has [started](Self::start), or to programs that call
    /// [`step`](Self::step) themselves.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub async fn wish(&self, spec: CertificateSpec) -> Result<(), Error> {
        self.write_wish(spec, None).await
    }

    /// As [`wish`](Self::wish), in the name of somebody, whom the [`Approver`] is told.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub async fn wish_for(&self, spec: CertificateSpec, requester: &str) -> Result<(), Error> {
        self.write_wish(spec, Some(requester)).await
    }

    async fn write_wish(&self, spec: CertificateSpec, requester: Option<&str>) -> Result<(), Error> {
        self.inner.check(&spec)?;
        loop {
            let (expected, record) = match self.inner.store.load(spec.id()).await? {
                Some((_, record))
                    if record.spec == spec
                        && record.denied.is_none()
                        && requester
                            .is_none_or(|requester| record.requester.as_deref() == Some(requester)) =>
                {
                    return Ok(());
                }
                Some((version, mut record)) => {
                    // Who is asked again may have other rules by now.
                    record.denied = None;
                    if requester.is_some() || !ladder::still_count(&record.spec, &spec) {
                        record.forget_failures();
                        record.rehearsed_at = None;
                    }
                    if record.spec != spec {
                        record.spec_generation = record.spec_generation.saturating_add(1);
                    }
                    record.spec = spec.clone();
                    record.requester = requester.map(str::to_owned).or(record.requester);
                    record.next_at = self.inner.at_once();
                    record.observe(None, self.inner.clock.now());
                    (Some(version), record)
                }
                None => {
                    let mut record = Record::new(spec.clone());
                    record.requester = requester.map(str::to_owned);
                    record.next_at = self.inner.at_once();
                    record.observe(Some(Material::Missing), self.inner.clock.now());
                    (None, record)
                }
            };
            match self.inner.store.commit(&record, expected).await {
                Ok(_) => break,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.inner.look_now();
        Ok(())
    }

    /// One pass over a certificate, due or not: decides, and issues if that is the decision.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when nobody wished for it, [`Error::Held`] while another process works on it,
    /// [`Error::Store`] when not even a failure can be written down, [`Error::ShutDown`] when the keeper ends. A
    /// failed issuance is an [`Outcome::Failed`].
    pub async fn step(&self, id: &CertificateId) -> Result<Outcome, Error> {
        let _turn = self.inner.turns.wait(id).await;
        let ticket = self.inner.claim_one(id).await?;
        self.inner.work(ticket, None).await
    }

    /// Gives an issuance up, and lets its issuer remove what it presented: for programs that have dropped the
    /// future of [`step`](Self::step). A pass that still runs elsewhere fails at its next note.
    ///
    /// # Errors
    /// [`Error::Issue`] when something could not be removed; it stays on record. [`Error::Held`] while another
    /// process works on it.
    pub async fn abandon(&self, id: &CertificateId) -> Result<(), Error> {
        let _turn = self.inner.turns.wait(id).await;
        let Ticket { hold, .. } = self.inner.claim_one(id).await?;
        let hold = Arc::new(hold);
        let desk = Desk { inner: &self.inner, hold: &hold };
        let work = async {
            loop {
                let page = desk.page(id).await?;
                match settling::drop_attempt(desk, page).await {
                    Ok(page) => return settling::settle(desk, page).await.1,
                    // A wish was changed meanwhile.
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let settled = ended(hold.under(Box::pin(work)).await, id);
        hold.release().await?;
        settled
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
        material::current(&self.inner, &record).await
    }

    /// How much there is to do.
    #[must_use]
    pub fn workload(&self) -> Workload {
        *self.inner.workload.borrow()
    }

    /// The same as it changes, which keeps no keeper alive.
    #[cfg(feature = "metrics")]
    pub(crate) fn workloads(&self) -> watch::Receiver<Workload> {
        self.inner.workload.subscribe()
    }

    /// Its issuers, and whether each is ready: it has answered the last time, and took our credentials. One that fails
    /// everybody is not, until it answers somebody, nor is one that says that it could not sign; one that nobody has
    /// asked yet is unknown.
    #[must_use]
    pub fn issuers(&self) -> Vec<(IssuerName, Status)> {
        self.standing().of_all()
    }

    /// Asks an issuer whether it could sign now, as is done before each attempt.
    ///
    /// # Errors
    /// [`Error::Issue`] with what it says, [`Error::NoSuchIssuer`] when there is none of this name.
    pub async fn issuer_ready(&self, issuer: &IssuerName) -> Result<(), Error> {
        let Some(agent) = self.inner.issuers.get(issuer) else {
            return Err(Error::NoSuchIssuer { issuer: issuer.clone(), known: self.inner.known_issuers() });
        };
        Ok(self.inner.ask_ready(issuer, &**agent).await?)
    }

    /// The same, to be asked later; it keeps no keeper alive.
    pub(crate) fn standing(&self) -> Standing {
        let issuers = self.inner.issuers.keys().cloned().collect();
        Standing { issuers, rests: self.inner.rests.clone() }
    }

    /// Waits until nothing that is due is left undone: for programs that renew what is due and end, and for tests
    /// that hold the clock. It never returns unless the keeper was [started](Self::start).
    pub async fn rested(&self) {
        let mut workload = self.inner.workload.subscribe();
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = workload.wait_for(|workload| workload.rests_at(self.inner.clock.now())).await;
    }

    /// Stops keeping, in good order: what is under way goes on until its next step is written down, though no
    /// longer than the [grace](KeeperBuilder::grace) allows, and all claims are let go, so that another process
    /// can take over at once. Handles answer [`Error::ShutDown`] from then on.
    pub async fn shut_down(&self) {
        let mut engine = self.life.engine.lock().await;
        self.inner.leases.close();
        self.inner.wake.notify_one();
        if let Some(mut engine) = engine.take() {
            // A loop that has panicked has nothing left to end, and one that hangs in its store is left there.
            if time::timeout(self.inner.grace + STORE_GRACE, &mut engine).await.is_err() {
                engine.abort();
            }
        }
        // Those who call `step` themselves, too.
        let _ = time::timeout(self.inner.grace, self.inner.leases.idle()).await;
        let _ = time::timeout(STORE_GRACE, self.inner.leases.release_orphans()).await;
        self.inner.watched.clear();
        self.inner.leases.open();
    }
}

impl Inner {
    /// Works on one certificate under its claim, and lets go of it. The caller has its turn.
    async fn work(&self, ticket: Ticket, seat: Option<Seat>) -> Result<Outcome, Error> {
        let Ticket { mut hold, version, record } = ticket;
        let id = record.id().clone();
        if let Some(seat) = seat {
            hold.sit(seat);
        }
        let hold = Arc::new(hold);
        let desk = Desk { inner: self, hold: &hold };
        let page = Page::new(version, record);
        let pass = AssertUnwindSafe(boxed(|| pass::patiently(desk, page))).catch_unwind();
        let pass = async {
            match pass.await {
                Ok(worked) => worked,
                Err(panic) => failing::panicked(desk, &id, walk::last_words(&*panic)).await,
            }
        };
        let worked = ended(hold.under(Box::pin(pass)).await, &id);
        match &worked {
            Ok(_) | Err(Error::ShutDown { .. }) => {
                self.show(&id, worked.as_ref().ok().map(Outcome::trouble)).await;
                // What cannot be released ends by its time.
                let _ = hold.release().await;
            }
            Err(Error::Held { .. } | Error::Store(StoreError::Fenced { .. })) => {
                self.tell(&id, EventKind::LeaseLost);
                hold.leave();
            }
            Err(error) => {
                self.show(&id, Some(Some(error))).await;
                // A store that cannot be written would be asked again at once.
                hold.leave();
            }
        }
        worked
    }

    /// Claims one certificate, due or not. The caller has its turn.
    async fn claim_one(&self, id: &CertificateId) -> Result<Ticket, Error> {
        if let Some(ticket) = self.leases.claim_one(&self.owner, id, self.clock.now()).await? {
            return Ok(ticket);
        }
        // Nobody's, or somebody else's.
        self.record(id).await?;
        Err(Error::Held { id: id.clone() })
    }

    fn rests(&self) -> MutexGuard<'_, Rests> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failures of an issuer that fails everybody, while it rests.
    fn rest_of(&self, issuer: &IssuerName, now: Timestamp) -> Option<Failures> {
        self.rests().of(issuer, now).cloned()
    }

    /// Whether a spec can work here.
    fn check(&self, spec: &CertificateSpec) -> Result<(), Error> {
        spec.validate()?;
        spec.issuers().try_for_each(|issuer| self.issuer(spec.id(), issuer).map(drop))?;
        spec.outputs().iter().try_for_each(|output| self.check_output(spec.id(), output))
    }

    fn check_output(&self, id: &CertificateId, output: &Output) -> Result<(), Error> {
        let Output { sink: name, format } = output;
        let Some(sink) = self.sinks.get(name) else {
            let known: Vec<_> = self.sinks.keys().map(SinkName::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::UnknownSink { id: id.clone(), sink: name.clone(), known });
        };
        if !sink.takes(*format) {
            return Err(Error::UnsupportedFormat { id: id.clone(), sink: name.clone(), format: *format });
        }
        Ok(())
    }

    fn issuer(&self, id: &CertificateId, name: &IssuerName) -> Result<&Arc<dyn Issuer>, Error> {
        self.issuers.get(name).ok_or_else(|| {
            let (issuer, known) = (name.clone(), self.known_issuers());
            Error::UnknownIssuer { id: id.clone(), issuer, known }
        })
    }

    fn known_issuers(&self) -> String {
        let known: Vec<_> = self.issuers.keys().map(IssuerName::as_str).collect();
        known.join(", ")
    }

    /// Asks an issuer whether it could sign, and remembers what it says.
    async fn ask_ready(&self, issuer: &IssuerName, agent: &dyn Issuer) -> Result<(), IssueError> {
        let said = walk::guarded(agent.ready()).await;
        self.rests().looked(issuer, said.as_ref().err(), self.clock.now());
        said
    }

    /// What an attempt takes. One whose order is open takes what failed proofs cost, and its place in the pace.
    fn demands(
        &self,
        record: &Record,
        issuer: &IssuerName,
        agent: &dyn Issuer,
        ordered: bool,
        now: Timestamp,
    ) -> Vec<Demand> {
        let spec = record.spec.clone().by(issuer.clone());
        let purpose = walk::purpose(record, issuer, now);
        let mut demands =
            self.limits.get(issuer).map(|limits| limits.demands(&spec, purpose)).unwrap_or_default();
        if ordered {
            demands = spending::of_failures(&demands);
        }
        // Two solvers of one provider ask it together.
        let providers: BTreeSet<String> = agent.providers(&spec).into_iter().collect();
        for provider in providers {
            if let Some(limit) = self.provider_limits.get(&provider) {
                let demand = Demand::always(BudgetKey::Provider(provider), *limit);
                demands.push(demand.in_line(purpose.line()));
            }
        }
        let fleet = |pace| Demand::always(BudgetKey::Fleet, pace).in_line(purpose.line());
        demands.extend(self.pace.map(fleet));
        demands
    }

    /// The budgets that do not depend on a certificate.
    fn common_budgets(&self) -> Vec<BudgetKey> {
        let issuers = self
            .limits
            .keys()
            .flat_map(|issuer| [BudgetKey::Account(issuer.clone()), BudgetKey::Issuer(issuer.clone())]);
        let providers = self.provider_limits.keys().map(|provider| BudgetKey::Provider(provider.clone()));
        issuers.chain(providers).chain(self.pace.map(|_| BudgetKey::Fleet)).collect()
    }

    async fn record(&self, id: &CertificateId) -> Result<(Version, Record), Error> {
        self.store.load(id).await?.ok_or_else(|| Error::UnknownCertificate { id: id.clone() })
    }

    /// When a wish is due: at once, whatever the store's clock shows. That is known to whoever has claimed something,
    /// and a program that only wishes never has; hence an hour ago, and not a moment. A wish gets before no renewal by
    /// that, since stores hand them out of two lines; one that changes what serves gets before those that have come
    /// due within the hour, whose end is not near.
    fn at_once(&self) -> Timestamp {
        self.leases.by_store_clock(self.clock.now() - AHEAD)
    }

    /// Something has become due.
    fn look_now(&self) {
        self.workload.send_modify(|workload| workload.next_look = Timestamp::MIN);
        self.wake.notify_one();
    }

    fn tell(&self, id: &CertificateId, kind: EventKind) {
        self.audience.tell(Event::new(self.clock.now(), Some(id.clone()), kind));
    }

    /// Tells what is about no one certificate.
    fn tell_all(&self, kind: EventKind) {
        self.audience.tell(Event::new(self.clock.now(), None, kind));
    }
}

/// What work under a lease came to.
fn ended<T>(ended: Ended<Result<T, Error>>, id: &CertificateId) -> Result<T, Error> {
    match ended {
        Ended::Done(done) => done,
        Ended::Lost => Err(Error::Held { id: id.clone() }),
        Ended::Stopped => Err(Error::ShutDown { id: id.clone() }),
    }
}

/// A future on the heap, made in a frame of its own: whoever waits for it needs no room for it on a stack, which is two
/// megabytes in a runtime's thread.
fn boxed<'a, F: Future + Send + 'a>(make: impl FnOnce() -> F) -> BoxFuture<'a, F::Output> {
    Box::pin(make())
}

/// When a certificate that serves now is due.
fn due(record: &Record, now: Timestamp) -> Timestamp {
    record.current.as_ref().map_or(Timestamp::MIN, |current| {
        renews_at(&record.spec, &Holding::new(current, Material::Whole), now)
    })
}

/// As far as the clocks of those who share a store may differ.
const AHEAD: Duration = Duration::from_secs(3_600);

/// How long a store may take beside what work may take, when all ends.
const STORE_GRACE: Duration = Duration::from_secs(5);
