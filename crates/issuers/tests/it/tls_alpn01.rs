//! tls-alpn-01 as CAs look at it, ours and Pebble.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use perennial_acme::{
    ChallengeKind, Jwk,
    challenge::{KeyAuthorization, Token},
};
use perennial_core::{HttpClient, ReqwestClient};
use perennial_issuers::{
    AcmeIssuer, Error, Proof, Solver, Task, TlsAlpn01,
    solver::tls_alpn01::{
        ChallengeAcceptor, ChallengeCertificates, Policy, SelfCheck, TlsAlpn01Listener, Verdict,
    },
};
use perennial_lifecycle::{
    CertificateSpec, IssueErrorClass, Issuer as _, Journal, KeyAlgorithm, PrivateKey, SigningRequest,
};
use perennial_testkit::{
    CertificateAuthority, World,
    ca::{OrderStatus, Verb},
    dns::Data,
    real::{self, Pebble, Tool},
};
use rustls::{ServerConfig, crypto::ring::default_provider, server::Acceptor};
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::scene::{builder, checker, dns01, journal};

pub(crate) const NAMES: [&str; 2] = ["app.example.com", "www.example.com"];

fn request() -> SigningRequest {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let names = CertificateSpec::new("site", NAMES).unwrap().names().to_vec();
    SigningRequest::new("site".parse().unwrap(), names, &key).unwrap()
}

async fn world(tls: SocketAddr) -> World {
    let authority = CertificateAuthority::builder().validate_tls_at(tls);
    let world = World::builder().zone("example.com").authority(authority).build().await.unwrap();
    for name in NAMES {
        world.zone().add(name, Data::A(Ipv4Addr::LOCALHOST)).unwrap();
    }
    world
}

/// A solver that looks at this port before the CA does.
fn solver(world: &World, certificates: &ChallengeCertificates, port: u16) -> TlsAlpn01 {
    let check = SelfCheck::new().checker(checker(world)).port(port);
    TlsAlpn01::new(certificates.clone()).self_check(check).timeout(Duration::from_millis(1500))
}

pub(crate) async fn listener(certificates: &ChallengeCertificates, port: u16) -> TlsAlpn01Listener {
    loop {
        match TlsAlpn01Listener::bind([(Ipv4Addr::LOCALHOST, port).into()], certificates).await {
            Ok(listener) => return listener,
            // One that was dropped ends when its tasks have their turn.
            Err(error) if error.kind() == ErrorKind::AddrInUse => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn issuer(world: &World, certificates: &ChallengeCertificates, at: SocketAddr) -> AcmeIssuer {
    builder(world).solver(solver(world, certificates, at.port())).build().unwrap()
}

#[tokio::test]
async fn names_are_proven_by_a_listener_and_nothing_is_shown_afterwards() {
    let certificates = ChallengeCertificates::new();
    let listener = listener(&certificates, 0).await;
    let at = listener.addresses()[0];
    let world = world(at).await;
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = reports.clone();
    let solver = solver(&world, &certificates, at.port())
        .on_report(move |report| seen.lock().unwrap().push(report.clone()));
    let issuer = builder(&world).solver(solver).build().unwrap();
    let chain = issuer.issue(&request(), &journal().await).await.unwrap();
    assert_eq!(chain.facts().names.len(), 2);
    assert!(certificates.is_empty());
    let reports = reports.lock().unwrap();
    assert_eq!(reports.iter().map(|report| report.verdict).collect::<Vec<_>>(), [Verdict::Pass; 2]);
    assert!(reports[0].to_string().contains("127.0.0.1: the right proof"), "{}", reports[0]);
}

#[tokio::test]
async fn a_server_that_knows_nothing_of_challenges_goes_on_serving_while_names_are_proven() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let certificates = ChallengeCertificates::new();
    let acceptor = ChallengeAcceptor::new(certificates.clone());
    let (config, root) = ordinary();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let (acceptor, config) = (acceptor.clone(), config.clone());
            tokio::spawn(async move {
                if let Ok(Some(mut stream)) = acceptor.accept(stream, config).await {
                    let (mut reading, mut writing) = tokio::io::split(&mut stream);
                    let _ = tokio::io::copy(&mut reading, &mut writing).await;
                }
            });
        }
    });
    let world = world(address).await;
    let issuer = issuer(&world, &certificates, address);
    let (request, journal) = (request(), journal().await);
    let issued = issuer.issue(&request, &journal);
    let (issued, spoken) = tokio::join!(issued, speak(address, root));
    assert_eq!(issued.unwrap().facts().names.len(), 2);
    assert_eq!(spoken.unwrap(), b"hello");
}

