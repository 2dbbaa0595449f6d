use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{
    Clock as _, HttpClient, HttpError, Retry, SystemClock, Timestamp,
    http::{Action, WatchedClient},
};
use perennial_lifecycle::{
    CertificateSpec, ClockJump, Denied, Event, EventKind, Failures, FileStore, Generation, GivenUp,
    IssueErrorClass, IssuerName, Keeper, MemoryStore, Outcome, Reason, Record, Stage, Status, Store,
    StoreError, Version,
    budget::{Bucket, BudgetKey, Limit},
    metrics::{Detail, Metrics, MetricsBuilder},
    store::{Batch, Fence, Held, Owner, laws},
};
use perennial_testkit::ManualClock;
use proptest::prelude::*;

use crate::{
    issuer::{Mischief, TestIssuer},
    openmetrics::Exposition,
};

const DAY: Duration = Duration::from_secs(86_400);
const EXPIRATION: &str = "certmanager_certificate_expiration_timestamp_seconds";
const READY: &str = "certmanager_certificate_ready_status";
const ERRORS: &str = "certmanager_certificate_renewal_errors_total";

struct Scene {
    clock: Arc<ManualClock>,
    issuer: Arc<TestIssuer>,
    metrics: Metrics,
    store: Arc<dyn Store>,
    keeper: Keeper,
}

fn scene_with(settings: impl FnOnce(MetricsBuilder) -> MetricsBuilder) -> Scene {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
    let issuer = TestIssuer::new(clock.clone(), DAY * 90);
    let metrics = settings(Metrics::builder().clock(clock.clone())).build();
    let store = metrics.store(Arc::new(MemoryStore::with_clock(clock.clone())));
    let heard = metrics.clone();
    let keeper = Keeper::builder(store.clone())
        .clock(clock.clone())
        .issuer("default".parse().unwrap(), issuer.clone())
        .observer(move |event| heard.hear(event))
        .build();
    Scene { clock, issuer, metrics, store, keeper }
}

fn scene() -> Scene {
    scene_with(|settings| settings)
}

fn spec(id: &str) -> CertificateSpec {
    CertificateSpec::new(id, ["site.example"]).unwrap()
}

impl Scene {
    fn scrape(&self) -> Exposition {
        scrape(&self.metrics)
    }

    async fn wish(&self, id: &str) {
        self.keeper.wish(spec(id)).await.unwrap();
    }

    async fn step(&self, id: &str) -> Outcome {
        self.keeper.step(&id.parse().unwrap()).await.unwrap()
    }
}

fn scrape(metrics: &Metrics) -> Exposition {
    let text = metrics.text();
    Exposition::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[tokio::test]
async fn a_certificate_has_the_classic_series_with_their_labels() {
    let scene = scene_with(|settings| {
        settings.namespace_label("team").issuer(
            "default".parse().unwrap(),
            "ClusterIssuer",
            "cert-manager.io",
        )
    });
    scene.keeper.wish(spec("site").label("team", "shop")).await.unwrap();
    let Outcome::Issued { until } = scene.step("site").await else { panic!("not issued") };
    let scrape = scene.scrape();
    let labels = [
        ("name", "site"),
        ("namespace", "shop"),
        ("issuer_name", "default"),
        ("issuer_kind", "ClusterIssuer"),
        ("issuer_group", "cert-manager.io"),
    ];
    let issued = scene.keeper.current(&"site".parse().unwrap()).await.unwrap().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
    let seconds = |at: Timestamp| Some(at.unix() as f64);
    for (name, at) in [
        (EXPIRATION, issued.facts().not_after),
        ("certmanager_certificate_not_after_timestamp_seconds", issued.facts().not_after),
        ("certmanager_certificate_not_before_timestamp_seconds", issued.facts().not_before),
        ("certmanager_certificate_renewal_timestamp_seconds", until),
    ] {
        assert_eq!(scrape.value(name, &labels), seconds(at), "{name}");
        assert_eq!(scrape.families[name], "gauge");
    }
    for (condition, value) in [("True", 1.0), ("False", 0.0), ("Unknown", 0.0)] {
        let labels = [labels.as_slice(), &[("condition", condition)]].concat();
        assert_eq!(scrape.value(READY, &labels), Some(value));
    }
}

#[tokio::test]
async fn one_that_was_never_issued_has_no_end_and_is_not_ready() {
    let scene = scene();
    scene.wish("site").await;
    let scrape = scene.scrape();
    assert_eq!(scrape.value(EXPIRATION, &[]), None, "0 would be an alert for each new certificate");
    assert_eq!(scrape.value(READY, &[("condition", "False")]), Some(1.0));
    assert_eq!(scrape.value("perennial_schedule_entries", &[]), Some(1.0));
    assert_eq!(scrape.value("perennial_certificates", &[("condition", "False")]), Some(1.0));
}

#[tokio::test]
async fn an_end_that_passes_is_seen_without_anybody_writing_it_down() {
    let scene = scene();
    scene.wish("site").await;
    scene.step("site").await;
    let issued = scene.keeper.current(&"site".parse().unwrap()).await.unwrap().unwrap();
    scene.clock.set(issued.facts().not_after);
    assert_eq!(scene.scrape().value(READY, &[("condition", "True")]), Some(1.0), "the last moment is one");
    scene.clock.advance(DAY);
    let scrape = scene.scrape();
    assert_eq!(scrape.value(READY, &[("condition", "True")]), Some(0.0));
    assert_eq!(scrape.value("perennial_certificates_expiring", &[("within", "0s")]), Some(1.0));
    assert_eq!(scrape.value("perennial_renewals_due", &[("issuer", "default")]), Some(1.0));
    let overdue = scrape.value("perennial_renewal_overdue_seconds", &[]).unwrap();
    assert!(overdue > 29.0 * 86_400.0, "{overdue}");
}

#[tokio::test]
async fn one_that_is_not_what_is_wished_for_is_not_ready() {
    let scene = scene();
    scene.wish("site").await;
    scene.step("site").await;
    let ready = || scene.scrape().value(READY, &[("condition", "True")]);
    assert_eq!(ready(), Some(1.0));
    scene.keeper.wish(CertificateSpec::new("site", ["other.example"]).unwrap()).await.unwrap();
    assert_eq!(ready(), Some(0.0));
}

#[tokio::test]
async fn somebody_may_have_to_look_after_an_hour_or_at_once_when_it_fails() {
    let scene = scene_with(|settings| settings.detail(Detail::Unhealthy));
    scene.wish("site").await;
    let Outcome::Issued { until } = scene.step("site").await else { panic!("not issued") };
    let named = || scene.scrape().all(READY, &[("condition", "True")]).count();
    scene.clock.set(until);
    let due = || scene.scrape().value("perennial_renewals_due", &[]);
    assert_eq!((named(), due()), (0, Some(1.0)), "it is due from this moment on");
    scene.clock.advance(Duration::from_secs(3_599));
    assert_eq!(named(), 0);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(named(), 1);
    scene.clock.set(until);
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Validation, Retry::Backoff));
    scene.step("site").await;
    assert_eq!(named(), 1, "its last attempt failed");
}

