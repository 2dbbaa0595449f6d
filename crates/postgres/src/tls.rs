//! TLS through rustls and ring.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// A connector that trusts these roots alone, or the operating system's when there are none.
pub(crate) fn connector(roots_pem: &[u8]) -> Result<MakeRustlsConnect, Error> {
    let fault = |reason: String| Error::Certificate { reason };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(error.to_string()))?;
    let config = if roots_pem.is_empty() {
        builder.with_platform_verifier().map_err(|error| fault(error.to_string()))?.with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(roots_pem)?).with_no_client_auth()
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let fault = |reason: String| Error::Certificate { reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| fault(format!("they are not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fault("they hold no CERTIFICATE block".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_are_none_are_refused() {
        for pem in ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(roots(pem.as_bytes()), Err(Error::Certificate { .. })), "{pem}");
        }
    }
}
