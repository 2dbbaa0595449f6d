//! Real handshakes, while certificates come, are renewed and go.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial::{
    AcmeIssuer, Certificate, CertificateSpec, Manager, MemoryStore, TlsAlpn01,
    core::ReqwestClient,
    issuers::solver::tls_alpn01::{ChallengeCertificates, SelfCheck},
    lifecycle::{self, CertificateId, Record, Store, StoreError, Version},
    rustls::{CertificateResolver, Serve as _, ServedCertificate, ServingError},
};
use perennial_core::SecretString;
use perennial_testkit::{CertificateAuthority, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::Authority,
    client::{connect, served_by},
};

fn manager(store: &Arc<MemoryStore>) -> Manager {
    Manager::builder(store.clone()).issuer("test", Authority::new()).unwrap().build()
}

fn spec(id: &str, names: &[&str]) -> CertificateSpec {
    CertificateSpec::new(id, names.iter().copied()).unwrap()
}

fn id(text: &str) -> CertificateId {
    text.parse().unwrap()
}

/// Serves connections until the runtime ends: what comes in goes out again.
async fn echo(resolver: &CertificateResolver) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(resolver.server_config(&["echo"])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (mut reading, mut writing) = tokio::io::split(acceptor.accept(stream).await?);
                tokio::io::copy(&mut reading, &mut writing).await
            });
        }
    });
    address
}

fn serial(resolver: &CertificateResolver, of: &str) -> Option<String> {
    resolver.served(&id(of)).map(|served| served.facts().serial.clone())
}

/// Waits until it is so, for ten minutes: of the test's time, where that is not the machine's.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Has a certificate renewed, and returns the new one's serial number.
async fn renew(certificate: &Certificate) -> String {
    let current = certificate.ready().await.unwrap();
    certificate.keeper().replace_compromised(certificate.id()).await.unwrap();
    certificate.changed(&current).await.unwrap().facts().serial.clone()
}

#[tokio::test]
async fn handshakes_get_each_renewal_and_a_connection_that_is_open_stays() {
    let manager = manager(&Arc::new(MemoryStore::new()));
    let certificate = manager.keep(spec("site", &["a.example"])).await.unwrap();
    let resolver = certificate.rustls();
    let first = certificate.ready().await.unwrap().facts().serial.clone();
    until("the first is served", || serial(&resolver, "site").is_some()).await;

    let address = echo(&resolver).await;
    let mut open = connect(address, "a.example", &["echo"]).await.unwrap();
    assert_eq!(served_by(&open).serial, first);
    for name in ["b.example", "127.0.0.1"] {
        let stranger = connect(address, name, &[]).await.unwrap();
        assert_eq!(served_by(&stranger).serial, first, "one certificate is for everybody");
    }

    let second = renew(&certificate).await;
    until("the renewal is served", || serial(&resolver, "site") == Some(second.clone())).await;
    let new = connect(address, "a.example", &["echo"]).await.unwrap();
    assert_eq!(served_by(&new).serial, second);
    open.write_all(b"still here").await.unwrap();
    let mut answer = [0; 10];
    open.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"still here");
}