#[tokio::test]
async fn certificates_of_one_issuer_are_counted_together_whatever_their_namespaces() {
    let scene = scene();
    for (id, namespace) in [("a", "shop"), ("b", "blog")] {
        scene.keeper.wish(spec(id).label("namespace", namespace)).await.unwrap();
        scene.step(id).await;
        scene.clock.advance(DAY * 5);
    }
    scene.clock.advance(DAY * 80);
    let of_a = [("name", "a"), ("namespace", "shop")];
    let due = scene.scrape().value("certmanager_certificate_renewal_timestamp_seconds", &of_a).unwrap();
    let scrape = scene.scrape();
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
    let since = scene.clock.now().unix() as f64 - due;
    let of_all = [("issuer", "default")];
    assert_eq!(scrape.value("perennial_renewals_due", &of_all), Some(2.0));
    assert_eq!(
        scrape.value("perennial_renewal_overdue_seconds", &of_all),
        Some(since),
        "the longest, no sum"
    );
    assert_eq!(scrape.value("perennial_certificates_expiring", &[("within", "7d")]), Some(2.0));
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Validation, Retry::Backoff));
    scene.step("a").await;
    let failed = [("name", "a"), ("namespace", "shop"), ("reason", "validation")];
    let scrape = scene.scrape();
    assert_eq!(scrape.value(ERRORS, &failed), Some(1.0));
    assert_eq!(scrape.value("perennial_backoff_certificates", &of_all), Some(1.0));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_unknown_and_stops_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = Metrics::builder().build();
    let store = metrics.store(Arc::new(FileStore::open(directory.path()).unwrap()));
    for id in ["a", "b", "c"] {
        store.commit(&Record::new(spec(id)), None).await.unwrap();
    }
    std::fs::write(directory.path().join("certificates/b/record.json"), "{}").unwrap();
    let other = Metrics::builder().build();
    for metrics in [&metrics, &other] {
        metrics.refresh(&*store).await.unwrap();
        let scrape = scrape(metrics);
        assert_eq!(scrape.value(READY, &[("name", "b"), ("condition", "Unknown")]), Some(1.0));
        assert_eq!(scrape.value(READY, &[("name", "c"), ("condition", "False")]), Some(1.0));
        assert_eq!(scrape.value("perennial_certificates", &[("condition", "Unknown")]), Some(1.0));
        assert_eq!(scrape.value("perennial_quarantined_certificates", &[]), Some(1.0));
    }
    let third = Metrics::builder().build();
    third.store(store.clone()).quarantined().await.unwrap();
    assert_eq!(scrape(&third).value("perennial_quarantined_certificates", &[]), Some(1.0));
    let unread = [("op", "load"), ("outcome", "unreadable")];
    assert_eq!(scrape(&metrics).value("perennial_store_op_duration_seconds_count", &unread), Some(2.0));
    assert_eq!(scrape(&other).all("perennial_store_op_duration_seconds_count", &[]).count(), 0);
}

