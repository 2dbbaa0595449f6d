//! Certificates that are signed with the key of a CA.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock as _, Retry, SecretString, Timestamp};
use perennial_issuers::{
    CaIssuer, CaSource,
    ca::{SignatureAlgorithm, Signer, SignerError},
};
use perennial_lifecycle::{
    CertificateSpec, IssueErrorClass, IssuedChain, Issuer as _, IssuerName, Journal, KeyAlgorithm,
    MemoryStore, Revocation, Store, Subject, Usage,
};
use rcgen::{
    BasicConstraints, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, SigningKey as _,
};
use x509_parser::prelude::*;

use crate::pki::{Ca, DAY, NOW, Openssl, YEAR, anchors, clock, count, issue, named, spec};

/// A root, and an intermediate below it.
fn two() -> (Ca, Ca) {
    let root = Ca::root(named("Root"));
    let middle = root.below(named("Middle"));
    (root, middle)
}

#[tokio::test]
async fn a_leaf_is_served_with_its_ca_and_without_the_root_and_says_where_to_ask() {
    let (root, middle) = two();
    let clock = clock();
    let issuer = middle
        .builder(&clock)
        .ca_issuers_url("http://ca.example/ca.cer")
        .ocsp_url("http://ocsp.example")
        .crl_url("http://ca.example/ca.crl")
        .build()
        .unwrap();
    let spec =
        spec("a.example").subject(Subject::named("a")).usages([Usage::DigitalSignature, Usage::ClientAuth]);
    let chain = issue(&issuer, &spec).await.unwrap();
    assert_eq!(count(chain.pem()), 2);
    assert_eq!(chain.facts().issuer, "CN=Middle");
    assert_eq!(chain.facts().not_before, Timestamp::from_unix(NOW - 60));
    assert_eq!(chain.facts().lifetime(), DAY * 90);
    assert!((30..=34).contains(&chain.facts().serial.len()), "{}", chain.facts().serial);
    assert_eq!(anchors(&issuer).await, root.chain.replace("\r\n", "\n"));

    let Some(openssl) = Openssl::required() else { return };
    openssl.verify(&root.chain, chain.pem(), &clock).unwrap();
    let text = openssl.text(chain.pem());
    for says in [
        "CA Issuers - URI:http://ca.example/ca.cer",
        "OCSP - URI:http://ocsp.example",
        "URI:http://ca.example/ca.crl",
        "TLS Web Client Authentication",
        "Subject: CN = a",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(text.contains(says), "no {says} in {text}");
    }
}

#[tokio::test]
async fn keys_of_every_kind_sign_and_are_signed() {
    for algorithm in [KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048] {
        let key = perennial_lifecycle::PrivateKey::generate(algorithm).unwrap();
        let pair = KeyPair::from_pem(key.to_pem().expose()).unwrap();
        let pem = named("Root").self_signed(&pair).unwrap().pem();
        let issuer =
            CaIssuer::builder(CaSource::pem(pem.as_str(), key.to_pem())).clock(clock()).build().unwrap();
        let chain = issue(&issuer, &spec("a.example").key_algorithm(algorithm)).await.unwrap();
        let (leaf, root) = (chain.leaf_der(), pem::der(&pem));
        let (_, root) = X509Certificate::from_der(&root).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        leaf.verify_signature(Some(root.public_key())).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
    }
}

mod pem {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};

    pub(super) fn der(pem: &str) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }
}

