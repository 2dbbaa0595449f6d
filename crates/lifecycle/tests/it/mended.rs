//! Troubles that were thought of late: clocks that are wrong, work that nobody can do, keys that were kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock, Retry, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, EventKind, FileSink, IssueError, IssueErrorClass, IssuedChain, Issuer,
    IssuerName, Journal, Keeper, KeeperBuilder, KeyRotation, MemoryStore, Outcome, OutputFormat, Record,
    Rules, Shipment, SigningRequest, Sink, SinkError, Store, SuggestedWindow, budget::Limit, store::Owner,
};
use perennial_testkit::ManualClock;
use tokio::sync::Notify;

use crate::issuer::{Mischief, TestIssuer};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A clock on the wall that somebody sets, and a timer that nobody does, as machines have them.
pub(crate) struct WallClock {
    timer: Arc<ManualClock>,
    /// Seconds.
    pub(crate) ahead: AtomicI64,
}

impl WallClock {
    /// One that is right, for now.
    pub(crate) fn over(timer: Arc<ManualClock>) -> Self {
        Self { timer, ahead: AtomicI64::new(0) }
    }
}

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.timer.now().unix() + self.ahead.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Option<Duration> {
        self.timer.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.timer.sleep(duration).await;
    }
}

struct Scene {
    clock: Arc<WallClock>,
    store: Arc<MemoryStore>,
    issuer: Arc<TestIssuer>,
    jumps: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        let timer = ManualClock::new(Timestamp::from_unix(1_800_000_000));
        let clock = Arc::new(WallClock::over(Arc::new(timer)));
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        Self { issuer: TestIssuer::new(clock.clone(), DAY * 90), store, clock, jumps: Arc::default() }
    }

    fn builder(&self) -> KeeperBuilder {
        let jumps = self.jumps.clone();
        Keeper::builder(self.store.clone())
            .clock(self.clock.clone())
            .grace(Duration::from_millis(50))
            .issuer(IssuerName::default(), self.issuer.clone())
            .observer(move |event| {
                let is_jump = matches!(event.kind, EventKind::ClockJumped { .. });
                jumps.fetch_add(usize::from(is_jump), Ordering::SeqCst);
            })
    }

    fn pass(&self, duration: Duration) {
        self.clock.timer.advance(duration);
    }

    async fn record(&self) -> Record {
        self.store.load(&name()).await.unwrap().unwrap().1
    }

    /// In how long somebody looks again.
    async fn rests_for(&self) -> Duration {
        self.record().await.next_at.since(self.clock.now())
    }
}

fn name() -> CertificateId {
    "site".parse().unwrap()
}

fn spec() -> CertificateSpec {
    CertificateSpec::new("site", ["site.example"]).unwrap()
}

pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    patience.await.expect("it never came to that");
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_the_loop_asleep_for_as_long() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    let _certificate = keeper.keep(spec()).await.unwrap();
    keeper.rested().await;
    scene.clock.ahead.store(-10 * 3_600, Ordering::SeqCst);
    scene.clock.timer.wait_for_sleepers(1).await;
    scene.pass(Duration::from_secs(61));
    until(async || scene.jumps.load(Ordering::SeqCst) == 1).await;
    assert!(keeper.workload().next_look.since(scene.clock.now()) <= Duration::from_secs(61));
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_has_put_off_is_looked_at_when_it_is_right_again() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    let certificate = keeper.keep(spec()).await.unwrap();
    certificate.ready().await.unwrap();
    keeper.rested().await;
    // In ten years it has ended, and nothing works.
    for _ in 0..9 {
        scene.issuer.next(Mischief::Fail(IssueErrorClass::Policy, Retry::Never));
    }
    scene.clock.ahead.store(3_650 * 86_400, Ordering::SeqCst);
    scene.pass(Duration::from_secs(61));
    keeper.rested().await;
    assert!(scene.record().await.failures.is_some());
    scene.clock.ahead.store(0, Ordering::SeqCst);
    scene.pass(Duration::from_secs(61));
    until(async || scene.jumps.load(Ordering::SeqCst) == 2).await;
    until(async || scene.rests_for().await < HOUR).await;
    scene.pass(Duration::from_secs(700));
    keeper.rested().await;
    let rests = scene.rests_for().await;
    assert!(rests > DAY * 40 && rests < DAY * 61, "it is good, and due in its time: {rests:?}");
}

