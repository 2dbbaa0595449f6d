//! A server's front door that lets CAs look and everybody else in.

use std::{io, sync::Arc, time::Duration};

use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::ChallengeCertificates;

/// Accepts TLS connections: shows CAs the proofs that they look for, and hands on all others with a server's own
/// configuration, which need know nothing of challenges.
///
/// ```no_run
/// # use std::{io, sync::Arc};
/// # use perennial_issuers::solver::tls_alpn01::{ChallengeAcceptor, ChallengeCertificates};
/// # async fn serve(config: Arc<rustls::ServerConfig>, certificates: ChallengeCertificates) -> io::Result<()> {
/// let acceptor = ChallengeAcceptor::new(certificates);
/// let listener = tokio::net::TcpListener::bind("[::]:443").await?;
/// loop {
///     let (stream, _) = listener.accept().await?;
///     let (acceptor, config) = (acceptor.clone(), config.clone());
///     tokio::spawn(async move {
///         if let Some(stream) = acceptor.accept(stream, config).await? {
///             // An ordinary connection: serve it.
///             # drop(stream);
///         }
///         io::Result::Ok(())
///     });
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ChallengeAcceptor {
    certificates: ChallengeCertificates,
    config: Arc<ServerConfig>,
}

impl ChallengeAcceptor {
    /// Shows these proofs.
    #[must_use]
    pub fn new(certificates: ChallengeCertificates) -> Self {
        let config = certificates.server_config();
        Self { certificates, config }
    }

    /// The proofs that it shows.
    #[must_use]
    pub const fn certificates(&self) -> &ChallengeCertificates {
        &self.certificates
    }

    /// Takes a connection through its handshake: one of a CA to its end, which is `None`, and any other with
    /// `ordinary`. Either has ten seconds, which a client on the other side of the world needs one of; who connects
    /// and says nothing would otherwise hold the connection for ever.
    ///
    /// # Errors
    /// What went wrong in the handshake, such as a client that is none; `TimedOut` when it took too long.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        ordinary: Arc<ServerConfig>,
    ) -> io::Result<Option<TlsStream<S>>> {
        timeout(PATIENCE, self.handshake(stream, Some(ordinary))).await?
    }

    /// The same for CAs alone: others are refused.
    pub(super) async fn prove<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<()> {
        timeout(PATIENCE, self.handshake(stream, None)).await?.map(drop)
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        ordinary: Option<Arc<ServerConfig>>,
    ) -> io::Result<Option<TlsStream<S>>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        match ordinary.filter(|_| !ChallengeCertificates::are_asked(&start.client_hello())) {
            Some(ordinary) => start.into_stream(ordinary).await.map(Some),
            None => {
                // The handshake was all that it wanted (RFC 8737 §3).
                let mut stream = start.into_stream(self.config.clone()).await?;
                let _ = stream.shutdown().await;
                Ok(None)
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