#[tokio::test]
async fn what_cannot_sign_is_told_apart_when_it_is_given() {
    let (root, middle) = two();
    let mut plain = named("Plain");
    plain.is_ca = IsCa::ExplicitNoCa;
    let mut mute = named("Mute");
    mute.key_usages = vec![KeyUsagePurpose::CrlSign];
    let mut loud = named("Lo\u{1b}[31mud");
    loud.is_ca = IsCa::ExplicitNoCa;
    let fault = Ca::root(loud).fault();
    assert!(fault.contains("ud is no CA") && !fault.contains('\u{1b}'), "{fault}");
    let mut low = named("Low");
    low.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let mut twice = named("Twice");
    twice.distinguished_name = rcgen::DistinguishedName::new();
    let with = |chain: String, key: &Ca| Ca {
        chain,
        key: KeyPair::from_pem(&key.key.serialize_pem()).unwrap(),
        params: key.params.clone(),
    };
    for (fault, says) in [
        (Ca::root(plain).fault(), "Plain is no CA"),
        (Ca::root(mute).fault(), "keyCertSign"),
        (Ca::root(twice).fault(), "cannot be written as an issuer"),
        (with(root.chain.clone(), &middle).fault(), "the key is not that of the CA CN=Root"),
        (with(String::new(), &root).fault(), "no certificate"),
        (with("-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), &root).fault(), "malformed"),
        (
            with("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), &root).fault(),
            "malformed",
        ),
        (with(middle.chain.clone() + &middle.chain, &middle).fault(), "certificate 1"),
        (with(middle.chain.repeat(9), &middle).fault(), "more than 16"),
        (Ca::root(low).below(named("Middle")).below(named("Under")).fault(), "path length"),
    ] {
        assert!(fault.contains(says), "{fault}");
    }
    // One that is called as the root is, and has not signed it.
    let (own, _) = middle.chain.split_at(middle.chain.match_indices("-----BEGIN").nth(1).unwrap().0);
    let fault = with(own.to_owned() + &Ca::root(named("Root")).chain, &middle).fault();
    assert!(fault.contains("certificate 0"), "{fault}");
    let secret = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    let error = CaIssuer::builder(CaSource::pem(root.chain.as_str(), SecretString::new(secret))).build();
    let error = error.err().unwrap().to_string();
    assert!(error.contains("PKCS#8") && !error.contains("hunter2"), "{error}");
    let error = root.builder(&clock()).crl_url("ca.example").build().err().unwrap().to_string();
    assert!(error.contains("\"ca.example\" is no URL"), "{error}");
}

#[tokio::test]
async fn one_that_has_ended_or_not_begun_signs_nothing_and_is_not_ready() {
    let clock = clock();
    let issuer = Ca::root(named("Root")).issuer(&clock);
    issuer.ready().await.unwrap();
    for (now, says) in [(NOW + 3_660 * 86_400, "ended"), (NOW - 366 * 86_400, "begins")] {
        clock.set(Timestamp::from_unix(now));
        for error in
            [issuer.ready().await.unwrap_err(), issue(&issuer, &spec("a.example")).await.unwrap_err()]
        {
            assert!(error.message.contains(says) && error.message.contains("Root"), "{error}");
            assert_eq!((error.class, error.retry()), (IssueErrorClass::Transient, Retry::Backoff));
            assert!(error.is_the_issuers());
        }
    }
}

#[tokio::test]
async fn nothing_outlives_the_ca_or_those_above_it_nor_begins_before_them() {
    let clock = clock();
    let mut short = named("Root");
    short.not_after = ::time::OffsetDateTime::from_unix_timestamp(NOW).unwrap() + DAY * 20;
    short.not_before = ::time::OffsetDateTime::from_unix_timestamp(NOW).unwrap() - Duration::from_secs(10);
    let middle = Ca::root(short).below(named("Middle"));
    let chain = issue(&middle.issuer(&clock), &spec("a.example").duration(YEAR)).await.unwrap();
    assert_eq!(chain.facts().not_after, clock.now() + DAY * 20);
    assert_eq!(chain.facts().not_before, Timestamp::from_unix(NOW - 10));
}

#[tokio::test]
async fn a_path_length_is_handed_down_and_ends() {
    let clock = clock();
    let mut root = named("Root");
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    let root = Ca::root(root);
    let sub = CertificateSpec::authority("sub", Subject::named("Sub")).unwrap();
    let chain = issue(&root.issuer(&clock), &sub).await.unwrap();
    let der = chain.leaf_der();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap().value;
    assert_eq!((constraints.ca, constraints.path_len_constraint), (true, Some(0)));

    let mut low = named("Low");
    low.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let low = root.below(low);
    let error = issue(&low.issuer(&clock), &sub).await.unwrap_err();
    assert!(error.message.contains("path length") && error.message.contains("Low"), "{error}");
    assert_eq!((error.class, error.retry()), (IssueErrorClass::Policy, Retry::Never));
    issue(&low.issuer(&clock), &spec("a.example")).await.unwrap();
}

#[tokio::test]
async fn of_several_path_lengths_the_shortest_counts() {
    let clock = clock();
    let constrained = |name: &str, most| {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most));
        params
    };
    let root = Ca::root(constrained("Root", 3));
    let sub = CertificateSpec::authority("sub", Subject::named("Sub")).unwrap();
    for (wished, handed_down) in [(1, 1), (9, 2)] {
        let issuer = root.builder(&clock).path_length(wished).build().unwrap();
        let der = issue(&issuer, &sub).await.unwrap().leaf_der();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let constraints = certificate.basic_constraints().unwrap().unwrap().value;
        assert_eq!(constraints.path_len_constraint, Some(handed_down));
    }
    // That of the CA itself, where the one above it has room.
    let error = issue(&root.below(constrained("Low", 0)).issuer(&clock), &sub).await.unwrap_err();
    assert!(error.message.contains("path length"), "{error}");
}

#[tokio::test]
async fn names_that_the_ca_may_not_sign_are_refused_before_they_are_signed() {
    let mut root = named("Root");
    root.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
        excluded_subtrees: vec![GeneralSubtree::DnsName("secret.example.com".to_owned())],
    });
    // Those of a CA above count as well.
    let issuer = Ca::root(root).below(named("Middle")).issuer(&clock());
    issue(&issuer, &spec("www.example.com")).await.unwrap();
    for (name, says) in [
        ("www.example.org", "nothing that is permitted"),
        ("a.secret.example.com", "excluded"),
        ("*.example.com", "excluded"),
    ] {
        let error = issue(&issuer, &spec(name)).await.unwrap_err();
        assert!(error.message.contains(says) && error.message.contains(name), "{error}");
        assert_eq!((error.class, error.retry()), (IssueErrorClass::Policy, Retry::Never));
    }
}

