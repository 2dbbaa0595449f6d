//! A private PKI that keeps itself: a root, a CA below it and leaves, each renewed in its time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_core::{Clock as _, SystemClock, Timestamp};
use perennial_issuers::{CaIssuer, CaSource, SelfSignedIssuer};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, Error, Event, EventKind, FileStore, Issued, IssuerName, Keeper,
    MemoryStore, Outcome, Stage, Status, Store, Subject,
};
use perennial_testkit::ManualClock;
use x509_parser::prelude::*;

use crate::pki::{Ca, DAY, Openssl, YEAR, anchors, clock, count, named};

/// A keeper of root, CA and leaf, and its issuers.
struct House {
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    root: Arc<CaIssuer>,
    middle: Arc<CaIssuer>,
    keeper: Keeper,
    events: Arc<Mutex<Vec<Event>>>,
}

fn name(text: &str) -> IssuerName {
    text.parse().unwrap()
}

fn id(text: &str) -> CertificateId {
    text.parse().unwrap()
}

impl House {
    fn new() -> Self {
        let clock = clock();
        Self::over(Arc::new(MemoryStore::with_clock(clock.clone())), clock)
    }

    fn over(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        let ca = |certificate: &str, issuer: &str| {
            let builder = CaIssuer::builder(CaSource::certificate(store.clone(), id(certificate)));
            let builder = builder.clock(clock.clone()).ledger(store.clone(), name(issuer));
            Arc::new(builder.build().unwrap())
        };
        let (root, middle) = (ca("root", "root-ca"), ca("middle", "middle-ca"));
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let seen = events.clone();
        let own = SelfSignedIssuer::builder().clock(clock.clone()).build();
        let keeper = Keeper::builder(store.clone())
            .clock(clock.clone())
            .issuer(name("self-signed"), Arc::new(own))
            .issuer(name("root-ca"), root.clone())
            .issuer(name("middle-ca"), middle.clone())
            .observer(move |event| seen.lock().unwrap().push(event.clone()))
            .build();
        Self { clock, store, root, middle, keeper, events }
    }

    async fn wish_for_all(&self) {
        let specs = [
            CertificateSpec::new("leaf", ["a.example"]).unwrap().issuer("middle-ca").unwrap(),
            authority("middle", "Middle", YEAR, "root-ca"),
            authority("root", "Root", 10 * YEAR, "self-signed"),
        ];
        for spec in specs {
            self.keeper.wish(spec).await.unwrap();
        }
    }

    async fn step(&self, certificate: &str) -> Outcome {
        self.keeper.step(&id(certificate)).await.unwrap()
    }

    async fn issued(&self, certificate: &str) -> Issued {
        let outcome = self.step(certificate).await;
        assert!(matches!(outcome, Outcome::Issued { .. }), "{certificate}: {outcome:?}");
        self.serving(certificate).await
    }

    async fn serving(&self, certificate: &str) -> Issued {
        let handle = self.keeper.watch(&id(certificate)).await.unwrap();
        handle.current().as_deref().cloned().unwrap()
    }

    async fn due(&self, certificate: &str) -> Timestamp {
        self.store.load(&id(certificate)).await.unwrap().unwrap().1.next_at
    }

    fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let warned = events.iter().filter_map(|event| match &event.kind {
            EventKind::Stage { stage: Stage::Warned { message } } => Some(message.clone()),
            _ => None,
        });
        warned.collect()
    }
}

fn authority(id: &str, subject: &str, duration: Duration, issuer: &str) -> CertificateSpec {
    let spec = CertificateSpec::authority(id, Subject::named(subject)).unwrap();
    spec.duration(duration).issuer(issuer).unwrap()
}

