//! One handshake with one address.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::CertificateError;
use rustls_pki_types::ServerName;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time};
use tokio_rustls::TlsConnector;

use super::{Handshake, NoHandshake, Question, witness::Witness};
use crate::solver::http01::{Phase, shown};

/// Let's Encrypt allows ten seconds for all of it.
const CONNECTING: Duration = Duration::from_secs(5);
const SHAKING: Duration = Duration::from_secs(5);

/// Connects, and ends the connection when it has seen the certificate.
pub(super) async fn shake(at: SocketAddr, question: Question<'_>) -> Result<Handshake, NoHandshake> {
    let stream = match time::timeout(CONNECTING, TcpStream::connect(at)).await {
        Err(_) => return Err(NoHandshake::Silent { during: Phase::Connecting }),
        Ok(Err(error)) => return Err(unconnected(&error)),
        Ok(Ok(stream)) => stream,
    };
    let name = ServerName::try_from(question.name.to_owned()).map_err(|error| broken(&error))?;
    let (witness, config) = Witness::new(question.possession);
    let mut config = config.map_err(|error| broken(&error))?;
    config.alpn_protocols = question.protocol.map(<[u8]>::to_vec).into_iter().collect();
    let shaken = time::timeout(SHAKING, async {
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        // Out of politeness: a server may log a connection that is cut off.
        let _ = stream.shutdown().await;
        io::Result::Ok(protocol)
    });
    let shaken = shaken.await;
    let chain = witness.take();
    match shaken {
        Ok(Ok(protocol)) if !chain.is_empty() => Ok(Handshake { chain, protocol }),
        Ok(Ok(_)) => Err(NoHandshake::Broken { reason: "no certificate was shown".to_owned() }),
        Ok(Err(error)) if is_bad_signature(&error) => Err(NoHandshake::Broken {
            reason: "the server does not hold the key of the certificate that it shows".to_owned(),
        }),
        Ok(Err(error)) if chain.is_empty() => Err(broken(&error)),
        Err(_) if chain.is_empty() => Err(NoHandshake::Silent { during: Phase::Answering }),
        // Who wants a certificate of the client's, and gets none, has shown its own before.
        Ok(Err(_)) | Err(_) => Ok(Handshake { chain, protocol: None }),
    }
}

fn unconnected(error: &io::Error) -> NoHandshake {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => NoHandshake::Refused,
        io::ErrorKind::TimedOut => NoHandshake::Silent { during: Phase::Connecting },
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => broken(error),
        // No way there, or no more files, or a firewall of our own: that says nothing of the server.
        _ => NoHandshake::Unreachable { reason: error.to_string() },
    }
}

fn broken(error: &dyn std::error::Error) -> NoHandshake {
    NoHandshake::Broken { reason: shown(&error.to_string(), MOST_OF_A_REASON) }
}

fn is_bad_signature(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(fault)) = inner else { return false };
    // A key of another kind cannot even have made the signature.
    matches!(
        fault,
        CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    )
}

const MOST_OF_A_REASON: usize = 160;
