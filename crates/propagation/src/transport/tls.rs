//! DNS over TLS: RFC 7858, with the server authenticated by name or address (RFC 8310 §8.1).

use std::{net::SocketAddr, sync::Arc};

use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{TransportError, stream};
use crate::Error;

/// Opens TLS sessions. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl Connector {
    /// Trusts the operating system's roots and those in `roots_pem`.
    pub(super) fn new(roots_pem: &[u8]) -> Result<Self, Error> {
        let fault = |reason: String| Error::TlsRoots { reason };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(error.to_string()))?;
        let roots = CertificateDer::pem_slice_iter(roots_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| fault(format!("a trusted root is not PEM: {error}")))?;
        if roots.is_empty() && roots_pem.iter().any(|byte| !byte.is_ascii_whitespace()) {
            return Err(fault("the trusted roots hold no CERTIFICATE block".to_owned()));
        }
        let config = if roots.is_empty() {
            builder.with_platform_verifier().map_err(|error| fault(error.to_string()))?.with_no_client_auth()
        } else {
            let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider)
                .map_err(|error| fault(error.to_string()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Opens a session with the server of this name, or IP address.
    pub(super) async fn connect(
        &self,
        server: SocketAddr,
        name: &str,
    ) -> Result<TlsStream<TcpStream>, TransportError> {
        let tls = |reason: String| TransportError::Tls { reason };
        let name = ServerName::try_from(name.to_owned()).map_err(|error| tls(error.to_string()))?;
        let stream = stream::connect(server).await?;
        self.0.connect(name, stream).await.map_err(|error| tls(error.to_string()))
    }
}