/// Builds the whole, renews each part, and changes the root, with a look through somebody else's eyes at each.
async fn lives(store: Arc<dyn Store>, clock: Arc<ManualClock>) {
    let openssl = Openssl::required();
    let house = House::over(store.clone(), clock);
    let verified = |roots: &str, leaf: &Issued| {
        openssl.iter().for_each(|openssl| {
            openssl.verify(roots, leaf.chain_pem(), &house.clock).unwrap();
        });
    };
    house.wish_for_all().await;
    // Whoever comes too early waits, and nobody rests because of that.
    let early = house.step("leaf").await;
    let says = |error: &Error| error.to_string().contains("middle is not there yet");
    assert!(matches!(&early, Outcome::Failed { error, .. } if says(error)), "{early:?}");
    assert_eq!(count(house.issued("root").await.chain_pem()), 1);
    assert_eq!(count(house.issued("middle").await.chain_pem()), 1, "the root is not served");
    house.clock.set(house.due("leaf").await);
    let first = house.issued("leaf").await;
    assert_eq!(count(first.chain_pem()), 2);
    let root = anchors(&house.root).await;
    assert_eq!(count(&root), 1);
    verified(&root, &first);

    // The leaf is renewed by the same CA, and then the CA is: with a new key, under the same root.
    house.clock.set(house.due("leaf").await);
    let second = house.issued("leaf").await;
    house.clock.set(house.due("middle").await);
    house.issued("middle").await;
    let third = house.issued("leaf").await;
    let ca_of = |leaf: &Issued| leaf.chain_pem().split("-----END").nth(1).unwrap().to_owned();
    assert!(ca_of(&first) == ca_of(&second) && ca_of(&second) != ca_of(&third));
    verified(&root, &third);

    // The root is changed: what is served is good under the old one, and what is made after that under the new one.
    house.clock.set(house.due("root").await);
    house.issued("middle").await;
    let before = house.issued("leaf").await;
    house.issued("root").await;
    // A process that starts anew knows both.
    let house = House::over(store, house.clock.clone());
    let both = anchors(&house.root).await;
    assert_eq!(count(&both), 2);
    assert!(both.ends_with(&root));
    house.clock.set(house.due("middle").await);
    house.issued("middle").await;
    house.issued("leaf").await;
    let after = house.serving("leaf").await;
    for leaf in [&before, &after] {
        // The one before has ended meanwhile.
        let at = leaf.facts().not_before + Duration::from_secs(120);
        house.clock.set(at);
        verified(&both, leaf);
    }
    openssl.iter().for_each(|openssl| {
        openssl.verify(&root, after.chain_pem(), &house.clock).unwrap_err();
    });
    assert_eq!(house.warnings(), Vec::<String>::new());
}

#[tokio::test]
async fn a_private_pki_keeps_itself_in_memory() {
    let clock = clock();
    lives(Arc::new(MemoryStore::with_clock(clock.clone())), clock).await;
}

#[tokio::test]
async fn a_private_pki_keeps_itself_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = FileStore::builder(directory.path()).clock(clock.clone()).open().unwrap();
    lives(Arc::new(store), clock).await;
}

#[tokio::test]
async fn all_is_wished_for_at_once_and_comes_by_itself() {
    let house = House::new();
    house.wish_for_all().await;
    house.keeper.start().await;
    house.keeper.rested().await;
    // Who came before its CA comes again a minute later, or two.
    for _ in 0..4 {
        house.clock.advance(Duration::from_secs(150));
        house.keeper.rested().await;
    }
    assert_eq!(house.serving("leaf").await.facts().issuer, "CN=Middle");
}

#[tokio::test]
async fn a_leaf_that_would_outlive_its_ca_is_cut_and_told_of_and_renewed_in_its_time() {
    let house = House::new();
    house.wish_for_all().await;
    let leaf = CertificateSpec::new("leaf", ["a.example"]).unwrap().duration(2 * YEAR);
    house.keeper.wish(leaf.issuer("middle-ca").unwrap()).await.unwrap();
    house.issued("root").await;
    let middle = house.issued("middle").await;
    let leaf = house.issued("leaf").await;
    assert_eq!(leaf.facts().not_after, middle.facts().not_after);
    let warnings = house.warnings();
    assert!(matches!(&*warnings, [one] if one.contains("CN=Middle")), "{warnings:?}");
    let due = house.due("leaf").await;
    assert!(due > house.clock.now() + DAY * 180 && due < leaf.facts().not_after, "{due}");
}

