//! http-01: RFC 8555 §8.3.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::PATIENCE;
use crate::ca::{identifier::Identifier, problem::Problem};

/// Fetches the file. DIVERGES: redirects, which RFC 8555 lets a CA follow, are not followed.
pub(super) async fn look(
    at: SocketAddr,
    name: &Identifier,
    token: &str,
    expected: &str,
) -> Result<(), Problem> {
    let url = format!("http://{}/.well-known/acme-challenge/{token}", host(name));
    let problem =
        |kind, detail: String| Problem::new(kind, StatusCode::BAD_REQUEST, format!("{url}: {detail}"));
    let fetched = tokio::time::timeout(PATIENCE, fetch(at, name, token)).await;
    let fetched = fetched.unwrap_or_else(|_| Err("there was no answer in time".into()));
    let (status, body) = fetched.map_err(|reason| problem("connection", reason))?;
    if status != StatusCode::OK {
        return Err(problem("unauthorized", format!("the answer was {status}")));
    }
    // RFC 8555 §8.3: white space at the end does not count.
    if body.trim_ascii_end() != expected.as_bytes() {
        return Err(problem("incorrectResponse", "this is not the key authorization".into()));
    }
    Ok(())
}

async fn fetch(at: SocketAddr, name: &Identifier, token: &str) -> Result<(StatusCode, Bytes), String> {
    let stream = TcpStream::connect(at).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let request = Request::get(format!("/.well-known/acme-challenge/{token}"))
            .header(header::HOST, host(name))
            .header(header::USER_AGENT, "testkit")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?;
        Ok((head.status, body.to_bytes()))
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end with the answer, or before it.
        _ = &mut connection => exchange.await,
    }
}

/// As it stands in a URL.
fn host(name: &Identifier) -> String {
    match name {
        Identifier::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        name => name.to_string(),
    }
}

/// A key authorization has 88 characters.
const LARGEST: usize = 16 * 1024;
