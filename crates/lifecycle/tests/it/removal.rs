//! Certificates that nobody wants any more.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Retry, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, Error, Event, EventKind, FileStore, Generation, IssueError,
    IssueErrorClass, IssuedChain, Issuer, IssuerName, Journal, Keeper, MemoryStore, Outcome, Revocation,
    SigningRequest, Slot, Store, store::Owner,
};
use perennial_testkit::ManualClock;

use crate::{
    issuer::{Mischief, TestIssuer},
    store::ContendedStore,
};

const DAY: Duration = Duration::from_secs(86_400);

struct Scene {
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    issuer: Arc<TestIssuer>,
    keeper: Keeper,
    told: Arc<Mutex<Vec<Event>>>,
}

fn id() -> CertificateId {
    "site".parse().unwrap()
}

fn spec() -> CertificateSpec {
    CertificateSpec::new("site", ["site.example"]).unwrap()
}

fn generation(number: u32) -> Generation {
    serde_json::from_value(number.into()).unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)))
}

/// Some hours, a second at a time.
async fn time_passes(clock: &ManualClock) {
    for _ in 0..10_000 {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
}

impl Scene {
    fn over(clock: Arc<ManualClock>, store: Arc<dyn Store>) -> Self {
        let issuer = TestIssuer::new(clock.clone(), DAY * 90);
        let told = Arc::new(Mutex::new(Vec::new()));
        let keeper = keeper(&clock, &store, issuer.clone(), &told);
        Self { clock, store, issuer, keeper, told }
    }

    fn new() -> Self {
        let clock = clock();
        let store = MemoryStore::with_clock(clock.clone());
        Self::over(clock, Arc::new(store))
    }

    async fn step(&self) -> Outcome {
        self.keeper.step(&id()).await.unwrap()
    }

    async fn debts(&self) -> usize {
        self.store.load(&id()).await.unwrap().unwrap().1.debts.len()
    }

    /// That nobody who opens the store sees that it was ever there.
    async fn is_empty(&self) {
        assert_eq!(self.store.load(&id()).await.unwrap(), None);
        assert_eq!(self.store.list(None, 9).await.unwrap(), []);
        assert_eq!(self.store.next_due().await.unwrap(), None);
        for number in 1..5 {
            let (certificate, generation) = (id(), generation(number));
            let key = Slot::PrivateKey { certificate: certificate.clone(), generation };
            for slot in [key, Slot::Chain { certificate, generation }] {
                assert!(self.store.read(&slot).await.unwrap().is_none(), "{slot:?} is left");
            }
        }
    }

    fn last_told(&self) -> EventKind {
        self.told.lock().unwrap().last().unwrap().kind.clone()
    }
}

fn keeper(
    clock: &Arc<ManualClock>,
    store: &Arc<dyn Store>,
    issuer: Arc<dyn Issuer>,
    told: &Arc<Mutex<Vec<Event>>>,
) -> Keeper {
    let told = told.clone();
    Keeper::builder(store.clone())
        .clock(clock.clone())
        .issuer(IssuerName::default(), issuer)
        .observer(move |event| told.lock().unwrap().push(event.clone()))
        .build()
}

async fn is_removed_and_begins_anew(scene: Scene) {
    scene.keeper.wish(spec()).await.unwrap();
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    scene.clock.advance(DAY * 80);
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    scene.keeper.remove(&id()).await.unwrap();
    scene.is_empty().await;
    assert_eq!(scene.last_told(), EventKind::Removed);
    let unknown = Error::UnknownCertificate { id: id() };
    assert_eq!(scene.keeper.step(&id()).await.err(), Some(unknown.clone()));
    assert_eq!(scene.keeper.remove(&id()).await, Err(unknown));

    scene.keeper.wish(spec()).await.unwrap();
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    let current = scene.keeper.current(&id()).await.unwrap().unwrap();
    assert_eq!(current.generation().number(), 1, "it begins anew");
}

#[tokio::test]
async fn what_is_removed_leaves_nothing_in_a_store_in_memory_and_may_begin_anew() {
    is_removed_and_begins_anew(Scene::new()).await;
}

#[tokio::test]
async fn what_is_removed_leaves_nothing_in_a_store_of_files_and_may_begin_anew() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), clock());
    let store = FileStore::builder(directory.path()).clock(clock.clone()).open().unwrap();
    is_removed_and_begins_anew(Scene::over(clock, Arc::new(store))).await;
}

