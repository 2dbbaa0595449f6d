//! The built-in account key: ECDSA on P-256 with SHA-256, by ring.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use perennial_core::{Retry, SecretBytes, SecretString};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{Algorithm, Signer, SignerError};
use crate::{Jwk, jwk::Curve};

/// An account key in memory: P-256, which every ACME server takes (RFC 8555 §6.2) and which is the fastest.
///
/// It never prints, and its encoding is wiped when dropped. Keep it in a file that only you can read: who
/// has it can have certificates issued in your name.
///
/// ```
/// use perennial_acme::{AccountKey, Signer as _};
///
/// let key = AccountKey::generate()?;
/// let again = AccountKey::from_pkcs8_pem(&key.to_pkcs8_pem())?;
/// assert_eq!(key.jwk().thumbprint(), again.jwk().thumbprint());
/// # Ok::<(), perennial_acme::KeyError>(())
/// ```
pub struct AccountKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    jwk: Jwk,
    pkcs8: SecretBytes,
}

impl AccountKey {
    /// Makes a new key from the operating system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when there are none.
    pub fn generate() -> Result<Self, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::NoRandomness)?;
        Self::from_pkcs8_der(&SecretBytes::new(document.as_ref()))
    }

    /// Reads a key in PKCS#8 DER (RFC 5958), public key included, as OpenSSL and this library write it.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] when it is another kind of key, or damaged.
    pub fn from_pkcs8_der(der: &SecretBytes) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.expose(), &random)
            .map_err(|error| KeyError::Rejected { reason: error.to_string() })?;
        let jwk = Jwk::ec(Curve::P256, pair.public_key().as_ref())
            .ok_or_else(|| KeyError::Rejected { reason: "its public key is no P-256 point".to_owned() })?;
        Ok(Self { pair, random, jwk, pkcs8: der.clone() })
    }

    /// Reads a key in PKCS#8 PEM: a `PRIVATE KEY` block.
    ///
    /// # Errors
    /// [`KeyError`] when there is no such block, or another kind of key in it.
    pub fn from_pkcs8_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| KeyError::NotPem)?;
        match &key {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8_der(&SecretBytes::new(der.secret_pkcs8_der())),
            _ => Err(KeyError::NotPkcs8),
        }
    }

    /// The key in PKCS#8 DER.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> SecretBytes {
        self.pkcs8.clone()
    }

    /// The key in PKCS#8 PEM (RFC 7468 §10).
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> SecretString {
        let encoded = Zeroizing::new(STANDARD.encode(self.pkcs8.expose()));
        // Reserved whole, so that growing leaves no copy of the key behind in freed memory.
        let mut pem = String::with_capacity(encoded.len() + encoded.len() / 64 + 64);
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        for (index, character) in encoded.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        SecretString::new(pem)
    }
}

#[async_trait]
impl Signer for AccountKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature = self
            .pair
            .sign(&self.random, message)
            .map_err(|_| SignerError::new("the operating system gave no random numbers", Retry::Backoff))?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Why an account key could not be made or read. It never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers to make an account key from")]
    NoRandomness,
    /// No private key in the PEM.
    #[error("the account key is not PEM: a PRIVATE KEY block is expected")]
    NotPem,
    /// A private key in an older wrapping.
    #[error("the account key is PEM but not PKCS#8: convert it with `openssl pkcs8 -topk8 -nocrypt`")]
    NotPkcs8,
    /// Not a P-256 key, or a damaged one.
    #[error("the account key is not a P-256 key in PKCS#8 with its public half: {reason}")]
    Rejected {
        /// What was found.
        reason: String,
    },
}

impl KeyError {
    /// Whether trying again makes sense: only for want of random numbers.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::NoRandomness => Retry::Backoff,
            Self::NotPem | Self::NotPkcs8 | Self::Rejected { .. } => Retry::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[tokio::test]
    async fn signatures_verify_and_have_fixed_width() {
        let key = AccountKey::generate().unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref());
        for round in 0..64_u8 {
            let signature = key.sign(&[round]).await.unwrap();
            assert_eq!(signature.len(), 64);
            public.verify(&[round], &signature).unwrap();
        }
    }

    fn error_of(pem: &str) -> KeyError {
        AccountKey::from_pkcs8_pem(&SecretString::new(pem)).err().unwrap()
    }

    #[test]
    fn each_wrong_file_is_told_what_it_is() {
        assert_eq!(error_of("hello"), KeyError::NotPem);
        let sec1 = "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n";
        assert_eq!(error_of(sec1), KeyError::NotPkcs8);
        let empty = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        assert!(matches!(error_of(empty), KeyError::Rejected { .. }));
    }

    #[test]
    fn keys_of_rcgen_are_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        assert!(AccountKey::from_pkcs8_pem(&SecretString::new(key.serialize_pem())).is_ok());
    }

    #[test]
    fn pem_has_lines_of_64_characters() {
        let pem = AccountKey::generate().unwrap().to_pkcs8_pem();
        let lines: Vec<_> = pem.expose().lines().collect();
        assert_eq!(lines.first(), Some(&"-----BEGIN PRIVATE KEY-----"));
        assert_eq!(lines.last(), Some(&"-----END PRIVATE KEY-----"));
        assert!(lines.iter().all(|line| line.len() <= 64));
    }
}