/// Has wishes, and says nothing about them.
struct Wishful(Arc<TestIssuer>);

#[async_trait]
impl Issuer for Wishful {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.0.issue(request, journal).await
    }

    fn suggests_windows(&self) -> bool {
        true
    }

    async fn suggested_window(&self, _: &IssuedChain) -> Result<Option<SuggestedWindow>, IssueError> {
        Ok(None)
    }
}

#[tokio::test]
async fn what_nobody_can_do_is_not_looked_at_every_second() {
    // Nobody is left who could be asked for wishes.
    let scene = Scene::new();
    let wishful =
        scene.builder().issuer(IssuerName::default(), Arc::new(Wishful(scene.issuer.clone()))).build();
    wishful.wish(spec()).await.unwrap();
    wishful.step(&name()).await.unwrap();
    scene.pass(HOUR);
    scene.builder().build().step(&name()).await.unwrap();
    assert!(scene.rests_for().await > DAY, "{:?}", scene.rests_for().await);

    // Somebody has said no, and the question is due.
    let scene = Scene::new();
    let wishful = || scene.builder().issuer(IssuerName::default(), Arc::new(Wishful(scene.issuer.clone())));
    wishful().build().wish(spec()).await.unwrap();
    wishful().build().step(&name()).await.unwrap();
    let strict = wishful().approver(Arc::new(Rules::new().most_names(0))).build();
    strict.wish(CertificateSpec::new("site", ["other.example"]).unwrap()).await.unwrap();
    scene.pass(HOUR);
    for _ in 0..2 {
        strict.step(&name()).await.unwrap();
        assert!(scene.rests_for().await > DAY, "{:?}", scene.rests_for().await);
    }

    // There is no place any more that it could be delivered to.
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("a-file");
    std::fs::write(&blocked, "").unwrap();
    let keeper = scene.builder().sink("web".parse().unwrap(), Arc::new(FileSink::new(&blocked))).build();
    keeper.wish(spec().output("web".parse().unwrap(), OutputFormat::Pem)).await.unwrap();
    keeper.step(&name()).await.unwrap();
    assert!(scene.rests_for().await < HOUR, "it is tried again");
    scene.pass(HOUR);
    scene.builder().build().step(&name()).await.unwrap();
    assert!(scene.rests_for().await > DAY, "{:?}", scene.rests_for().await);
}

/// Never comes to an end.
struct Hanging(Notify);

#[async_trait]
impl Sink for Hanging {
    async fn deliver(&self, _: &Shipment) -> Result<(), SinkError> {
        self.0.notify_one();
        std::future::pending().await
    }
}

#[tokio::test]
async fn who_dies_between_the_flip_and_the_delivery_is_followed_soon() {
    let scene = Scene::new();
    let sink = Arc::new(Hanging(Notify::new()));
    let keeper = scene.builder().sink("web".parse().unwrap(), sink.clone()).build();
    keeper.wish(spec().output("web".parse().unwrap(), OutputFormat::Pem)).await.unwrap();
    let id = name();
    tokio::select! {
        outcome = keeper.step(&id) => panic!("returned {outcome:?}"),
        () = sink.0.notified() => {} // the process dies here
    }
    assert!(scene.record().await.current.is_some());
    assert!(scene.rests_for().await <= Duration::from_secs(60), "{:?}", scene.rests_for().await);
}

#[tokio::test]
async fn a_stolen_key_that_an_open_attempt_has_kept_is_given_up_with_it() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    keeper.wish(spec().key_rotation(KeyRotation::Never)).await.unwrap();
    keeper.step(&name()).await.unwrap();
    let stolen = keeper.current(&name()).await.unwrap().unwrap();
    scene.pass(DAY * 61);
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Failed { .. }));
    let asked = scene.issuer.asked.lock().unwrap().clone();
    assert_eq!(asked[0], asked[1], "the key is kept");
    keeper.replace_compromised(&name()).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    let fresh = keeper.current(&name()).await.unwrap().unwrap();
    assert_ne!(fresh.facts().public_key_fingerprint, stolen.facts().public_key_fingerprint);
}

