//! What else can be wished for: approval, adoption, replacement of a stolen key, first sight, delivery.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock as _, DomainName, Retry, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, Error, FileSink, Found, IssueError, IssueErrorClass, IssuedChain, Issuer,
    IssuerName, Journal, Keeper, KeeperBuilder, KeyRotation, MemoryStore, OnDemand, Outcome, OutputFormat,
    PrivateKey, Revocation, Rules, Shipment, SigningRequest, Sink, SinkError, Slot, Store, budget::Limit,
};
use perennial_testkit::ManualClock;

use crate::issuer::{Mischief, TestIssuer};

const DAY: Duration = Duration::from_secs(86_400);

/// Signs, and revokes unless it is told not to.
struct Revoking {
    signer: Arc<TestIssuer>,
    /// Serial numbers.
    revoked: Mutex<Vec<String>>,
    /// For each request whether it was told what the new one replaces.
    renewals: Mutex<Vec<bool>>,
    busy: AtomicBool,
    /// It cannot read its own settings.
    broken: AtomicBool,
}

#[async_trait]
impl Issuer for Revoking {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.renewals.lock().unwrap().push(request.replaces.is_some());
        self.signer.issue(request, journal).await
    }

    async fn revoke(&self, revocation: &Revocation, _: &Journal) -> Result<(), IssueError> {
        if self.busy.load(Ordering::SeqCst) {
            return Err(IssueError::new(IssueErrorClass::Transient, "busy", Retry::Backoff));
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err(IssueError::new(IssueErrorClass::Local, "cannot read its account", Retry::Never));
        }
        assert!(revocation.key.is_some(), "the key proves it");
        self.revoked.lock().unwrap().push(revocation.chain.facts().serial.clone());
        Ok(())
    }
}

struct Scene {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    issuer: Arc<Revoking>,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
        let signer = TestIssuer::new(clock.clone(), DAY * 90);
        let issuer = Arc::new(Revoking {
            signer,
            revoked: Mutex::default(),
            renewals: Mutex::default(),
            busy: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        });
        Self { store: Arc::new(MemoryStore::with_clock(clock.clone())), clock, issuer }
    }

    fn builder(&self) -> KeeperBuilder {
        Keeper::builder(self.store.clone())
            .clock(self.clock.clone())
            .issuer(IssuerName::default(), self.issuer.clone())
    }

    fn requests(&self) -> usize {
        self.issuer.signer.asked.lock().unwrap().len()
    }
}

fn name() -> CertificateId {
    "site".parse().unwrap()
}

fn spec() -> CertificateSpec {
    CertificateSpec::new("site", ["site.example"]).unwrap()
}

#[tokio::test]
async fn what_was_denied_is_asked_of_nobody_until_the_wish_changes() {
    let scene = Scene::new();
    let rules = Rules::new().wildcards_for(["ops"]);
    let keeper = scene.builder().approver(Arc::new(rules)).build();
    let wildcard = CertificateSpec::new("site", ["*.site.example"]).unwrap();
    keeper.wish_for(wildcard.clone(), "shop").await.unwrap();
    for _ in 0..2 {
        let outcome = keeper.step(&name()).await.unwrap();
        let Outcome::GivenUp { error: Error::Denied { reason, .. }, until } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(reason.contains("shop may not"), "{reason}");
        assert_eq!(until, Timestamp::MAX);
    }
    assert_eq!(scene.requests(), 0);
    keeper.wish_for(wildcard, "ops").await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    let (_, record) = scene.store.load(&name()).await.unwrap().unwrap();
    let by = record.current.unwrap().approved_by;
    assert_eq!((record.denied, by.as_deref()), (None, Some("the rules of this keeper")));
}

