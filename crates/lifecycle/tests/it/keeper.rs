use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use perennial_core::{Clock as _, Retry, SecretBytes, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, Error, Event, EventKind, FileStore, Generation, IssueErrorClass, Keeper,
    KeyAlgorithm, MemoryStore, OrderState, Outcome, PrivateKey, Slot, Store,
};
use perennial_testkit::ManualClock;

use crate::{
    issuer::{Mischief, TestIssuer},
    store::ContendedStore,
};

const DAY: Duration = Duration::from_secs(86_400);

struct Scene {
    clock: Arc<ManualClock>,
    issuer: Arc<TestIssuer>,
    store: Arc<dyn Store>,
    keeper: Keeper,
    events: Arc<Mutex<Vec<Event>>>,
    id: CertificateId,
}

fn spec() -> CertificateSpec {
    CertificateSpec::new("site", ["*.site.example", "site.example"]).unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)))
}

fn scene_over(clock: Arc<ManualClock>, store: Arc<dyn Store>) -> Scene {
    let issuer = TestIssuer::new(clock.clone(), DAY * 90);
    let events = Arc::new(Mutex::new(Vec::new()));
    let keeper = keeper(&clock, &issuer, &store, &events);
    Scene { clock, issuer, store, keeper, events, id: "site".parse().unwrap() }
}

fn scene() -> Scene {
    let clock = clock();
    let store = MemoryStore::with_clock(clock.clone());
    scene_over(clock, Arc::new(store))
}

fn keeper(
    clock: &Arc<ManualClock>,
    issuer: &Arc<TestIssuer>,
    store: &Arc<dyn Store>,
    events: &Arc<Mutex<Vec<Event>>>,
) -> Keeper {
    let seen = events.clone();
    Keeper::builder(store.clone())
        .clock(clock.clone())
        .grace(Duration::from_millis(50))
        .issuer("default".parse().unwrap(), issuer.clone())
        .observer(move |event| seen.lock().unwrap().push(event.clone()))
        .build()
}

impl Scene {
    async fn step(&self) -> Outcome {
        self.keeper.step(&self.id).await.unwrap()
    }

    async fn generation(&self) -> u32 {
        self.keeper.current(&self.id).await.unwrap().unwrap().generation().number()
    }

    /// Somebody else's key takes the place of ours.
    async fn overwrite_key(&self, generation: Generation) {
        let foreign = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().to_pem();
        let slot = Slot::PrivateKey { certificate: self.id.clone(), generation };
        self.store.write(&slot, &SecretBytes::new(foreign.expose().as_bytes())).await.unwrap();
    }

    fn requests(&self) -> usize {
        self.issuer.asked.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_certificate_is_issued_stored_and_kept() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    let issued = scene.keeper.current(&scene.id).await.unwrap().unwrap();
    assert_eq!(issued.facts().names, spec().name_set());
    let Outcome::Kept { until } = scene.step().await else { panic!("not kept") };
    let life = until.since(scene.clock.now());
    assert!(life > DAY * 50 && life <= DAY * 60, "{life:?}");
    assert_eq!(scene.requests(), 1);
}

#[tokio::test]
async fn what_an_issuer_told_before_it_failed_is_on_record() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::FailTelling);
    assert!(matches!(scene.step().await, Outcome::Failed { .. }));
    let (_, record) = scene.store.load(&scene.id).await.unwrap().unwrap();
    let order = record.attempt.unwrap().order.unwrap();
    assert_eq!((order.state, order.reason.as_deref()), (OrderState::Invalid, Some("it is invalid")));
}

#[tokio::test]
async fn an_old_record_learns_since_when_its_conditions_are_what_they_are() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    assert!(matches!(scene.step().await, Outcome::Kept { .. }));
    let (version, mut record) = scene.store.load(&scene.id).await.unwrap().unwrap();
    let (known, next_at) = (record.transitions.take(), record.next_at);
    assert!(known.is_some());
    scene.store.commit(&record, Some(version)).await.unwrap();
    assert!(matches!(scene.step().await, Outcome::Kept { .. }));
    let (_, record) = scene.store.load(&scene.id).await.unwrap().unwrap();
    assert_eq!((record.transitions, record.next_at), (known, next_at), "that alone is worth a commit");
}