#[tokio::test]
async fn what_others_wrote_is_seen_when_it_is_claimed_or_read_and_what_is_removed_is_gone() {
    let (key, limit) =
        (BudgetKey::Domain("default".parse().unwrap(), "site.example".to_owned()), Limit::new(9, DAY));
    let metrics = Metrics::builder().budget(key.clone(), limit).budget(BudgetKey::Fleet, limit).build();
    let below = Arc::new(MemoryStore::new());
    let store = metrics.store(below.clone());
    let bucket = Bucket::emptied(limit, SystemClock::new().now() + DAY);
    below
        .apply(&Batch::new().change(Record::new(spec("a")), None).bucket(key.clone(), None, bucket))
        .await
        .unwrap();
    let value = |name: &str, labels: &[(&str, &str)]| scrape(&metrics).value(name, labels);
    let entries = || value("perennial_schedule_entries", &[]);
    let of_domain = [("budget", "domain"), ("of", "site.example")];
    let level = || value("perennial_budget_level", &of_domain);
    assert_eq!((entries(), level()), (Some(0.0), Some(9.0)));
    let claim = store.claim(&Owner::unique(), DAY, 9).await.unwrap().remove(0);
    store.buckets(&[key.clone(), BudgetKey::Fleet]).await.unwrap();
    assert_eq!((entries(), level()), (Some(1.0), Some(0.0)));
    let of_fleet = value("perennial_budget_level", &[("budget", "fleet")]);
    assert_eq!(of_fleet, Some(9.0), "one that nobody has used is full");
    below.apply(&Batch::new().bucket(key.clone(), Some(Version::FIRST), Bucket::FULL)).await.unwrap();
    store.buckets(&[key]).await.unwrap();
    assert_eq!(level(), Some(9.0));
    let (id, class) = ("a".parse().unwrap(), IssueErrorClass::Local);
    let (issuer, message, retry_at) = ("default".parse().unwrap(), String::new(), Timestamp::MAX);
    let failed = EventKind::Failed { issuer, class, message, retry_at };
    metrics.hear(&Event::new(Timestamp::from_unix(0), Some(id), failed));
    let local = [("name", "a"), ("reason", "local")];
    assert_eq!(value(ERRORS, &local), Some(1.0));
    store.remove(&claim.held.id, claim.version, Some(&claim.held)).await.unwrap();
    assert_eq!((entries(), value(READY, &[("name", "a"), ("condition", "True")])), (Some(0.0), None));
    store.commit(&Record::new(spec("a")), None).await.unwrap();
    assert_eq!(value(ERRORS, &local), None, "its successor has not failed");
}

#[tokio::test]
async fn failures_are_counted_from_zero_by_certificate_and_by_issuer() {
    let scene = scene();
    scene.wish("site").await;
    scene.step("site").await;
    let failed = [("issuer", "default"), ("outcome", "failed"), ("reason", "policy")];
    assert_eq!(
        scene.scrape().value("perennial_issuance_total", &failed),
        Some(0.0),
        "there before it is needed"
    );
    assert_eq!(scene.scrape().value(ERRORS, &[("name", "site"), ("reason", "policy")]), None);
    scene.clock.advance(DAY * 65);
    let due = [("name", "site"), ("reason", "policy")];
    assert_eq!(scene.scrape().value(ERRORS, &due), Some(0.0), "due, so a failure will be an increase");
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Policy, Retry::Backoff));
    assert!(matches!(scene.step("site").await, Outcome::Failed { .. }));
    let scrape = scene.scrape();
    assert_eq!(scrape.value(ERRORS, &due), Some(1.0));
    assert_eq!(scrape.value("perennial_issuance_total", &failed), Some(1.0));
    assert_eq!(scrape.value("perennial_backoff_certificates", &[]), Some(1.0));
    assert_eq!(scrape.value("perennial_events_total", &[("reason", "Failed")]), Some(1.0));
    scene.clock.advance(DAY);
    assert!(matches!(scene.step("site").await, Outcome::Issued { .. }));
    let scrape = scene.scrape();
    let renewed = [("outcome", "issued"), ("reason", "Renewing")];
    assert_eq!(scrape.value("perennial_issuance_total", &renewed), Some(1.0));
    assert_eq!(scrape.value("perennial_backoff_certificates", &[]), Some(0.0));
    let lag = scrape.value("perennial_renewal_lag_seconds_sum", &[]).unwrap();
    assert_eq!(scrape.value("perennial_renewal_lag_seconds_count", &[]), Some(1.0));
    assert!(lag >= 86_400.0, "the failed day counts: {lag}");
}

#[tokio::test]
async fn a_certificate_whose_key_is_gone_is_not_ready_though_no_scrape_reads_keys() {
    let scene = scene();
    scene.wish("site").await;
    scene.step("site").await;
    let id = "site".parse().unwrap();
    let ready = |condition| scene.scrape().value(READY, &[("name", "site"), ("condition", condition)]);
    assert_eq!(ready("True"), Some(1.0));
    scene.store.forget(&id, generation()).await.unwrap();
    assert_eq!(ready("True"), Some(1.0), "nobody has looked");
    scene.keeper.conditions(&id).await.unwrap();
    assert_eq!((ready("True"), ready("False")), (Some(0.0), Some(1.0)));
    // The next pass has looked too, and what it tried was in vain.
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Policy, Retry::Backoff));
    assert!(matches!(scene.step("site").await, Outcome::Failed { .. }));
    assert_eq!(ready("True"), Some(0.0));
    scene.clock.advance(DAY);
    assert!(matches!(scene.step("site").await, Outcome::Issued { .. }));
    assert_eq!(ready("True"), Some(1.0));
}