#[tokio::test]
async fn what_is_owed_is_paid_first_and_where_it_cannot_be_it_goes_on_being_kept() {
    let scene = Scene::new();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::FailOwing);
    assert!(matches!(scene.step().await, Outcome::Failed { .. } | Outcome::GivenUp { .. }));
    assert_eq!(scene.debts().await, 1);
    scene.issuer.next(Mischief::LeaveDebt);
    let error = scene.keeper.remove(&id()).await.unwrap_err();
    assert!(matches!(&error, Error::Issue(error) if error.message == "still there"), "{error}");
    assert_eq!(scene.debts().await, 1);
    // It says that it has removed everything, and has not.
    *scene.issuer.lies.lock().unwrap() = true;
    let error = scene.keeper.remove(&id()).await.unwrap_err();
    assert!(error.to_string().contains("has not removed 1 of the things"), "{error}");
    assert_eq!((scene.debts().await, *scene.issuer.settled.lock().unwrap()), (1, 0));
    *scene.issuer.lies.lock().unwrap() = false;
    scene.keeper.remove(&id()).await.unwrap();
    scene.is_empty().await;
    assert_eq!(*scene.issuer.settled.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_note_that_comes_in_between_does_not_stop_it() {
    let store = Arc::new(ContendedStore::default());
    let scene = Scene::over(clock(), store.clone());
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::FailOwing);
    scene.step().await;
    store.overtake_next_commit.store(true, Ordering::SeqCst);
    scene.keeper.remove(&id()).await.unwrap();
    assert!(!store.overtake_next_commit.load(Ordering::SeqCst), "nobody came in between");
    scene.is_empty().await;
}

#[tokio::test]
async fn what_another_process_works_on_is_not_removed_under_its_hands() {
    let scene = Scene::new();
    scene.keeper.wish(spec()).await.unwrap();
    let held = scene.store.claim_one(&Owner::unique(), DAY, &id()).await.unwrap().unwrap().held;
    assert_eq!(scene.keeper.remove(&id()).await, Err(Error::Held { id: id() }));
    scene.store.release(&[held]).await.unwrap();
    scene.keeper.remove(&id()).await.unwrap();
    scene.is_empty().await;
}

#[tokio::test]
async fn work_that_is_under_way_here_ends_at_its_next_commit_and_is_waited_for() {
    let scene = Scene::new();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::Pause);
    let name = id();
    let removed = async {
        scene.issuer.hanging.notified().await;
        let mut removed = std::pin::pin!(scene.keeper.remove(&name));
        tokio::select! {
            biased;
            removed = &mut removed => panic!("nobody waited: {removed:?}"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(scene.debts().await, 1);
        scene.issuer.go_on.notify_one();
        removed.await
    };
    let (stepped, removed) = tokio::join!(scene.keeper.step(&name), removed);
    assert_eq!((stepped.err(), removed), (Some(Error::ShutDown { id: id() }), Ok(())));
    scene.is_empty().await;
}

/// Presents something, and waits for something outside.
struct Waiting {
    signer: Arc<TestIssuer>,
    is_waiting: tokio::sync::Notify,
}

#[async_trait]
impl Issuer for Waiting {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.signer.next(Mischief::FailOwing);
        let _ = self.signer.issue(request, journal).await;
        self.is_waiting.notify_one();
        journal.parked(std::future::pending()).await
    }

    async fn settle(&self, journal: &Journal) -> Result<(), IssueError> {
        self.signer.settle(journal).await
    }
}