#[tokio::test]
async fn a_stolen_key_is_replaced_at_once_whatever_the_rotation_says_and_then_revoked() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    keeper.wish(spec().key_rotation(KeyRotation::Never)).await.unwrap();
    keeper.step(&name()).await.unwrap();
    let stolen = keeper.current(&name()).await.unwrap().unwrap();
    keeper.replace_compromised(&name()).await.unwrap();
    keeper.replace_compromised(&name()).await.unwrap(); // said twice, it is done once
    // The CA is busy, and the process dies in between.
    scene.issuer.signer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
    let Outcome::Failed { until, .. } = keeper.step(&name()).await.unwrap() else { panic!("no failure") };
    assert_eq!(scene.issuer.revoked.lock().unwrap().len(), 0, "the old one serves until there is a new one");
    scene.clock.set(until);
    scene.issuer.busy.store(true, Ordering::SeqCst);
    let keeper = scene.builder().build();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    let fresh = keeper.current(&name()).await.unwrap().unwrap();
    assert_ne!(fresh.facts().public_key_fingerprint, stolen.facts().public_key_fingerprint);
    let (_, record) = scene.store.load(&name()).await.unwrap().unwrap();
    assert_eq!(record.compromised.len(), 1, "it is owed");
    assert!(record.next_at <= scene.clock.now() + Duration::from_secs(600), "and looked after soon");
    scene.issuer.busy.store(false, Ordering::SeqCst);
    scene.issuer.broken.store(true, Ordering::SeqCst);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Kept { .. }));
    let (_, record) = scene.store.load(&name()).await.unwrap().unwrap();
    assert_eq!(record.compromised.len(), 1, "a file that cannot be read is mended some day");
    scene.issuer.broken.store(false, Ordering::SeqCst);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Kept { .. }));
    assert_eq!(*scene.issuer.revoked.lock().unwrap(), [stolen.facts().serial.clone()]);
    let (_, record) = scene.store.load(&name()).await.unwrap().unwrap();
    assert_eq!(record.compromised, []);
    keeper.step(&name()).await.unwrap();
    assert_eq!(scene.requests(), 3);
}

#[tokio::test]
async fn a_revocation_that_fails_is_told_as_that_and_is_no_failed_renewal() {
    let scene = Scene::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let keeper = scene.builder().observer(move |event| heard.lock().unwrap().push(event.clone())).build();
    keeper.wish(spec()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    keeper.replace_compromised(&name()).await.unwrap();
    scene.issuer.broken.store(true, Ordering::SeqCst);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    let told = told.lock().unwrap();
    assert!(told.iter().all(|event| event.kind.reason() != "Failed"), "{told:?}");
    let failed: Vec<_> = told.iter().filter(|event| event.kind.reason() == "RevocationFailed").collect();
    let [failed] = failed.as_slice() else { panic!("{failed:?}") };
    let text = failed.to_string();
    let says =
        text.contains("was not revoked: cannot read its account; that is tried again at 2027-01-15T08:10");
    assert!(says && text.starts_with("Warning"), "{text}");
}

fn self_made(names: &[&str], ends: i64) -> (IssuedChain, PrivateKey) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.not_before = time::OffsetDateTime::from_unix_timestamp(1_799_000_000).unwrap();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(ends).unwrap();
    let chain = IssuedChain::from_pem(params.self_signed(&key).unwrap().pem()).unwrap();
    let key = PrivateKey::from_pem(&perennial_core::SecretString::new(key.serialize_pem())).unwrap();
    (chain, key)
}

#[tokio::test]
async fn a_certificate_that_is_there_already_is_taken_over_and_renewed_in_its_time() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    let (chain, key) = self_made(&["site.example"], 1_800_000_000 + 60 * 86_400);
    keeper.adopt(spec(), &chain, &key).await.unwrap();
    let Outcome::Kept { until } = keeper.step(&name()).await.unwrap() else { panic!("not kept") };
    assert_eq!(scene.requests(), 0);
    let current = keeper.current(&name()).await.unwrap().unwrap();
    assert_eq!(current.facts().fingerprint, chain.facts().fingerprint);
    scene.clock.set(until);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    // Another one may take its place, and what is not what is wished for may not.
    let (chain, key) = self_made(&["site.example"], 1_900_000_000);
    keeper.adopt(spec(), &chain, &key).await.unwrap();
    assert_eq!(keeper.current(&name()).await.unwrap().unwrap().generation().number(), 3);
    let generation = serde_json::from_value(1.into()).unwrap();
    let oldest = Slot::PrivateKey { certificate: name(), generation };
    assert!(scene.store.read(&oldest).await.unwrap().is_none(), "of old keys one is kept");
    // To its issuer the one after an adopted one is a first one.
    keeper.replace_compromised(&name()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    keeper.replace_compromised(&name()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    assert_eq!(*scene.issuer.renewals.lock().unwrap(), [false, false, true]);
    keeper.adopt(spec(), &chain, &key).await.unwrap();
    let (_, other_key) = self_made(&["site.example"], 1_900_000_000);
    let (other_names, its_key) = self_made(&["other.example"], 1_900_000_000);
    let (ended, ended_key) = self_made(&["site.example"], 1_799_999_999);
    for (chain, key) in [(&chain, &other_key), (&other_names, &its_key), (&ended, &ended_key)] {
        assert!(matches!(keeper.adopt(spec(), chain, key).await, Err(Error::Contract { .. })));
    }
}

/// Lets those in who are on its list.
struct List {
    names: BTreeSet<&'static str>,
    asked: AtomicUsize,
}

#[async_trait]
impl OnDemand for List {
    async fn allow(&self, name: &DomainName, plain: CertificateSpec) -> Result<CertificateSpec, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.names.contains(name.as_str()) { Ok(plain) } else { Err("it is on no list".to_owned()) }
    }
}

