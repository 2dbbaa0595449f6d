//! Account keys: who signs our requests (RFC 8555 §6.2).

mod account_key;
pub use account_key::{AccountKey, KeyError};

mod pair;

mod pkcs8;

use std::fmt;

use async_trait::async_trait;
use perennial_core::Retry;

use crate::{Jwk, Misuse, jwk::Curve};

/// Who signs with an account key: memory, a file, an HSM, a cloud's key service.
///
/// # Contract
/// - [`sign`](Self::sign) MUST return the signature in JOSE form (RFC 7518 §3.4): for ECDSA the fixed-width
///   `r ‖ s`, not the DER that most HSMs and key services return; see [`signature_from_der`].
/// - [`algorithm`](Self::algorithm) and [`jwk`](Self::jwk) MUST always give the same answer, and match each
///   other: one key, one algorithm. They are asked for each request and SHOULD be cheap.
/// - The message MUST NOT be kept. It may be called from any number of tasks at once; dropping the future
///   abandons the signature.
/// - It SHOULD NOT keep the executor's thread busy for longer than a fraction of a millisecond: a slow
///   signature belongs on a thread that may block, as [`AccountKey`] does with P-384 and RSA.
///
/// A key in an HSM or a cloud's key service is a signer that asks for the signature over PKCS#11 or HTTP, and
/// turns it from DER with [`signature_from_der`]. A signer may also wrap another, to count, to log or to
/// limit what is signed:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use perennial_acme::{AccountKey, Algorithm, Jwk, Signer, SignerError};
///
/// struct Counting<S> {
///     inner: S,
///     signatures: AtomicU64,
/// }
///
/// #[async_trait::async_trait]
/// impl<S: Signer> Signer for Counting<S> {
///     fn algorithm(&self) -> Algorithm {
///         self.inner.algorithm()
///     }
///
///     fn jwk(&self) -> &Jwk {
///         self.inner.jwk()
///     }
///
///     async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
///         self.signatures.fetch_add(1, Ordering::Relaxed);
///         self.inner.sign(message).await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let signer = Counting { inner: AccountKey::generate()?, signatures: AtomicU64::new(0) };
/// assert_eq!(signer.sign(b"message").await?.len(), 64);
/// assert_eq!(signer.signatures.load(Ordering::Relaxed), 1);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Signer: Send + Sync {
    /// The algorithm of every signature.
    fn algorithm(&self) -> Algorithm;

    /// The public half of the key.
    fn jwk(&self) -> &Jwk;

    /// Signs the message (not a hash of it).
    ///
    /// # Errors
    /// [`SignerError`] with the reason and whether trying again makes sense.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// A signature algorithm of JWS (RFC 7518 §3.1, RFC 8037 §3.1).
