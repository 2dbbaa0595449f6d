//! Replicas behind one load balancer: one orders, another is asked.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use perennial_core::{Clock, SystemClock};
use perennial_issuers::{
    AcmeIssuer, Http01, Proof,
    solver::http01::{Http01Listener, Http01Shared, Policy, SelfCheck},
};
use perennial_lifecycle::{
    CertificateSpec, FileStore, Issuer as _, Journal, KeyAlgorithm, MemoryStore, PrivateKey, Progress,
    SigningRequest, Store,
};
use perennial_testkit::{CertificateAuthority, World, dns::Data};

use crate::scene::{builder, checker};

const APP: &str = "app.site.example.com";

/// A process of the fleet: the store that all share, and a listener of its own.
struct Replica {
    listener: Http01Listener,
    shared: Http01Shared,
}

impl Replica {
    async fn new(store: &Arc<dyn Store>) -> Self {
        let listener = Http01Listener::bind([(Ipv4Addr::LOCALHOST, 0).into()]).await.unwrap();
        let shared = listener.share(Http01Shared::new(store.clone()));
        Self { listener, shared }
    }

    fn address(&self) -> SocketAddr {
        self.listener.addresses()[0]
    }

    /// Whoever is asked at that port, this one orders.
    fn issuer(&self, world: &World, asked: u16) -> AcmeIssuer {
        let check = SelfCheck::new().checker(checker(world)).ports(asked, 443);
        let solver = Http01::new(self.shared.clone()).self_check(check).policy(Policy::Require);
        builder(world).solver(solver.timeout(Duration::from_millis(1500))).build().unwrap()
    }
}

/// A world whose CA asks there.
async fn world(asked: SocketAddr) -> World {
    let authority = CertificateAuthority::builder().validate_http_at(asked);
    let world = World::builder().zone("example.com").authority(authority).build().await.unwrap();
    world.zone().add(APP, Data::A(Ipv4Addr::LOCALHOST)).unwrap();
    world
}

async fn journal(store: &Arc<dyn Store>) -> (Journal, SigningRequest) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let spec = CertificateSpec::new("site", [APP]).unwrap();
    let request = SigningRequest::of(&spec, &key).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    (Journal::begin(store.clone(), spec, clock).await.unwrap(), request)
}

async fn one_orders_and_another_is_asked(store: Arc<dyn Store>) {
    let (orders, asked) = (Replica::new(&store).await, Replica::new(&store).await);
    let world = world(asked.address()).await;
    let (journal, request) = journal(&store).await;
    orders.issuer(&world, asked.address().port()).issue(&request, &journal).await.unwrap();
    assert!(journal.debts().await.is_empty());
}

#[tokio::test]
async fn replicas_over_one_store_in_memory_answer_for_each_other() {
    one_orders_and_another_is_asked(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn replicas_over_one_store_of_files_answer_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    one_orders_and_another_is_asked(Arc::new(store)).await;
}

#[tokio::test]
async fn what_a_replica_that_died_has_put_there_another_shows_and_takes_away() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let died = Replica::new(&store).await;
    let world = world(died.address()).await;
    let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
    let at = format!("http://{APP}/.well-known/acme-challenge/{token}");
    let proof = Proof::new(
        &perennial_acme::ChallengeKind::Http01,
        APP.parse().unwrap(),
        at,
        format!("{token}.thumbprint"),
    );
    let (journal, _) = journal(&store).await;
    journal.owe(&[Progress::encode(&proof).unwrap()]).await.unwrap();
    perennial_issuers::Solver::present(&Http01::new(died.shared.clone()), &[proof]).await.unwrap();
    drop(died);

    let heir = Replica::new(&store).await;
    let path = format!("/.well-known/acme-challenge/{token}");
    assert_eq!(fetched(heir.address(), &path).await, (200, format!("{token}.thumbprint")));
    heir.issuer(&world, heir.address().port()).settle(&journal).await.unwrap();
    assert_eq!(fetched(heir.address(), &path).await.0, 404);
    assert!(journal.debts().await.is_empty());
}

/// What a web client is told.
async fn fetched(address: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    let status = said.split(' ').nth(1).unwrap().parse().unwrap();
    (status, said.rsplit("\r\n\r\n").next().unwrap().to_owned())
}
