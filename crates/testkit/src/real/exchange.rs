//! One request to a server on loopback, in plain HTTP.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{StatusCode, header, request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends a request on a connection of its own, and reads the answer as text.
pub(super) async fn exchange(
    server: SocketAddr,
    request: request::Builder,
    body: String,
) -> std::io::Result<(StatusCode, String)> {
    let other = std::io::Error::other::<Box<dyn std::error::Error + Send + Sync>>;
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| other(error.into()))?;
    let connection = tokio::spawn(connection);
    let request = request
        .header(header::HOST, server.to_string())
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| other(error.into()))?;
    let response = sender.send_request(request).await.map_err(|error| other(error.into()))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| other(error.into()))?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
