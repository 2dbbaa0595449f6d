//! One question to one address, the way a CA asks it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};
use tokio_rustls::TlsConnector;
use url::Url;

use super::{
    answer::shown,
    observation::{Found, Phase},
};
use crate::handshake::any_certificate;

/// A response as it came.
pub(super) struct Fetched {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The beginning of it.
    pub(super) body: Vec<u8>,
}

/// Let's Encrypt allows ten seconds for all of it.
const CONNECTING: Duration = Duration::from_secs(5);
const ANSWERING: Duration = Duration::from_secs(5);
/// A key authorization has 88 bytes; of a page this is enough to tell what it is.
const LARGEST_BODY: usize = 16 * 1024;

/// Asks for a URL at an address.
pub(super) async fn fetch(at: SocketAddr, url: &Url) -> Result<Fetched, Found> {
    let connecting = time::timeout(CONNECTING, TcpStream::connect(at)).await;
    let stream = match connecting {
        Err(_) => return Err(Found::Silent { during: Phase::Connecting }),
        Ok(Err(error)) => return Err(unconnected(&error)),
        Ok(Ok(stream)) => stream,
    };
    let asked = async {
        if url.scheme() == "https" {
            let host = url.host_str().unwrap_or_default().to_owned();
            let name = ServerName::try_from(host).map_err(|error| broken(&error))?;
            // A CA does not mind what certificate it is redirected to: it came to see that one may be issued.
            let config = any_certificate().map_err(|error| broken(&error))?;
            let connector = TlsConnector::from(Arc::new(config));
            let secured = connector.connect(name, stream).await.map_err(|error| broken(&error))?;
            ask(secured, url).await
        } else {
            ask(stream, url).await
        }
    };
    time::timeout(ANSWERING, asked).await.unwrap_or(Err(Found::Silent { during: Phase::Answering }))
}

async fn ask<S>(stream: S, url: &Url) -> Result<Fetched, Found>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let exchange = async {
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let target =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let request = Request::get(target)
            .header(header::HOST, host)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        while body.len() < LARGEST_BODY {
            match incoming.frame().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    body.extend_from_slice(data.get(..LARGEST_BODY - body.len()).unwrap_or(&data));
                }
                Some(Err(error)) => return Err(broken(&error)),
                None => break,
            }
        }
        Ok(Fetched { status: head.status.as_u16(), headers: head.headers, body })
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end with the answer, or before it.
        _ = &mut connection => exchange.await,
    }
}

/// What a web server's log shows of us.
const USER_AGENT: &str = concat!("perennial/", env!("CARGO_PKG_VERSION"), " (http-01 self-check)");

fn unconnected(error: &io::Error) -> Found {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Found::Refused,
        io::ErrorKind::TimedOut => Found::Silent { during: Phase::Connecting },
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => broken(error),
        // No way there, or no more files, or a firewall of our own: that says nothing of the server.
        _ => Found::Unreachable { reason: error.to_string() },
    }
}

fn broken(error: &dyn std::error::Error) -> Found {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        reason = format!("{reason}: {error}");
        source = error.source();
    }
    Found::Broken { reason: shown(&reason, MOST_OF_A_REASON) }
}

const MOST_OF_A_REASON: usize = 160;