#[tokio::test]
async fn whatever_is_tried_in_vain_is_counted_as_that_and_is_no_renewal_error() {
    let scene = scene();
    scene.wish("site").await;
    scene.step("site").await;
    let (version, plain) = scene.store.load(&"site".parse().unwrap()).await.unwrap().unwrap();
    let backoff = || scene.scrape().value("perennial_backoff_certificates", &[]);
    assert_eq!(backoff(), Some(0.0));
    let failed = Failures {
        count: 1,
        streak: 1,
        first_at: None,
        issuers_since: None,
        last_at: scene.clock.now(),
        retry_at: scene.clock.now(),
        class: IssueErrorClass::Policy,
        message: "no".to_owned(),
        retry: Retry::Backoff,
    };
    let with = |change: &dyn Fn(&mut Record)| {
        let mut record = plain.clone();
        change(&mut record);
        record
    };
    let denied =
        serde_json::from_str(r#"{"by":"policy","reason":"no","at":"2027-01-15T08:00:00Z"}"#).unwrap();
    let denied: Option<Denied> = Some(denied);
    let mut version = version;
    for record in [
        with(&|record| record.failures = Some(failed.clone())),
        with(&|record| drop(record.elsewhere.insert("second".parse().unwrap(), failed.clone()))),
        with(&|record| record.undelivered = Some(failed.clone())),
        with(&|record| record.denied = denied.clone()),
    ] {
        version = scene.store.commit(&record, Some(version)).await.unwrap();
        assert_eq!(backoff(), Some(1.0), "{record:?}");
        version = scene.store.commit(&plain, Some(version)).await.unwrap();
        assert_eq!(backoff(), Some(0.0));
    }
    let (issuer, class) = (IssuerName::default(), IssueErrorClass::Policy);
    let (serial, message) = ("0a".to_owned(), "no".to_owned());
    let retry_at = None;
    tell(&scene.metrics, 0, EventKind::RevocationFailed { issuer, class, serial, message, retry_at });
    let scrape = scene.scrape();
    assert_eq!(scrape.value("perennial_events_total", &[("reason", "RevocationFailed")]), Some(1.0));
    assert_eq!(
        scrape.value("perennial_issuance_total", &[("outcome", "failed"), ("reason", "policy")]),
        Some(0.0)
    );
    assert!(scrape.all(ERRORS, &[]).all(|value| value == 0.0));
}

#[tokio::test]
async fn a_record_that_nobody_can_read_any_more_is_seen_without_a_refresh() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
    let directory = tempfile::tempdir().unwrap();
    let open = || Arc::new(FileStore::builder(directory.path()).clock(clock.clone()).open().unwrap());
    open().commit(&Record::new(spec("site")), None).await.unwrap();
    std::fs::write(directory.path().join("certificates/site/record.json"), "{}").unwrap();
    let metrics = Metrics::builder().clock(clock.clone()).build();
    let issuer = TestIssuer::new(clock.clone(), DAY * 90);
    let keeper = Keeper::builder(metrics.store(open()))
        .clock(clock.clone())
        .issuer(IssuerName::default(), issuer)
        .build();
    keeper.start().await;
    keeper.rested().await;
    let scrape = scrape(&metrics);
    assert_eq!(scrape.value("perennial_quarantined_certificates", &[]), Some(1.0));
    assert_eq!(scrape.value(READY, &[("name", "site"), ("condition", "Unknown")]), Some(1.0));
    keeper.shut_down().await;
}

fn tell(metrics: &Metrics, at: i64, kind: EventKind) {
    metrics.hear(&Event::new(Timestamp::from_unix(at), Some("site".parse().unwrap()), kind));
}

fn generation() -> Generation {
    serde_json::from_str("1").unwrap()
}

fn issued_event() -> EventKind {
    let (not_after, renews_at) = (Timestamp::MAX, Timestamp::MAX);
    let issuer = "letsencrypt".parse().unwrap();
    EventKind::Issued { issuer, generation: generation(), was_due_at: None, not_after, renews_at }
}

/// An order of one name that was proven in ten seconds and downloaded after thirty.
fn an_order(metrics: &Metrics, kind: &str) {
    let stage = |at, stage| tell(metrics, at, EventKind::Stage { stage });
    let (name, kind) = ("site.example".parse().unwrap(), kind.to_owned());
    tell(metrics, 0, EventKind::Issuing { why: Reason::DoesNotExist, resumed: false });
    stage(1, Stage::OrderCreated { url: "https://ca.example/1".to_owned() });
    let at = "there".to_owned();
    stage(2, Stage::ChallengePresented { name, kind: kind.clone(), at });
    stage(12, Stage::DomainVerified { name: "site.example".parse().unwrap(), kind });
    stage(31, Stage::Downloaded);
    tell(metrics, 32, issued_event());
}

