//! The keeper's one loop: what is due is claimed, worked on under a lease, and let go.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock as _, Retry, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, Error, Event, EventKind, IssueError, IssueErrorClass, IssuedChain,
    Issuer, IssuerName, Journal, Keeper, KeeperBuilder, Outcome, RenewalPolicy, SigningRequest, Slot, Store,
    SuggestedWindow,
    budget::{Bucket, BudgetKey, Limits},
    store::Owner,
};
use perennial_testkit::ManualClock;
use tokio::sync::Notify;

use crate::{
    budgets::five_a_week,
    faulty_store::FaultyStore,
    issuer::{Mischief, TestIssuer},
};

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct Scene {
    pub(crate) clock: Arc<ManualClock>,
    store: Arc<FaultyStore>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
        let store = Arc::new(FaultyStore::new(clock.clone()));
        Self { clock, store, events: Arc::default() }
    }

    pub(crate) fn builder(&self, issuer: Arc<dyn Issuer>) -> KeeperBuilder {
        let seen = self.events.clone();
        Keeper::builder(self.store.clone())
            .clock(self.clock.clone())
            .grace(Duration::from_millis(50))
            .issuer(IssuerName::default(), issuer)
            .observer(move |event| seen.lock().unwrap().push(event.clone()))
    }

    pub(crate) fn signer(&self) -> Arc<TestIssuer> {
        TestIssuer::new(self.clock.clone(), DAY * 90)
    }

    pub(crate) fn told(&self, what: impl Fn(&EventKind) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| what(&event.kind)).count()
    }

    pub(crate) async fn orders_left(&self, limits: Limits) -> u32 {
        let stored = self.store.buckets(&[BudgetKey::Account(IssuerName::default())]).await.unwrap();
        let bucket = stored[0].map_or(Bucket::FULL, |(_, bucket)| bucket);
        bucket.level(limits.account.unwrap(), self.clock.now())
    }

    pub(crate) async fn generation(&self, id: &str) -> Option<u32> {
        let (_, record) = self.store.load(&name(id)).await.unwrap()?;
        record.current.map(|current| current.generation.number())
    }
}

pub(crate) fn name(id: &str) -> CertificateId {
    id.parse().unwrap()
}

pub(crate) fn spec(id: &str) -> CertificateSpec {
    CertificateSpec::new(id, [format!("{id}.example")]).unwrap()
}

/// Lets the loop go on until something holds, in real time.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    patience.await.expect("it never came to that");
}

#[tokio::test]
async fn whatever_is_due_in_the_store_is_issued_though_nobody_holds_a_handle() {
    let scene = Scene::new();
    let keeper = scene.builder(scene.signer()).build();
    for number in 0..150 {
        keeper.wish(spec(&format!("host-{number}"))).await.unwrap();
    }
    keeper.start().await;
    keeper.rested().await;
    for number in 0..150 {
        assert_eq!(scene.generation(&format!("host-{number}")).await, Some(1));
    }
    // What is in order is looked at again when it is due, and not before.
    let due = scene.store.next_due().await.unwrap().unwrap();
    assert!(due.since(scene.clock.now()) > DAY * 50, "{due}");
    scene.clock.advance(DAY * 61);
    keeper.rested().await;
    assert_eq!(scene.generation("host-0").await, Some(2));
}

#[tokio::test]
async fn a_renewal_that_becomes_due_behind_two_thousand_wishes_is_done_next() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let keeper = scene.builder(issuer.clone()).slots(1).build();
    keeper.wish(spec("old")).await.unwrap();
    keeper.start().await;
    keeper.rested().await;
    let (_, record) = scene.store.load(&name("old")).await.unwrap().unwrap();
    // A slow CA: each waits until the test lets it go on.
    (0..9).for_each(|_| issuer.next(Mischief::Pause));
    scene.clock.advance(record.next_at.since(scene.clock.now()) - Duration::from_secs(10));
    for number in 0..2_000 {
        keeper.wish(spec(&format!("new-{number}"))).await.unwrap();
    }
    issuer.hanging.notified().await;
    until(async || keeper.workload().waiting >= 15).await;
    scene.clock.advance(Duration::from_secs(20));
    for _ in 0..3 {
        assert_eq!(scene.generation("old").await, Some(1));
        issuer.go_on.notify_one();
        issuer.hanging.notified().await;
    }
    assert_eq!(
        scene.generation("old").await,
        Some(2),
        "one that ran, and one that was begun, came before it"
    );
}

