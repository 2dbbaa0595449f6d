//! What answers http-01 challenges, mounted in a web server of axum's that serves other pages.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use perennial::{
    AcmeIssuer, CertificateSpec, Http01, Manager, MemoryStore,
    core::ReqwestClient,
    issuers::solver::http01::{Http01Place, Http01Responder, Http01Shared, Policy, SelfCheck},
    propagation::Checker,
};
use perennial_testkit::{CertificateAuthority, World, dns::Data};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const CHALLENGE: &str = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

/// Serves these pages until the runtime ends.
async fn served(pages: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    address
}

/// Status and page.
async fn fetched(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    let (head, page) = said.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), page.to_owned())
}

/// Obtains a certificate from a CA that looks at this server, whose other pages are there meanwhile.
async fn proves(address: SocketAddr, place: impl Http01Place + 'static) {
    let missing = (String::from("404"), String::new());
    assert_eq!(fetched(address, CHALLENGE).await, missing);
    let authority = CertificateAuthority::builder().validate_http_at(address);
    let world = World::builder().zone("example.com").authority(authority).build().await.unwrap();
    world.zone().add("app.example.com", Data::A([127, 0, 0, 1].into())).unwrap();
    let checker = Checker::builder()
        .nameservers([world.resolver().to_string().parse().unwrap()])
        .authoritative_port(world.authoritative_port())
        .build()
        .unwrap();
    let check = SelfCheck::new().checker(checker).ports(address.port(), 443);
    let solver = Http01::new(place).self_check(check).policy(Policy::Require).timeout(Duration::from_secs(3));
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build().unwrap();
    let issuer = AcmeIssuer::builder(world.ca().directory_url()).http(Arc::new(http)).agree_to_terms();
    let issuer = issuer.solver(solver).build().unwrap();
    let manager = Manager::builder(MemoryStore::new()).issuer("acme", issuer).unwrap().build();
    let spec = CertificateSpec::new("site", ["app.example.com"]).unwrap();
    manager.keep(spec).await.unwrap().ready().await.unwrap();
    assert_eq!(fetched(address, "/").await, ("200".to_owned(), "the front page".to_owned()));
    assert_eq!(fetched(address, CHALLENGE).await, missing);
}

fn pages() -> Router {
    Router::new().route("/", get(async || "the front page"))
}

#[tokio::test]
async fn answers_in_memory_are_shown_beside_the_pages_of_axum() {
    let responder = Http01Responder::new();
    let pages = pages().route_service("/.well-known/acme-challenge/{token}", responder.clone());
    proves(served(pages).await, responder).await;
}

#[tokio::test]
async fn answers_that_replicas_share_are_shown_beside_the_pages_of_axum() {
    let store: Arc<MemoryStore> = Arc::new(MemoryStore::new());
    // One replica orders, and the CA asks the other.
    let [orders, asked] = [Http01Shared::new(store.clone()), Http01Shared::new(store)];
    let pages = pages().route_service("/.well-known/acme-challenge/{token}", asked);
    proves(served(pages).await, orders).await;
}
