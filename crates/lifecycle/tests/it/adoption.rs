//! Certificates that are there already: taken over when they are what is wished for, and never lost.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock as _, Retry, SecretString, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, ChainFault, Conditions, Contract, Deposit, Error, EventKind, FileSink,
    Generation, IssueErrorClass, IssuedChain, IssuerName, Keeper, KeeperBuilder, KeyAlgorithm, Material,
    MemoryStore, Outcome, OutputFormat, PrivateKey, Reason, Record, Shipment, Sink, SinkError, SinkName,
    Slot, Store, Subject, Usage, conditions, output::PemSet,
};
use perennial_testkit::ManualClock;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::issuer::{Mischief, TestIssuer};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

struct Scene {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    issuer: Arc<TestIssuer>,
    told: Arc<Mutex<Vec<EventKind>>>,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix(NOW)));
        let issuer = TestIssuer::new(clock.clone(), Duration::from_secs(90 * 86_400));
        Self { store: Arc::new(MemoryStore::with_clock(clock.clone())), issuer, clock, told: Arc::default() }
    }

    fn builder(&self) -> KeeperBuilder {
        let told = self.told.clone();
        Keeper::builder(self.store.clone())
            .clock(self.clock.clone())
            .issuer(IssuerName::default(), self.issuer.clone())
            .observer(move |event| told.lock().unwrap().push(event.kind.clone()))
    }

    fn requests(&self) -> usize {
        self.issuer.asked.lock().unwrap().len()
    }

    fn refused(&self) -> Vec<Reason> {
        let told = self.told.lock().unwrap();
        let refused = told.iter().filter_map(|kind| match kind {
            EventKind::NotAdopted { why, .. } => Some(*why),
            _ => None,
        });
        refused.collect()
    }

    async fn conditions(&self) -> Conditions {
        let material = |record: &Record| match record.current {
            Some(_) => Material::Whole,
            None => Material::Missing,
        };
        let record = self.record().await;
        conditions(&record, material(&record), self.clock.now())
    }

    async fn record(&self) -> Record {
        self.store.load(&name()).await.unwrap().unwrap().1
    }
}

fn name() -> CertificateId {
    "site".parse().unwrap()
}

fn web() -> SinkName {
    "web".parse().unwrap()
}

/// Without a place that a keeper would have to know.
fn plain() -> CertificateSpec {
    CertificateSpec::new("site", ["site.example"]).unwrap()
}

fn spec() -> CertificateSpec {
    plain().output(web(), OutputFormat::Pem)
}

fn params(names: &[&str], ends: i64) -> CertificateParams {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_before = time::OffsetDateTime::from_unix_timestamp(NOW - 10 * DAY).unwrap();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(ends).unwrap();
    params
}

fn ca(name: &str) -> CertificateParams {
    let mut ca = params(&[], NOW + 900 * DAY);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, name);
    ca
}

/// A chain of two certificates, and the leaf's key, in PEM.
fn made(names: &[&str], ends: i64, algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    made_of(&params(names, ends), algorithm)
}

fn made_of(leaf: &CertificateParams, algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let (key, ca_key) = (KeyPair::generate_for(algorithm).unwrap(), KeyPair::generate().unwrap());
    let leaf = leaf.signed_by(&key, &Issuer::new(ca("ca"), &ca_key)).unwrap().pem();
    (leaf + &ca("ca").self_signed(&ca_key).unwrap().pem(), key.serialize_pem())
}

/// One that names a subject and says for what its key is.
fn particular(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut params = params(&["site.example"], NOW + 60 * DAY);
    params.distinguished_name.push(DnType::CommonName, "site.example");
    params.distinguished_name.push(DnType::OrganizationName, "Example Org");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    made_of(&params, &rcgen::PKCS_ECDSA_P256_SHA256)
}

/// A spec that wishes for all that [such a one](particular) says.
fn exacting() -> CertificateSpec {
    let organization = Some("Example Org".to_owned());
    let usages = [Usage::DigitalSignature, Usage::KeyEncipherment, Usage::ServerAuth];
    let mut subject = Subject::named("site.example");
    subject.organization = organization;
    spec().subject(subject).usages(usages).profile("tlsserver")
}

