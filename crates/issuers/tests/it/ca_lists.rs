//! What a CA says of what it has revoked, and which of its keys it knows.

use std::sync::Arc;

use async_trait::async_trait;
use perennial_core::{SecretBytes, Timestamp};
use perennial_issuers::{CaIssuer, CaSource};
use perennial_lifecycle::{
    IssuedChain, Issuer as _, Journal, MemoryStore, Revocation, Slot, Store, StoreError, store,
};
use rcgen::KeyIdMethod;
use tempfile::TempDir;
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, ParsedExtension, ReasonCode};

use crate::pki::{Ca, DAY, NOW, anchors, clock, count, issue, named, spec};

async fn revoke(issuer: &CaIssuer, chain: &IssuedChain) {
    let journal = Journal::in_memory(spec("a.example"), clock()).await.unwrap();
    issuer.revoke(&Revocation::new(chain.clone(), None), &journal).await.unwrap();
}

fn read(list: &[u8]) -> CertificateRevocationList<'_> {
    CertificateRevocationList::from_der(list).unwrap().1
}

/// A CA in two files, which somebody changes.
struct Files {
    directory: TempDir,
    changes: usize,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), changes: 0 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn source(&self) -> CaSource {
        CaSource::files(self.path("ca.pem"), self.path("ca.key"))
    }

    /// What is written is of another length each time, so that nobody needs a clock to see it.
    fn hold(&mut self, ca: &Ca) {
        self.changes += 1;
        let end = "\n".repeat(self.changes);
        std::fs::write(self.path("ca.pem"), ca.chain.clone() + &end).unwrap();
        std::fs::write(self.path("ca.key"), ca.key_pem().expose().to_owned() + &end).unwrap();
    }
}

#[tokio::test]
async fn a_list_holds_for_its_time_and_no_longer_than_its_ca_and_says_whose_key_and_why() {
    let key_id = vec![7; 20];
    for (ends, holds) in [(DAY * 30, DAY * 7), (DAY * 3, DAY * 3)] {
        let mut params = named("Root");
        params.not_after = OffsetDateTime::from_unix_timestamp(NOW).unwrap() + ends;
        params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.clone());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let issuer = Ca::root(params).builder(&clock()).ledger(store, "ca".parse().unwrap()).build().unwrap();
        let leaf = issue(&issuer, &spec("a.example")).await.unwrap();
        revoke(&issuer, &leaf).await;
        let lists = issuer.crls().await.unwrap();
        let list = read(&lists[0]);
        let next = Timestamp::from_unix(list.next_update().unwrap().timestamp());
        assert_eq!(next, Timestamp::from_unix(NOW) + holds);
        let reasons: Vec<_> =
            list.iter_revoked_certificates().map(|it| it.reason_code().unwrap().1).collect();
        assert_eq!(reasons, [ReasonCode::KeyCompromise]);
        let moments: Vec<_> =
            list.iter_revoked_certificates().map(|it| it.revocation_date.timestamp()).collect();
        assert_eq!((list.last_update().timestamp(), moments), (NOW, vec![NOW]));
        let identifiers = list.extensions().iter().find_map(|it| match it.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(of) => of.key_identifier.as_ref().map(|id| id.0.to_vec()),
            _ => None,
        });
        assert_eq!(identifiers.as_ref(), Some(&key_id));
    }
}

/// A store in which whoever reads is overtaken before he writes.
struct Slow(MemoryStore);

#[async_trait]
impl store::Overlay for Slow {
    type Below = MemoryStore;

    fn below(&self) -> &MemoryStore {
        &self.0
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        let read = self.0.read(slot).await;
        tokio::task::yield_now().await;
        read
    }
}

#[tokio::test]
async fn two_processes_that_revoke_at_once_lose_nothing_of_each_other() {
    let root = Ca::root(named("Root"));
    let store: Arc<dyn Store> = Arc::new(Slow(MemoryStore::new()));
    let issuer = || root.builder(&clock()).ledger(store.clone(), "ca".parse().unwrap()).build().unwrap();
    let (one, two) = (issuer(), issuer());
    let first = issue(&one, &spec("a.example")).await.unwrap();
    let second = issue(&two, &spec("b.example")).await.unwrap();
    tokio::join!(revoke(&one, &first), revoke(&two, &second));
    let lists = one.crls().await.unwrap();
    assert_eq!(read(&lists[0]).iter_revoked_certificates().count(), 2);
}

/// A store in which nothing can be written.
struct Full(MemoryStore);

#[async_trait]
impl store::Overlay for Full {
    type Below = MemoryStore;

    fn below(&self) -> &MemoryStore {
        &self.0
    }

    async fn write_if(&self, _: &Slot, _: Option<&SecretBytes>, _: &SecretBytes) -> Result<(), StoreError> {
        let (store, reason) = ("a disk".to_owned(), "it is full".to_owned());
        Err(StoreError::Unavailable { doing: "write to", store, reason })
    }
}