#[test]
fn the_four_names_that_rules_of_the_field_use_are_there_with_what_they_say() {
    let metrics = Metrics::builder().build();
    an_order(&metrics, "http-01");
    an_order(&metrics, "dns-01");
    let scrape = scrape(&metrics);
    let valid = [("issuer_name", "letsencrypt"), ("status", "valid")];
    assert_eq!(scrape.value("certmanager_http01_challenges_total", &valid), Some(1.0));
    assert_eq!(scrape.value("certmanager_dns01_challenge_duration_seconds_sum", &valid), Some(10.0));
    assert_eq!(scrape.value("certmanager_dns01_challenge_duration_seconds_count", &valid), Some(1.0));
    assert_eq!(scrape.value("certmanager_acme_order_processing_seconds_sum", &valid), Some(60.0));
    assert_eq!(scrape.families["certmanager_certificate_renewal_errors"], "counter");
    let by_type = [("issuer", "letsencrypt"), ("type", "dns-01"), ("status", "valid")];
    assert_eq!(scrape.value("perennial_challenges_total", &by_type), Some(1.0));
}

#[test]
fn a_store_that_is_gone_and_a_ca_that_counts_are_seen() {
    let metrics = Metrics::builder().build();
    let value = |name: &str| scrape(&metrics).value(name, &[]);
    assert_eq!(value("perennial_store_available"), Some(1.0));
    let now = Timestamp::from_unix(0);
    metrics.hear(&Event::new(now, None, EventKind::StoreUnavailable { message: "gone".to_owned() }));
    assert_eq!(value("perennial_store_available"), Some(0.0));
    metrics.hear(&Event::new(now, None, EventKind::StoreAvailable));
    assert_eq!(value("perennial_store_available"), Some(1.0));
    tell(&metrics, 0, EventKind::Issuing { why: Reason::Renewing, resumed: false });
    let until = Some(Timestamp::from_unix(900));
    let limit = "too many certificates (50) already issued for \"site.example\"".to_owned();
    tell(&metrics, 1, EventKind::Stage { stage: Stage::RateLimited { limit, until } });
    let (issuer, class) = ("letsencrypt".parse().unwrap(), IssueErrorClass::Transient);
    let retry_at = Timestamp::from_unix(900);
    tell(&metrics, 2, EventKind::Failed { issuer, class, message: String::new(), retry_at });
    let refusals = scrape(&metrics);
    let limited = |limit| refusals.value("perennial_acme_rate_limited_total", &[("limit", limit)]);
    assert_eq!((limited("domain"), limited("account")), (Some(1.0), None));
    assert_eq!(value("perennial_acme_rate_limited_until_timestamp_seconds"), Some(900.0));
    tell(&metrics, 3, EventKind::LeaseLost);
    assert_eq!(value("perennial_lease_lost_total"), Some(1.0));
}

#[test]
fn what_is_given_up_is_counted_with_its_issuer() {
    let metrics = Metrics::builder().build();
    metrics.note(&Record::new(spec("site").issuer("letsencrypt").unwrap()));
    tell(&metrics, 1, EventKind::GivenUp { why: GivenUp::OutOfPatience });
    let given_up = [("issuer", "letsencrypt"), ("outcome", "given_up"), ("reason", "GivenUp")];
    assert_eq!(scrape(&metrics).value("perennial_issuance_total", &given_up), Some(1.0));
}

#[test]
fn a_certificate_that_was_changed_before_it_was_due_is_no_late_renewal() {
    let metrics = Metrics::builder().build();
    let count = || scrape(&metrics).all("perennial_renewal_lag_seconds_count", &[]).sum::<f64>();
    for (why, counted) in [(Reason::RequestChanged, 0.0), (Reason::Renewing, 1.0), (Reason::Expired, 2.0)] {
        tell(&metrics, 7, EventKind::Issuing { why, resumed: false });
        let EventKind::Issued { issuer, generation, not_after, renews_at, .. } = issued_event() else {
            panic!()
        };
        let was_due_at = Some(Timestamp::from_unix(3));
        tell(&metrics, 9, EventKind::Issued { issuer, generation, was_due_at, not_after, renews_at });
        assert_eq!(count(), counted, "{why:?}");
    }
}

#[tokio::test]
async fn a_fleet_is_told_by_issuer_and_what_is_unhealthy_by_name() {
    for (detail, named) in [(Detail::Every, 3), (Detail::Unhealthy, 1), (Detail::None, 0)] {
        let scene = scene_with(|settings| settings.detail(detail));
        for id in ["a", "b", "c"] {
            scene.wish(id).await;
        }
        scene.step("a").await;
        scene.step("b").await;
        scene.issuer.next(Mischief::Fail(IssueErrorClass::Validation, Retry::Backoff));
        scene.step("c").await;
        let scrape = scene.scrape();
        assert_eq!(scrape.all(READY, &[("condition", "True")]).count(), named, "{detail:?}");
        let ready = [("issuer", "default"), ("condition", "True")];
        assert_eq!(scrape.value("perennial_certificates", &ready), Some(2.0));
        assert_eq!(scrape.value("perennial_certificates_expiring", &[("within", "90d")]), Some(2.0));
        assert_eq!(scrape.value("perennial_certificates_life_left", &[("below", "0.3")]), Some(0.0));
        let errors: f64 = scrape.all(ERRORS, &[("reason", "validation")]).sum();
        assert_eq!(errors, 1.0, "a failure is counted, by name or without");
        scene.clock.advance(DAY * 80);
        let scrape = scene.scrape();
        assert_eq!(scrape.value("perennial_certificates_life_left", &[("below", "0.2")]), Some(2.0));
        assert_eq!(scrape.value("perennial_certificates_life_left", &[("below", "0.1")]), Some(0.0));
        let in_time = if detail == Detail::None { 0 } else { 3 };
        assert_eq!(scrape.all(READY, &[("condition", "True")]).count(), in_time, "all are overdue");
    }
}