#[tokio::test]
async fn two_keepers_over_one_store_issue_each_certificate_once() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let keepers: Vec<Keeper> = (0..2).map(|_| scene.builder(issuer.clone()).slots(4).build()).collect();
    for number in 0..60 {
        keepers[0].wish(spec(&format!("host-{number}"))).await.unwrap();
    }
    for keeper in &keepers {
        keeper.start().await;
    }
    until(async || scene.told(|kind| matches!(kind, EventKind::Issued { .. })) >= 60).await;
    assert_eq!(issuer.asked.lock().unwrap().len(), 60);
}

#[tokio::test]
async fn a_lease_that_is_lost_ends_that_work_and_no_other() {
    let scene = Scene::new();
    let issuer = scene.signer();
    // Heartbeats every third of a second.
    let keeper = scene.builder(issuer.clone()).lease(Duration::from_secs(1)).build();
    issuer.next(Mischief::Hang);
    keeper.wish(spec("lost")).await.unwrap();
    keeper.start().await;
    issuer.hanging.notified().await;
    issuer.next(Mischief::Pause);
    keeper.wish(spec("other")).await.unwrap();
    issuer.hanging.notified().await;

    // The process was held up for longer than its leases last; somebody else has come first to one of the two.
    scene.store.deaf.store(true, Ordering::SeqCst);
    scene.store.frozen.store(true, Ordering::SeqCst);
    scene.clock.advance(Duration::from_secs(3));
    let thief: Owner = "thief".parse().unwrap();
    let stolen = scene.store.inner.claim_one(&thief, HOUR, &name("lost")).await.unwrap().unwrap();
    scene.store.deaf.store(false, Ordering::SeqCst);
    scene.store.frozen.store(false, Ordering::SeqCst);

    until(async || scene.told(|kind| matches!(kind, EventKind::LeaseLost)) == 1).await;
    issuer.go_on.notify_one();
    until(async || scene.generation("other").await == Some(1)).await;
    let (version, record) = scene.store.load(&name("lost")).await.unwrap().unwrap();
    assert_eq!((version, record.failures), (stolen.version, None), "whoever lost it writes nothing");
    assert!(scene.told(|kind| matches!(kind, EventKind::Failed { .. })) == 0);
}

#[tokio::test]
async fn a_note_of_somebody_who_was_overtaken_is_refused_and_no_failure_of_the_certificate() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let keeper = scene.builder(issuer.clone()).build();
    keeper.wish(spec("a")).await.unwrap();
    issuer.next(Mischief::Pause);
    let id = name("a");
    let (outcome, ()) = tokio::join!(keeper.step(&id), async {
        issuer.hanging.notified().await;
        scene.clock.advance(HOUR);
        let thief: Owner = "thief".parse().unwrap();
        scene.store.inner.claim_one(&thief, HOUR, &id).await.unwrap().unwrap();
        issuer.go_on.notify_one();
    });
    assert!(matches!(outcome, Err(Error::Held { .. })), "{outcome:?}");
    let (_, record) = scene.store.load(&name("a")).await.unwrap().unwrap();
    assert_eq!((record.failures, record.current), (None, None));
    assert!(matches!(keeper.step(&name("a")).await, Err(Error::Held { .. })));
}

/// Removes what was presented when it fails, as an issuer must.
struct Tidy {
    signer: Arc<TestIssuer>,
    tidied: AtomicUsize,
}

#[async_trait]
impl Issuer for Tidy {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        let issued = self.signer.issue(request, journal).await;
        self.tidied.fetch_add(usize::from(issued.is_err()), Ordering::SeqCst);
        issued
    }
}

