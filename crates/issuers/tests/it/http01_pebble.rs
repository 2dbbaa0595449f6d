//! The same before a CA of somebody else's.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use http::Request;
use http_body_util::BodyExt as _;
use perennial_core::ReqwestClient;
use perennial_issuers::{
    AcmeIssuer, AcmeIssuerBuilder, Http01,
    solver::http01::{Http01Listener, Http01Responder, Policy, SelfCheck},
};
use perennial_lifecycle::{
    CertificateSpec, IssueError, IssueErrorClass, IssuedChain, Issuer as _, KeyAlgorithm, PrivateKey,
    SigningRequest,
};
use perennial_testkit::{
    World,
    dns::Data,
    real::{self, Pebble, Tool},
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::scene::{checker, dns01, journal};

const APP: &str = "app.site.example.com";

async fn scene() -> Option<(World, Pebble)> {
    real::require(&[Tool::Pebble])?;
    let world = World::builder().zone("example.com").build().await.unwrap();
    world.zone().add(APP, Data::A(Ipv4Addr::LOCALHOST)).unwrap();
    let pebble = Pebble::builder().dns_server(world.resolver()).start().await.unwrap();
    Some((world, pebble))
}

fn builder(pebble: &Pebble) -> AcmeIssuerBuilder {
    let http = ReqwestClient::builder().root_certificates_pem(pebble.ca_pem()).build().unwrap();
    AcmeIssuer::builder(pebble.directory_url()).http(Arc::new(http)).agree_to_terms()
}

fn solver(world: &World, pebble: &Pebble, responder: Http01Responder) -> Http01 {
    let check = SelfCheck::new().checker(checker(world)).ports(pebble.http_port(), pebble.tls_port());
    Http01::new(responder).self_check(check).timeout(Duration::from_millis(1500))
}

async fn issue(issuer: &AcmeIssuer) -> Result<IssuedChain, IssueError> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let spec = CertificateSpec::new("site", [APP]).unwrap();
    issuer.issue(&SigningRequest::of(&spec, &key).unwrap(), &journal().await).await
}

/// A server on one port that answers one request a connection.
async fn serving(port: u16, acceptor: Option<TlsAcceptor>, answer: Answering) -> JoinHandle<()> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            match &acceptor {
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        reply(stream, &answer).await;
                    }
                }
                None => reply(stream, &answer).await,
            }
        }
    })
}

enum Answering {
    /// As a load balancer with its own ACME does.
    Always(String),
    /// To https on that port.
    Redirecting(u16),
    /// With what was put there.
    Rightly(Http01Responder),
}

async fn reply(mut stream: impl AsyncRead + AsyncWrite + Unpin, answering: &Answering) {
    let mut question = vec![0; 4096];
    let length = stream.read(&mut question).await.unwrap_or_default();
    let question = String::from_utf8_lossy(&question[..length]).into_owned();
    let path = question.split(' ').nth(1).unwrap_or("/").to_owned();
    let (head, body) = match answering {
        Answering::Always(body) => ("200 OK\r\n".to_owned(), body.clone()),
        Answering::Redirecting(port) => {
            (format!("301 Moved Permanently\r\nLocation: https://{APP}:{port}{path}\r\n"), String::new())
        }
        Answering::Rightly(responder) => {
            let response = responder.answer(&Request::get(path).body(()).unwrap());
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (format!("{status}\r\n"), String::from_utf8(body.to_vec()).unwrap())
        }
    };
    let answer = format!("HTTP/1.1 {head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// With a certificate that nobody trusts, for another name, as before the first one is there.
fn self_signed() -> TlsAcceptor {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn pebble_finds_what_our_listener_shows() {
    let Some((world, pebble)) = scene().await else { return };
    let listener = Http01Listener::bind([(Ipv4Addr::LOCALHOST, pebble.http_port()).into()]).await.unwrap();
    let issuer = builder(&pebble).solver(solver(&world, &pebble, listener.responder())).build().unwrap();
    let chain = issue(&issuer).await.unwrap();
    assert_eq!(chain.facts().names.iter().map(ToString::to_string).collect::<Vec<_>>(), [APP]);
}

#[tokio::test]
async fn pebble_follows_a_redirect_to_https_with_any_certificate_and_so_do_we() {
    let Some((world, pebble)) = scene().await else { return };
    let responder = Http01Responder::new();
    let _http = serving(pebble.http_port(), None, Answering::Redirecting(pebble.tls_port())).await;
    let _https = serving(pebble.tls_port(), Some(self_signed()), Answering::Rightly(responder.clone())).await;
    let issuer = builder(&pebble).solver(solver(&world, &pebble, responder)).build().unwrap();
    issue(&issuer).await.unwrap();
}

#[tokio::test]
async fn what_pebble_would_refuse_is_found_before_it_looks_and_proven_in_another_way() {
    let Some((world, pebble)) = scene().await else { return };
    let other = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.AAAA6WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
    let _interceptor = serving(pebble.http_port(), None, Answering::Always(other.to_owned())).await;
    let http01 = |policy| solver(&world, &pebble, Http01Responder::new()).policy(policy);
    let blind = issue(&builder(&pebble).solver(http01(Policy::Skip)).build().unwrap()).await.unwrap_err();
    assert_eq!(blind.class, IssueErrorClass::Validation);
    let checked =
        issue(&builder(&pebble).solver(http01(Policy::Require)).build().unwrap()).await.unwrap_err();
    assert!(checked.message.contains("answers ACME challenges of its own"), "{checked}");
    for policy in [Policy::Require, Policy::Skip] {
        let both = builder(&pebble).solver(http01(policy)).solver(dns01(&world)).build().unwrap();
        issue(&both).await.unwrap();
    }
}