#[tokio::test]
async fn a_certificate_at_first_sight_needs_a_rule_that_allows_it_and_a_budget() {
    let scene = Scene::new();
    let long = format!("{}.example", ["a"; 30].join("."));
    let long: &'static str = Box::leak(long.into_boxed_str());
    let list = List { names: ["a.example", "b.example", long].into(), asked: AtomicUsize::new(0) };
    let list = Arc::new(list);
    let keeper = scene.builder().on_demand(list.clone(), Limit::new(2, DAY)).build();
    let get = async |name: &str| keeper.on_demand(&name.parse().unwrap()).await;
    for _ in 0..3 {
        get("a.example").await.unwrap().ready().await.unwrap();
    }
    assert_eq!(list.asked.load(Ordering::SeqCst), 1, "what was wished for once costs no second question");
    get(long).await.unwrap().ready().await.unwrap();
    let refused = |got: Result<_, Error>| got.err().map(|error| error.to_string()).unwrap();
    assert!(refused(get("evil.example").await).contains("on no list"));
    assert!(refused(get("b.example").await).contains("used up"));
    let asked = list.asked.load(Ordering::SeqCst);
    assert!(refused(get("b.example").await).contains("used up"));
    assert_eq!(list.asked.load(Ordering::SeqCst), asked, "it is known that there is none to be had");
    scene.clock.advance(DAY);
    assert!(get("b.example").await.is_ok());
    keeper.shut_down().await;
    let without = scene.builder().build();
    let name = "a.example".parse().unwrap();
    assert!(matches!(without.on_demand(&name).await, Err(Error::NotOnDemand { .. })));
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_is_left_to_its_end_and_comes_back_when_somebody_asks() {
    let scene = Scene::new();
    let list = List { names: ["a.example", "b.example"].into(), asked: AtomicUsize::new(0) };
    let list = Arc::new(list);
    let keeper = scene.builder().on_demand(list.clone(), Limit::new(9, DAY)).build();
    let [quiet, busy] = ["a.example", "b.example"].map(|name| name.parse::<DomainName>().unwrap());
    let mut handles = Vec::new();
    for name in [&quiet, &busy] {
        handles.push(keeper.on_demand(name).await.unwrap());
        handles.last().unwrap().ready().await.unwrap();
    }
    keeper.shut_down().await;
    drop(handles);
    let id = |name: &DomainName| format!("on-demand.{name}").parse::<CertificateId>().unwrap();
    let (keeper, requests) =
        (scene.builder().on_demand(list.clone(), Limit::new(9, DAY)).build(), scene.requests());
    for day in 1..=200 {
        scene.clock.advance(DAY);
        for name in [&quiet, &busy] {
            keeper.step(&id(name)).await.unwrap();
        }
        if day % 30 == 0 {
            let _ = keeper.on_demand(&busy).await.unwrap();
            keeper.shut_down().await;
        }
    }
    // One that is asked for is renewed each sixty days; the other once, before anybody could know.
    assert_eq!(scene.requests() - requests, 3 + 1);
    let (_, record) = scene.store.load(&id(&quiet)).await.unwrap().unwrap();
    assert!(record.current.as_ref().unwrap().facts.not_after < scene.clock.now(), "it has ended");
    assert_eq!(record.next_at, Timestamp::MAX, "and costs nothing");
    let Outcome::GivenUp { error, .. } = keeper.step(&id(&quiet)).await.unwrap() else { panic!("kept") };
    assert!(error.to_string().contains("nobody has asked for it"), "{error}");

    let asked = list.asked.load(Ordering::SeqCst);
    keeper.on_demand(&quiet).await.unwrap().ready().await.unwrap();
    assert_eq!(scene.requests() - requests, 3 + 2);
    assert_eq!(list.asked.load(Ordering::SeqCst), asked, "it needs no second yes");
    let (_, record) = scene.store.load(&id(&quiet)).await.unwrap().unwrap();
    assert!(record.asked_at.is_some_and(|asked_at| asked_at == scene.clock.now()));
}

#[tokio::test]
async fn whoever_holds_a_handle_need_not_ask_again() {
    let scene = Scene::new();
    let list = Arc::new(List { names: ["a.example"].into(), asked: AtomicUsize::new(0) });
    let keeper = scene.builder().on_demand(list, Limit::new(9, DAY)).build();
    let handle = keeper.on_demand(&"a.example".parse().unwrap()).await.unwrap();
    handle.ready().await.unwrap();
    for _ in 0..200 {
        keeper.rested().await;
        scene.clock.wait_for_sleepers(1).await;
        scene.clock.advance(DAY);
    }
    keeper.rested().await;
    let requests = scene.requests();
    assert!((4..=5).contains(&requests), "{requests}: it is renewed for as long as it is held");
    let (_, record) = scene.store.load(handle.id()).await.unwrap().unwrap();
    assert!(scene.clock.now().since(record.asked_at.unwrap()) <= DAY * 2);
}

#[tokio::test]
async fn what_serves_is_delivered_and_delivered_again_when_it_is_gone_but_not_in_a_war() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let sink = FileSink::new(directory.path());
    let file = sink.directory(&name()).join("fullchain.pem");
    let keeper = scene.builder().sink("web".parse().unwrap(), Arc::new(sink)).build();
    keeper.wish(spec().output("web".parse().unwrap(), OutputFormat::Pem)).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    let current = keeper.current(&name()).await.unwrap().unwrap();
    let delivered = || std::fs::read_to_string(&file).ok();
    assert_eq!(delivered().as_deref(), Some(current.chain_pem()));
    std::fs::remove_file(&file).unwrap();
    keeper.step(&name()).await.unwrap();
    assert_eq!(delivered().as_deref(), Some(current.chain_pem()), "it was gone");
    std::fs::remove_file(&file).unwrap();
    keeper.step(&name()).await.unwrap();
    assert_eq!(delivered(), None, "somebody wants it gone");
    scene.clock.advance(Duration::from_secs(3_601));
    keeper.step(&name()).await.unwrap();
    assert_eq!(delivered().as_deref(), Some(current.chain_pem()));
    // Somebody else wants the place too: he is answered, and then left alone for hours.
    scene.clock.advance(Duration::from_secs(7_200));
    for (round, ours) in [true, false, false].into_iter().enumerate() {
        std::fs::write(&file, "theirs").unwrap();
        keeper.step(&name()).await.unwrap();
        assert_eq!(delivered().as_deref() == Some(current.chain_pem()), ours, "round {round}");
    }
    scene.clock.advance(Duration::from_secs(4 * 3_600));
    keeper.step(&name()).await.unwrap();
    assert_eq!(delivered().as_deref(), Some(current.chain_pem()));
    assert_eq!(scene.requests(), 1, "nobody was asked for a new one");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_to_costs_the_certificate_nothing_and_is_tried_again() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("root");
    std::fs::write(&blocked, "a file where a directory should be").unwrap();
    let keeper = scene.builder().sink("web".parse().unwrap(), Arc::new(FileSink::new(&blocked))).build();
    keeper.wish(spec().output("web".parse().unwrap(), OutputFormat::Pem)).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    let (_, record) = scene.store.load(&name()).await.unwrap().unwrap();
    let failures = record.undelivered.expect("it is on record");
    assert_eq!((record.failures, record.next_at), (None, failures.retry_at));
    std::fs::remove_file(&blocked).unwrap();
    scene.clock.set(failures.retry_at);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Kept { .. }));
    assert!(blocked.join("site/privkey.pem").exists());
}

