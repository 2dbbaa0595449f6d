//! Who a server with an HTTPS interface is towards its clients, and requests to it.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Error, launch};

/// Who the server is towards HTTPS clients: a root of its own for every start, so that whoever is trusted
/// under it is the server that was started.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    root: CertificateDer<'static>,
    pub(super) root_pem: String,
}

/// What an answer may weigh: directories and roots are a few kilobytes.
const LARGEST_BODY: usize = 1 << 20;

impl Identity {
    pub(super) fn create(home: &Path) -> Result<Self, Error> {
        let (root, certificate_pem, key_pem) = chain().map_err(|error| crate::Error::Certificate {
            what: "the certificate of a server's HTTPS",
            reason: error.to_string(),
        })?;
        launch::write(&home.join("certificate.pem"), &certificate_pem)?;
        launch::write(&home.join("key.pem"), &key_pem)?;
        Ok(Self { root: root.der().clone(), root_pem: root.pem() })
    }

    pub(super) async fn get(&self, port: u16, path: &str) -> Result<Bytes, Error> {
        self.expect(port, http::Request::get(path).body(Full::default())).await
    }

    pub(super) async fn post(&self, port: u16, path: &str, body: Bytes) -> Result<Bytes, Error> {
        self.expect(port, http::Request::post(path).body(Full::new(body))).await
    }

    async fn expect(&self, port: u16, request: Request) -> Result<Bytes, Error> {
        let path = request.as_ref().map_or_else(|_| String::new(), |request| request.uri().to_string());
        let response = self.exchange(port, request).await?;
        match response.status() {
            http::StatusCode::OK => Ok(response.into_body()),
            status => Err(unanswered(port, &path, status)),
        }
    }

    /// Sends one request over a connection of its own; whatever status the answer has.
    pub(super) async fn exchange(&self, port: u16, request: Request) -> Result<http::Response<Bytes>, Error> {
        let path = request.as_ref().map_or_else(|_| String::new(), |request| request.uri().to_string());
        let answer = async { self.fetch(port, request?).await };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer = answer.map_err(Failure::from).and_then(|answer| answer);
        answer.map_err(|reason| unanswered(port, &path, reason))
    }

    async fn fetch(
        &self,
        port: u16,
        mut request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Bytes>, Failure> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let headers = request.headers_mut();
        headers.insert(http::header::HOST, format!("127.0.0.1:{port}").parse()?);
        // Required of ACME clients (RFC 8555 §6.1), and Pebble insists.
        headers.insert(http::header::USER_AGENT, http::HeaderValue::from_static("perennial-testkit"));
        let answer = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST_BODY).collect().await?.to_bytes();
            Ok(http::Response::from_parts(head, body))
        };
        // The connection has to be driven while the answer is awaited, and ends with it.
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => { ended?; answer.await }
        }
    }
}

/// A request on its way, or why it could not be written.
pub(super) type Request = Result<http::Request<Full<Bytes>>, http::Error>;

/// A server on loopback answers at once; it may make an RSA key first.
const PATIENCE: Duration = Duration::from_secs(15);

/// The server did not say what it should.
pub(super) fn unanswered(port: u16, path: &str, reason: impl std::fmt::Display) -> Error {
    Error::Answer {
        server: (Ipv4Addr::LOCALHOST, port).into(),
        question: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Only ever turned into text.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn chain() -> Result<(rcgen::Certificate, String, String), rcgen::Error> {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "perennial testkit: a server's HTTPS");
    let root_key = KeyPair::generate()?;
    let root_certificate = root.self_signed(&root_key)?;
    let key = KeyPair::generate()?;
    let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
    let certificate = CertificateParams::new(names)?.signed_by(&key, &Issuer::new(root, root_key))?;
    Ok((root_certificate, certificate.pem(), key.serialize_pem()))
}