#[tokio::test]
async fn work_that_waits_for_something_outside_ends_at_once_and_what_it_presented_is_removed() {
    let scene = Scene::new();
    let issuer = Arc::new(Waiting { signer: scene.issuer.clone(), is_waiting: tokio::sync::Notify::new() });
    let keeper = keeper(&scene.clock, &scene.store, issuer.clone(), &scene.told);
    let certificate = keeper.keep(spec()).await.unwrap();
    issuer.is_waiting.notified().await;
    assert_eq!(scene.debts().await, 1);
    keeper.remove(&id()).await.unwrap();
    assert_eq!(*scene.issuer.settled.lock().unwrap(), 1);
    assert_eq!(certificate.ready().await.err(), Some(Error::UnknownCertificate { id: id() }));
    keeper.rested().await;
    scene.is_empty().await;
}

#[tokio::test]
async fn handles_of_what_was_removed_show_it_still_and_say_why_nothing_comes_any_more() {
    let scene = Scene::new();
    let other = keeper(&scene.clock, &scene.store, scene.issuer.clone(), &scene.told);
    let here = scene.keeper.keep(spec()).await.unwrap();
    let issued = here.ready().await.unwrap();
    scene.keeper.rested().await;
    let there = other.keep(spec()).await.unwrap();
    other.rested().await;
    scene.keeper.remove(&id()).await.unwrap();
    let unknown = Error::UnknownCertificate { id: id() };
    assert_eq!(here.changed(&issued).await.err(), Some(unknown.clone()));
    assert_eq!(here.ready().await.err(), Some(unknown.clone()));
    assert_eq!(here.current().unwrap().generation(), issued.generation(), "it serves on");

    // The other process looks every half a minute.
    assert!(there.ready().await.is_ok());
    tokio::select! {
        ended = there.changed(&issued) => assert_eq!(ended.err(), Some(unknown)),
        () = time_passes(&scene.clock) => panic!("it was not told"),
    }

    let anew = scene.keeper.keep(spec()).await.unwrap();
    // If it is the other process that takes it up, this one sees that at its next look.
    let fresh = tokio::select! {
        fresh = anew.ready() => fresh.unwrap(),
        () = time_passes(&scene.clock) => panic!("it was not issued again"),
    };
    assert_ne!(fresh.facts().serial, issued.facts().serial);
}

/// Signs, and revokes unless it is busy.
struct Revoking {
    signer: Arc<TestIssuer>,
    revoked: Mutex<Vec<String>>,
    busy: AtomicBool,
}

#[async_trait]
impl Issuer for Revoking {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.signer.issue(request, journal).await
    }

    async fn revoke(&self, revocation: &Revocation, _: &Journal) -> Result<(), IssueError> {
        if self.busy.load(Ordering::SeqCst) {
            return Err(IssueError::new(IssueErrorClass::Transient, "busy", Retry::Backoff));
        }
        self.revoked.lock().unwrap().push(revocation.chain.facts().serial.clone());
        Ok(())
    }
}

#[tokio::test]
async fn what_is_in_other_hands_is_revoked_before_it_is_forgotten() {
    let scene = Scene::new();
    let (signer, revoked, busy) = (scene.issuer.clone(), Mutex::default(), AtomicBool::new(true));
    let issuer = Arc::new(Revoking { signer, revoked, busy });
    let keeper = keeper(&scene.clock, &scene.store, issuer.clone(), &scene.told);
    keeper.wish(spec()).await.unwrap();
    keeper.step(&id()).await.unwrap();
    let stolen = keeper.current(&id()).await.unwrap().unwrap().facts().serial.clone();
    keeper.replace_compromised(&id()).await.unwrap();
    let error = keeper.remove(&id()).await.unwrap_err();
    assert!(error.to_string().contains("in other hands"), "{error}");
    assert!(keeper.current(&id()).await.unwrap().is_some(), "it serves on");
    issuer.busy.store(false, Ordering::SeqCst);
    keeper.remove(&id()).await.unwrap();
    assert_eq!(*issuer.revoked.lock().unwrap(), [stolen]);
    scene.is_empty().await;
}
