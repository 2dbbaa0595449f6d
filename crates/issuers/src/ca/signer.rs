//! Who signs for a CA whose key is not here: an HSM, a cloud's key service, the transit engine of a Vault.

use std::fmt;

use async_trait::async_trait;
use perennial_core::Retry;
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PKCS_RSA_SHA384,
    PKCS_RSA_SHA512,
};
use ring::signature::{self, VerificationAlgorithm};

/// Who signs for a CA whose key is not here: an HSM, a cloud's key service, the transit engine of a Vault.
///
/// # Contract
/// - [`sign`](Self::sign) MUST return the signature as X.509 has it: for ECDSA the DER `SEQUENCE { r, s }` (RFC 3279
///   §2.2.3) that HSMs and key services return by themselves. Each is verified before it is used.
/// - [`algorithm`](Self::algorithm) MUST always give the same answer, and fit the key of the CA's certificate.
/// - The message MUST NOT be kept. It may be called from any number of tasks at once, and MUST return within a
///   bounded time; dropping the future abandons the signature.
///
/// ```
/// use perennial_issuers::ca::{SignatureAlgorithm, Signer, SignerError};
///
/// /// Asks something that takes its time, over HTTP or PKCS#11.
/// struct Remote<F>(F);
///
/// #[async_trait::async_trait]
/// impl<F: Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync> Signer for Remote<F> {
///     fn algorithm(&self) -> SignatureAlgorithm {
///         SignatureAlgorithm::EcdsaP256Sha256
///     }
///
///     async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
///         self.0(message).ok_or_else(|| SignerError::new("it is locked", perennial_core::Retry::Backoff))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let locked = Remote(|_: &[u8]| None);
/// assert!(locked.sign(b"message").await.is_err());
/// # }
/// ```
#[async_trait]
pub trait Signer: Send + Sync {
    /// The algorithm of every signature.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs the message (not a hash of it).
    ///
    /// # Errors
    /// [`SignerError`] with the reason and whether trying again makes sense.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// How a CA signs (RFC 5758, RFC 8410, RFC 4055).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// Ed25519.
    Ed25519,
    /// RSA (PKCS#1 v1.5) with SHA-256.
    RsaSha256,
    /// RSA (PKCS#1 v1.5) with SHA-384.
    RsaSha384,
    /// RSA (PKCS#1 v1.5) with SHA-512.
    RsaSha512,
}

impl SignatureAlgorithm {
    pub(super) const fn encoded(self) -> &'static rcgen::SignatureAlgorithm {
        match self {
            Self::EcdsaP256Sha256 => &PKCS_ECDSA_P256_SHA256,
            Self::EcdsaP384Sha384 => &PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &PKCS_ED25519,
            Self::RsaSha256 => &PKCS_RSA_SHA256,
            Self::RsaSha384 => &PKCS_RSA_SHA384,
            Self::RsaSha512 => &PKCS_RSA_SHA512,
        }
    }
}

impl SignatureAlgorithm {
    pub(super) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
            Self::Ed25519 => &signature::ED25519,
            Self::RsaSha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256Sha256 => "ECDSA on P-256 with SHA-256",
            Self::EcdsaP384Sha384 => "ECDSA on P-384 with SHA-384",
            Self::Ed25519 => "Ed25519",
            Self::RsaSha256 => "RSA with SHA-256",
            Self::RsaSha384 => "RSA with SHA-384",
            Self::RsaSha512 => "RSA with SHA-512",
        })
    }
}

/// Why a [`Signer`] could not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the CA's key could not sign: {reason}")]
pub struct SignerError {
    reason: String,
    retry: Retry,
}

impl SignerError {
    /// With the reason of whoever holds the key, and whether the same signature can succeed later.
    #[must_use]
    pub fn new(reason: impl Into<String>, retry: Retry) -> Self {
        Self { reason: reason.into(), retry }
    }

    /// Whether the same signature can succeed later.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        self.retry
    }
}

#[cfg(test)]
fn _object_safe(_: &dyn Signer) {}