///
/// RFC 8555 §6.2 forbids `none` and MACs for requests; ES256 is the one that every server has to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519, under the name of RFC 8037, which deployed servers know, not the newer one of RFC 9864.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// The value of the protected header's `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// How long a signature by that key is, in octets; `None` when the key is of another kind.
    fn signature_size(self, key: &Jwk) -> Option<usize> {
        match (self, key.curve()) {
            (Self::Es256, Some(Curve::P256)) => Some(64),
            (Self::Es384, Some(Curve::P384)) => Some(96),
            (Self::Es512, Some(Curve::P521)) => Some(132),
            (Self::EdDsa, _) if key.is_ed25519() => Some(64),
            (Self::Rs256, _) => key.rsa_size(),
            _ => None,
        }
    }

    /// That key and algorithm belong together.
    pub(crate) fn check_key(self, key: &Jwk) -> Result<(), Misuse> {
        self.signature_size(key).map(|_| ()).ok_or(Misuse::AlgorithmOfOtherKey { algorithm: self })
    }

    /// That a signature has the size that the server expects.
    pub(crate) fn check_signature(self, key: &Jwk, signature: &[u8]) -> Result<(), Misuse> {
        let expected = self.signature_size(key).ok_or(Misuse::AlgorithmOfOtherKey { algorithm: self })?;
        if signature.len() != expected {
            return Err(Misuse::SignatureSize { algorithm: self, expected, found: signature.len() });
        }
        Ok(())
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Turns an ECDSA signature from DER (`SEQUENCE { r, s }`, RFC 3279 §2.2.3) into the fixed-width form of
/// JOSE (RFC 7518 §3.4), for signers over PKCS#11, KMS and the like.
///
/// Returns `None` when the algorithm is no ECDSA or the bytes are no such signature.
///
/// ```
/// use perennial_acme::{Algorithm, signature_from_der};
///
/// let der = [0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x07];
/// let jose = signature_from_der(Algorithm::Es256, &der).expect("r = 5, s = 7");
/// assert_eq!((jose.len(), jose[31], jose[63]), (64, 5, 7));
/// ```
#[must_use]
pub fn signature_from_der(algorithm: Algorithm, der: &[u8]) -> Option<Vec<u8>> {
    let width = match algorithm {
        Algorithm::Es256 => 32,
        Algorithm::Es384 => 48,
        Algorithm::Es512 => 66,
        Algorithm::EdDsa | Algorithm::Rs256 => return None,
    };
    let (sequence, rest) = der_element(der, 0x30)?;
    let (r, after) = der_element(sequence, 0x02)?;
    let (s, end) = der_element(after, 0x02)?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    let mut jose = Vec::with_capacity(2 * width);
    for integer in [r, s] {
        let digits: Vec<u8> = integer.iter().copied().skip_while(|byte| *byte == 0).collect();
        jose.resize(jose.len() + width.checked_sub(digits.len())?, 0);
        jose.extend_from_slice(&digits);
    }
    Some(jose)
}

/// The content of a DER element with that tag, and what follows it. Lengths up to 255, which is enough for
/// two integers of 66 octets.
fn der_element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length == 0x81 { rest.split_first()? } else { (length, rest) };
    if *first != tag {
        return None;
    }
    rest.split_at_checked(usize::from(*length))
}

/// Why a [`Signer`] could not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account key could not sign: {reason}")]
pub struct SignerError {
    reason: String,
    retry: Retry,
}

impl SignerError {
    /// With the key service's reason, and whether the same signature can succeed later.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let integer = |bytes: &[u8]| {
            let mut element = vec![0x02, u8::try_from(bytes.len()).unwrap()];
            element.extend_from_slice(bytes);
            element
        };
        let content = [integer(r), integer(s)].concat();
        let mut sequence = vec![0x30];
        if content.len() > 127 {
            sequence.push(0x81);
        }
        sequence.push(u8::try_from(content.len()).unwrap());
        sequence.extend(content);
        sequence
    }

    #[test]
    fn short_and_padded_integers_become_fixed_width() {
        let long = [&[0][..], &[0xff; 32]].concat();
        let jose = signature_from_der(Algorithm::Es256, &der(&long, &[1])).unwrap();
        assert_eq!(jose, [&[0xff; 32][..], &[0; 31], &[1]].concat());
        let widest = [0x01; 66];
        assert_eq!(
            signature_from_der(Algorithm::Es512, &der(&widest, &widest)).map(|jose| jose.len()),
            Some(132)
        );
    }

    #[test]
    fn other_shapes_are_no_signatures() {
        assert_eq!(signature_from_der(Algorithm::Es256, &der(&[1; 33], &[1])), None);
        assert_eq!(signature_from_der(Algorithm::EdDsa, &der(&[1], &[1])), None);
        let mut trailing = der(&[1], &[1]);
        trailing.push(0);
        assert_eq!(signature_from_der(Algorithm::Es256, &trailing), None);
    }

    #[test]
    fn a_der_signature_is_told_from_a_jose_one_by_its_size() {
        let key = Jwk::ec(Curve::P256, &[0x04; 65]).unwrap();
        let error = Algorithm::Es256.check_signature(&key, &[0; 71]).unwrap_err();
        assert_eq!(error, Misuse::SignatureSize { algorithm: Algorithm::Es256, expected: 64, found: 71 });
    }

    #[test]
    fn an_algorithm_fits_its_own_kind_of_key_only() {
        let key = Jwk::ec(Curve::P256, &[0x04; 65]).unwrap();
        assert!(Algorithm::Es256.check_key(&key).is_ok());
        assert!(Algorithm::Es384.check_key(&key).is_err());
        assert!(Algorithm::Rs256.check_key(&key).is_err());
        assert!(Algorithm::EdDsa.check_key(&Jwk::ed25519([0; 32])).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
            let _ = signature_from_der(Algorithm::Es256, &bytes);
        }
    }
}