#[tokio::test]
async fn a_listener_at_many_addresses_answers_at_each_of_them() {
    let certificates = ChallengeCertificates::new();
    let many = (0..80).map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = TlsAlpn01Listener::bind(many, &certificates).await.unwrap();
    for address in listener.addresses() {
        let mut stream = TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"no TLS at all").await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
        assert!(tokio::time::timeout(Duration::from_secs(5), read).await.is_ok(), "{address} is not served");
    }
}

/// A server's own configuration, and the certificate that its clients trust.
pub(crate) fn ordinary() -> (Arc<ServerConfig>, rustls_pki_types::CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(NAMES.map(str::to_owned).to_vec()).unwrap();
    let leaf = params.self_signed(&key).unwrap().der().clone();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (Arc::new(builder.with_single_cert(vec![leaf.clone()], key.into()).unwrap()), leaf)
}

async fn speak(
    address: SocketAddr,
    root: rustls_pki_types::CertificateDer<'static>,
) -> std::io::Result<Vec<u8>> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(NAMES[0]).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"hello").await?;
    let mut answer = vec![0; 5];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn what_is_not_shown_is_no_matter_for_the_ca_and_the_next_solver_goes_on_with_the_same_order() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(ordinary().0);
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let world = world(address).await;
    let certificates = ChallengeCertificates::new();
    let tls = || solver(&world, &certificates, address.port());
    let (request, blind) = (request(), builder(&world).solver(tls().policy(Policy::Warn)).build().unwrap());
    let error = issuer(&world, &certificates, address).issue(&request, &journal().await).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Validation, "{error}");
    assert!(error.message.contains("the certificate of an ordinary server is shown"), "{error}");
    assert!(!error.is_the_issuers());
    let count = |verb| world.ca().requests().iter().filter(|request| request.verb == Some(verb)).count();
    assert_eq!(count(Verb::Challenge), 0, "the CA was not asked to look");

    let both = builder(&world).solver(tls()).solver(dns01(&world)).build().unwrap();
    both.issue(&request, &journal().await).await.unwrap();
    let orders: Vec<_> = world.ca().orders().iter().map(|order| order.status).collect();
    assert_eq!(orders, [OrderStatus::Pending, OrderStatus::Valid]);

    let error = blind.issue(&request, &journal().await).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Validation, "{error}");
    assert!(!error.message.contains("ordinary server"), "what the CA says is told: {error}");
    assert!(certificates.is_empty());
}

#[tokio::test]
async fn a_closed_port_is_a_failure_unless_this_machine_shows_the_proof_elsewhere() {
    let certificates = ChallengeCertificates::new();
    let listener = listener(&certificates, 0).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = world(closed).await;
    let name = NAMES[0].parse().unwrap();
    let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").unwrap();
    let key = KeyAuthorization::new(&token, &Jwk::ed25519([7; 32]).thumbprint());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let check = SelfCheck::new().checker(checker(&world)).port(closed.port());
    let solver =
        |check| TlsAlpn01::new(certificates.clone()).self_check(check).timeout(Duration::from_secs(2));
    let hairpin = solver(check.clone().locally(listener.addresses().to_vec()))
        .on_report(move |report| told.lock().unwrap().push(report.clone()));
    let proofs = vec![hairpin.proof(&Task::new(&name, &key)).unwrap()];
    hairpin.present(&proofs).await.unwrap();
    hairpin.wait(&proofs, Duration::from_secs(30)).await.unwrap();
    let report = seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
    assert!(report.advice[0].contains("hairpin"), "{report}");

    let error = solver(check.clone()).wait(&proofs, Duration::from_secs(30)).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1: port 443 is closed"), "{error}");
    let elsewhere = solver(check.connect_to(listener.addresses().to_vec()));
    elsewhere.wait(&proofs, Duration::from_secs(30)).await.unwrap();
}

/// The solver of a process that dies when everything is presented.
struct Dying(TlsAlpn01);

#[async_trait]
impl Solver for Dying {
    fn kind(&self) -> ChallengeKind {
        self.0.kind()
    }

    fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
        self.0.proof(task)
    }

    async fn present(&self, proofs: &[Proof]) -> Result<(), Error> {
        self.0.present(proofs).await
    }

    async fn wait(&self, _: &[Proof], _: Duration) -> Result<(), Error> {
        std::future::pending().await
    }

    async fn clean_up(&self, proofs: &[Proof]) -> Result<(), Error> {
        self.0.clean_up(proofs).await
    }
}