#[tokio::test]
async fn what_fails_in_the_rehearsal_costs_the_real_issuer_nothing() {
    let scene = Scene::new();
    let stage = TestIssuer::new(scene.clock.clone(), DAY * 90);
    let staging: IssuerName = "staging".parse().unwrap();
    let keeper = scene
        .builder()
        .issuer(staging.clone(), stage.clone())
        .rehearsal(IssuerName::default(), staging, 1)
        .build();
    keeper.wish(spec()).await.unwrap();
    let step = async |expected_requests: (usize, usize)| {
        let outcome = keeper.step(&name()).await.unwrap();
        assert_eq!((scene.requests(), stage.asked.lock().unwrap().len()), expected_requests);
        if let Outcome::Failed { until, .. } = outcome {
            scene.clock.set(until);
        }
        matches!(outcome, Outcome::Issued { .. })
    };
    scene.issuer.signer.next(Mischief::OtherNames);
    assert!(!step((1, 0)).await);
    stage.next(Mischief::Fail(IssueErrorClass::Validation, Retry::Backoff));
    assert!(!step((1, 1)).await, "it failed again, elsewhere");
    assert!(step((2, 2)).await);
    let (_, record) = scene.store.load(&name()).await.unwrap().unwrap();
    assert_eq!(record.current.unwrap().issuer(), &IssuerName::default());
}

