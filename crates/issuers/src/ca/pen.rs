//! What a CA signs, and with what: a key that is here signs at once; one that is not is asked, and waited for.

use std::sync::{Arc, Mutex, PoisonError};

use perennial_core::Retry;
use rcgen::{
    Certificate, CertificateParams, CertificateRevocationList, CertificateRevocationListParams, KeyPair,
    PublicKeyData, SigningKey, SubjectPublicKeyInfo,
};
use ring::signature::UnparsedPublicKey;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::*;

use super::{AuthorityFault, Signer, SignerError};
use crate::Error;

/// Who signs.
pub(super) enum Pen {
    Held(Box<rcgen::Issuer<'static, KeyPair>>),
    Remote(Arc<dyn Signer>),
}

/// Something to be signed. It is written the same each time.
pub(super) trait Paper: Send + Sync + 'static {
    type Signed: Send + 'static;

    fn written(&self, issuer: &rcgen::Issuer<'_, impl SigningKey>) -> Result<Self::Signed, rcgen::Error>;
}

/// A certificate.
pub(super) struct Leaf {
    pub(super) params: CertificateParams,
    pub(super) key: SubjectPublicKeyInfo,
}

impl Paper for Leaf {
    type Signed = Certificate;

    fn written(&self, issuer: &rcgen::Issuer<'_, impl SigningKey>) -> Result<Certificate, rcgen::Error> {
        self.params.signed_by(&self.key, issuer)
    }
}

/// A list of what is revoked.
pub(super) struct RevocationList(pub(super) CertificateRevocationListParams);

impl Paper for RevocationList {
    type Signed = CertificateRevocationList;

    fn written(
        &self,
        issuer: &rcgen::Issuer<'_, impl SigningKey>,
    ) -> Result<CertificateRevocationList, rcgen::Error> {
        self.0.signed_by(issuer)
    }
}

/// Has a paper signed by somebody who takes his time: it is written once to learn what is to be signed, and once more
/// with the signature.
pub(super) async fn written_by<P: Paper>(
    signer: &dyn Signer,
    authority: &CertificateDer<'_>,
    paper: &P,
) -> Result<P::Signed, Error> {
    let unsigned = |error: rcgen::Error| Error::Unsigned { reason: error.to_string() };
    let (_, own) = X509Certificate::from_der(authority)
        .map_err(|error| AuthorityFault::Malformed { index: 0, reason: error.to_string() })?;
    let key = SubjectPublicKeyInfo::from_der(own.public_key().raw).map_err(unsigned)?;
    let algorithm = signer.algorithm();
    let issuer = rcgen::Issuer::from_ca_cert_der(authority, Recorder::new(algorithm.encoded(), &key));
    let issuer = issuer.map_err(unsigned)?;
    paper.written(&issuer).map_err(unsigned)?;
    let message = issuer.key().message();

    let signature = signer.sign(&message).await?;
    // Whoever holds the key may hold several.
    let public_key = UnparsedPublicKey::new(algorithm.verification(), key.der_bytes());
    public_key.verify(&message, &signature).map_err(|_| {
        let subject = super::authority::shown(own.subject());
        let reason =
            format!("its signature ({algorithm}) is not one of the key of {subject}; give the CA its own");
        SignerError::new(reason, Retry::Backoff)
    })?;
    let known = Known { message, signature, recorder: Recorder::new(algorithm.encoded(), &key) };
    let issuer = rcgen::Issuer::from_ca_cert_der(authority, known).map_err(unsigned)?;
    paper.written(&issuer).map_err(unsigned)
}

/// Notes what is to be signed, and signs nothing.
pub(super) struct Recorder<'a> {
    algorithm: &'static rcgen::SignatureAlgorithm,
    key: &'a SubjectPublicKeyInfo,
    message: Mutex<Vec<u8>>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(algorithm: &'static rcgen::SignatureAlgorithm, key: &'a SubjectPublicKeyInfo) -> Self {
        Self { algorithm, key, message: Mutex::default() }
    }

    fn message(&self) -> Vec<u8> {
        self.message.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl PublicKeyData for Recorder<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Recorder<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        *self.message.lock().unwrap_or_else(PoisonError::into_inner) = message.to_vec();
        Ok(Vec::new())
    }
}

/// Has one signature, and gives it for what it was made for.
struct Known<'a> {
    recorder: Recorder<'a>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl PublicKeyData for Known<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.recorder.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.recorder.algorithm()
    }
}

impl SigningKey for Known<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        if message == self.message { Ok(self.signature.clone()) } else { Err(rcgen::Error::RemoteKeyError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::SignatureAlgorithm;
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Far(KeyPair);

    #[async_trait]
    impl Signer for Far {
        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::EcdsaP256Sha256
        }

        async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
            Ok(self.0.sign(message).unwrap())
        }
    }

    /// Another one each time it is written.
    struct Fickle(AtomicU64, KeyPair);

    impl Paper for Fickle {
        type Signed = Certificate;

        fn written(&self, issuer: &rcgen::Issuer<'_, impl SigningKey>) -> Result<Certificate, rcgen::Error> {
            let mut params = CertificateParams::default();
            params.serial_number = Some(self.0.fetch_add(1, Ordering::SeqCst).into());
            params.signed_by(&self.1, issuer)
        }
    }

    #[tokio::test]
    async fn a_signature_is_put_under_nothing_but_what_it_was_made_for() {
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::default();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = root.self_signed(&key).unwrap();
        let paper = Fickle(AtomicU64::new(1), KeyPair::generate().unwrap());
        let error = written_by(&Far(key), root.der(), &paper).await.err().unwrap();
        assert!(matches!(error, Error::Unsigned { .. }), "{error}");
    }
}