#[tokio::test]
async fn two_virtual_years_renew_by_themselves_with_a_fresh_key_each_time() {
    let scene = scene();
    let certificate = scene.keeper.keep(spec()).await.unwrap();
    let mut issued = certificate.ready().await.unwrap();
    let end = scene.clock.now() + DAY * 730;
    while scene.clock.now() < end {
        assert!(issued.facts().not_after > scene.clock.now(), "expired at {}", scene.clock.now());
        scene.keeper.rested().await;
        scene.clock.advance(Duration::from_secs(3600));
        // Between two naps of an hour the task needs a turn to notice.
        tokio::task::yield_now().await;
        issued = certificate.current().unwrap();
    }
    scene.keeper.rested().await;
    let keys = scene.issuer.asked.lock().unwrap().clone();
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "a key was used twice");
    assert!((12..=16).contains(&keys.len()), "{} renewals in two years of 90-day certificates", keys.len());
}

#[tokio::test]
async fn the_old_certificate_serves_while_renewal_fails_and_attempts_are_spaced() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    scene.clock.advance(DAY * 61);
    for _ in 0..3 {
        scene.issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
    }
    let mut waits = Vec::new();
    for _ in 0..3 {
        let Outcome::Failed { until, .. } = scene.step().await else { panic!("did not fail") };
        waits.push(until.since(scene.clock.now()).as_secs());
        assert!(matches!(scene.step().await, Outcome::Waiting { .. }));
        assert_eq!(scene.generation().await, 1, "the old certificate serves");
        scene.clock.set(until);
    }
    assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    assert_eq!(scene.store.load(&scene.id).await.unwrap().unwrap().1.failures, None);
    assert_eq!(scene.generation().await, 2, "the failed attempts shared one key and generation");
    let asked = scene.issuer.asked.lock().unwrap();
    assert!(asked[1..].windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn even_what_somebody_must_mend_is_tried_often_when_the_end_is_near() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    scene.clock.advance(DAY * 90 - Duration::from_secs(3600));
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Policy, Retry::Never));
    let Outcome::Failed { until, .. } = scene.step().await else { panic!("did not fail") };
    assert!(until.since(scene.clock.now()) <= Duration::from_secs(600), "{until}");
}

#[tokio::test]
async fn the_moment_that_the_issuer_names_is_waited_for() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    let named = scene.clock.now() + DAY;
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::At(named)));
    assert!(matches!(scene.step().await, Outcome::Failed { until, .. } if until == named));
}

#[tokio::test]
async fn a_certificate_that_was_not_asked_for_never_replaces_the_old_one() {
    for mischief in [Mischief::OtherKey, Mischief::OtherNames] {
        let scene = scene();
        scene.keeper.wish(spec()).await.unwrap();
        scene.step().await;
        scene.clock.advance(DAY * 61);
        scene.issuer.next(mischief);
        let Outcome::Failed { error, .. } = scene.step().await else { panic!("accepted") };
        assert!(matches!(error, Error::Contract { .. }), "{error}");
        assert_eq!(scene.generation().await, 1);
    }
}

#[tokio::test]
async fn a_process_that_dies_goes_on_with_the_same_key_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let scene = scene_over(clock(), Arc::new(FileStore::open(directory.path()).unwrap()));
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::Hang);
    tokio::select! {
        outcome = scene.step() => panic!("returned {outcome:?}"),
        () = scene.issuer.hanging.notified() => {} // the future is dropped: the process dies here
    }
    let Scene { clock, issuer, store, keeper: dead, events, id } = scene;
    drop((dead, store));
    let store: Arc<dyn Store> = Arc::new(FileStore::open(directory.path()).unwrap());
    let keeper = keeper(&clock, &issuer, &store, &events);
    assert!(matches!(keeper.step(&id).await.unwrap(), Outcome::Issued { .. }));
    let asked = issuer.asked.lock().unwrap();
    assert_eq!(asked[0], asked[1], "the same key");
    assert_eq!(*issuer.found.lock().unwrap(), [None, Some("order 1".to_owned())], "where it stopped");
    let resumed = events
        .lock()
        .unwrap()
        .iter()
        .any(|event| matches!(event.kind, EventKind::Issuing { resumed: true, .. }));
    assert!(resumed);
}

