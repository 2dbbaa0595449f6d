//! Resolvers over every transport.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use perennial_core::{HttpClient, HttpError};
use perennial_propagation::{Checker, Error, NameServer, Policy, Verdict, vantage::View};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::scene::{NAME, Scene, token};

async fn finds_the_zone(scene: &Scene, checker: Checker) {
    scene.publish(NAME, "token");
    let report = checker.check(&token(NAME)).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
}

#[tokio::test]
async fn a_resolver_is_asked_over_tcp() {
    let scene = Scene::new().await;
    let server: NameServer = format!("tcp://{}", scene.resolver.address()).parse().unwrap();
    finds_the_zone(&scene, scene.builder().nameservers([server]).build().unwrap()).await;
    let tcp =
        |query: &perennial_testkit::dns::Query| query.transport == perennial_testkit::dns::Transport::Tcp;
    assert!(scene.resolver.queries().iter().all(tcp));
}

/// TLS outside, the resolver's TCP inside. Returns the address and the root to trust.
async fn tls_front(resolver: SocketAddr) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((outside, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(outside).await else { return };
                let mut inside = TcpStream::connect(resolver).await.unwrap();
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    (address, made.cert.pem())
}

#[tokio::test]
async fn a_resolver_is_asked_over_tls_when_its_certificate_is_trusted() {
    let scene = Scene::new().await;
    let (address, root) = tls_front(scene.resolver.address()).await;
    let server: NameServer = format!("tls://{address}").parse().unwrap();
    let trusting = scene.builder().nameservers([server.clone()]).root_certificates_pem(root);
    finds_the_zone(&scene, trusting.build().unwrap()).await;
    let wary = scene.builder().nameservers([server]).build().unwrap();
    let error = wary.check(&token(NAME)).await.unwrap_err();
    assert!(
        matches!(error, Error::ResolversSilent { .. }) && error.to_string().contains("TLS failed"),
        "{error}"
    );
}

/// Hands the message inside an HTTPS request to a resolver over TCP.
struct Gateway(SocketAddr);

#[async_trait]
impl HttpClient for Gateway {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        assert_eq!(request.uri(), "https://dns.example/dns-query");
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        stream.write_u16(request.body().len().try_into().unwrap()).await.unwrap();
        stream.write_all(request.body()).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.unwrap();
        let response = http::Response::builder().header("content-type", "application/dns-message");
        Ok(response.body(answer.into()).unwrap())
    }
}

#[tokio::test]
async fn a_resolver_is_asked_over_https() {
    let scene = Scene::new().await;
    let checker = scene
        .builder()
        .nameservers(["https://dns.example".parse().unwrap()])
        .http(Arc::new(Gateway(scene.resolver.address())))
        .build()
        .unwrap();
    finds_the_zone(&scene, checker).await;
}

#[tokio::test]
async fn vantage_points_are_asked_over_tls_and_https() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    let (address, root) = tls_front(scene.resolver.address()).await;
    let points = || [format!("tls://{address}").parse().unwrap(), "https://dns.example".parse().unwrap()];
    let without_client = scene.builder().vantage_points(points()).build().unwrap_err();
    assert!(matches!(without_client, Error::NoHttpClient { .. }), "{without_client}");
    let checker = scene
        .builder()
        .vantage_points(points())
        .root_certificates_pem(root)
        .http(Arc::new(Gateway(scene.resolver.address())))
        .build()
        .unwrap();
    let report = checker.check(&token(NAME)).await.unwrap();
    let views: Vec<&View> = report.vantage.iter().map(|witness| &witness.view).collect();
    assert_eq!(views, [&View::Has, &View::Has], "{report}");
    assert_eq!((report.verdict, report.advice.len()), (Verdict::Ready, 0), "{report}");
}

#[tokio::test]
async fn every_resolver_must_have_the_values_where_only_resolvers_are_asked() {
    let scene = Scene::new().await;
    let honest = NameServer::at(scene.resolver.address());
    // Another world, in which nobody published anything.
    let other = Scene::new().await;
    scene.publish(NAME, "token");
    let only =
        |servers: Vec<NameServer>| scene.builder().policy(Policy::RecursiveOnly).nameservers(servers).build();
    let one = only(vec![honest.clone()]).unwrap();
    let propagated = one.watch(&token(NAME), crate::scene::DEADLINE, &mut |_| ()).await.unwrap();
    assert_eq!(propagated.report().stages[0].servers, [honest.to_string()]);
    let both = only(vec![honest, NameServer::at(other.resolver.address())]).unwrap();
    let report = both.check(&token(NAME)).await.unwrap();
    assert_eq!(report.verdict, Verdict::NotYet, "{report}");
}

#[tokio::test]
async fn a_dead_resolver_costs_a_moment_and_not_the_answer() {
    let scene = Scene::new().await;
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dead = NameServer::at(silent.local_addr().unwrap());
    let servers = [dead, NameServer::at(scene.resolver.address())];
    finds_the_zone(&scene, scene.builder().nameservers(servers).build().unwrap()).await;
}
