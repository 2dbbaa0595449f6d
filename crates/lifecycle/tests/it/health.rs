//! How certificates stand when somebody really looks, and how to have another try.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use perennial_core::{Clock as _, Retry, SecretBytes, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, ConditionReason, Error, Event, EventKind, FileSink, FileStore,
    Generation, GivenUp, IssueErrorClass, IssuerName, Keeper, KeeperBuilder, KeyAlgorithm, Material, Outcome,
    OutputFormat, PrivateKey, Reason, Record, Rules, Slot, Status, Store,
};
use perennial_testkit::ManualClock;

use crate::{
    faulty_store::FaultyStore,
    issuer::{Mischief, TestIssuer},
};

const DAY: Duration = Duration::from_secs(86_400);

struct Scene {
    clock: Arc<ManualClock>,
    issuer: Arc<TestIssuer>,
    store: Arc<FaultyStore>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
        let issuer = TestIssuer::new(clock.clone(), DAY * 90);
        Self { store: Arc::new(FaultyStore::new(clock.clone())), clock, issuer, events: Arc::default() }
    }

    fn over(&self, store: Arc<dyn Store>) -> KeeperBuilder {
        let seen = self.events.clone();
        Keeper::builder(store)
            .clock(self.clock.clone())
            .issuer(IssuerName::default(), self.issuer.clone())
            .observer(move |event| seen.lock().unwrap().push(event.clone()))
    }

    fn builder(&self) -> KeeperBuilder {
        self.over(self.store.clone())
    }

    /// A keeper with a certificate.
    async fn issued(&self) -> Keeper {
        let keeper = self.builder().build();
        keeper.wish(spec()).await.unwrap();
        assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
        keeper
    }

    async fn record(&self) -> Record {
        self.store.load(&name()).await.unwrap().unwrap().1
    }

    async fn exchange_key(&self) {
        let foreign = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().to_pem();
        let key = key_of(self.record().await.current.unwrap().generation);
        self.store.write(&key, &SecretBytes::new(foreign.expose().as_bytes())).await.unwrap();
    }

    fn told(&self, what: impl Fn(&EventKind) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| what(&event.kind)).count()
    }
}

fn name() -> CertificateId {
    "site".parse().unwrap()
}

fn spec() -> CertificateSpec {
    CertificateSpec::new("site", ["site.example"]).unwrap()
}

fn key_of(generation: Generation) -> Slot {
    Slot::PrivateKey { certificate: name(), generation }
}

async fn ready(keeper: &Keeper) -> (Status, ConditionReason) {
    let ready = keeper.conditions(&name()).await.unwrap().ready;
    (ready.status, ready.reason)
}

#[tokio::test]
async fn who_asks_how_a_certificate_stands_has_its_key_looked_at_and_what_is_gone_looked_after() {
    let scene = Scene::new();
    let keeper = scene.issued().await;
    assert_eq!(ready(&keeper).await, (Status::True, ConditionReason::Ready));
    let before = scene.record().await;
    scene.store.forget(&name(), before.current.as_ref().unwrap().generation).await.unwrap();
    assert_eq!(scene.record().await, before, "asking changes nothing while all is well");
    assert_eq!(ready(&keeper).await, (Status::False, ConditionReason::MissingData));
    let record = scene.record().await;
    assert_eq!(record.current.unwrap().found, Material::Missing, "it is on record for those who do not look");
    assert!(record.next_at <= scene.clock.now(), "and due");
    assert_eq!(record.transitions.unwrap().ready.status, Status::False);
    let text = keeper.describe(&name()).await.unwrap().to_string();
    assert!(text.contains("Ready    False    MissingData"), "{text}");
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    assert_eq!(scene.told(|kind| matches!(kind, EventKind::Issuing { why: Reason::MissingData, .. })), 1);
    assert_eq!(ready(&keeper).await, (Status::True, ConditionReason::Ready));
    scene.exchange_key().await;
    assert_eq!(ready(&keeper).await, (Status::False, ConditionReason::InvalidKeyPair));
    assert_eq!(keeper.describe(&name()).await.unwrap().conditions, keeper.conditions(&name()).await.unwrap());
    let nobody = "nobody".parse().unwrap();
    assert!(matches!(keeper.conditions(&nobody).await, Err(Error::UnknownCertificate { .. })));
}