#[tokio::test]
async fn a_changed_wish_ends_the_wait_and_settles_what_was_under_way() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::FailOwing);
    let failed = scene.step().await;
    let soon = scene.clock.now() + Duration::from_secs(600);
    assert!(matches!(failed, Outcome::Failed { until, .. } if until <= soon), "a debt is looked after soon");
    let changed = CertificateSpec::new("site", ["site.example"]).unwrap();
    scene.keeper.wish(changed.clone()).await.unwrap();
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    assert_eq!(*scene.issuer.settled.lock().unwrap(), 1);
    assert_eq!(scene.keeper.current(&scene.id).await.unwrap().unwrap().facts().names, changed.name_set());
}

#[tokio::test]
async fn a_debt_outlives_success_and_is_paid_later() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::LeaveDebt); // signing succeeds, cleaning up does not
    scene.issuer.next(Mischief::LeaveDebt); // nor does it at the next look
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    let Outcome::Kept { until } = scene.step().await else { panic!("not kept") };
    assert!(
        until.since(scene.clock.now()) <= Duration::from_secs(600),
        "a debt is looked after soon: {until}"
    );
    assert_eq!(scene.store.load(&scene.id).await.unwrap().unwrap().1.debts.len(), 1);
    let Outcome::Kept { until } = scene.step().await else { panic!("not kept") };
    assert!(until.since(scene.clock.now()) > DAY, "a paid debt needs no look");
    assert_eq!(scene.store.load(&scene.id).await.unwrap().unwrap().1.debts, []);
}

#[tokio::test]
async fn abandoning_pays_what_is_owed() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::Hang);
    tokio::select! {
        outcome = scene.step() => panic!("returned {outcome:?}"),
        () = scene.issuer.hanging.notified() => {}
    }
    assert_eq!(scene.store.load(&scene.id).await.unwrap().unwrap().1.debts.len(), 1);
    scene.keeper.abandon(&scene.id).await.unwrap();
    let (_, record) = scene.store.load(&scene.id).await.unwrap().unwrap();
    assert_eq!((record.debts.len(), record.attempt), (0, None));
}

#[tokio::test]
async fn a_note_that_comes_in_between_does_not_stop_giving_up_or_wishing() {
    let store = Arc::new(ContendedStore::default());
    let scene = scene_over(clock(), store.clone());
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::FailOwing);
    scene.step().await;
    let overtaken = || store.overtake_next_commit.store(true, Ordering::SeqCst);
    overtaken();
    scene.keeper.wish(spec().profile("short")).await.unwrap();
    overtaken();
    scene.keeper.abandon(&scene.id).await.unwrap();
    let (_, record) = scene.store.load(&scene.id).await.unwrap().unwrap();
    assert_eq!((record.debts.len(), record.attempt, record.spec.profile_name()), (0, None, Some("short")));
}

#[tokio::test]
async fn a_note_of_somebody_else_that_changes_nothing_costs_a_look_and_is_no_failure() {
    let store = Arc::new(ContendedStore::default());
    let scene = scene_over(clock(), store.clone());
    scene.keeper.wish(spec()).await.unwrap();
    // The attempt cannot be written down the first time.
    store.overtake_next_commit.store(true, Ordering::SeqCst);
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    assert_eq!(scene.requests(), 1, "the issuer was not asked without a note");
    assert_eq!(scene.store.load(&scene.id).await.unwrap().unwrap().1.failures, None);
}

