//! The key pairs of ring, and on which thread they sign.

use std::sync::Arc;

use perennial_core::Retry;
use ring::{
    error::KeyRejected,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};

use super::{Algorithm, KeyError, SignerError, pkcs8};
use crate::{Jwk, jwk::Curve};

/// A key pair of a kind that ring signs with.
pub(super) enum Pair {
    EcdsaP256(EcdsaKeyPair),
    /// Shared with the thread that signs, as RSA is.
    EcdsaP384(Arc<EcdsaKeyPair>),
    Ed25519(Ed25519KeyPair),
    Rsa(Arc<RsaKeyPair>),
}

impl Pair {
    /// Reads PKCS#8.
    pub(super) fn read(der: &[u8]) -> Result<Self, KeyError> {
        Ok(match pkcs8::algorithm(der)? {
            Algorithm::Es256 => Self::EcdsaP256(read_ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, der)?),
            Algorithm::Es384 => Self::EcdsaP384(Arc::new(read_ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, der)?)),
            // OpenSSL writes Ed25519 keys without the public half; ring works it out.
            Algorithm::EdDsa => {
                Self::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(rejected)?)
            }
            Algorithm::Rs256 => Self::Rsa(Arc::new(RsaKeyPair::from_pkcs8(der).map_err(rejected)?)),
            other @ Algorithm::Es512 => return Err(KeyError::OtherKind { found: other.to_string() }),
        })
    }

    /// Makes a pair, in PKCS#8.
    pub(super) fn generate(algorithm: Algorithm) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        let document = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            Algorithm::Es384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random),
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
            Algorithm::Es512 | Algorithm::Rs256 => return Err(KeyError::CannotMake { algorithm }),
        };
        Ok(document.map_err(|_| KeyError::NoRandomness)?.as_ref().to_vec())
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::EcdsaP256(_) => Algorithm::Es256,
            Self::EcdsaP384(_) => Algorithm::Es384,
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::Rsa(_) => Algorithm::Rs256,
        }
    }

    /// The public half; `None` when ring's form of it is not what its documentation says.
    pub(super) fn jwk(&self) -> Option<Jwk> {
        match self {
            Self::EcdsaP256(pair) => Jwk::ec(Curve::P256, pair.public_key().as_ref()),
            Self::EcdsaP384(pair) => Jwk::ec(Curve::P384, pair.public_key().as_ref()),
            Self::Ed25519(pair) => Some(Jwk::ed25519(pair.public_key().as_ref().try_into().ok()?)),
            Self::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                Some(Jwk::rsa(&public.n, &public.e))
            }
        }
    }

    /// Signs at once when that takes some tens of microseconds, as with P-256 and Ed25519. P-384 takes a
    /// large part of a millisecond and RSA up to several: an executor's thread would stand still for all its
    /// other tasks, so a thread that may block does that.
    pub(super) async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match self {
            Self::EcdsaP256(pair) => sign_ecdsa(pair, message),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::EcdsaP384(pair) => {
                let (pair, message) = (pair.clone(), message.to_vec());
                blocking::unblock(move || sign_ecdsa(&pair, &message)).await
            }
            Self::Rsa(pair) => {
                let (pair, message) = (pair.clone(), message.to_vec());
                blocking::unblock(move || sign_rsa(&pair, &message)).await
            }
        }
    }
}

fn read_ecdsa(algorithm: &'static EcdsaSigningAlgorithm, der: &[u8]) -> Result<EcdsaKeyPair, KeyError> {
    EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new()).map_err(rejected)
}

/// ring says what is wrong in one word and never quotes the key.
fn rejected(error: KeyRejected) -> KeyError {
    KeyError::Rejected { reason: error.to_string() }
}

fn sign_ecdsa(pair: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, SignerError> {
    signing();
    let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| no_random_numbers())?;
    Ok(signature.as_ref().to_vec())
}

fn sign_rsa(pair: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, SignerError> {
    signing();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| no_random_numbers())?;
    Ok(signature)
}

fn no_random_numbers() -> SignerError {
    SignerError::new("the operating system gave no random numbers", Retry::Backoff)
}

#[cfg(not(test))]
const fn signing() {}

#[cfg(test)]
use tests::signing;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::account_key::tests::rfc7515_a_2_key;
    use perennial_core::SecretBytes;
    use std::cell::Cell;

    thread_local! {
        static SIGNATURES: Cell<u32> = const { Cell::new(0) };
    }

    /// Counts the signatures that this very thread makes.
    pub(super) fn signing() {
        SIGNATURES.set(SIGNATURES.get() + 1);
    }

    async fn signs_here(pkcs8: &[u8]) -> bool {
        let pair = Pair::read(pkcs8).unwrap();
        let before = SIGNATURES.get();
        // One thread drives the test, so this future is polled here and nowhere else.
        assert!(!movable(pair.sign(b"message")).await.unwrap().is_empty());
        SIGNATURES.get() > before
    }

    fn movable<F: Future + Send>(future: F) -> F {
        future
    }

    #[tokio::test]
    async fn slow_signatures_are_made_on_another_thread_and_fast_ones_here() {
        assert!(signs_here(&Pair::generate(Algorithm::Es256).unwrap()).await);
        assert!(!signs_here(&Pair::generate(Algorithm::Es384).unwrap()).await);
        let rsa: SecretBytes = rfc7515_a_2_key().to_pkcs8_der();
        assert!(!signs_here(rsa.expose()).await);
    }
}