#[tokio::test]
async fn what_could_not_be_written_down_is_not_told_as_revoked() {
    let store: Arc<dyn Store> = Arc::new(Full(MemoryStore::new()));
    let issuer = Ca::root(named("Root")).builder(&clock()).ledger(store, "ca".parse().unwrap());
    let issuer = issuer.build().unwrap();
    let leaf = issue(&issuer, &spec("a.example")).await.unwrap();
    let journal = Journal::in_memory(spec("a.example"), clock()).await.unwrap();
    let error = issuer.revoke(&Revocation::new(leaf, None), &journal).await.unwrap_err();
    assert!(error.message.contains("it is full"), "{error}");
    assert!(issuer.crls().await.unwrap_err().to_string().contains("it is full"));
}

#[tokio::test]
async fn what_has_ended_for_long_is_forgotten_with_the_next_revocation() {
    let (root, clock) = (Ca::root(named("Root")), clock());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let issuer = root.builder(&clock).ledger(store.clone(), "ca".parse().unwrap()).build().unwrap();
    let old = issue(&issuer, &spec("a.example")).await.unwrap();
    revoke(&issuer, &old).await;
    clock.advance(DAY * 98);
    let new = issue(&issuer, &spec("a.example")).await.unwrap();
    revoke(&issuer, &new).await;
    let slot = Slot::IssuerState { issuer: "ca".parse().unwrap() };
    let kept = store.read(&slot).await.unwrap().unwrap();
    let kept = String::from_utf8_lossy(kept.expose()).into_owned();
    assert!(!kept.contains(&old.facts().serial) && kept.contains(&new.facts().serial), "{kept}");
}

#[tokio::test]
async fn what_has_ended_a_moment_ago_stays_on_the_list_whatever_is_revoked_meanwhile() {
    let (root, clock) = (Ca::root(named("Root")), clock());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let issuer = root.builder(&clock).ledger(store, "ca".parse().unwrap()).build().unwrap();
    let old = issue(&issuer, &spec("a.example")).await.unwrap();
    revoke(&issuer, &old).await;
    clock.advance(DAY * 91);
    let new = issue(&issuer, &spec("a.example")).await.unwrap();
    revoke(&issuer, &new).await;
    let lists = issuer.crls().await.unwrap();
    assert_eq!(read(&lists[0]).iter_revoked_certificates().count(), 2);
}

#[tokio::test]
async fn a_root_that_is_given_twice_is_one_and_a_ca_that_was_renewed_with_its_key_has_one_list() {
    let root = Ca::root(named("Root"));
    let issuer = root.builder(&clock()).trust_anchors(&root.chain).trust_anchors(&root.chain);
    assert_eq!(count(&anchors(&issuer.build().unwrap()).await), 1);

    let mut files = Files::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let issuer = CaIssuer::builder(files.source()).clock(clock()).ledger(store, "ca".parse().unwrap());
    let issuer = issuer.build().unwrap();
    files.hold(&root);
    issuer.ready().await.unwrap();
    let mut params = named("Root");
    params.serial_number = Some(2_u64.into());
    let chain = params.self_signed(&root.key).unwrap().pem();
    files.hold(&Ca { params, key: rcgen::KeyPair::from_pem(&root.key.serialize_pem()).unwrap(), chain });
    assert_eq!(issuer.crls().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_ca_that_has_ended_is_trusted_by_nobody_and_signs_no_list() {
    let (mut files, clock) = (Files::new(), clock());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let issuer = CaIssuer::builder(files.source()).clock(clock.clone());
    let issuer = issuer.ledger(store, "ca".parse().unwrap()).build().unwrap();
    let mut short = named("Old");
    short.not_after = OffsetDateTime::from_unix_timestamp(NOW).unwrap() + DAY;
    files.hold(&Ca::root(short));
    issuer.ready().await.unwrap();
    files.hold(&Ca::root(named("New")));
    assert_eq!((count(&anchors(&issuer).await), issuer.crls().await.unwrap().len()), (2, 2));
    clock.advance(DAY * 2);
    assert_eq!((count(&anchors(&issuer).await), issuer.crls().await.unwrap().len()), (1, 1));
}

#[tokio::test]
async fn sixteen_keys_are_known_the_newest_and_a_look_at_the_same_files_costs_none() {
    let mut files = Files::new();
    let issuer = CaIssuer::builder(files.source()).clock(clock()).build().unwrap();
    for number in 0..18 {
        files.hold(&Ca::root(named(&format!("Root {number}"))));
        issuer.ready().await.unwrap();
        issuer.ready().await.unwrap();
        let known = count(&anchors(&issuer).await);
        assert_eq!(known, (number + 1).min(16));
    }
}

#[tokio::test]
async fn a_file_that_is_no_chain_by_its_size_is_not_read() {
    let mut files = Files::new();
    let issuer = CaIssuer::builder(files.source()).clock(clock()).build().unwrap();
    let mut large = Ca::root(named("Root"));
    large.chain.push_str(&"\n".repeat(1 << 20));
    files.hold(&large);
    let error = issuer.ready().await.unwrap_err();
    assert!(error.message.contains("ca.pem") && error.message.contains("bytes"), "{error}");
}