#[tokio::test]
async fn whoever_was_overtaken_does_not_remove_what_the_next_one_needs() {
    let scene = Scene::new();
    let issuer = Arc::new(Tidy { signer: scene.signer(), tidied: AtomicUsize::new(0) });
    let keeper = scene.builder(issuer.clone()).build();
    keeper.wish(spec("a")).await.unwrap();
    issuer.signer.next(Mischief::Pause);
    let id = name("a");
    let (outcome, ()) = tokio::join!(keeper.step(&id), async {
        issuer.signer.hanging.notified().await;
        scene.clock.advance(HOUR);
        let thief: Owner = "thief".parse().unwrap();
        scene.store.inner.claim_one(&thief, HOUR, &id).await.unwrap().unwrap();
        issuer.signer.go_on.notify_one();
    });
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(issuer.tidied.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn another_label_while_it_is_issued_costs_no_second_order() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let keeper = scene.builder(issuer.clone()).build();
    keeper.wish(spec("a")).await.unwrap();
    issuer.next(Mischief::Pause);
    let id = name("a");
    let (outcome, ()) = tokio::join!(keeper.step(&id), async {
        issuer.hanging.notified().await;
        keeper.wish(spec("a").label("team", "shop")).await.unwrap();
        issuer.go_on.notify_one();
    });
    assert!(matches!(outcome, Ok(Outcome::Issued { .. })), "{outcome:?}");
    assert_eq!(issuer.asked.lock().unwrap().len(), 1);
    let (_, record) = scene.store.load(&id).await.unwrap().unwrap();
    assert_eq!((record.spec, record.debts), (spec("a").label("team", "shop"), Vec::new()));
    // Another name is another certificate.
    issuer.next(Mischief::Pause);
    keeper.wish(CertificateSpec::new("a", ["b.example"]).unwrap()).await.unwrap();
    let (outcome, ()) = tokio::join!(keeper.step(&id), async {
        issuer.hanging.notified().await;
        keeper.wish(CertificateSpec::new("a", ["c.example"]).unwrap()).await.unwrap();
        issuer.go_on.notify_one();
    });
    assert!(matches!(outcome, Ok(Outcome::Issued { .. })), "{outcome:?}");
    assert_eq!(issuer.asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_key_that_cannot_be_read_does_not_keep_its_certificate_from_being_renewed() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let keeper = scene.builder(issuer.clone()).build();
    keeper.wish(spec("a")).await.unwrap();
    keeper.step(&name("a")).await.unwrap();
    let key_of = |number: u32| {
        let generation = serde_json::from_value(number.into()).unwrap();
        Slot::PrivateKey { certificate: name("a"), generation }
    };
    scene.store.unreadable.lock().unwrap().replace(key_of(1));
    // It may be readable again tomorrow: it is no reason to renew a whole fleet.
    let outcome = keeper.step(&name("a")).await;
    assert!(matches!(outcome, Ok(Outcome::Kept { .. })), "{outcome:?}");
    assert_eq!(scene.told(|kind| matches!(kind, EventKind::Quarantined { .. })), 1);
    scene.clock.advance(DAY * 61);
    assert!(matches!(keeper.step(&name("a")).await, Ok(Outcome::Issued { .. })));
    // The key of an attempt that cannot be read ends that attempt.
    scene.clock.advance(DAY * 61);
    issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
    assert!(matches!(keeper.step(&name("a")).await, Ok(Outcome::Failed { .. })));
    scene.store.unreadable.lock().unwrap().replace(key_of(3));
    scene.clock.advance(HOUR);
    assert!(matches!(keeper.step(&name("a")).await, Ok(Outcome::Issued { .. })));
    assert_eq!(scene.generation("a").await, Some(4));
}

/// Issues, and answers nothing else.
struct Mute(Arc<TestIssuer>, bool);

#[async_trait]
impl Issuer for Mute {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.0.issue(request, journal).await
    }

    async fn settle(&self, _: &Journal) -> Result<(), IssueError> {
        std::future::pending().await
    }

    fn suggests_windows(&self) -> bool {
        self.1
    }

    async fn suggested_window(&self, _: &IssuedChain) -> Result<Option<SuggestedWindow>, IssueError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_question_that_is_not_answered_holds_no_slot() {
    let scene = Scene::new();
    let keeper = scene.builder(Arc::new(Mute(scene.signer(), true))).slots(1).build();
    keeper.wish(spec("a")).await.unwrap();
    keeper.start().await;
    until(async || scene.generation("a").await == Some(1)).await;
    keeper.rested().await;
    scene.clock.advance(Duration::from_secs(61));
    until(async || keeper.workload().parked == 1 || keeper.workload().running == 1).await;
    keeper.wish(spec("b")).await.unwrap();
    until(async || scene.generation("b").await == Some(1)).await;
}

#[tokio::test]
async fn what_cannot_be_removed_holds_no_slot() {
    let scene = Scene::new();
    let signer = scene.signer();
    let keeper = scene.builder(Arc::new(Mute(signer.clone(), false))).slots(1).build();
    signer.next(Mischief::LeaveDebt);
    keeper.wish(spec("a")).await.unwrap();
    keeper.start().await;
    until(async || scene.generation("a").await == Some(1)).await;
    keeper.rested().await;
    scene.clock.advance(Duration::from_secs(601));
    until(async || keeper.workload().parked == 1 || keeper.workload().running == 1).await;
    keeper.wish(spec("b")).await.unwrap();
    until(async || scene.generation("b").await == Some(1)).await;
}

#[tokio::test]
async fn what_was_owed_for_long_is_looked_after_ever_more_seldom() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let keeper = scene.builder(issuer.clone()).build();
    *issuer.lies.lock().unwrap() = true;
    issuer.next(Mischief::LeaveDebt);
    keeper.wish(spec("a")).await.unwrap();
    keeper.step(&name("a")).await.unwrap();
    for (hours, pause) in [(0, 600), (8, 3_600), (800, 6 * 3_600)] {
        scene.clock.advance(HOUR * hours);
        let Ok(Outcome::Kept { until }) = keeper.step(&name("a")).await else { panic!("not kept") };
        assert_eq!(until.since(scene.clock.now()), Duration::from_secs(pause), "after {hours} hours");
    }
}

/// Says that its DNS provider is down.
struct Helpless;

#[async_trait]
impl Issuer for Helpless {
    async fn issue(&self, _: &SigningRequest, _: &Journal) -> Result<IssuedChain, IssueError> {
        Err(IssueError::new(IssueErrorClass::Transient, "the provider is down", Retry::Backoff).elsewhere())
    }
}

#[tokio::test]
async fn a_dns_provider_that_is_down_sends_nobody_to_another_issuer() {
    let scene = Scene::new();
    let second = scene.signer();
    let keeper = scene.builder(Arc::new(Helpless)).issuer("second".parse().unwrap(), second.clone()).build();
    keeper.wish(spec("a").fallback_issuer("second").unwrap()).await.unwrap();
    for _ in 0..6 {
        let outcome = keeper.step(&name("a")).await;
        let Ok(Outcome::Failed { until, .. }) = outcome else { panic!("{outcome:?}") };
        scene.clock.set(until);
    }
    assert_eq!(second.asked.lock().unwrap().len(), 0);
}

/// Takes its time to remove what it presented.
struct Slow(Arc<TestIssuer>);

#[async_trait]
impl Issuer for Slow {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.0.issue(request, journal).await
    }

    async fn settle(&self, journal: &Journal) -> Result<(), IssueError> {
        self.0.hanging.notify_one();
        self.0.go_on.notified().await;
        self.0.settle(journal).await
    }
}