/// Certificates of which each lacks something of that, and what is said of it.
fn unlike() -> [((String, String), &'static str); 5] {
    [
        (
            particular(|params| params.distinguished_name.push(DnType::CommonName, "other.example")),
            "subject.common_name is \"other.example\"",
        ),
        (
            particular(|params| assert!(params.distinguished_name.remove(DnType::OrganizationName))),
            "subject.organization is not there",
        ),
        (
            particular(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
            "may not be used for [DigitalSignature]",
        ),
        (
            particular(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            "may not be used for [ServerAuth]",
        ),
        (
            particular(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "it is a CA certificate",
        ),
    ]
}

fn good() -> (String, String) {
    made(&["site.example"], NOW + 60 * DAY, &rcgen::PKCS_ECDSA_P256_SHA256)
}

/// What is wrong with each, in one word.
fn wrong() -> [(Reason, (String, String)); 7] {
    let (chain, key) = good();
    let (other_chain, other_key) = good();
    let (leaf, _) = chain.split_at(chain.match_indices("-----BEGIN").nth(1).unwrap().0);
    let (_, other_ca) = other_chain.split_at(other_chain.match_indices("-----BEGIN").nth(1).unwrap().0);
    [
        (Reason::InvalidKeyPair, (chain.clone(), other_key)),
        (Reason::InvalidKeyPair, (chain.clone(), "no key".to_owned())),
        (Reason::SecretMismatch, made(&["site.example"], NOW + 60 * DAY, &rcgen::PKCS_ECDSA_P384_SHA384)),
        (Reason::RequestChanged, made(&["old.example"], NOW + 60 * DAY, &rcgen::PKCS_ECDSA_P256_SHA256)),
        (Reason::Expired, made(&["site.example"], NOW - 1, &rcgen::PKCS_ECDSA_P256_SHA256)),
        (Reason::MissingData, (format!("{leaf}{other_ca}"), key.clone())),
        (Reason::MissingData, ("no chain".to_owned(), key)),
    ]
}

#[tokio::test]
async fn what_lies_at_an_output_and_is_what_is_wished_for_is_taken_over_and_nobody_is_asked() {
    let (scene, directory) = (Scene::new(), tempfile::tempdir().unwrap());
    let sink = FileSink::new(directory.path());
    let (chain, key) = good();
    PemSet::new(&chain, SecretString::new(key.as_str())).write_to(sink.directory(&name())).unwrap();
    let keeper = scene.builder().sink(web(), Arc::new(sink.clone())).build();
    keeper.wish(spec()).await.unwrap();
    let Outcome::Kept { until } = keeper.step(&name()).await.unwrap() else { panic!("not kept") };
    assert_eq!((scene.requests(), scene.refused()), (0, vec![]));
    let current = keeper.current(&name()).await.unwrap().unwrap();
    assert_eq!((current.chain_pem(), current.private_key_pem().expose()), (chain.as_str(), key.as_str()));
    let there = std::fs::read_to_string(sink.directory(&name()).join("privkey.pem")).unwrap();
    assert_eq!(there, key, "it stays where it is");
    assert!(scene.record().await.delivered.is_some());
    scene.clock.set(until);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }), "and then it is renewed");
}

#[tokio::test]
async fn what_is_not_what_is_wished_for_is_told_in_one_word_and_one_is_ordered() {
    for (why, (chain, key)) in wrong() {
        let (scene, directory) = (Scene::new(), tempfile::tempdir().unwrap());
        let sink = FileSink::new(directory.path());
        let place = sink.directory(&name());
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("fullchain.pem"), &chain).unwrap();
        std::fs::write(place.join("privkey.pem"), &key).unwrap();
        let keeper = scene.builder().sink(web(), Arc::new(sink)).build();
        keeper.wish(spec()).await.unwrap();
        assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }), "{why:?}");
        assert_eq!((scene.requests(), scene.refused()), (1, vec![why]));
    }
}

fn put(sink: &FileSink, (chain, key): &(String, String)) {
    PemSet::new(chain, SecretString::new(key.as_str())).write_to(sink.directory(&name())).unwrap();
}