#[tokio::test]
async fn a_changed_wish_is_acted_upon_at_once() {
    let scene = scene();
    let certificate = scene.keeper.keep(spec()).await.unwrap();
    let first = certificate.ready().await.unwrap();
    scene.keeper.rested().await;
    let changed = CertificateSpec::new("site", ["site.example"]).unwrap();
    let _ = scene.keeper.keep(changed.clone()).await.unwrap();
    assert_eq!(certificate.changed(&first).await.unwrap().facts().names, changed.name_set());
}

#[tokio::test]
async fn a_key_that_is_gone_or_foreign_asks_for_a_new_certificate() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    let generation = scene.keeper.current(&scene.id).await.unwrap().unwrap().generation();
    scene.overwrite_key(generation).await;
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    assert_eq!(scene.generation().await, 2);
}

#[tokio::test]
async fn old_generations_go_but_the_last_one_stays() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    let first = scene.keeper.current(&scene.id).await.unwrap().unwrap().generation();
    for _ in 0..2 {
        scene.clock.advance(DAY * 61);
        scene.step().await;
    }
    let key = |generation| Slot::PrivateKey { certificate: scene.id.clone(), generation };
    assert!(scene.store.read(&key(first)).await.unwrap().is_none());
    assert!(scene.store.read(&key(first.next())).await.unwrap().is_some());
    assert!(scene.store.read(&key(first.next().next())).await.unwrap().is_some());
}

#[tokio::test]
async fn an_attempt_that_was_given_up_does_not_push_the_last_generation_out() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    scene.clock.advance(DAY * 61);
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
    assert!(matches!(scene.step().await, Outcome::Failed { .. }));
    scene.keeper.abandon(&scene.id).await.unwrap();
    scene.clock.advance(DAY);
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    let key = |number| {
        let (store, certificate) = (scene.store.clone(), scene.id.clone());
        let generation = (0..number).fold(serde_json::from_str("0").unwrap(), |g: Generation, _| g.next());
        async move { store.read(&Slot::PrivateKey { certificate, generation }).await.unwrap().is_some() }
    };
    assert_eq!((key(1).await, key(2).await, key(3).await), (true, false, true));
    scene.clock.advance(DAY * 61);
    scene.step().await;
    assert_eq!((key(1).await, key(3).await, key(4).await), (false, true, true));
}

#[tokio::test]
async fn servers_read_the_current_link_of_the_file_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let current = store.current(&"site".parse().unwrap());
    let scene = scene_over(clock(), Arc::new(store));
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    let first = std::fs::read(current.join("fullchain.pem")).unwrap();
    scene.clock.advance(DAY * 61);
    scene.step().await;
    let second = std::fs::read(current.join("fullchain.pem")).unwrap();
    assert_ne!(first, second);
    let issued = scene.keeper.current(&scene.id).await.unwrap().unwrap();
    assert_eq!(second, issued.chain_pem().as_bytes());
    assert_eq!(
        std::fs::read(current.join("privkey.pem")).unwrap(),
        issued.private_key_pem().expose().as_bytes()
    );
}

#[tokio::test]
async fn ready_says_what_only_a_person_can_mend() {
    let scene = scene();
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Policy, Retry::Never));
    let certificate = scene.keeper.keep(spec()).await.unwrap();
    let error = certificate.ready().await.err().unwrap();
    assert_eq!(error.to_string(), "told to fail");
    scene.keeper.shut_down().await;
}

#[tokio::test]
async fn ready_waits_passing_troubles_out_and_ends_with_the_keeper() {
    let scene = scene();
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
    let certificate = scene.keeper.keep(spec()).await.unwrap();
    let waiting = tokio::spawn({
        let certificate = certificate.clone();
        async move { certificate.ready().await.map(|issued| issued.generation().number()) }
    });
    scene.keeper.rested().await;
    assert!(!waiting.is_finished());
    scene.clock.advance(Duration::from_secs(300));
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    scene.keeper.shut_down().await;
    let issued = certificate.current().unwrap();
    assert!(matches!(certificate.changed(&issued).await, Err(Error::ShutDown { .. })));
}

