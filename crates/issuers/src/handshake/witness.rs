//! A client that looks at certificates instead of trusting them.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Possession;

/// Takes any certificate, and keeps what it was shown.
#[derive(Debug)]
pub(super) struct Witness {
    algorithms: WebPkiSupportedAlgorithms,
    possession: Possession,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

/// A configuration that takes any certificate: for those who look at what comes after the handshake.
pub(crate) fn any_certificate() -> Result<ClientConfig, Error> {
    Witness::new(Possession::Waived).1
}

impl Witness {
    /// A witness of one handshake, and the configuration for it.
    pub(super) fn new(possession: Possession) -> (Arc<Self>, Result<ClientConfig, Error>) {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let witness = Arc::new(Self { algorithms, possession, shown: Mutex::default() });
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let verifier = witness.clone();
        let config = builder.map(|builder| {
            let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
            let mut config = builder.with_no_client_auth();
            // A session that is resumed shows no certificate.
            config.resumption = Resumption::disabled();
            config
        });
        (witness, config)
    }

    /// What it was shown, the leaf first; given out once.
    pub(super) fn take(&self) -> Vec<CertificateDer<'static>> {
        mem::take(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(leaf).chain(above).take(LONGEST);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.possession {
            Possession::Shown => verify_tls12_signature(message, leaf, signed, &self.algorithms),
            Possession::Waived => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.possession {
            Possession::Shown => verify_tls13_signature(message, leaf, signed, &self.algorithms),
            Possession::Waived => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// As long as a keeper lets a chain be.
const LONGEST: usize = 16;
