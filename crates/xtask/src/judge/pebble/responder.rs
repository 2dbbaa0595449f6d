//! The web server of the names under test: answers http-01 (RFC 8555 §8.3) and tls-alpn-01 (RFC 8737).

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    crypto::ring::sign::any_supported_type,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::text;

/// Stops when it is dropped.
pub(super) struct Responder {
    shown: Arc<Shown>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shown {
    /// By path.
    bodies: Mutex<HashMap<String, String>>,
    /// By server name.
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

/// The addresses of the names under test.
const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

impl Responder {
    /// Listens for HTTP on the one port and for TLS on the other.
    pub(super) async fn start(http_port: u16, tls_port: u16) -> Result<Self, String> {
        let (shown, mut tasks) = (Arc::new(Shown::default()), JoinSet::new());
        for address in ADDRESSES {
            let listener = text(TcpListener::bind((address, http_port)).await)?;
            tasks.spawn(serve_http(listener, shown.clone()));
            let listener = text(TcpListener::bind((address, tls_port)).await)?;
            tasks.spawn(serve_tls(listener, acceptor(shown.clone())?));
        }
        Ok(Self { shown, _tasks: tasks })
    }

    /// Answers requests for that path with that text.
    pub(super) fn show_http(&self, path: impl Into<String>, body: impl Into<String>) {
        locked(&self.shown.bodies).insert(path.into(), body.into());
    }

    /// Answers TLS handshakes for that server name with that certificate.
    pub(super) fn show_tls(
        &self,
        server_name: impl Into<String>,
        certificate: CertificateDer<'static>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<(), String> {
        let key = CertifiedKey::new(vec![certificate], text(any_supported_type(key))?);
        locked(&self.shown.certificates).insert(server_name.into(), Arc::new(key));
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        locked(&self.certificates).get(hello.server_name()?).cloned()
    }
}

fn acceptor(shown: Arc<Shown>) -> Result<TlsAcceptor, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = text(config)?.with_no_client_auth().with_cert_resolver(shown);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve_http(listener: TcpListener, shown: Arc<Shown>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shown = shown.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let body = locked(&shown.bodies).get(request.uri().path()).cloned();
                async move { Ok::<_, Infallible>(page(body)) }
            });
            // A validator that hangs up is told nothing.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn page(body: Option<String>) -> Response<Full<Bytes>> {
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut page = Response::new(Full::new(Bytes::from(body.unwrap_or_default())));
    *page.status_mut() = status;
    page
}

async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        // The handshake is all that RFC 8737 §3 wants.
        tokio::spawn(async move { acceptor.accept(stream).await.map(drop) });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