#[tokio::test]
async fn what_others_write_and_remove_is_seen_at_the_next_refresh() {
    let metrics = Metrics::builder().build();
    let store = MemoryStore::new();
    for number in 0..1_203 {
        store.commit(&Record::new(spec(&format!("c{number}"))), None).await.unwrap();
    }
    metrics.refresh(&store).await.unwrap();
    let entries = || scrape(&metrics).value("perennial_schedule_entries", &[]);
    assert_eq!(entries(), Some(1_203.0));
    for number in [0, 7, 600, 1_202] {
        let id = format!("c{number}").parse().unwrap();
        let (version, _) = store.load(&id).await.unwrap().unwrap();
        store.remove(&id, version, None).await.unwrap();
    }
    metrics.refresh(&store).await.unwrap();
    assert_eq!(entries(), Some(1_199.0));
    assert_eq!(scrape(&metrics).value("perennial_quarantined_certificates", &[]), Some(0.0));
}

#[tokio::test]
async fn a_watched_store_keeps_the_laws_of_stores_and_measures_what_it_does() {
    let metrics = Metrics::builder().build();
    laws::check(&metrics.store(Arc::new(MemoryStore::new()))).await.unwrap();
    let scrape = scrape(&metrics);
    let count = |labels: &[(&str, &str)]| -> f64 {
        scrape.all("perennial_store_op_duration_seconds_count", labels).sum()
    };
    for op in ["apply", "buckets", "claim", "claim_one", "extend", "forget", "list", "load", "next_due"] {
        assert!(count(&[("op", op), ("outcome", "ok")]) > 0.0, "{op}");
    }
    assert!(count(&[("op", "apply"), ("outcome", "conflict")]) > 0.0);
    assert_eq!(scrape.value("perennial_lease_fenced_total", &[]), Some(count(&[("outcome", "fenced")])));
    assert!(count(&[("outcome", "fenced")]) > 0.0);
    assert!(scrape.value("perennial_lease_acquired_total", &[]) > Some(0.0));
    assert!(scrape.value("perennial_last_claim_timestamp_seconds", &[]) > Some(1.0e9));
}

#[tokio::test]
async fn a_write_under_an_old_claim_changes_no_row() {
    let scene = scene();
    scene.wish("site").await;
    let (version, mut record) = scene.store.load(&"site".parse().unwrap()).await.unwrap().unwrap();
    record.spec = record.spec.issuer("other").unwrap();
    let (owner, fence) = (Owner::unique(), Fence::from_number(0));
    let stale = Held { id: record.id().clone(), owner, fence };
    let refused = scene.store.apply(&Batch::new().change(record, Some(version)).held(&stale)).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    let scrape = scene.scrape();
    assert_eq!(scrape.value(READY, &[("condition", "True"), ("issuer_name", "other")]), None);
    assert_eq!(scrape.value("perennial_lease_fenced_total", &[]), Some(1.0));
}

#[tokio::test]
async fn how_much_there_is_to_do_is_shown_for_as_long_as_somebody_does_it() {
    let scene = scene();
    let length = || scene.scrape().value("perennial_queue_length", &[("state", "running")]);
    assert_eq!(length(), None);
    scene.metrics.watch(&scene.keeper);
    assert_eq!(length(), Some(0.0));
    scene.issuer.next(Mischief::Pause);
    let certificate = scene.keeper.keep(spec("site")).await.unwrap();
    scene.issuer.hanging.notified().await;
    assert_eq!(length(), Some(1.0));
    let issuing = scene.scrape().value("perennial_issuing_certificates", &[("issuer", "default")]);
    assert_eq!(issuing, Some(1.0));
    scene.issuer.go_on.notify_one();
    certificate.ready().await.unwrap();
}

#[tokio::test]
async fn the_level_of_a_budget_is_shown_as_the_store_has_it() {
    let (key, limit) = (BudgetKey::Fleet, Limit::new(10, DAY));
    let scene = scene_with(|settings| settings.budget(key.clone(), limit));
    let level = || scene.scrape().value("perennial_budget_level", &[("budget", "fleet")]);
    assert_eq!(level(), Some(10.0));
    let bucket = Bucket::FULL.take(limit, scene.clock.now()).unwrap();
    scene.store.apply(&Batch::new().bucket(key, None, bucket)).await.unwrap();
    assert_eq!(level(), Some(9.0));
    scene.clock.advance(DAY);
    assert_eq!(level(), Some(10.0));
    assert_eq!(scene.scrape().value("perennial_budget_burst", &[]), Some(10.0));
}

/// Has no network.
struct Unplugged;

#[async_trait]
impl HttpClient for Unplugged {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Err(HttpError::Timeout { url: request.uri().to_string() })
    }
}