#[tokio::test]
async fn a_leaf_whose_key_is_in_other_hands_is_replaced_and_on_the_list() {
    let house = House::new();
    house.wish_for_all().await;
    house.issued("root").await;
    house.issued("middle").await;
    let stolen = house.issued("leaf").await;
    house.keeper.replace_compromised(&id("leaf")).await.unwrap();
    let leaf = house.issued("leaf").await;
    let lists = house.middle.crls().await.unwrap();
    let (_, list) = CertificateRevocationList::from_der(&lists[0]).unwrap();
    let revoked: Vec<_> = list.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect();
    assert_eq!(revoked.len(), 1);
    assert_eq!(data_encoding::HEXLOWER.encode(&revoked[0]), stolen.facts().serial);
    let Some(openssl) = Openssl::required() else { return };
    // Only the leaf's list is at hand, and only the leaf is looked up.
    let roots = anchors(&house.root).await;
    openssl.verify_unrevoked(&roots, leaf.chain_pem(), &lists[0], &house.clock).unwrap();
    openssl.verify_unrevoked(&roots, stolen.chain_pem(), &lists[0], &house.clock).unwrap_err();
}

#[tokio::test]
async fn a_ca_whose_key_is_in_other_hands_signs_nothing_until_it_is_replaced() {
    let house = House::new();
    house.wish_for_all().await;
    house.issued("root").await;
    house.issued("middle").await;
    house.keeper.replace_compromised(&id("root")).await.unwrap();
    house.keeper.wish(authority("other", "Other", YEAR, "root-ca")).await.unwrap();
    let outcome = house.step("other").await;
    let says = |error: &Error| error.to_string().contains("root is compromised");
    assert!(matches!(&outcome, Outcome::Failed { error, .. } if says(error)), "{outcome:?}");
    assert!(house.root.trust_anchors().await.is_err());
    house.issued("root").await;
    assert_eq!(count(&anchors(&house.root).await), 1, "the one before is trusted by nobody");
    house.clock.set(house.due("other").await);
    house.issued("other").await;
}

/// An ACME CA, a private one and none at all, side by side: each is asked for what is its own, and one takes another's
/// place.
#[tokio::test]
async fn issuers_stand_side_by_side_and_take_each_others_place() {
    let world = crate::scene::world().await;
    let now = Arc::new(ManualClock::new(SystemClock::new().now()));
    let mut late = named("Late");
    late.not_before = ::time::OffsetDateTime::UNIX_EPOCH;
    late.not_after = ::time::OffsetDateTime::UNIX_EPOCH + YEAR;
    let late = Ca::root(late).issuer(&now);
    let keeper = Keeper::builder(Arc::new(MemoryStore::with_clock(now.clone())))
        .clock(now.clone())
        .issuer(name("acme"), Arc::new(crate::scene::issuer(&world)))
        .issuer(name("ca"), Arc::new(late))
        .issuer(name("self-signed"), Arc::new(SelfSignedIssuer::builder().clock(now.clone()).build()))
        .build();
    let site = crate::scene::spec().issuer("acme").unwrap();
    let lab = CertificateSpec::new("lab", ["lab.example"]).unwrap().issuer("self-signed").unwrap();
    let inner = CertificateSpec::new("inner", ["inner.example"]).unwrap().issuer("ca").unwrap();
    let inner = inner.fallback_issuer("self-signed").unwrap();
    for spec in [&site, &lab, &inner] {
        keeper.wish(spec.clone()).await.unwrap();
    }
    for spec in [&site, &lab] {
        let outcome = keeper.step(spec.id()).await.unwrap();
        assert!(matches!(outcome, Outcome::Issued { .. }), "{outcome:?}");
    }
    let outcome = keeper.step(inner.id()).await.unwrap();
    assert!(
        matches!(&outcome, Outcome::Failed { error, .. } if error.to_string().contains("Late ended")),
        "{outcome:?}"
    );
    let standing = keeper.issuers();
    assert!(
        standing.contains(&(name("ca"), Status::False)) && standing.contains(&(name("acme"), Status::True))
    );
    // It is waited for as long as there is time, and then the next one is asked.
    now.advance(Duration::from_secs(700));
    let outcome = keeper.step(inner.id()).await.unwrap();
    assert!(matches!(outcome, Outcome::Issued { .. }), "{outcome:?}");
    let current = keeper.current(inner.id()).await.unwrap().unwrap();
    assert_eq!(current.facts().issuer, "CN=inner.example");
}