#[tokio::test]
async fn another_wish_while_debts_are_paid_is_not_put_off() {
    let scene = Scene::new();
    let signer = scene.signer();
    let keeper = scene.builder(Arc::new(Slow(signer.clone()))).build();
    signer.next(Mischief::LeaveDebt);
    keeper.wish(spec("a")).await.unwrap();
    let id = name("a");
    keeper.step(&id).await.unwrap();
    let (outcome, ()) = tokio::join!(keeper.step(&id), async {
        signer.hanging.notified().await;
        keeper.wish(spec("a").renewal(RenewalPolicy::Before(DAY * 80))).await.unwrap();
        signer.go_on.notify_one();
    });
    assert!(matches!(outcome, Ok(Outcome::Kept { .. })), "{outcome:?}");
    let (_, record) = scene.store.load(&id).await.unwrap().unwrap();
    assert!(record.next_at <= scene.clock.now(), "it is looked at at once");
}

#[tokio::test]
async fn a_store_that_panics_under_one_certificate_costs_the_others_nothing() {
    let scene = Scene::new();
    let keeper = scene.builder(scene.signer()).build();
    scene.store.panics_for.lock().unwrap().replace(name("cursed"));
    keeper.wish(spec("cursed")).await.unwrap();
    keeper.wish(spec("blessed")).await.unwrap();
    keeper.start().await;
    keeper.rested().await;
    assert_eq!(scene.generation("blessed").await, Some(1));
    let (_, record) = scene.store.load(&name("cursed")).await.unwrap().unwrap();
    let failures = record.failures.expect("it is on record");
    assert!(failures.message.contains("told to panic"), "{failures:?}");
    scene.store.panics_for.lock().unwrap().take();
    scene.clock.advance(HOUR);
    keeper.rested().await;
    assert_eq!(scene.generation("cursed").await, Some(1));
}