async fn ask(metrics: &Metrics) {
    let counted = metrics.clone();
    let client = WatchedClient::new(Arc::new(Unplugged), move |exchange| counted.exchange(exchange));
    let request = Request::post("https://ca.example/new-order").extension(Action("newOrder"));
    client.send(request.body(Bytes::new()).unwrap()).await.unwrap_err();
}

async fn ask_provider(metrics: &Metrics) {
    let counted = metrics.clone();
    let client = WatchedClient::new(Arc::new(Unplugged), move |exchange| {
        counted.provider_exchange("cloudflare", exchange)
    });
    let request = Request::delete("https://api.example/zones/7/records/8").body(Bytes::new());
    client.send(request.unwrap()).await.unwrap_err();
}

#[tokio::test]
async fn requests_to_a_dns_provider_are_counted_by_its_name_and_not_by_their_paths() {
    let metrics = Metrics::builder().build();
    ask_provider(&metrics).await;
    ask_provider(&metrics).await;
    let scrape = scrape(&metrics);
    let labels = [("provider", "cloudflare"), ("method", "DELETE"), ("status", "999")];
    assert_eq!(scrape.value("perennial_dns_provider_requests_total", &labels), Some(2.0));
    let took = "perennial_dns_provider_request_duration_seconds_count";
    assert_eq!(scrape.value(took, &[("provider", "cloudflare")]), Some(2.0));
    assert!(!metrics.text().contains("zones"));
    assert_eq!(scrape.all("certmanager_http_acme_client_request_count", &[]).count(), 0, "it is no CA");
}

#[tokio::test]
async fn an_issuer_is_ready_that_answers_and_takes_our_account() {
    let scene = scene();
    let ready = |scene: &Scene, condition| {
        let labels = [("name", "default"), ("namespace", ""), ("condition", condition)];
        scene.scrape().value("certmanager_issuer_ready_status", &labels)
    };
    assert_eq!(ready(&scene, "True"), None, "nobody watches the keeper");
    scene.metrics.watch(&scene.keeper);
    assert_eq!(ready(&scene, "Unknown"), Some(1.0), "nobody has asked it yet");
    scene.wish("site").await;
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Auth, Retry::Backoff));
    scene.step("site").await;
    assert_eq!((ready(&scene, "True"), ready(&scene, "False")), (Some(0.0), Some(1.0)));
    scene.clock.advance(DAY);
    assert!(matches!(scene.step("site").await, Outcome::Issued { .. }));
    assert_eq!((ready(&scene, "True"), ready(&scene, "False")), (Some(1.0), Some(0.0)));
    assert_eq!(scene.keeper.issuers(), [("default".parse().unwrap(), Status::True)]);
}

#[test]
fn what_is_a_reason_to_worry_is_counted_from_zero() {
    let metrics = Metrics::builder().build();
    let counted = |reason| scrape(&metrics).value("perennial_events_total", &[("reason", reason)]);
    assert_eq!((counted("ClockJumped"), counted("CertIssued")), (Some(0.0), None));
    let jump = ClockJump::Back(DAY);
    metrics.hear(&Event::new(Timestamp::from_unix(0), None, EventKind::ClockJumped { jump }));
    assert_eq!(counted("ClockJumped"), Some(1.0), "an increase, for whoever has looked before");
}

#[tokio::test]
async fn requests_to_a_ca_are_counted_under_the_name_that_cert_manager_has_for_them() {
    let metrics = Metrics::builder().build();
    ask(&metrics).await;
    ask(&metrics).await;
    let scrape = scrape(&metrics);
    let labels = [
        ("scheme", "https"),
        ("host", "ca.example"),
        ("action", "newOrder"),
        ("method", "POST"),
        ("status", "999"),
    ];
    assert_eq!(scrape.value("certmanager_http_acme_client_request_count", &labels), Some(2.0));
    assert_eq!(
        scrape.value("certmanager_http_acme_client_request_duration_seconds_count", &labels),
        Some(2.0)
    );
}

/// The metrics of an engine to which everything has happened.
pub(crate) async fn everything() -> Metrics {
    let scene = scene_with(|settings| settings.budget(BudgetKey::Fleet, Limit::new(10, DAY)));
    scene.metrics.watch(&scene.keeper);
    let certificate = scene.keeper.keep(spec("site")).await.unwrap();
    certificate.ready().await.unwrap();
    for kind in ["dns-01", "http-01"] {
        an_order(&scene.metrics, kind);
    }
    let limited = Stage::RateLimited { limit: String::new(), until: Some(Timestamp::from_unix(9)) };
    tell(&scene.metrics, 0, EventKind::Issuing { why: Reason::Renewing, resumed: false });
    tell(&scene.metrics, 1, EventKind::Stage { stage: limited });
    let EventKind::Issued { issuer, generation, not_after, renews_at, .. } = issued_event() else { panic!() };
    let was_due_at = Some(Timestamp::from_unix(0));
    tell(&scene.metrics, 2, EventKind::Issued { issuer, generation, was_due_at, not_after, renews_at });
    ask(&scene.metrics).await;
    ask_provider(&scene.metrics).await;
    scene.metrics
}

