//! Account keys: RFC 7517 and RFC 7518 §6, thumbprints by RFC 7638.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value;
use x509_parser::{public_key::PublicKey, x509::SubjectPublicKeyInfo};

use super::problem::Problem;

/// The public key of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Jwk {
    Ec {
        curve: Curve,
        x: Vec<u8>,
        y: Vec<u8>,
    },
    /// RFC 8037, with the curve Ed25519.
    Okp {
        x: Vec<u8>,
    },
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

/// Every algorithm that is understood: those of public CAs, and Ed25519 for the future.
pub(super) const ALGORITHMS: &[&str] = &["ES256", "ES384", "EdDSA", "RS256"];

impl Jwk {
    pub(super) fn parse(json: &Value) -> Result<Self, Problem> {
        if json.get("d").is_some() {
            return Err(bad("the key in the header is a private one: it is burnt, make another"));
        }
        let text = |field: &str| json.get(field).and_then(Value::as_str);
        let bytes = |field: &str| {
            let text = text(field).ok_or_else(|| bad(format!("the key has no {field:?}")))?;
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
            bytes.map_err(|_| bad(format!("{field:?} of the key is not base64url without padding")))
        };
        match (text("kty"), text("crv")) {
            (Some("EC"), Some("P-256")) => Self::ec(Curve::P256, bytes("x")?, bytes("y")?),
            (Some("EC"), Some("P-384")) => Self::ec(Curve::P384, bytes("x")?, bytes("y")?),
            (Some("OKP"), Some("Ed25519")) => match bytes("x")? {
                x if x.len() == 32 => Ok(Self::Okp { x }),
                x => Err(bad(format!("\"x\" of an Ed25519 key has 32 octets, not {}", x.len()))),
            },
            (Some("RSA"), _) => match (bytes("n")?, bytes("e")?) {
                (n, _) if n.len() < 256 => Err(bad("an RSA key needs at least 2048 bits")),
                (n, e) => Ok(Self::Rsa { n, e }),
            },
            (kind, curve) => Err(bad(format!("keys of the kind {kind:?} {curve:?} are not taken here"))),
        }
    }

    /// RFC 7518 §6.2.1.2: the coordinates have their full width, zeros in front included.
    fn ec(curve: Curve, x: Vec<u8>, y: Vec<u8>) -> Result<Self, Problem> {
        let width = match curve {
            Curve::P256 => 32,
            Curve::P384 => 48,
        };
        if x.len() != width || y.len() != width {
            return Err(bad(format!(
                "the coordinates must have {width} octets each, zeros in front included"
            )));
        }
        Ok(Self::Ec { curve, x, y })
    }

    /// What the header's `alg` must be for this key.
    pub(super) const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec { curve: Curve::P256, .. } => "ES256",
            Self::Ec { curve: Curve::P384, .. } => "ES384",
            Self::Okp { .. } => "EdDSA",
            Self::Rsa { .. } => "RS256",
        }
    }

    /// RFC 7638 §3: the SHA-256 of the required members in their canonical form, as base64url.
    pub(super) fn thumbprint(&self) -> String {
        let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let canonical = match self {
            Self::Ec { curve, x, y } => {
                let curve = match curve {
                    Curve::P256 => "P-256",
                    Curve::P384 => "P-384",
                };
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, base64(x), base64(y))
            }
            Self::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64(x)),
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64(e), base64(n)),
        };
        base64(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes()).as_ref())
    }

    pub(super) fn verifies(&self, text: &[u8], signed: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self {
            Self::Ec { curve: Curve::P256, .. } => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Ec { curve: Curve::P384, .. } => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Okp { .. } => &signature::ED25519,
            Self::Rsa { n, e } => {
                let key = signature::RsaPublicKeyComponents { n, e };
                return key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, text, signed).is_ok();
            }
        };
        UnparsedPublicKey::new(algorithm, self.point()).verify(text, signed).is_ok()
    }

    /// Whether a certificate or request holds this very key.
    pub(super) fn is_in(&self, info: &SubjectPublicKeyInfo<'_>) -> bool {
        match (self, info.parsed()) {
            (Self::Rsa { n, e }, Ok(PublicKey::RSA(rsa))) => {
                strip_zeros(rsa.modulus) == strip_zeros(n) && strip_zeros(rsa.exponent) == strip_zeros(e)
            }
            (Self::Rsa { .. }, _) => false,
            _ => self.point() == *info.subject_public_key.data,
        }
    }

    /// The bits of the key as a certificate holds them; an elliptic curve's uncompressed (SEC 1 §2.3.3).
    fn point(&self) -> Vec<u8> {
        match self {
            Self::Ec { x, y, .. } => [&[4], x.as_slice(), y.as_slice()].concat(),
            Self::Okp { x } => x.clone(),
            Self::Rsa { n, .. } => n.clone(),
        }
    }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new("badPublicKey", StatusCode::BAD_REQUEST, detail)
}

fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rfc7638_3_1_thumbprint() {
        let jwk = Jwk::parse(&json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29"
        }))
        .unwrap();
        assert_eq!(jwk.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    /// RFC 7515 appendix A.3: the example of a signature with ES256.
    #[test]
    fn rfc7515_a_3_signature() {
        let jwk = Jwk::parse(&json!({
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
        }))
        .unwrap();
        let input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signed = BASE64_URL_SAFE_NO_PAD
            .decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
            .unwrap();
        assert!(jwk.verifies(input.as_bytes(), &signed));
        assert!(!jwk.verifies(b"something else", &signed));
        assert!(!jwk.verifies(input.as_bytes(), &signed[1..]));
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for json in [
            json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AQ", "y": "AQ"}),
            json!({"kty": "RSA", "n": "AQ", "e": "AQAB"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AQ"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "d": "AQ"}),
            json!("EC"),
        ] {
            assert_eq!(Jwk::parse(&json).unwrap_err().kind, "badPublicKey", "{json}");
        }
    }
}
