//! The real thing: every transport, chosen by the endpoint.

use std::sync::Arc;

use async_trait::async_trait;
use perennial_core::HttpClient;
use tokio::time::Instant;

use super::{Endpoint, Exchange, Patience, Reply, Transport, TransportError, https, tcp, tls, udp};
use crate::{
    Error,
    wire::{Answer, Query},
};

/// The [`Exchange`] that sends real messages.
///
/// Each question over UDP leaves from a random port of its own with a random id (RFC 5452 §9.2), and each
/// over TCP or TLS opens a connection of its own.
#[derive(Clone)]
pub struct Network {
    http: Option<Arc<dyn HttpClient>>,
    tls: Option<tls::Connector>,
}

impl Network {
    /// Sockets only: UDP and TCP.
    #[must_use]
    pub const fn new() -> Self {
        Self { http: None, tls: None }
    }

    /// Lets this client carry DNS over HTTPS.
    #[must_use]
    pub fn with_http(mut self, client: Arc<dyn HttpClient>) -> Self {
        self.http = Some(client);
        self
    }

    /// Adds DNS over TLS, trusting the operating system's roots and those in `roots_pem` (which may be empty).
    ///
    /// # Errors
    /// [`Error::TlsRoots`] when the roots are not PEM certificates or the system's cannot be loaded.
    pub fn with_tls(mut self, roots_pem: &[u8]) -> Result<Self, Error> {
        self.tls = Some(tls::Connector::new(roots_pem)?);
        Ok(self)
    }

    async fn carry(&self, server: &Endpoint, query: &Query) -> Result<(Answer, Transport), TransportError> {
        let patience = Patience::with(query);
        match server {
            Endpoint::Udp(address) => udp::exchange(*address, query, patience).await,
            Endpoint::Tcp(address) => {
                Ok((tcp::exchange(*address, query, patience.stream).await?, Transport::Tcp))
            }
            Endpoint::Tls { address, name } => {
                let connector = self.tls.as_ref().ok_or_else(|| TransportError::Tls {
                    reason: "this network was built without TLS".to_owned(),
                })?;
                // A handshake is two round trips more than the question itself.
                let answer = connector.exchange(*address, name, query, patience.stream * 2).await?;
                Ok((answer, Transport::Tls))
            }
            Endpoint::Https { url } => {
                let client = self.http.as_deref().ok_or_else(|| TransportError::Http {
                    reason: "this network was built without an HTTP client".to_owned(),
                })?;
                Ok((https::exchange(client, url, query, patience.stream * 2).await?, Transport::Https))
            }
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Exchange for Network {
    async fn exchange(&self, server: &Endpoint, query: &Query) -> Result<Reply, TransportError> {
        let start = Instant::now();
        let (answer, transport) = self.carry(server, query).await?;
        Ok(Reply::new(answer, transport, start.elapsed()))
    }
}