/// A key somewhere else.
struct Far {
    key: KeyPair,
    algorithm: SignatureAlgorithm,
    asked: AtomicUsize,
    locked: bool,
}

#[async_trait]
impl Signer for Far {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(3)).await;
        if self.locked {
            return Err(SignerError::new("it is locked", Retry::Backoff));
        }
        Ok(self.key.sign(message).unwrap())
    }
}

fn far(key: &KeyPair, locked: bool) -> Arc<Far> {
    let (key, algorithm) =
        (KeyPair::from_pem(&key.serialize_pem()).unwrap(), SignatureAlgorithm::EcdsaP256Sha256);
    Arc::new(Far { key, algorithm, asked: AtomicUsize::default(), locked })
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_elsewhere_signs_once_for_each_certificate_and_list() {
    let (root, middle) = two();
    let clock = clock();
    let signer = far(&middle.key, false);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let issuer = CaIssuer::builder(CaSource::signer(middle.chain.as_str(), signer.clone()))
        .clock(clock.clone())
        .ledger(store, "ca".parse().unwrap())
        .build()
        .unwrap();
    let chain = issue(&issuer, &spec("a.example")).await.unwrap();
    assert_eq!(signer.asked.load(Ordering::SeqCst), 1);
    let (leaf, ca) = (chain.leaf_der(), pem::der(&middle.chain));
    let (_, ca) = X509Certificate::from_der(&ca).unwrap();
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    leaf.verify_signature(Some(ca.public_key())).unwrap();
    let lists = issuer.crls().await.unwrap();
    assert_eq!((lists.len(), signer.asked.load(Ordering::SeqCst)), (1, 2));
    let (_, list) = CertificateRevocationList::from_der(&lists[0]).unwrap();
    list.verify_signature(ca.public_key()).unwrap();
    let Some(openssl) = Openssl::required() else { return };
    openssl.verify(&root.chain, chain.pem(), &clock).unwrap();
}

#[tokio::test(start_paused = true)]
async fn keys_of_every_kind_may_be_elsewhere() {
    let clock = clock();
    for (kind, algorithm) in [
        (KeyAlgorithm::EcdsaP384, SignatureAlgorithm::EcdsaP384Sha384),
        (KeyAlgorithm::Ed25519, SignatureAlgorithm::Ed25519),
        (KeyAlgorithm::Rsa2048, SignatureAlgorithm::RsaSha256),
        (KeyAlgorithm::Rsa2048, SignatureAlgorithm::RsaSha384),
        (KeyAlgorithm::Rsa2048, SignatureAlgorithm::RsaSha512),
    ] {
        let key = rsa_once(kind);
        let root = named("Root").self_signed(&KeyPair::from_pem(key.expose()).unwrap()).unwrap().pem();
        let signing = match algorithm {
            SignatureAlgorithm::RsaSha384 => &rcgen::PKCS_RSA_SHA384,
            SignatureAlgorithm::RsaSha512 => &rcgen::PKCS_RSA_SHA512,
            _ => KeyPair::from_pem(key.expose()).unwrap().algorithm(),
        };
        let key = KeyPair::from_pem_and_sign_algo(key.expose(), signing).unwrap();
        let signer = Arc::new(Far { key, algorithm, asked: AtomicUsize::default(), locked: false });
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let issuer = CaIssuer::builder(CaSource::signer(root.as_str(), signer)).clock(clock.clone());
        let issuer = issuer.ledger(store, "ca".parse().unwrap()).build().unwrap();
        let chain =
            issue(&issuer, &spec("a.example")).await.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        let (leaf, root_der) = (chain.leaf_der(), pem::der(&root));
        let (_, ca) = X509Certificate::from_der(&root_der).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        leaf.verify_signature(Some(ca.public_key())).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        let lists = issuer.crls().await.unwrap();
        let (_, list) = CertificateRevocationList::from_der(&lists[0]).unwrap();
        list.verify_signature(ca.public_key()).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        if let Some(openssl) = Openssl::required() {
            openssl.verify(&root, chain.pem(), &clock).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        }
    }
}

/// A key as PEM; RSA keys, which take long to make, are the same one.
fn rsa_once(kind: KeyAlgorithm) -> SecretString {
    static RSA: std::sync::OnceLock<SecretString> = std::sync::OnceLock::new();
    let made = || perennial_lifecycle::PrivateKey::generate(kind).unwrap().to_pem();
    if kind == KeyAlgorithm::Rsa2048 { RSA.get_or_init(made).clone() } else { made() }
}

#[tokio::test(start_paused = true)]
async fn an_algorithm_that_is_not_that_of_the_cas_key_is_found_out() {
    let root = Ca::root(named("Root"));
    let key = KeyPair::from_pem(&root.key.serialize_pem()).unwrap();
    let algorithm = SignatureAlgorithm::RsaSha256;
    let signer = Arc::new(Far { key, algorithm, asked: AtomicUsize::default(), locked: false });
    let issuer = CaIssuer::builder(CaSource::signer(root.chain.as_str(), signer)).clock(clock()).build();
    let said = match issuer {
        Err(error) => error.to_string(),
        Ok(issuer) => issue(&issuer, &spec("a.example")).await.unwrap_err().to_string(),
    };
    assert!(said.contains("RSA with SHA-256") && said.contains("Root"), "{said}");
}

#[tokio::test]
async fn keys_in_the_older_forms_sign_too() {
    let Some(openssl) = Openssl::required() else { return };
    for kind in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Rsa2048] {
        let key = rsa_once(kind);
        let root = named("Root").self_signed(&KeyPair::from_pem(key.expose()).unwrap()).unwrap().pem();
        let older = openssl.traditional(key.expose());
        assert!(older.contains("BEGIN EC PRIVATE KEY") || older.contains("BEGIN RSA PRIVATE KEY"), "{kind}");
        let source = CaSource::pem(root.as_str(), SecretString::new(older));
        let issuer = CaIssuer::builder(source)
            .clock(clock())
            .build()
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        let chain = issue(&issuer, &spec("a.example")).await.unwrap();
        openssl.verify(&root, chain.pem(), &clock()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_signature_of_another_key_is_found_out_and_a_locked_one_tried_again() {
    let (root, middle) = two();
    for (signer, says) in
        [(far(&root.key, false), "not one of the key of CN=Middle"), (far(&middle.key, true), "locked")]
    {
        let issuer = CaIssuer::builder(CaSource::signer(middle.chain.as_str(), signer)).clock(clock());
        let error = issue(&issuer.build().unwrap(), &spec("a.example")).await.unwrap_err();
        assert!(error.message.contains(says), "{error}");
        assert_eq!((error.class, error.retry()), (IssueErrorClass::Transient, Retry::Backoff));
    }
}

#[tokio::test]
async fn files_are_read_again_when_they_change_and_the_root_before_is_trusted_on() {
    let (old, new) = (Ca::root(named("Root")), Ca::root(named("Root")));
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (directory.path().join("ca.pem"), directory.path().join("ca.key"));
    let issuer = CaIssuer::builder(CaSource::files(&chain, &key)).clock(clock()).build().unwrap();
    let error = issuer.ready().await.unwrap_err();
    assert!(error.message.contains("ca.pem"), "{error}");
    std::fs::create_dir(&key).unwrap();
    std::fs::write(&chain, &old.chain).unwrap();
    let error = issuer.ready().await.unwrap_err();
    assert!(error.message.contains("ca.key is no regular file"), "{error}");
    std::fs::remove_dir(&key).unwrap();

    std::fs::write(&key, old.key_pem().expose()).unwrap();
    let first = issue(&issuer, &spec("a.example")).await.unwrap();
    // Half of the change.
    std::fs::write(&chain, format!("{}\n", new.chain)).unwrap();
    let error = issue(&issuer, &spec("a.example")).await.unwrap_err();
    assert!(error.message.contains("not that of the CA") && error.retry() == Retry::Backoff, "{error}");
    std::fs::write(&key, format!("{}\n", new.key_pem().expose())).unwrap();
    let second = issue(&issuer, &spec("a.example")).await.unwrap();

    let (both, Some(openssl)) = (anchors(&issuer).await, Openssl::required()) else { return };
    assert_eq!(count(&both), 2);
    for chain in [&first, &second] {
        openssl.verify(&both, chain.pem(), &clock()).unwrap();
    }
    openssl.verify(&new.chain, first.pem(), &clock()).unwrap_err();
}

fn revocation(chain: &IssuedChain) -> Revocation {
    Revocation::new(chain.clone(), None)
}

async fn journal() -> Journal {
    Journal::in_memory(spec("a.example"), clock()).await.unwrap()
}

/// The serial numbers in a list, in lower-case hex.
fn serials(list: &[u8]) -> Vec<String> {
    let (_, list) = CertificateRevocationList::from_der(list).unwrap();
    let raw = list.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec());
    raw.map(|raw| data_encoding::HEXLOWER.encode(&raw)).collect()
}

#[tokio::test]
async fn what_was_revoked_is_on_the_list_until_it_has_ended_and_the_account_of_it_outlives_the_process() {
    let (root, clock) = (Ca::root(named("Root")), clock());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let name: IssuerName = "ca".parse().unwrap();
    let issuer = || root.builder(&clock).ledger(store.clone(), name.clone()).build().unwrap();
    let [bad, good] =
        [issue(&issuer(), &spec("a.example")).await, issue(&issuer(), &spec("b.example")).await]
            .map(Result::unwrap);
    for _ in 0..2 {
        issuer().revoke(&revocation(&bad), &journal().await).await.unwrap();
    }
    let lists = issuer().crls().await.unwrap();
    assert_eq!(serials(&lists[0]), [bad.facts().serial.clone()]);
    let number = |list: &[u8]| {
        let (_, list) = CertificateRevocationList::from_der(list).unwrap();
        list.crl_number().map(ToString::to_string)
    };
    let again = issuer().crls().await.unwrap();
    assert_eq!(
        [number(&lists[0]), number(&again[0])].map(Option::unwrap),
        ["1", "2"],
        "no number comes twice"
    );

    if let Some(openssl) = Openssl::required() {
        openssl.verify_unrevoked(&root.chain, good.pem(), &lists[0], &clock).unwrap();
        let said = openssl.verify_unrevoked(&root.chain, bad.pem(), &lists[0], &clock).unwrap_err();
        assert!(said.contains("revoked"), "{said}");
    }
    // It stays a week beyond its end (RFC 5280 §3.3).
    clock.advance(DAY * 91);
    assert_eq!(serials(&issuer().crls().await.unwrap()[0]).len(), 1);
    clock.advance(DAY * 7);
    assert_eq!(serials(&issuer().crls().await.unwrap()[0]).len(), 0);
}

#[tokio::test]
async fn what_another_ca_signed_and_what_nobody_writes_down_is_not_revoked() {
    let (ours, theirs) = (Ca::root(named("Root")), Ca::root(named("Root")));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let foreign = issue(&theirs.issuer(&clock()), &spec("a.example")).await.unwrap();
    let issuer = ours.builder(&clock()).ledger(store.clone(), "ca".parse().unwrap()).build().unwrap();
    let error = issuer.revoke(&revocation(&foreign), &journal().await).await.unwrap_err();
    assert!(error.message.contains(&foreign.facts().serial), "{error}");
    assert_eq!((error.class, error.retry()), (IssueErrorClass::Policy, Retry::Never));
    let error = theirs.issuer(&clock()).revoke(&revocation(&foreign), &journal().await).await.unwrap_err();
    assert!(error.message.contains("ledger"), "{error}");
    assert!(theirs.issuer(&clock()).crls().await.unwrap_err().to_string().contains("ledger"));

    let mut mute = named("Mute");
    mute.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let mute = Ca::root(mute).builder(&clock()).ledger(store, "ca".parse().unwrap()).build().unwrap();
    let error = mute.crls().await.unwrap_err().to_string();
    assert!(error.contains("the CA CN=Mute may not sign CRLs"), "{error}");
}

#[tokio::test]
async fn what_an_earlier_key_signed_is_on_the_list_of_that_key_alone() {
    let (old, new) = (Ca::root(named("Root")), Ca::root(named("Root")));
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (directory.path().join("ca.pem"), directory.path().join("ca.key"));
    let write = |ca: &Ca, end: &str| {
        std::fs::write(&chain, ca.chain.clone() + end).unwrap();
        std::fs::write(&key, ca.key_pem().expose().to_owned() + end).unwrap();
    };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let issuer = CaIssuer::builder(CaSource::files(&chain, &key)).clock(clock());
    let issuer = issuer.ledger(store, "ca".parse().unwrap()).build().unwrap();
    write(&old, "");
    let leaf = issue(&issuer, &spec("a.example")).await.unwrap();
    write(&new, "\n");
    issuer.ready().await.unwrap();
    issuer.revoke(&revocation(&leaf), &journal().await).await.unwrap();
    let lists = issuer.crls().await.unwrap();
    let listed: Vec<_> = lists.iter().map(|list| serials(list)).collect();
    assert_eq!(listed, [vec![], vec![leaf.facts().serial.clone()]]);
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_not_begun_anew() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let issuer: IssuerName = "ca".parse().unwrap();
    let slot = perennial_lifecycle::Slot::IssuerState { issuer: issuer.clone() };
    let broken = perennial_core::SecretBytes::new(*b"{\"revoked\": 7}");
    store.write(&slot, &broken).await.unwrap();
    let ca = Ca::root(named("Root")).builder(&clock()).ledger(store.clone(), issuer).build().unwrap();
    assert!(ca.crls().await.unwrap_err().to_string().contains("the state of issuer ca"));
    assert!(store.read(&slot).await.unwrap() == Some(broken));
}