#[tokio::test]
async fn subject_and_usages_that_are_wished_for_are_looked_for_in_what_is_taken_over() {
    let (scene, directory) = (Scene::new(), tempfile::tempdir().unwrap());
    let sink = FileSink::new(directory.path());
    put(&sink, &particular(|_| {}));
    let keeper = scene.builder().sink(web(), Arc::new(sink)).build();
    keeper.wish(exacting()).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Kept { .. }));
    assert_eq!((scene.requests(), scene.refused()), (0, vec![]));
}

#[tokio::test]
async fn what_says_something_else_than_is_wished_for_is_not_taken_over_and_the_conditions_say_why() {
    for (unlike, words) in unlike() {
        let (scene, directory) = (Scene::new(), tempfile::tempdir().unwrap());
        let sink = FileSink::new(directory.path());
        put(&sink, &unlike);
        let keeper = scene.builder().sink(web(), Arc::new(sink)).build();
        keeper.wish(exacting()).await.unwrap();
        scene.issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
        let Outcome::Failed { until, .. } = keeper.step(&name()).await.unwrap() else { panic!("{words}") };
        let said = scene.conditions().await;
        for condition in [&said.ready, &said.issuing] {
            let expected = ["what lies at web was not taken over (RequestChanged)", words];
            assert!(expected.iter().all(|it| condition.message.contains(it)), "{words}: {condition:?}");
        }
        scene.clock.set(until);
        assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }), "{words}");
        assert_eq!(scene.refused(), [Reason::RequestChanged], "it is told once");
        let said = scene.conditions().await;
        assert!(!format!("{said:?}").contains("taken over"), "{said:?}");
    }
}

#[tokio::test]
async fn what_was_changed_since_it_was_refused_is_looked_at_again() {
    let (scene, directory) = (Scene::new(), tempfile::tempdir().unwrap());
    let sink = FileSink::new(directory.path());
    let [(first, _), (second, words), ..] = unlike();
    put(&sink, &first);
    let keeper = scene.builder().sink(web(), Arc::new(sink.clone())).build();
    keeper.wish(exacting()).await.unwrap();
    for next in [&second, &particular(|_| {})] {
        scene.issuer.next(Mischief::Fail(IssueErrorClass::Transient, Retry::Backoff));
        let Outcome::Failed { until, .. } = keeper.step(&name()).await.unwrap() else { panic!("not failed") };
        put(&sink, next);
        scene.clock.set(until);
    }
    let said = scene.conditions().await;
    assert!(said.ready.message.contains(words), "{said:?}");
    assert_eq!(scene.refused(), [Reason::RequestChanged; 2]);
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Kept { .. }));
    assert_eq!(scene.requests(), 2, "the one that is right is taken over");
}

