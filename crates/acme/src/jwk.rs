//! Public keys as JSON Web Keys (RFC 7517) and their thumbprints (RFC 7638).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use x509_parser::{
    oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519, Oid},
    prelude::FromDer as _,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

/// A public key in the form that newAccount sends and that every key authorization is bound to.
///
/// It holds the members that RFC 7638 §3.2 requires and no others, so its text and its thumbprint cannot
/// disagree about the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk(Members);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Members {
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
    Okp { x: [u8; 32] },
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

/// An elliptic curve of RFC 7518 §6.2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

impl Curve {
    fn of_oid(oid: &Oid<'_>) -> Option<Self> {
        let curves =
            [(OID_EC_P256, Self::P256), (OID_NIST_EC_P384, Self::P384), (OID_NIST_EC_P521, Self::P521)];
        curves.into_iter().find_map(|(known, curve)| (known == *oid).then_some(curve))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// Octets of a coordinate, leading zeros included (RFC 7518 §6.2.1.2).
    const fn coordinate(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl Jwk {
    /// An elliptic-curve key from its uncompressed point, `04 ‖ x ‖ y` (SEC 1 §2.3.3). Coordinates keep
    /// their leading zeros.
    ///
    /// Returns `None` when the bytes are no uncompressed point of that curve's size.
    #[must_use]
    pub fn ec(curve: Curve, point: &[u8]) -> Option<Self> {
        let (first, coordinates) = point.split_first()?;
        if *first != 0x04 || coordinates.len() != 2 * curve.coordinate() {
            return None;
        }
        let (x, y) = coordinates.split_at_checked(curve.coordinate())?;
        Some(Self(Members::Ec { curve, x: x.to_vec(), y: y.to_vec() }))
    }

    /// An Ed25519 key (RFC 8037 §2).
    #[must_use]
    pub const fn ed25519(public_key: [u8; 32]) -> Self {
        Self(Members::Okp { x: public_key })
    }

    /// An RSA key from its big-endian modulus and public exponent; leading zeros are dropped
    /// (RFC 7518 §6.3.1).
    #[must_use]
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let minimal = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        Self(Members::Rsa { modulus: minimal(modulus), exponent: minimal(exponent) })
    }

    /// The key in a SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7), as certificates and requests for them hold
    /// it: P-256, P-384, P-521, Ed25519 or RSA.
    ///
    /// Returns `None` when it is of another kind, or cannot be read.
    #[must_use]
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        if info.algorithm.algorithm == OID_SIG_ED25519 {
            return Some(Self::ed25519(info.subject_public_key.data.as_ref().try_into().ok()?));
        }
        match info.parsed().ok()? {
            PublicKey::EC(point) => {
                let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
                Self::ec(Curve::of_oid(&curve)?, point.data())
            }
            PublicKey::RSA(key) => Some(Self::rsa(key.modulus, key.exponent)),
            _ => None,
        }
    }

    /// The key as JSON: required members only, in the order of their names, without white space. This is the
    /// text that RFC 7638 §3 hashes.
    #[must_use]
    pub fn to_json(&self) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.0 {
            Members::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, curve.name(), encode(x), encode(y))
            }
            Members::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
            Members::Rsa { modulus, exponent } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(exponent), encode(modulus))
            }
        }
    }

    /// The SHA-256 thumbprint (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint(URL_SAFE_NO_PAD.encode(digest(&SHA256, self.to_json().as_bytes())))
    }

    /// The curve of an elliptic-curve key.
    pub(crate) const fn curve(&self) -> Option<Curve> {
        match &self.0 {
            Members::Ec { curve, .. } => Some(*curve),
            Members::Okp { .. } | Members::Rsa { .. } => None,
        }
    }

    pub(crate) const fn is_ed25519(&self) -> bool {
        matches!(self.0, Members::Okp { .. })
    }

    /// Octets of an RSA key's modulus, which is also the length of its signatures.
    pub(crate) fn rsa_size(&self) -> Option<usize> {
        match &self.0 {
            Members::Rsa { modulus, .. } => Some(modulus.len()),
            Members::Ec { .. } | Members::Okp { .. } => None,
        }
    }
}

/// The thumbprint of an account key: 43 characters of base64url.
///
/// It is public, and enough to answer any http-01 challenge of the account statelessly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thumbprint(String);

impl Thumbprint {
    /// The thumbprint as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::PublicKeyData as _;

    const MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn rfc7638_3_1_rsa_thumbprint() {
        let modulus = decode(MODULUS);
        let key = Jwk::rsa(&modulus, &decode("AQAB"));
        assert_eq!(key.thumbprint().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn rfc8037_a_3_ed25519_thumbprint() {
        let x = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let key = Jwk::ed25519(x.try_into().unwrap());
        assert_eq!(key.thumbprint().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_key_of_a_certificate_is_the_one_that_signs() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let raw = pair.public_key_raw();
            let expected = match raw.len() {
                65 => Jwk::ec(Curve::P256, raw).unwrap(),
                97 => Jwk::ec(Curve::P384, raw).unwrap(),
                _ => Jwk::ed25519(raw.try_into().unwrap()),
            };
            assert_eq!(Jwk::from_spki(&pair.subject_public_key_info()), Some(expected));
        }
    }

    #[test]
    fn rfc7638_3_1_the_same_rsa_key_as_a_certificate_holds_it() {
        let n = decode(MODULUS);
        let integer = [&[0x02, 0x82, 0x01, 0x01, 0x00][..], &n, &[0x02, 0x03, 0x01, 0x00, 0x01]].concat();
        let key = [&[0x30, 0x82, 0x01, 0x0a][..], &integer].concat();
        let rsa_encryption = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
        let spki =
            [&[0x30, 0x82, 0x01, 0x22][..], &rsa_encryption, &[0x03, 0x82, 0x01, 0x0f, 0], &key].concat();
        assert_eq!(Jwk::from_spki(&spki), Some(Jwk::rsa(&n, &decode("AQAB"))));
        assert_eq!(Jwk::from_spki(&[&spki[..], &[0]].concat()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Jwk::from_spki(&bytes);
        }

        #[test]
        fn no_flipped_bit_panics(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let mut spki = rcgen::KeyPair::generate().unwrap().subject_public_key_info();
            let at = at.index(spki.len());
            spki[at] ^= flip;
            let _ = Jwk::from_spki(&spki);
        }
    }

    #[test]
    fn coordinates_keep_their_leading_zeros() {
        let mut point = [7_u8; 65];
        point[0] = 0x04;
        point[1] = 0;
        let json = Jwk::ec(Curve::P256, &point).unwrap().to_json();
        assert!(json.contains(r#""x":"AAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc""#), "{json}");
    }

    #[test]
    fn compressed_and_short_points_are_no_keys() {
        assert_eq!(Jwk::ec(Curve::P256, &[0x02; 33]), None);
        assert_eq!(Jwk::ec(Curve::P256, &[0x04; 64]), None);
        assert_eq!(Jwk::ec(Curve::P384, &[0x04; 65]), None);
        assert_eq!(Jwk::ec(Curve::P256, &[]), None);
    }
}