#[tokio::test]
async fn a_program_that_starts_again_learns_why_its_predecessor_failed() {
    let scene = scene();
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Policy, Retry::Never));
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    let next = keeper(&scene.clock, &scene.issuer, &scene.store, &scene.events);
    let error = next.keep(spec()).await.unwrap().ready().await.err().unwrap();
    assert_eq!(error.to_string(), "told to fail");
    assert_eq!(scene.requests(), 1, "a restart does not shorten the wait");
}

#[tokio::test]
async fn a_good_certificate_serves_from_the_start_while_its_renewal_hangs() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    scene.clock.advance(DAY * 61);
    scene.issuer.next(Mischief::Hang);
    let certificate = scene.keeper.keep(spec()).await.unwrap();
    assert_eq!(certificate.ready().await.unwrap().generation().number(), 1);
    scene.issuer.hanging.notified().await;
    scene.keeper.shut_down().await;
    // One for other names than are wanted now is not shown as ready.
    let changed = CertificateSpec::new("site", ["site.example"]).unwrap();
    scene.issuer.next(Mischief::Hang);
    let certificate = scene.keeper.keep(changed).await.unwrap();
    scene.issuer.hanging.notified().await;
    assert!(certificate.current().is_none());
    scene.keeper.shut_down().await;
    scene.keeper.wish(spec()).await.unwrap();
    // Nor is one that has ended.
    scene.clock.advance(DAY * 30);
    scene.issuer.next(Mischief::Hang);
    let certificate = scene.keeper.keep(spec()).await.unwrap();
    scene.issuer.hanging.notified().await;
    assert!(certificate.current().is_none());
}

#[tokio::test]
async fn another_issuer_or_key_that_is_wished_for_hides_no_good_certificate_of_the_same_names() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    let changed = spec().key_algorithm(KeyAlgorithm::EcdsaP384).profile("short");
    // While the CA hangs, and after a restart: the first handle is opened anew each time.
    for restart in 0..2 {
        scene.issuer.next(Mischief::Hang);
        let next = keeper(&scene.clock, &scene.issuer, &scene.store, &scene.events);
        let certificate = next.keep(changed.clone()).await.unwrap();
        scene.issuer.hanging.notified().await;
        let shown = certificate.current().map(|issued| issued.generation().number());
        assert_eq!(shown, Some(1), "after {restart} restarts");
        assert_eq!(certificate.ready().await.unwrap().generation().number(), 1);
        next.shut_down().await;
    }
    let certificate = scene.keeper.keep(changed).await.unwrap();
    let old = certificate.ready().await.unwrap();
    let fresh = certificate.changed(&old).await.unwrap();
    assert_ne!(fresh.facts().public_key_fingerprint, old.facts().public_key_fingerprint);
    scene.keeper.shut_down().await;
}

#[tokio::test]
async fn an_issuer_that_panics_costs_one_attempt_and_not_the_task() {
    let scene = scene();
    scene.issuer.next(Mischief::Panic);
    let certificate = scene.keeper.keep(spec()).await.unwrap();
    scene.keeper.rested().await;
    let trouble = certificate.trouble().unwrap();
    assert!(trouble.to_string().contains("told to panic"), "{trouble}");
    scene.clock.advance(Duration::from_secs(300));
    assert_eq!(certificate.ready().await.unwrap().generation().number(), 1);
}

#[tokio::test]
async fn passes_at_once_over_one_certificate_make_one_request() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    let (one, two) = tokio::join!(scene.step(), scene.step());
    assert!(matches!((one, two), (Outcome::Issued { .. }, Outcome::Kept { .. })));
    assert_eq!(scene.requests(), 1);
}

#[tokio::test]
async fn a_wish_that_changes_under_an_issuance_is_no_failure() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::Pause);
    let changed = CertificateSpec::new("site", ["site.example"]).unwrap();
    let (outcome, ()) = tokio::join!(scene.step(), async {
        scene.issuer.hanging.notified().await;
        scene.keeper.wish(changed.clone()).await.unwrap();
        scene.issuer.go_on.notify_one();
    });
    assert!(matches!(outcome, Outcome::Issued { .. }), "{outcome:?}");
    assert_eq!(scene.keeper.current(&scene.id).await.unwrap().unwrap().facts().names, changed.name_set());
}