#[tokio::test]
async fn what_is_handed_over_is_compared_as_well() {
    let scene = Scene::new();
    let keeper = scene.builder().sink(web(), Arc::new(FileSink::new("nowhere"))).build();
    for (unlike, words) in unlike() {
        let (chain, key) = parsed(&unlike).unwrap();
        let refused = keeper.adopt(exacting(), &chain, &key).await.unwrap_err();
        assert!(matches!(refused, Error::Contract { .. }), "{refused:?}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let (chain, key) = parsed(&particular(|_| {})).unwrap();
    keeper.adopt(exacting(), &chain, &key).await.unwrap();
}

#[tokio::test]
async fn a_place_that_is_empty_or_too_large_or_no_file_is_no_place_to_take_over_from() {
    for (large, refused) in [(None, vec![]), (Some(1_000_000), vec![Reason::MissingData])] {
        let (scene, directory) = (Scene::new(), tempfile::tempdir().unwrap());
        let sink = FileSink::new(directory.path());
        if let Some(length) = large {
            std::fs::create_dir(sink.directory(&name())).unwrap();
            std::fs::write(sink.directory(&name()).join("privkey.pem"), vec![b'a'; length]).unwrap();
        }
        let keeper = scene.builder().sink(web(), Arc::new(sink)).build();
        keeper.wish(spec()).await.unwrap();
        assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
        assert_eq!((scene.requests(), scene.refused()), (1, refused));
    }
}

/// A place that knows who has issued what it holds, as a secret of a cluster does.
struct Labelled(Deposit);

#[async_trait]
impl Sink for Labelled {
    async fn deliver(&self, _: &Shipment) -> Result<(), SinkError> {
        Ok(())
    }

    async fn stored(&self, id: &CertificateId, _: OutputFormat) -> Result<Option<Deposit>, SinkError> {
        Ok((*id == name()).then(|| self.0.clone()))
    }
}

#[tokio::test]
async fn where_a_place_knows_who_has_issued_it_that_counts() {
    let issuer = |name: &str| name.parse::<IssuerName>().unwrap();
    for (issued_by, is_taken) in [("old-ca", false), ("second", true), ("default", true)] {
        let scene = Scene::new();
        let (chain, key) = good();
        let deposit = Deposit::new(chain, SecretString::new(key)).issued_by(issuer(issued_by));
        let keeper = scene
            .builder()
            .issuer(issuer("second"), scene.issuer.clone())
            .sink(web(), Arc::new(Labelled(deposit)))
            .build();
        keeper.wish(spec().fallback_issuer("second").unwrap()).await.unwrap();
        keeper.step(&name()).await.unwrap();
        assert_eq!(scene.requests(), usize::from(!is_taken), "{issued_by}");
        let expected = if is_taken { vec![] } else { vec![Reason::IncorrectIssuer] };
        assert_eq!(scene.refused(), expected);
        if is_taken {
            assert_eq!(scene.record().await.current.unwrap().issuer(), &issuer(issued_by));
        }
    }
}

fn parsed((chain, key): &(String, String)) -> Option<(IssuedChain, PrivateKey)> {
    let key = PrivateKey::from_pem(&SecretString::new(key.as_str())).ok()?;
    Some((IssuedChain::from_pem(chain.as_str()).ok()?, key))
}

#[tokio::test]
async fn a_chain_that_does_not_hold_and_a_key_of_another_kind_are_refused_by_name() {
    let scene = Scene::new();
    let keeper = scene.builder().build();
    let faults = wrong().map(|(_, pair)| parsed(&pair));
    let [_, _, Some(other_kind), _, _, Some(broken), _] = faults else { panic!("they can be read") };
    let refused =
        async |(chain, key): (IssuedChain, PrivateKey)| match keeper.adopt(plain(), &chain, &key).await {
            Err(Error::Contract { fault, .. }) => fault,
            other => panic!("{other:?}"),
        };
    assert_eq!(refused(broken).await, Contract::Chain(ChainFault::NotSigned { index: 0 }));
    let (found, wanted) = (Some(KeyAlgorithm::EcdsaP384), KeyAlgorithm::EcdsaP256);
    assert_eq!(refused(other_kind).await, Contract::KeyAlgorithm { found, wanted });
    assert!(scene.store.load(&name()).await.unwrap().is_none(), "nothing is written down");
}

/// The chain and the key of a generation.
async fn held(store: &MemoryStore, generation: Generation) -> Option<(String, String)> {
    let read = async |slot| {
        let bytes = store.read(&slot).await.unwrap()?;
        Some(String::from_utf8(bytes.expose().to_vec()).unwrap())
    };
    let chain = read(Slot::Chain { certificate: name(), generation }).await?;
    Some((chain, read(Slot::PrivateKey { certificate: name(), generation }).await?))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_offered_what_serves_is_there_afterwards_and_so_is_what_served_before(
        offers in proptest::collection::vec(0usize..10, 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let scene = Scene::new();
            let keeper = scene.builder().build();
            let mut serving: Option<(String, String)> = None;
            for offer in offers {
                let pair = match wrong().into_iter().nth(offer) {
                    Some((_, pair)) => pair,
                    None => good(),
                };
                let Some((chain, key)) = parsed(&pair) else { continue };
                let adopted = keeper.adopt(plain(), &chain, &key).await;
                assert_eq!(adopted.is_ok(), offer >= 7, "{adopted:?}");
                let Some((_, record)) = scene.store.load(&name()).await.unwrap() else {
                    assert!(serving.is_none());
                    continue;
                };
                let (current, previous) = (record.current.unwrap(), record.previous);
                if adopted.is_ok() {
                    let before = match previous {
                        Some(previous) => held(&scene.store, previous).await,
                        None => None,
                    };
                    assert_eq!(before, serving, "what served before can be gone back to");
                    serving = Some(pair);
                }
                assert_eq!(held(&scene.store, current.generation).await, serving);
                assert_eq!(scene.requests(), 0);
            }
        });
    }
}