#[tokio::test]
async fn a_store_that_is_gone_takes_nothing_away_and_is_told_twice() {
    let scene = Scene::new();
    let keeper = scene.builder(scene.signer()).build();
    let certificate = keeper.keep(spec("a")).await.unwrap();
    certificate.ready().await.unwrap();
    keeper.rested().await;
    scene.store.gone.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        scene.clock.wait_for_sleepers(1).await;
        scene.clock.advance(Duration::from_secs(70));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(certificate.current().is_some(), "it serves on");
    assert!(!keeper.workload().store_answers);
    scene.store.gone.store(false, Ordering::SeqCst);
    scene.clock.advance(Duration::from_secs(70));
    keeper.rested().await;
    let told = |kind: &EventKind| match kind {
        EventKind::StoreUnavailable { .. } => Some("gone"),
        EventKind::StoreAvailable => Some("back"),
        _ => None,
    };
    let told: Vec<_> = scene.events.lock().unwrap().iter().filter_map(|event| told(&event.kind)).collect();
    assert_eq!(told, ["gone", "back"]);
}

#[tokio::test]
async fn a_jump_of_the_clock_is_told_and_what_became_due_is_done() {
    let scene = Scene::new();
    let keeper = scene.builder(scene.signer()).build();
    keeper.keep(spec("a")).await.unwrap().ready().await.unwrap();
    keeper.rested().await;
    scene.clock.set(scene.clock.now() + DAY * 61);
    keeper.rested().await;
    assert_eq!(scene.generation("a").await, Some(2));
    assert_eq!(scene.told(|kind| matches!(kind, EventKind::ClockJumped { .. })), 1);
    scene.clock.advance(HOUR); // time that passes is no jump
    keeper.rested().await;
    assert_eq!(scene.told(|kind| matches!(kind, EventKind::ClockJumped { .. })), 1);
}

#[tokio::test]
async fn handles_learn_what_another_process_has_done() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let (reads, writes) = (scene.builder(issuer.clone()).build(), scene.builder(issuer).build());
    writes.wish(spec("a")).await.unwrap();
    writes.step(&name("a")).await.unwrap();
    let certificate = reads.keep(spec("a")).await.unwrap();
    let first = certificate.ready().await.unwrap();
    reads.rested().await;
    let changed = CertificateSpec::new("a", ["b.example"]).unwrap();
    scene.store.frozen.store(true, Ordering::SeqCst); // the other is always quicker
    writes.wish(changed).await.unwrap();
    writes.step(&name("a")).await.unwrap();
    scene.clock.wait_for_sleepers(1).await;
    scene.clock.advance(Duration::from_secs(61));
    let second = certificate.changed(&first).await.unwrap();
    assert_eq!(second.generation().number(), 2);
}

