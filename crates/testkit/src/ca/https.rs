//! HTTP/1.1 over TLS on loopback.

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::misbehaviour::{End, Piece, Raw};
use crate::{Error, sync::lock};

/// Who answers requests.
#[async_trait]
pub(crate) trait Answer: Send + Sync + 'static {
    async fn answer(&self, request: Request<Bytes>) -> Delivery;
}

/// What is sent back.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Nothing: the connection is closed.
    Lost,
    /// Bytes that are not for hyper to make.
    Raw(Raw),
    /// A response.
    Whole(Response<Bytes>),
}

/// A port with a certificate, at which nobody answers yet.
pub(crate) struct Listener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// What clients must trust.
    pub(crate) root_pem: String,
    pub(crate) address: SocketAddr,
}

impl Listener {
    pub(crate) async fn bind() -> Result<Self, Error> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let unusable = |error: std::io::Error| Error::Bind { address: any, reason: error.to_string() };
        let listener = TcpListener::bind(any).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let (config, root_pem) = identity(address.ip()).map_err(|reason| Error::Certificate {
            what: "the certificate of the CA's own HTTPS server",
            reason,
        })?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), root_pem, address })
    }

    /// Answers until the handle aborts it.
    pub(crate) fn serve(self, answer: Arc<dyn Answer>) -> AbortHandle {
        tokio::spawn(accept(self.listener, self.acceptor, answer)).abort_handle()
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, answer: Arc<dyn Answer>) {
    // Dropping the set ends the connections with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve_connection(stream, acceptor.clone(), Arc::clone(&answer)));
                }
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, acceptor: TlsAcceptor, answer: Arc<dyn Answer>) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let stream = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await.ok()?.ok()?;
    let raw = Arc::new(Mutex::new(None));
    let service = service_fn(|request: Request<Incoming>| {
        let (answer, raw) = (Arc::clone(&answer), Arc::clone(&raw));
        Box::pin(async move {
            match respond(request, &*answer).await {
                Delivery::Whole(response) => Ok(response.map(Full::new)),
                Delivery::Lost => Err(Closed),
                Delivery::Raw(bytes) => {
                    *lock(&raw) = Some(bytes);
                    Err(Closed)
                }
            }
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let raw = lock(&raw).take();
    match raw {
        // hyper has written nothing, and leaves the stream to us.
        Some(raw) => tokio::time::timeout(PATIENCE, send(raw, &mut stream)).await.ok()?.ok(),
        None => {
            ended.ok()?;
            stream.shutdown().await.ok()
        }
    }
}

async fn send(raw: Raw, stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    for piece in raw.pieces {
        match piece {
            Piece::Bytes(bytes) => stream.write_all(&bytes).await?,
            Piece::Forever { bytes, pause, most } => {
                let mut sent = 0;
                while sent < most {
                    stream.write_all(&bytes).await?;
                    stream.flush().await?;
                    sent += bytes.len();
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
    stream.flush().await?;
    match raw.end {
        End::Close => stream.shutdown().await,
        End::Reset => stream.get_ref().0.set_zero_linger(),
    }
}

async fn respond(request: Request<Incoming>, answer: &dyn Answer) -> Delivery {
    let (parts, body) = request.into_parts();
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST_BODY).collect()).await;
    match collected {
        Err(_) => Delivery::Lost,
        Ok(Err(_)) => {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            Delivery::Whole(response)
        }
        Ok(Ok(body)) => answer.answer(Request::from_parts(parts, body.to_bytes())).await,
    }
}

/// A root that signs a certificate for the loopback addresses, both made for this server alone.
fn identity(address: IpAddr) -> Result<(ServerConfig, String), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut root = CertificateParams::default();
    root.distinguished_name.push(DnType::CommonName, "Testkit HTTPS root");
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_key = KeyPair::generate().map_err(|error| text(&error))?;
    let root_pem = root.self_signed(&root_key).map_err(|error| text(&error))?.pem();
    let issuer = Issuer::new(root, root_key);
    let names = vec![address.to_string(), "::1".into(), "localhost".into()];
    let mut leaf = CertificateParams::new(names).map_err(|error| text(&error))?;
    leaf.distinguished_name.push(DnType::CommonName, "Testkit CA");
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(|error| text(&error))?;
    let certificate = leaf.signed_by(&key, &issuer).map_err(|error| text(&error))?;
    // Named, so that it does not matter which provider the process has installed, if any.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| text(&error))?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate)],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .map_err(|error| text(&error))?;
    Ok((config, root_pem))
}

/// hyper closes the connection when a service fails.
#[derive(Debug, thiserror::Error)]
#[error("the test wants this connection to be closed")]
struct Closed;

/// Far more than any test has open, and a bound all the same.
const MOST_CONNECTIONS: usize = 1024;
/// A client that stalls for longer is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// A hundred names and a large key need a few kilobytes.
const LARGEST_BODY: usize = 1024 * 1024;