#[tokio::test]
async fn all_certificates_of_a_manager_are_served_by_name_and_others_are_refused() {
    let manager = manager(&Arc::new(MemoryStore::new()));
    let first = manager.keep(spec("first", &["a.example", "*.a.example"])).await.unwrap();
    let stored = first.ready().await.unwrap().facts().serial.clone();
    let resolver = manager.resolver().await.unwrap();
    assert_eq!(serial(&resolver, "first"), Some(stored), "what is there is served at once");

    let second = manager.keep(spec("second", &["b.example"])).await.unwrap();
    second.ready().await.unwrap();
    until("the second is served", || serial(&resolver, "second").is_some()).await;
    let renewed = renew(&first).await;
    until("the renewal is served", || serial(&resolver, "first") == Some(renewed.clone())).await;

    let address = echo(&resolver).await;
    for (name, of) in [("a.example", "first"), ("WWW.a.example", "first"), ("b.example", "second")] {
        let connection = connect(address, name, &[]).await.unwrap();
        assert_eq!(Some(served_by(&connection).serial), serial(&resolver, of), "{name}");
    }
    for name in ["c.example", "x.y.a.example", "127.0.0.1"] {
        let error = connect(address, name, &[]).await.unwrap_err().to_string();
        assert!(error.contains("AccessDenied"), "{name}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_removed_here_is_served_no_longer_at_once() {
    let manager = manager(&Arc::new(MemoryStore::new()));
    manager.keep(spec("site", &["a.example"])).await.unwrap().ready().await.unwrap();
    let resolver = manager.resolver().await.unwrap();
    assert!(resolver.find(Some("a.example"), &[]).is_some());
    let before = tokio::time::Instant::now();
    manager.remove(&id("site")).await.unwrap();
    until("it is gone", || resolver.find(Some("a.example"), &[]).is_none()).await;
    assert!(before.elapsed() < Duration::from_secs(5), "it was seen in the round through the store");
}

#[tokio::test(start_paused = true)]
async fn what_other_processes_issue_and_remove_is_seen() {
    let store = Arc::new(MemoryStore::new());
    let (serving, other) = (manager(&store), manager(&store));
    let resolver = serving.resolver().await.unwrap();
    let certificate = other.keep(spec("site", &["a.example"])).await.unwrap();
    let first = certificate.ready().await.unwrap().facts().serial.clone();
    until("the first is served", || serial(&resolver, "site") == Some(first.clone())).await;
    let second = renew(&certificate).await;
    until("the renewal is served", || serial(&resolver, "site") == Some(second.clone())).await;

    other.shut_down().await;
    let (version, _) = store.load(&id("site")).await.unwrap().unwrap();
    store.remove(&id("site"), version, None).await.unwrap();
    until("it is gone", || resolver.ids().is_empty()).await;
    assert!(resolver.find(Some("a.example"), &[]).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_generation_without_a_sound_key_and_chain_leaves_the_old_one_serving() {
    let store = Arc::new(MemoryStore::new());
    let (serving, other) = (manager(&store), manager(&store));
    let certificate = other.keep(spec("site", &["a.example"])).await.unwrap();
    let first = certificate.ready().await.unwrap().facts().serial.clone();
    other.shut_down().await;
    let resolver = serving.resolver().await.unwrap();
    assert_eq!(serial(&resolver, "site"), Some(first.clone()));

    let (version, mut record) = store.load(&id("site")).await.unwrap().unwrap();
    let current = record.current.as_mut().unwrap();
    current.generation = current.generation.next();
    store.commit(&record, Some(version)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(serial(&resolver, "site"), Some(first));
    // Who starts anew has nothing sound to serve.
    let anew = serving.resolver().await.unwrap();
    assert!(anew.ids().is_empty());
    for resolver in [resolver, anew] {
        let faults = resolver.faults();
        let [(of, ServingError::Unreadable { reason })] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(*of == id("site") && reason.contains("do not belong together"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_looked_through_in_several_turns_is_served_whole_and_stays_so() {
    let store = Arc::new(MemoryStore::new());
    let (serving, other) = (manager(&store), manager(&store));
    for (id, name) in [("a-first", "a.example"), ("z-last", "z.example")] {
        other.keep(spec(id, &[name])).await.unwrap().ready().await.unwrap();
    }
    other.shut_down().await;
    let (_, mut record) = store.load(&id("a-first")).await.unwrap().unwrap();
    record.current = None;
    // With the other two one more than a turn has.
    for number in 0..999 {
        record.spec = spec(&format!("m-{number:03}"), &["m.example"]);
        store.commit(&record, None).await.unwrap();
    }
    let resolver = serving.resolver().await.unwrap();
    let served = |resolver: &CertificateResolver| {
        ["a.example", "z.example"].map(|name| resolver.find(Some(name), &[]).is_some())
    };
    assert_eq!(served(&resolver), [true; 2]);
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(served(&resolver), [true; 2], "each turn is about its own part");
    }
}

/// A store whose records cannot be read for a while.
struct Damaged {
    inner: Arc<MemoryStore>,
    is_so: AtomicBool,
}

#[async_trait]
impl lifecycle::store::Overlay for Damaged {
    type Below = MemoryStore;

    fn below(&self) -> &MemoryStore {
        &self.inner
    }

    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        if self.is_so.load(Ordering::SeqCst) {
            let (path, reason) = (id.as_str().into(), "it is cut off".to_owned());
            return Err(StoreError::Damaged { path, reason });
        }
        Store::load(&*self.inner, id).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_told_until_it_can() {
    let inner = Arc::new(MemoryStore::new());
    let other = manager(&inner);
    other.keep(spec("site", &["a.example"])).await.unwrap().ready().await.unwrap();
    other.shut_down().await;
    let store = Arc::new(Damaged { inner, is_so: AtomicBool::new(true) });
    let serving = Manager::builder(store.clone()).issuer("test", Authority::new()).unwrap().build();
    let resolver = serving.resolver().await.unwrap();
    let faults = resolver.faults();
    let [(of, fault)] = faults.as_slice() else { panic!("{faults:?}") };
    assert!(*of == id("site") && fault.to_string().contains("it is cut off"), "{fault}");
    assert!(fault.retry().is_worthwhile());
    store.is_so.store(false, Ordering::SeqCst);
    until("it can be read", || serial(&resolver, "site").is_some()).await;
    assert_eq!(resolver.faults(), []);
    // Again, with what is served already; and what is removed meanwhile is nobody's trouble any more.
    for is_removed in [false, true] {
        store.is_so.store(true, Ordering::SeqCst);
        until("it cannot be read", || resolver.faults().len() == 1).await;
        if is_removed {
            let (version, _) = Store::load(&*store.inner, &id("site")).await.unwrap().unwrap();
            Store::remove(&*store.inner, &id("site"), version, None).await.unwrap();
        }
        store.is_so.store(false, Ordering::SeqCst);
        until("it is told no longer", || resolver.faults().is_empty()).await;
        assert_eq!(serial(&resolver, "site").is_none(), is_removed);
    }
}

#[tokio::test]
async fn a_resolver_ends_its_work_when_it_is_dropped() {
    let store = Arc::new(MemoryStore::new());
    let manager = manager(&store);
    let certificate = manager.keep(spec("site", &["a.example"])).await.unwrap();
    certificate.ready().await.unwrap();
    let resolvers = [certificate.rustls(), manager.resolver().await.unwrap()];
    drop((manager, certificate));
    assert!(Arc::strong_count(&store) > 1, "they keep the certificates kept");
    drop(resolvers);
    until("nobody holds the store any more", || Arc::strong_count(&store) == 1).await;
}

#[tokio::test]
async fn certificates_of_ones_own_are_served_without_a_manager() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    let resolver = CertificateResolver::new();
    let served = ServedCertificate::from_pem(&chain, &SecretString::new(key.serialize_pem())).unwrap();
    resolver.insert(id("own"), served);
    let address = echo(&resolver).await;
    let connection = connect(address, "a.example", &["echo"]).await.unwrap();
    assert_eq!(Some(served_by(&connection).serial), serial(&resolver, "own"));
    assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"echo"[..]));
}

#[tokio::test]
async fn cas_are_shown_proofs_beside_the_certificates_of_all_others() {
    let challenges = ChallengeCertificates::new();
    let resolver = CertificateResolver::builder().challenges(challenges.clone()).build();
    let address = echo(&resolver).await;
    let authority = CertificateAuthority::builder().validate_tls_at(address);
    let world = World::builder().zone("example.com").authority(authority).build().await.unwrap();
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build().unwrap();
    let issuer = AcmeIssuer::builder(world.ca().directory_url())
        .http(Arc::new(http))
        .agree_to_terms()
        .solver(TlsAlpn01::new(challenges.clone()).self_check(SelfCheck::new().connect_to([address])))
        .build()
        .unwrap();
    let manager = Manager::builder(MemoryStore::new()).issuer("acme", issuer).unwrap().build();
    let certificate = manager.keep(spec("site", &["app.example.com"])).await.unwrap();
    resolver.follow(&certificate);
    let first = certificate.ready().await.unwrap().facts().serial.clone();
    until("the first is served", || serial(&resolver, "site") == Some(first.clone())).await;
    let second = renew(&certificate).await;
    until("the renewal is served", || serial(&resolver, "site") == Some(second.clone())).await;

    let connection = connect(address, "app.example.com", &["echo", "acme-tls/1"]).await.unwrap();
    assert_eq!(served_by(&connection).serial, second, "who offers more is no CA");
    assert!(challenges.is_empty());
    let error = connect(address, "app.example.com", &["acme-tls/1"]).await.unwrap_err().to_string();
    assert!(error.contains("AccessDenied"), "there is nothing to prove: {error}");
}

/// A certificate for this name, from that day of the year on.
fn from_day(name: &str, day: u8) -> ServedCertificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, day);
    let chain = params.self_signed(&key).unwrap().pem();
    ServedCertificate::from_pem(&chain, &SecretString::new(key.serialize_pem())).unwrap()
}

#[test]
fn whoever_looks_while_a_second_certificate_for_a_name_comes_and_goes_finds_one_of_the_two() {
    const ROUNDS: usize = 3_000;
    let resolver = CertificateResolver::new();
    let [first, second, third] = [1, 2, 3].map(|day| from_day("a.example", day));
    resolver.insert(id("first"), first.clone());
    let known = [&first, &second, &third].map(|served| served.certified_key().clone());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut looks = 0_usize;
                while !done.load(Ordering::Relaxed) {
                    let Some(found) = resolver.find(Some("a.example"), &[]) else {
                        panic!("it was without a certificate")
                    };
                    assert!(known.iter().any(|known| Arc::ptr_eq(known, &found)), "another's was found");
                    looks += 1;
                }
                looks
            })
        });
        for _ in 0..ROUNDS {
            // One, two, two others, one.
            resolver.insert(id("second"), second.clone());
            resolver.insert(id("second"), third.clone());
            resolver.remove(&id("second"));
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    let found = resolver.find(Some("a.example"), &[]).unwrap();
    assert!(Arc::ptr_eq(&found, first.certified_key()), "the first stays");
}