#[tokio::test]
async fn after_a_wrong_certificate_the_issuer_begins_anew() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::OtherNames);
    let Outcome::Failed { until, .. } = scene.step().await else { panic!("accepted") };
    scene.clock.set(until);
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
    assert_eq!(*scene.issuer.found.lock().unwrap(), [None, None], "the wrong order was taken up again");
}

#[tokio::test]
async fn a_certificate_that_begins_later_is_waited_for_with_the_same_order() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::Tomorrow);
    let Outcome::Failed { until, error } = scene.step().await else { panic!("accepted") };
    assert!(error.to_string().contains("check this machine's clock"), "{error}");
    scene.clock.set(until);
    scene.step().await;
    assert_eq!(*scene.issuer.found.lock().unwrap(), [None, Some("order 1".to_owned())]);
}

#[tokio::test]
async fn a_key_that_somebody_overwrote_meanwhile_never_serves() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::Pause);
    let (outcome, ()) = tokio::join!(scene.step(), async {
        scene.issuer.hanging.notified().await;
        let (_, record) = scene.store.load(&scene.id).await.unwrap().unwrap();
        scene.overwrite_key(record.attempt.unwrap().generation).await;
        scene.issuer.go_on.notify_one();
    });
    assert!(matches!(outcome, Outcome::Failed { error: Error::Contract { .. }, .. }), "{outcome:?}");
    assert!(scene.keeper.current(&scene.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_chain_that_somebody_exchanged_is_not_handed_out() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    let generation = scene.keeper.current(&scene.id).await.unwrap().unwrap().generation();
    let slot = Slot::Chain { certificate: scene.id.clone(), generation };
    let foreign = rcgen::generate_simple_self_signed(["site.example".to_owned()]).unwrap().cert.pem();
    scene.store.write(&slot, &SecretBytes::new(foreign)).await.unwrap();
    assert!(scene.keeper.current(&scene.id).await.unwrap().is_none());
    assert!(matches!(scene.step().await, Outcome::Issued { .. }));
}

#[tokio::test]
async fn a_key_that_does_not_belong_to_the_chain_is_not_handed_out() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.step().await;
    let generation = scene.keeper.current(&scene.id).await.unwrap().unwrap().generation();
    scene.overwrite_key(generation).await;
    assert!(scene.keeper.current(&scene.id).await.unwrap().is_none());
}

#[tokio::test]
async fn certificates_that_are_due_when_they_come_are_not_fetched_every_second() {
    let scene = scene();
    *scene.issuer.backdate.lock().unwrap() = DAY * 90 - Duration::from_secs(2);
    let certificate = scene.keeper.keep(spec()).await.unwrap();
    certificate.ready().await.unwrap();
    scene.keeper.rested().await;
    let pause = scene.clock.now().until(scene.clock.next_deadline().unwrap());
    assert!(pause >= Duration::from_secs(60), "the next look is in {pause:?}");
}

#[tokio::test]
async fn an_issuer_that_claims_to_have_cleaned_up_is_asked_again() {
    let scene = scene();
    scene.keeper.wish(spec()).await.unwrap();
    scene.issuer.next(Mischief::FailOwing);
    scene.step().await;
    *scene.issuer.lies.lock().unwrap() = true;
    let soon = scene.clock.now() + Duration::from_secs(600);
    assert!(matches!(scene.step().await, Outcome::Waiting { until, .. } if until <= soon));
    let error = scene.keeper.abandon(&scene.id).await.unwrap_err();
    assert!(error.to_string().contains("has not removed 1"), "{error}");
    *scene.issuer.lies.lock().unwrap() = false;
    scene.keeper.abandon(&scene.id).await.unwrap();
    assert_eq!(scene.store.load(&scene.id).await.unwrap().unwrap().1.debts, []);
}

#[tokio::test]
async fn an_unknown_issuer_is_named_with_those_that_are_known() {
    let error = scene().keeper.wish(spec().issuer("nobody").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("nobody") && error.to_string().contains("default"), "{error}");
}