/// The names of all series, once everything has happened.
async fn names_of_everything() -> BTreeSet<String> {
    scrape(&everything().await).series.into_keys().map(|(name, _)| name).collect()
}

/// All families that there are. Whoever adds one adds it here, and to the guide.
const FAMILIES: &[(&str, &str)] = &[
    ("certmanager_acme_order_processing_seconds", "histogram"),
    ("certmanager_certificate_expiration_timestamp_seconds", "gauge"),
    ("certmanager_certificate_not_after_timestamp_seconds", "gauge"),
    ("certmanager_certificate_not_before_timestamp_seconds", "gauge"),
    ("certmanager_certificate_ready_status", "gauge"),
    ("certmanager_certificate_renewal_errors", "counter"),
    ("certmanager_certificate_renewal_timestamp_seconds", "gauge"),
    ("certmanager_dns01_challenge_duration_seconds", "histogram"),
    ("certmanager_http01_challenges", "counter"),
    ("certmanager_http_acme_client_request_count", "unknown"),
    ("certmanager_http_acme_client_request_duration_seconds", "histogram"),
    ("certmanager_issuer_ready_status", "gauge"),
    ("perennial_acme_rate_limited", "counter"),
    ("perennial_acme_rate_limited_until_timestamp_seconds", "gauge"),
    ("perennial_backoff_certificates", "gauge"),
    ("perennial_budget_burst", "gauge"),
    ("perennial_budget_level", "gauge"),
    ("perennial_certificates", "gauge"),
    ("perennial_certificates_expiring", "gauge"),
    ("perennial_certificates_life_left", "gauge"),
    ("perennial_challenges", "counter"),
    ("perennial_dns_provider_request_duration_seconds", "histogram"),
    ("perennial_dns_provider_requests", "counter"),
    ("perennial_events", "counter"),
    ("perennial_issuance", "counter"),
    ("perennial_issuing_certificates", "gauge"),
    ("perennial_last_claim_timestamp_seconds", "gauge"),
    ("perennial_lease_acquired", "counter"),
    ("perennial_lease_fenced", "counter"),
    ("perennial_lease_lost", "counter"),
    ("perennial_quarantined_certificates", "gauge"),
    ("perennial_queue_length", "gauge"),
    ("perennial_renewal_lag_seconds", "histogram"),
    ("perennial_renewal_overdue_seconds", "gauge"),
    ("perennial_renewals_due", "gauge"),
    ("perennial_schedule_entries", "gauge"),
    ("perennial_store_available", "gauge"),
    ("perennial_store_op_duration_seconds", "histogram"),
];

#[tokio::test]
async fn an_engine_to_which_everything_has_happened_shows_all_that_is_promised_and_nothing_else() {
    let scrape = scrape(&everything().await);
    let shown: Vec<_> = scrape.families.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(shown, FAMILIES);
    // A family is there before its first series is.
    for (name, kind) in FAMILIES {
        let suffix = match *kind {
            "counter" => "_total",
            "histogram" => "_count",
            _ => "",
        };
        assert!(scrape.all(&format!("{name}{suffix}"), &[]).count() > 0, "{name} has no series");
    }
}

/// Everything in a text that looks like the name of a metric.
fn named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("certmanager_") || word.starts_with("perennial_"));
    ours.filter(|word| *word != "perennial_core").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_metric_that_rules_and_guide_name_is_emitted_and_the_guide_names_every_metric() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let read = |file: &str| std::fs::read_to_string(docs.join(file)).unwrap();
    let emitted = names_of_everything().await;
    for file in ["monitoring/certificates.yaml", "monitoring/fleet.yaml"] {
        let named = named_in(&read(file));
        assert!(named.len() > 4, "{file}: {named:?}");
        let missing: Vec<_> = named.difference(&emitted).collect();
        assert_eq!(missing, [""; 0], "{file} waits for what nobody emits");
    }
    // Tables shorten what follows: `a_b_total`, `…_c_total`.
    let guide = read("guide/metrics.md");
    let is_named = |name: &str| {
        let plain = ["_bucket", "_count", "_sum"]
            .iter()
            .fold(name, |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
        let shortened = |from: usize| guide.contains(&format!("…{}", &plain[from..]));
        [name, plain].iter().any(|name| guide.contains(*name))
            || plain.match_indices('_').any(|(at, _)| shortened(at))
    };
    let unnamed: Vec<_> = emitted.iter().filter(|name| !is_named(name)).collect();
    assert_eq!(unnamed, [""; 0], "the guide is silent about them");
}

proptest! {
    /// Namespaces are users' texts, and kinds of challenges are the CA's.
    #[test]
    fn no_text_breaks_the_format(namespace in "\\PC{1,60}", kind in any::<String>()) {
        let metrics = Metrics::builder().namespace_label("ns").build();
        metrics.note(&Record::new(spec("site").label("ns", namespace.as_str())));
        an_order(&metrics, &kind);
        let scrape = scrape(&metrics);
        let labels = [("namespace", namespace.as_str()), ("condition", "True")];
        prop_assert_eq!(scrape.value(READY, &labels), Some(0.0));
        prop_assert_eq!(scrape.value("perennial_challenges_total", &[("type", kind.as_str())]), Some(1.0));
    }
}