#[tokio::test]
async fn a_stage_that_is_down_keeps_nobody_from_the_real_issuer() {
    let scene = Scene::new();
    let stage = TestIssuer::new(scene.clock.clone(), DAY * 90);
    let staging: IssuerName = "staging".parse().unwrap();
    let keeper = scene
        .builder()
        .issuer(staging.clone(), stage.clone())
        .rehearsal(IssuerName::default(), staging, 0)
        .build();
    keeper.wish(spec()).await.unwrap();
    for mischief in [
        Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff),
        Mischief::Fail(IssueErrorClass::Auth, Retry::Never),
        Mischief::OtherNames,
    ] {
        let (before, name) = (scene.requests(), name());
        stage.next(mischief);
        scene.issuer.signer.next(Mischief::OtherNames); // no order is left open
        let Outcome::Failed { until, .. } = keeper.step(&name).await.unwrap() else { panic!("no failure") };
        assert_eq!(scene.requests(), before + 1, "it was asked");
        scene.clock.set(until);
    }
    // What the real one would refuse too is a failure.
    stage.next(Mischief::Fail(IssueErrorClass::Validation, Retry::Backoff));
    let Outcome::Failed { until, .. } = keeper.step(&name()).await.unwrap() else { panic!("no failure") };
    assert_eq!((scene.requests(), stage.asked.lock().unwrap().len()), (3, 4));
    scene.clock.set(until);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    assert_eq!((scene.requests(), stage.asked.lock().unwrap().len()), (4, 5));
    // Another wish is another first time.
    keeper.wish(CertificateSpec::new("site", ["other.example"]).unwrap()).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    assert_eq!((scene.requests(), stage.asked.lock().unwrap().len()), (5, 6));
}

/// Takes what it is given, and cannot be looked at.
#[derive(Default)]
struct Blind(AtomicUsize);

#[async_trait]
impl Sink for Blind {
    async fn deliver(&self, _: &Shipment) -> Result<(), SinkError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn found(&self, _: &Shipment) -> Result<Found, SinkError> {
        Err(SinkError::new("it cannot be looked at", Retry::Backoff))
    }
}

#[tokio::test]
async fn what_is_wished_for_anew_is_delivered_though_the_place_cannot_be_looked_at() {
    let scene = Scene::new();
    let sink = Arc::new(Blind::default());
    let keeper = scene.builder().sink("web".parse().unwrap(), sink.clone()).build();
    let wish = spec().output("web".parse().unwrap(), OutputFormat::Pem);
    keeper.wish(wish.clone()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    assert_eq!(sink.0.load(Ordering::SeqCst), 1);
    keeper.wish(wish.label("team", "shop")).await.unwrap();
    keeper.step(&name()).await.unwrap();
    assert_eq!(sink.0.load(Ordering::SeqCst), 2);
}