#[tokio::test]
async fn shutting_down_lets_work_come_to_its_next_note_and_lets_go_of_everything() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let keeper = scene.builder(issuer.clone()).grace(Duration::from_secs(20)).build();
    issuer.next(Mischief::Pause);
    let certificate = keeper.keep(spec("a")).await.unwrap();
    issuer.hanging.notified().await;
    let ((), ()) = tokio::join!(keeper.shut_down(), async {
        tokio::task::yield_now().await;
        issuer.go_on.notify_one();
    });
    let (_, record) = scene.store.load(&name("a")).await.unwrap().unwrap();
    assert_eq!(record.debts.len(), 0, "what was under way came to its next note");
    assert!(record.attempt.is_some() && record.current.is_none(), "and not further");
    assert!(matches!(certificate.ready().await, Err(Error::ShutDown { .. })));
    // Another process takes over at once, and goes on.
    let next = scene.builder(issuer).build();
    assert!(matches!(next.step(&name("a")).await.unwrap(), Outcome::Issued { .. }));
}

/// Waits for something outside as often as it is asked, and counts who does at once.
struct Waiting {
    signer: Arc<TestIssuer>,
    parked: AtomicUsize,
    unparked: AtomicUsize,
    open: AtomicBool,
    opened: Notify,
}

#[async_trait]
impl Issuer for Waiting {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        if request.certificate.as_str().starts_with("slow") {
            journal
                .parked(async {
                    self.parked.fetch_add(1, Ordering::SeqCst);
                    while !self.open.load(Ordering::SeqCst) {
                        self.opened.notified().await;
                        self.opened.notify_one();
                    }
                })
                .await;
            self.unparked.fetch_add(1, Ordering::SeqCst);
        }
        self.signer.issue(request, journal).await
    }
}

fn waiting(scene: &Scene) -> Arc<Waiting> {
    Arc::new(Waiting {
        signer: scene.signer(),
        parked: AtomicUsize::new(0),
        unparked: AtomicUsize::new(0),
        open: AtomicBool::new(false),
        opened: Notify::new(),
    })
}

#[tokio::test]
async fn those_who_wait_for_propagation_hold_no_slot() {
    let scene = Scene::new();
    let issuer = waiting(&scene);
    let keeper = scene.builder(issuer.clone()).slots(2).parked(60).build();
    for number in 0..60 {
        keeper.wish(spec(&format!("slow-{number}"))).await.unwrap();
    }
    keeper.start().await;
    until(async || issuer.parked.load(Ordering::SeqCst) == 60).await;
    keeper.wish(spec("sixty-first")).await.unwrap();
    until(async || scene.generation("sixty-first").await == Some(1)).await;
    until(async || keeper.workload().parked == 60).await;
    issuer.open.store(true, Ordering::SeqCst);
    issuer.opened.notify_one();
    keeper.rested().await;
    assert_eq!(issuer.unparked.load(Ordering::SeqCst), 60);
    assert_eq!(scene.generation("slow-59").await, Some(1));
}

#[tokio::test]
async fn no_more_wait_without_a_slot_than_may_and_the_rest_keep_theirs() {
    let scene = Scene::new();
    let issuer = waiting(&scene);
    let keeper = scene.builder(issuer.clone()).slots(2).parked(3).build();
    for number in 0..9 {
        keeper.wish(spec(&format!("slow-{number}"))).await.unwrap();
    }
    keeper.start().await;
    until(async || issuer.parked.load(Ordering::SeqCst) == 5).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(issuer.parked.load(Ordering::SeqCst), 5, "three without a slot, and two with one");
    issuer.open.store(true, Ordering::SeqCst);
    issuer.opened.notify_one();
    keeper.rested().await;
    assert_eq!(issuer.unparked.load(Ordering::SeqCst), 9);
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_propagation() {
    let scene = Scene::new();
    let issuer = waiting(&scene);
    let keeper = scene.builder(issuer.clone()).grace(Duration::from_secs(3_600)).build();
    let _ = keeper.keep(spec("slow")).await.unwrap();
    until(async || issuer.parked.load(Ordering::SeqCst) == 1).await;
    keeper.shut_down().await;
}

/// Fails before anything was ordered, while it is down.
pub(crate) struct Unreachable {
    pub(crate) signer: Arc<TestIssuer>,
    pub(crate) down: AtomicBool,
}

#[async_trait]
impl Issuer for Unreachable {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(IssueError::new(IssueErrorClass::Transient, "no connection", Retry::Backoff));
        }
        self.signer.issue(request, journal).await
    }
}

