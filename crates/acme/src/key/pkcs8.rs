//! PKCS#8 (RFC 5958) as far as account keys need it: which kind of key is inside, and how an older form
//! becomes one.

use perennial_core::SecretBytes;
use x509_parser::{
    asn1_rs::{FromDer as _, Oid, Sequence},
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
    },
    x509::AlgorithmIdentifier,
};

use super::{Algorithm, KeyError, der_element};

/// What signatures the key inside makes.
pub(super) fn algorithm(der: &[u8]) -> Result<Algorithm, KeyError> {
    let broken = || KeyError::Rejected { reason: "it is no PKCS#8".to_owned() };
    let (_, document) = Sequence::from_der(der).map_err(|_| broken())?;
    let (_, after_version) = der_element(&document.content, 0x02).map_or_else(|| Err(broken()), Ok)?;
    let (_, found) = AlgorithmIdentifier::from_der(after_version).map_err(|_| broken())?;
    let curve = found.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    if found.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        return match curve {
            Some(curve) if curve == OID_EC_P256 => Ok(Algorithm::Es256),
            Some(curve) if curve == OID_NIST_EC_P384 => Ok(Algorithm::Es384),
            Some(curve) => Err(other_kind(&curve)),
            None => Err(broken()),
        };
    }
    if found.algorithm == OID_SIG_ED25519 {
        return Ok(Algorithm::EdDsa);
    }
    if found.algorithm == OID_PKCS1_RSAENCRYPTION {
        return Ok(Algorithm::Rs256);
    }
    Err(other_kind(&found.algorithm))
}

fn other_kind(oid: &Oid<'_>) -> KeyError {
    KeyError::OtherKind { found: oid.to_id_string().chars().take(64).collect() }
}

/// Wraps an RSA key in PKCS#1 (RFC 8017 §A.1.2), as in a `RSA PRIVATE KEY` block.
pub(super) fn of_pkcs1(der: &[u8]) -> SecretBytes {
    wrap(&RSA, der)
}

/// Wraps an elliptic-curve key in SEC 1's form (RFC 5915), as in an `EC PRIVATE KEY` block; `None` when its
/// curve is neither P-256 nor P-384.
pub(super) fn of_sec1(der: &[u8]) -> Option<SecretBytes> {
    let (key, _) = der_element(der, 0x30)?;
    let (_version, rest) = der_element(key, 0x02)?;
    let (scalar, _) = der_element(rest, 0x04)?;
    // The curve may be named inside; who reads the result compares. The scalar has its curve's full width.
    match scalar.len() {
        32 => Some(wrap(&EC_P256, der)),
        48 => Some(wrap(&EC_P384, der)),
        _ => None,
    }
}

/// `SEQUENCE { INTEGER 0, algorithm, OCTET STRING key }`.
fn wrap(algorithm: &[u8], key: &[u8]) -> SecretBytes {
    const VERSION: [u8; 3] = [0x02, 0x01, 0x00];
    let octets = header(0x04, key.len());
    let length = VERSION.len() + algorithm.len() + octets.len() + key.len();
    // Joined in one allocation of the right size: growing would leave copies of the key behind.
    SecretBytes::new([&header(0x30, length), &VERSION[..], algorithm, &octets, key].concat())
}

/// Tag and length (X.690 §8.1.3).
fn header(tag: u8, length: usize) -> Vec<u8> {
    let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let count = u8::try_from(digits.len()).unwrap_or(u8::MAX);
    match digits.as_slice() {
        [] => vec![tag, 0],
        [short] if *short < 0x80 => vec![tag, *short],
        long => [&[tag, 0x80 | count], long].concat(),
    }
}

/// `SEQUENCE { OID rsaEncryption, NULL }` (RFC 8017 §A.1).
const RSA: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// `SEQUENCE { OID id-ecPublicKey, OID secp256r1 }` (RFC 5480 §2.1).
const EC_P256: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];
/// `SEQUENCE { OID id-ecPublicKey, OID secp384r1 }`.
const EC_P384: [u8; 18] = [
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_take_as_many_octets_as_they_need() {
        assert_eq!(header(0x30, 0), [0x30, 0]);
        assert_eq!(header(0x30, 127), [0x30, 127]);
        assert_eq!(header(0x30, 128), [0x30, 0x81, 128]);
        assert_eq!(header(0x04, 2349), [0x04, 0x82, 0x09, 0x2d]);
    }

    #[test]
    fn the_wrapping_names_the_kind() {
        assert_eq!(algorithm(of_pkcs1(&[0; 300]).expose()), Ok(Algorithm::Rs256));
        assert_eq!(algorithm(wrap(&EC_P256, &[]).expose()), Ok(Algorithm::Es256));
        assert_eq!(algorithm(wrap(&EC_P384, &[]).expose()), Ok(Algorithm::Es384));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = algorithm(&bytes);
            let _ = of_sec1(&bytes);
            let _ = algorithm(of_pkcs1(&bytes).expose());
        }
    }
}
