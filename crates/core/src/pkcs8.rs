//! Older forms of private keys as PKCS#8 (RFC 5958), which is all that signs here.
//!
//! ```
//! use perennial_core::pkcs8;
//!
//! assert!(pkcs8::of_sec1(b"no key").is_none());
//! ```

use crate::SecretBytes;

/// Wraps an RSA key in PKCS#1 (RFC 8017 §A.1.2), as in a `RSA PRIVATE KEY` block. It is not looked into: who reads the
/// result does.
#[must_use]
pub fn of_pkcs1(der: &[u8]) -> SecretBytes {
    wrap(&RSA, der)
}

/// Wraps an elliptic-curve key in SEC 1's form (RFC 5915), as in an `EC PRIVATE KEY` block; `None` when it is none, or its
/// curve is neither P-256 nor P-384.
#[must_use]
pub fn of_sec1(der: &[u8]) -> Option<SecretBytes> {
    let (key, _) = element(der, 0x30)?;
    let (_version, rest) = element(key, 0x02)?;
    let (scalar, _) = element(rest, 0x04)?;
    // The curve may be named inside; who reads the result compares. The scalar has its curve's full width.
    match scalar.len() {
        32 => Some(wrap(&EC_P256, der)),
        48 => Some(wrap(&EC_P384, der)),
        _ => None,
    }
}

/// The content of a DER element with that tag, and what follows it. Lengths up to 255: the key of a curve has some two
/// hundred octets at most.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length == 0x81 { rest.split_first()? } else { (length, rest) };
    if *first != tag {
        return None;
    }
    rest.split_at_checked(usize::from(*length))
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
    fn a_curve_is_known_by_the_length_of_its_scalar() {
        let sec1 = |scalar: usize| {
            let octets = [&header(0x04, scalar)[..], &vec![7; scalar]].concat();
            let body = [&[0x02, 0x01, 0x01][..], &octets].concat();
            [header(0x30, body.len()), body].concat()
        };
        let holds = |wrapped: &SecretBytes, algorithm: &[u8]| {
            wrapped.expose().windows(algorithm.len()).any(|window| window == algorithm)
        };
        assert!(holds(&of_sec1(&sec1(32)).unwrap(), &EC_P256));
        assert!(holds(&of_sec1(&sec1(48)).unwrap(), &EC_P384));
        assert!(of_sec1(&sec1(66)).is_none(), "P-521");
        assert!(holds(&of_pkcs1(&[0; 300]), &RSA));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = of_sec1(&bytes);
            prop_assert!(of_pkcs1(&bytes).expose().ends_with(&bytes));
        }
    }
}