#[tokio::test]
async fn a_ca_that_fails_everybody_is_left_alone_and_the_next_one_asked_when_it_is_time() {
    let scene = Scene::new();
    let down = Arc::new(Unreachable { signer: scene.signer(), down: AtomicBool::new(true) });
    let second = scene.signer();
    let keeper = scene.builder(down.clone()).issuer("second".parse().unwrap(), second.clone()).build();
    let with_fallback = |id| spec(id).fallback_issuer("second").unwrap();
    keeper.wish(with_fallback("a")).await.unwrap();
    keeper.start().await;
    keeper.rested().await;
    assert!(second.asked.lock().unwrap().is_empty(), "the first is pinned");
    for _ in 0..12 {
        scene.clock.advance(Duration::from_secs(60));
        keeper.rested().await;
    }
    // The first generation was the attempt that was given up.
    assert_eq!(scene.generation("a").await, Some(2), "after ten minutes without any certificate");
    let (_, record) = scene.store.load(&name("a")).await.unwrap().unwrap();
    let current = record.current.unwrap();
    assert_eq!((current.issuer().as_str(), record.failures, record.elsewhere.len()), ("second", None, 0));
    // It is the wished-for one's again when it is renewed, and nothing is re-issued before.
    down.down.store(false, Ordering::SeqCst);
    scene.clock.advance(DAY);
    keeper.rested().await;
    assert_eq!(scene.generation("a").await, Some(2));
    scene.clock.advance(DAY * 61);
    keeper.rested().await;
    let (_, record) = scene.store.load(&name("a")).await.unwrap().unwrap();
    assert_eq!(record.current.unwrap().issuer().as_str(), "default");
}

/// Has wishes about when its certificates are renewed.
struct Wishful {
    signer: Arc<TestIssuer>,
    window: Mutex<Option<SuggestedWindow>>,
    asked: AtomicUsize,
    replaced: Mutex<Vec<bool>>,
}

#[async_trait]
impl Issuer for Wishful {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.replaced.lock().unwrap().push(request.replaces.is_some());
        self.signer.issue(request, journal).await
    }

    fn suggests_windows(&self) -> bool {
        true
    }

    async fn suggested_window(&self, _: &IssuedChain) -> Result<Option<SuggestedWindow>, IssueError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.window.lock().unwrap().clone() {
            Some(window) => Ok(Some(window)),
            None => Err(IssueError::new(IssueErrorClass::Transient, "no answer", Retry::Backoff)),
        }
    }
}

#[tokio::test]
async fn a_ca_is_asked_for_its_wishes_when_it_says_and_they_are_heeded_and_kept() {
    let scene = Scene::new();
    let (signer, window) = (scene.signer(), Mutex::default());
    let (asked, replaced) = (AtomicUsize::new(0), Mutex::default());
    let issuer = Arc::new(Wishful { signer, window, asked, replaced });
    let keeper = scene.builder(issuer.clone()).limits(IssuerName::default(), five_a_week()).build();
    keeper.wish(spec("a")).await.unwrap();
    keeper.start().await;
    keeper.rested().await;
    scene.clock.advance(Duration::from_secs(61));
    keeper.rested().await;
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "a minute after it was issued");
    scene.clock.advance(HOUR * 5);
    keeper.rested().await;
    assert_eq!(
        issuer.asked.load(Ordering::SeqCst),
        1,
        "one that does not answer is left alone for six hours"
    );
    let now = scene.clock.now();
    *issuer.window.lock().unwrap() = Some(SuggestedWindow {
        start: now + HOUR * 3,
        end: now + HOUR * 9,
        explanation_url: None,
        ask_at: now + HOUR * 20,
    });
    scene.clock.advance(HOUR * 2);
    keeper.rested().await;
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);
    let (_, record) = scene.store.load(&name("a")).await.unwrap().unwrap();
    assert!(record.current.unwrap().window.is_some(), "it is on record");
    scene.clock.advance(HOUR * 8);
    keeper.rested().await;
    assert_eq!(scene.generation("a").await, Some(2), "weeks before its own date");
    assert_eq!(*issuer.replaced.lock().unwrap(), [false, true], "the order names what it replaces");
}