#[tokio::test]
async fn what_a_pass_has_found_is_on_record_until_there_is_a_new_one() {
    let scene = Scene::new();
    let keeper = scene.issued().await;
    scene.exchange_key().await;
    scene.issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
    let Outcome::Failed { until, .. } = keeper.step(&name()).await.unwrap() else { panic!("no failure") };
    assert_eq!(scene.record().await.current.unwrap().found, Material::Mismatched);
    scene.clock.set(until);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    assert_eq!(scene.record().await.current.unwrap().found, Material::Whole);
}

#[tokio::test]
async fn of_a_key_that_cannot_be_read_nobody_can_tell_whether_it_is_good() {
    let scene = Scene::new();
    let keeper = scene.issued().await;
    let key = key_of(scene.record().await.current.unwrap().generation);
    scene.store.unreadable.lock().unwrap().replace(key);
    let conditions = keeper.conditions(&name()).await.unwrap();
    assert_eq!(
        (conditions.ready.status, conditions.ready.reason),
        (Status::Unknown, ConditionReason::Unreadable)
    );
    assert_eq!(conditions.issuing.reason, ConditionReason::NotDue, "it is renewed by its dates");
    assert_eq!(keeper.describe(&name()).await.unwrap().conditions.ready.status, Status::Unknown);
    assert_eq!(scene.record().await.current.unwrap().found, Material::Whole);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told_by_an_event_and_stands_as_unknown() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let open = || FileStore::builder(directory.path()).clock(scene.clock.clone()).open().unwrap();
    {
        let keeper = scene.over(Arc::new(open())).build();
        keeper.wish(spec()).await.unwrap();
        keeper.step(&name()).await.unwrap();
    }
    let record = directory.path().join("certificates/site/record.json");
    std::fs::write(&record, r#"{"version":1,"record":"\u001b[2J"}"#).unwrap();
    let keeper = scene.over(Arc::new(open())).build();
    let first = scene.clock.now();
    assert_eq!(ready(&keeper).await, (Status::Unknown, ConditionReason::Unreadable));
    let told = || {
        let about = |event: &&Event| event.certificate == Some(name());
        let damaged = |event: &&Event| matches!(event.kind, EventKind::Quarantined { .. });
        scene.events.lock().unwrap().iter().filter(about).filter(damaged).cloned().collect::<Vec<_>>()
    };
    keeper.start().await;
    keeper.rested().await;
    let text = told()[0].to_string();
    assert!(text.contains("record.json") && !text.contains(char::is_control), "{text:?}");
    for _ in 0..20 {
        scene.clock.advance(Duration::from_secs(60));
        keeper.rested().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(told().len(), 1, "and once");
    let since = keeper.conditions(&name()).await.unwrap().issuing.last_transition_time;
    assert_eq!(since, first, "since somebody saw it first");
    assert!(matches!(keeper.describe(&name()).await, Err(Error::Store(_))));
    keeper.shut_down().await;
}

#[tokio::test]
async fn what_was_denied_is_asked_about_again_when_it_is_wished_for_again_or_tried_again() {
    let scene = Scene::new();
    let wildcard = CertificateSpec::new("site", ["*.site.example"]).unwrap();
    let strict = || scene.builder().approver(Arc::new(Rules::new().wildcards_for(["ops"]))).build();
    let keeper = strict();
    keeper.wish_for(wildcard.clone(), "shop").await.unwrap();
    for again in ["first", "the same wish", "a retry"] {
        let outcome = keeper.step(&name()).await.unwrap();
        assert!(matches!(outcome, Outcome::GivenUp { error: Error::Denied { .. }, .. }), "{again}");
        assert_eq!(scene.record().await.next_at, Timestamp::MAX, "{again}");
        match again {
            "first" => keeper.wish(wildcard.clone()).await.unwrap(),
            _ => keeper.retry(&name()).await.unwrap(),
        }
        let record = scene.record().await;
        assert!(record.denied.is_none() && record.next_at <= scene.clock.now(), "{again}");
        assert_eq!((record.spec_generation, record.requester.as_deref()), (1, Some("shop")));
    }
    assert_eq!(scene.told(|kind| matches!(kind, EventKind::Denied { .. })), 3);
    // The rules are loosened, and the same program starts again.
    strict().step(&name()).await.unwrap();
    let keeper = scene.builder().build();
    keeper.wish(wildcard).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
}

#[tokio::test]
async fn what_was_given_up_or_waits_is_tried_again_at_once_when_somebody_says_so() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    keeper.wish(spec().give_up_after(DAY)).await.unwrap();
    let fail = || scene.issuer.next(Mischief::Fail(IssueErrorClass::Policy, Retry::Backoff));
    fail();
    keeper.step(&name()).await.unwrap();
    scene.clock.advance(DAY * 2);
    let outcome = keeper.step(&name()).await.unwrap();
    let over = GivenUp::OutOfPatience;
    assert!(matches!(outcome, Outcome::GivenUp { error: Error::GivenUp { why, .. }, .. } if why == over));
    keeper.wish(spec().give_up_after(DAY)).await.unwrap();
    assert!(
        matches!(keeper.step(&name()).await.unwrap(), Outcome::GivenUp { .. }),
        "a restart is no new try"
    );
    keeper.retry(&name()).await.unwrap();
    fail();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Failed { .. }));
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Waiting { .. }));
    keeper.retry(&name()).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    keeper.retry(&name()).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Kept { .. }), "nothing is lacking");
    assert_eq!(scene.issuer.asked.lock().unwrap().len(), 3);
    let nobody = "nobody".parse().unwrap();
    assert!(matches!(keeper.retry(&nobody).await, Err(Error::UnknownCertificate { .. })));
}