#[tokio::test]
async fn a_process_that_died_with_its_proofs_presented_presents_them_again() {
    let (before, after) = (ChallengeCertificates::new(), ChallengeCertificates::new());
    // The next process listens in the place of the first.
    let listener = listener(&after, 0).await;
    let world = world(listener.addresses()[0]).await;
    let (request, journal): (_, Journal) = (request(), journal().await);
    let dying = builder(&world).solver(Dying(TlsAlpn01::new(before.clone()))).build().unwrap();
    let living = issuer(&world, &after, listener.addresses()[0]);
    let crash = async {
        while before.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        issued = dying.issue(&request, &journal) => panic!("{issued:?}"),
        () = crash => {}
    }
    assert_eq!(journal.debts().await.len(), 2, "what was presented is on record");
    let chain = living.issue(&request, &journal).await.unwrap();
    assert_eq!(chain.facts().names.len(), 2);
    assert!(after.is_empty() && journal.debts().await.is_empty());
}

#[tokio::test]
async fn pebble_finds_the_proof_where_it_is_shown_and_says_so_where_it_is_not() {
    let Some(_components) = real::require(&[Tool::Pebble]) else { return };
    let world = World::builder().zone("example.com").build().await.unwrap();
    for name in NAMES {
        world.zone().add(name, Data::A(Ipv4Addr::LOCALHOST)).unwrap();
    }
    let pebble = Pebble::builder().dns_server(world.resolver()).start().await.unwrap();
    let certificates = ChallengeCertificates::new();
    let http = ReqwestClient::builder().root_certificates_pem(pebble.ca_pem()).build().unwrap();
    let http: Arc<dyn HttpClient> = Arc::new(http);
    let issuer = |policy| {
        let solver = solver(&world, &certificates, pebble.tls_port()).policy(policy);
        let builder = AcmeIssuer::builder(pebble.directory_url()).http(http.clone()).agree_to_terms();
        builder.solver(solver).build().unwrap()
    };
    let shown = listener(&certificates, pebble.tls_port()).await;
    let chain = issuer(Policy::Require).issue(&request(), &journal().await).await.unwrap();
    assert_eq!(chain.facts().names.len(), 2);

    drop(shown);
    let _other = listener(&ChallengeCertificates::new(), pebble.tls_port()).await;
    for (policy, found_by_us) in [(Policy::Skip, false), (Policy::Require, true)] {
        let error = issuer(policy).issue(&request(), &journal().await).await.unwrap_err();
        assert_eq!(error.class, IssueErrorClass::Validation, "{error}");
        assert_eq!(error.message.contains("does not show the proof"), found_by_us, "{error}");
    }
    assert!(certificates.is_empty());
}

#[tokio::test]
async fn no_bytes_of_a_client_end_the_listener() {
    use tokio::io::AsyncWriteExt as _;
    let certificates = ChallengeCertificates::new();
    let listener = listener(&certificates, 0).await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 600], &[0x16, 3, 1, 0xff, 0xff, 1], b""] {
        let mut stream = TcpStream::connect(listener.addresses()[0]).await.unwrap();
        stream.write_all(bytes).await.unwrap();
    }
    let world = world(listener.addresses()[0]).await;
    let issuer = issuer(&world, &certificates, listener.addresses()[0]);
    issuer.issue(&request(), &journal().await).await.unwrap();
    let taken = TlsAlpn01Listener::bind([listener.addresses()[0]], &certificates).await.unwrap_err();
    assert!(taken.to_string().contains(&listener.addresses()[0].to_string()), "{taken}");
}

/// A client's first words.
pub(crate) fn hello(protocols: &[&str]) -> Vec<u8> {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("app.example.com").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Whether a client is taken for a CA, if it is one that speaks TLS.
fn is_ca(hello: &[u8]) -> Option<bool> {
    let mut acceptor = Acceptor::default();
    let _ = acceptor.read_tls(&mut &*hello);
    let Ok(Some(accepted)) = acceptor.accept() else { return None };
    let asked = ChallengeCertificates::are_asked(&accepted.client_hello());
    let _ = accepted.into_connection(ChallengeCertificates::new().server_config());
    Some(asked)
}

#[test]
fn rfc8737_3_who_offers_that_protocol_and_no_other_is_a_ca() {
    assert_eq!(is_ca(&hello(&["acme-tls/1"])), Some(true));
    for client in [&["acme-tls/1", "h2"][..], &["h2", "acme-tls/1"], &["h2"], &[]] {
        assert_eq!(is_ca(&hello(client)), Some(false), "{client:?}");
    }
}

#[test]
fn no_client_hello_panics() {
    let hello = hello(&["acme-tls/1"]);
    for at in 0..hello.len() {
        let _ = is_ca(&hello[..at]);
        for change in [0, 0xff, hello[at] ^ 1] {
            let mut changed = hello.clone();
            changed[at] = change;
            let _ = is_ca(&changed);
        }
    }
}