#[tokio::test]
async fn an_observer_that_panics_ends_nothing() {
    let scene = Scene::new();
    let keeper = scene.builder().observer(|_| panic!("standard output is closed")).build();
    let certificate = keeper.keep(spec()).await.unwrap();
    assert_eq!(certificate.ready().await.unwrap().generation().number(), 1);
}

#[tokio::test]
async fn a_wish_is_due_at_once_and_not_before_what_has_been_due_for_long() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    keeper.wish(spec()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    scene.pass(DAY * 61); // it is due for renewal
    keeper.wish(CertificateSpec::new("another", ["another.example"]).unwrap()).await.unwrap();
    let claims = scene.store.claim(&Owner::unique(), HOUR, 9).await.unwrap();
    let order: Vec<_> = claims.iter().map(|claim| claim.held.id.as_str()).collect();
    assert_eq!(order, ["site", "another"]);
}

#[tokio::test]
async fn shutting_down_does_not_take_a_certificate_from_who_works_on_it_himself() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::Pause);
    let id = name();
    let (outcome, ()) = tokio::join!(keeper.step(&id), async {
        scene.issuer.hanging.notified().await;
        keeper.start().await;
        keeper.shut_down().await;
        let other = scene.store.claim_one(&Owner::unique(), HOUR, &id).await.unwrap();
        assert!(other.is_none(), "it is worked on");
        scene.issuer.go_on.notify_one();
    });
    assert!(matches!(outcome, Ok(Outcome::Issued { .. })), "{outcome:?}");
    let other = scene.store.claim_one(&Owner::unique(), HOUR, &id).await.unwrap();
    assert!(other.is_some(), "and let go of when it is done");
}

#[tokio::test]
async fn shutting_down_waits_for_those_who_step_themselves_to_come_to_a_note() {
    let scene = Scene::new();
    let keeper = scene.builder().grace(Duration::from_secs(20)).build();
    keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::Pause);
    let id = name();
    let (outcome, ()) = tokio::join!(keeper.step(&id), async {
        scene.issuer.hanging.notified().await;
        tokio::join!(keeper.shut_down(), async {
            tokio::task::yield_now().await;
            scene.issuer.go_on.notify_one();
        });
        assert!(scene.store.claim_one(&Owner::unique(), HOUR, &id).await.unwrap().is_some());
    });
    assert!(matches!(outcome, Err(perennial_lifecycle::Error::ShutDown { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_keeper_whose_clock_is_late_does_not_find_what_waits_due_again_at_once() {
    let late = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
    let right = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_003_600)));
    let store = Arc::new(MemoryStore::with_clock(right.clone()));
    let issuer = TestIssuer::new(late.clone(), DAY * 90);
    let keeper = Keeper::builder(store.clone())
        .clock(late.clone())
        .issuer(IssuerName::default(), issuer.clone())
        .build();
    keeper.wish(spec()).await.unwrap();
    issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Failed { .. }));
    assert_eq!(store.claim(&Owner::unique(), HOUR, 9).await.unwrap(), []);
    right.advance(Duration::from_secs(80));
    assert_eq!(store.claim(&Owner::unique(), HOUR, 9).await.unwrap().len(), 1);
}

/// Needs one provider twice, for two of its solvers.
struct TwoSolvers(Arc<TestIssuer>);

#[async_trait]
impl Issuer for TwoSolvers {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.0.issue(request, journal).await
    }

    fn providers(&self, _: &CertificateSpec) -> Vec<String> {
        vec!["dns".to_owned(), "dns".to_owned()]
    }
}

#[tokio::test]
async fn a_provider_that_two_solvers_need_is_counted_once() {
    let scene = Scene::new();
    let issuer = Arc::new(TwoSolvers(scene.issuer.clone()));
    let keeper = scene
        .builder()
        .issuer(IssuerName::default(), issuer)
        .provider_limit("dns", Limit::new(2, DAY))
        .build();
    for (id, issued) in [("a", true), ("b", true), ("c", false)] {
        keeper.wish(CertificateSpec::new(id, [format!("{id}.example")]).unwrap()).await.unwrap();
        let outcome = keeper.step(&id.parse().unwrap()).await.unwrap();
        assert_eq!(matches!(outcome, Outcome::Issued { .. }), issued, "{id}: {outcome:?}");
    }
}