#[tokio::test]
async fn a_delivery_that_waits_is_made_at_once_when_somebody_says_so() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("root");
    std::fs::write(&blocked, "a file where a directory should be").unwrap();
    let web = || "web".parse().unwrap();
    let keeper = scene.builder().sink(web(), Arc::new(FileSink::new(&blocked))).build();
    keeper.wish(spec().output(web(), OutputFormat::Pem)).await.unwrap();
    keeper.step(&name()).await.unwrap();
    std::fs::remove_file(&blocked).unwrap();
    keeper.step(&name()).await.unwrap();
    assert!(!blocked.exists(), "it waits");
    keeper.retry(&name()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    assert!(blocked.join("site/privkey.pem").exists());
}

#[tokio::test]
async fn a_place_that_nobody_knows_and_a_form_that_no_place_takes_are_refused_at_the_wish() {
    let scene = Scene::new();
    let web = || "web".parse().unwrap();
    let error = scene.builder().build().wish(spec().output(web(), OutputFormat::Pem)).await.unwrap_err();
    assert_eq!(error.to_string(), "certificate site wants sink web, known are: none");
    let keeper = scene.builder().sink(web(), Arc::new(FileSink::new("nowhere"))).build();
    let elsewhere = spec().output("cluster".parse().unwrap(), OutputFormat::Pem);
    let error = keeper.keep(elsewhere).await.err().unwrap();
    assert!(matches!(&error, Error::UnknownSink { known, .. } if known == "web"), "{error}");
    let error = keeper.wish(spec().output(web(), OutputFormat::Jks)).await.unwrap_err();
    assert!(matches!(error, Error::UnsupportedFormat { format: OutputFormat::Jks, .. }), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    assert!(scene.store.load(&name()).await.unwrap().is_none(), "nothing was written down");
}

#[tokio::test]
async fn a_certificate_without_dns_names_is_issued_kept_and_renewed_like_any_other() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    let spec = CertificateSpec::new("site", ["192.0.2.1", "2001:db8::1", "spiffe://prod/web"]).unwrap();
    keeper.wish(spec.clone()).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    let facts = keeper.current(&name()).await.unwrap().unwrap().facts().clone();
    assert_eq!((&facts.addresses, &facts.uris), (spec.addresses(), spec.uris()));
    assert!(facts.names.is_empty() && facts.other_names.is_empty(), "{facts:?}");
    let Outcome::Kept { until } = keeper.step(&name()).await.unwrap() else { panic!("not kept") };
    scene.clock.set(until);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    assert_eq!(ready(&keeper).await, (Status::True, ConditionReason::Ready));
    scene.store.gone.store(true, Ordering::SeqCst);
    assert!(
        matches!(keeper.conditions(&name()).await, Err(Error::Store(_))),
        "a store that is gone tells nothing"
    );
}
