//! A store that others use too: it is busy now and then, and its clock is not ours.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use perennial_core::{Clock as _, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, Error, EventKind, IssuerName, Keeper, KeeperBuilder, Outcome, Record,
    Store,
    budget::{Bucket, BudgetKey, Limit, Limits},
    store::Owner,
};
use perennial_testkit::ManualClock;

use crate::{
    faulty_store::FaultyStore,
    issuer::TestIssuer,
    mended::{WallClock, until},
};

const DAY: Duration = Duration::from_secs(86_400);

struct Scene {
    clock: Arc<ManualClock>,
    store: Arc<FaultyStore>,
    issuer: Arc<TestIssuer>,
    /// How often somebody was told of a failure.
    failures: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
        let store = Arc::new(FaultyStore::new(clock.clone()));
        store.shared.store(true, Ordering::SeqCst);
        Self { issuer: TestIssuer::new(clock.clone(), DAY * 90), store, clock, failures: Arc::default() }
    }

    fn builder(&self) -> KeeperBuilder {
        let failures = self.failures.clone();
        Keeper::builder(self.store.clone())
            .clock(self.clock.clone())
            .issuer(IssuerName::default(), self.issuer.clone())
            .observer(move |event| {
                let is_failure =
                    matches!(event.kind, EventKind::Failed { .. } | EventKind::DeliveryFailed { .. });
                failures.fetch_add(usize::from(is_failure), Ordering::SeqCst);
            })
    }

    async fn record(&self) -> Record {
        self.store.inner.load(&name("site")).await.unwrap().unwrap().1
    }
}

fn name(id: &str) -> CertificateId {
    id.parse().unwrap()
}

fn spec(id: &str) -> CertificateSpec {
    CertificateSpec::new(id, [format!("{id}.example")]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_busy_for_a_moment_costs_a_moment_whenever_that_is() {
    // An issuance writes five times: the attempt, progress, a debt, the end of that, the certificate.
    // Once, or also while that is about to be written down.
    for (before, times) in (0..5).flat_map(|before| [(before, 1), (before, 2)]) {
        let scene = Scene::new();
        let keeper = scene.builder().build();
        keeper.wish(spec("site")).await.unwrap();
        *scene.store.busy.lock().unwrap() = Some((before, times));
        let began = tokio::time::Instant::now();
        let outcome = keeper.step(&name("site")).await.unwrap();
        assert!(matches!(outcome, Outcome::Issued { .. } | Outcome::Kept { .. }), "{before}: {outcome:?}");
        let busy = *scene.store.busy.lock().unwrap();
        assert_eq!(busy, Some((0, 0)), "{before}: all of it was met");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(scene.failures.load(Ordering::SeqCst), 0, "{before}");
        let record = scene.record().await;
        assert!(record.current.is_some() && record.failures.is_none() && record.debts.is_empty());
        let keys: std::collections::BTreeSet<_> =
            scene.issuer.asked.lock().unwrap().iter().cloned().collect();
        assert_eq!(keys.len(), 1, "{before}: the attempt went on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_busy_leaves_the_certificate_to_the_end_of_its_lease_without_a_failure() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    keeper.wish(spec("site")).await.unwrap();
    *scene.store.busy.lock().unwrap() = Some((2, usize::MAX));
    let error = keeper.step(&name("site")).await.unwrap_err();
    assert!(error.to_string().contains("all connections were in use"), "{error}");
    *scene.store.busy.lock().unwrap() = None;
    assert_eq!(scene.failures.load(Ordering::SeqCst), 0);
    let record = scene.record().await;
    assert!(record.failures.is_none() && record.attempt.is_some(), "it goes on where it stopped");
    let other = Owner::unique();
    assert_eq!(scene.store.claim(&other, DAY, 9).await.unwrap().len(), 0, "nobody hurries");
    scene.clock.advance(Duration::from_secs(61));
    assert_eq!(scene.store.claim(&other, DAY, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn budgets_that_are_shared_are_counted_by_the_clock_that_is_and_follow_nobody_elses() {
    let scene = Scene::new();
    let wall = Arc::new(WallClock::over(scene.clock.clone()));
    let jumps = Arc::new(AtomicUsize::new(0));
    let seen = jumps.clone();
    let mut limits = Limits::default();
    limits.account = Some(Limit::new(2, DAY * 30));
    let keeper = scene
        .builder()
        .clock(wall.clone())
        .limits(IssuerName::default(), limits.clone())
        .observer(move |event| {
            let is_jump = matches!(event.kind, EventKind::ClockJumped { .. });
            seen.fetch_add(usize::from(is_jump), Ordering::SeqCst);
        })
        .build();
    for id in ["one", "two"] {
        keeper.wish(spec(id)).await.unwrap();
        assert!(matches!(keeper.step(&name(id)).await.unwrap(), Outcome::Issued { .. }));
    }
    let bucket = async || {
        let key = BudgetKey::Account(IssuerName::default());
        scene.store.buckets(&[key]).await.unwrap()[0].map_or(Bucket::FULL, |(_, bucket)| bucket)
    };
    let before = bucket().await;
    assert_eq!(before.level(limits.account.unwrap(), scene.clock.now()), 0);

    keeper.start().await;
    keeper.rested().await;
    wall.ahead.store(20 * 86_400, Ordering::SeqCst);
    scene.clock.wait_for_sleepers(1).await;
    scene.clock.advance(Duration::from_secs(61));
    until(async || jumps.load(Ordering::SeqCst) == 1).await;
    keeper.shut_down().await;
    assert_eq!(bucket().await, before, "each who shares it would move it");
    keeper.wish(spec("three")).await.unwrap();
    let outcome = keeper.step(&name("three")).await.unwrap();
    let Outcome::Waiting { error: Error::OverBudget { refusal, .. }, .. } = outcome else {
        panic!("twenty days have not passed: {outcome:?}")
    };
    let waits = refusal.until.since(wall.now());
    assert!(waits > DAY * 14 && waits <= DAY * 15, "{waits:?}, by our own clock");
}
