//! A JSON Web Token signed with RSA and SHA-256: how a service account of Google asks for an access token.
//!
//! RFC 7515 (JWS, compact form), RFC 7518 §3.3 (RS256), RFC 7519 (claims), RFC 7523 §2.1 (the token as a grant).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use perennial_core::{SecretString, Timestamp};
use ring::{rand::SystemRandom, signature};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde::{Serialize, Serializer};

/// A private RSA key that signs tokens. It never prints.
pub struct SigningKey(signature::RsaKeyPair);

impl SigningKey {
    /// The key of a PEM text: PKCS#8 (RFC 5958), as Google hands it out, or PKCS#1 (RFC 8017 §A.1.2).
    ///
    /// # Errors
    /// [`KeyError`] when the text holds no RSA key of 2048 to 8192 bits.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| KeyError {
            reason: "it is not a private key in PEM, -----BEGIN PRIVATE KEY-----".into(),
        })?;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(der) => signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => signature::RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(KeyError { reason: "it is no RSA key".into() }),
        };
        pair.map(Self).map_err(|error| KeyError { reason: format!("it is no usable RSA key: {error}") })
    }

    /// The signature over the bytes: RSASSA-PKCS1-v1_5 with SHA-256, the same for the same bytes.
    ///
    /// # Errors
    /// [`KeyError`] when the key's numbers do not fit each other.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut bytes = vec![0; self.0.public().modulus_len()];
        // The random number blinds the key against who measures; the signature does not depend on it.
        self.0
            .sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut bytes)
            .map_err(|_| KeyError { reason: "its numbers do not fit each other".into() })?;
        Ok(bytes)
    }
}

/// Why a text is no key to sign with. It never shows the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot be used: {reason}")]
#[non_exhaustive]
pub struct KeyError {
    /// What is wrong with it.
    pub reason: String,
}

/// What a token says (RFC 7519 §4.1), as Google's token endpoint wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Claims {
    /// Who asks: the service account's address.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// Whom it speaks for, if not for itself: a user of a domain that allows it.
    #[serde(rename = "sub", skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it wants to do, separated by spaces.
    pub scope: String,
    /// Whom it asks: the token endpoint's URL.
    #[serde(rename = "aud")]
    pub audience: String,
    /// Since when it is good.
    #[serde(rename = "iat", serialize_with = "numeric_date")]
    pub issued: Timestamp,
    /// Until when it is good; Google wants at most an hour.
    #[serde(rename = "exp", serialize_with = "numeric_date")]
    pub expires: Timestamp,
}

impl Claims {
    /// An account that asks for itself, with a token that is good for an hour.
    #[must_use]
    pub fn new(
        issuer: impl Into<String>,
        scope: impl Into<String>,
        audience: impl Into<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            subject: None,
            scope: scope.into(),
            audience: audience.into(),
            issued: now,
            expires: now + HOUR,
        }
    }

    /// The token in compact form, signed. `key_id` says which of the account's keys signed it.
    ///
    /// # Errors
    /// [`KeyError`] when the key does not sign.
    pub fn sign(&self, key: &SigningKey, key_id: Option<&str>) -> Result<SecretString, KeyError> {
        let header = Header { alg: "RS256", typ: "JWT", kid: key_id };
        let mut token = format!("{}.{}", segment(&header), segment(self));
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(SecretString::new(token))
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

/// Texts and numbers alone: there is nothing in them that JSON could not say.
fn segment(part: &impl Serialize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

/// RFC 7519 §2: seconds since 1970.
fn numeric_date<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(moment.unix())
}

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_key_is_refused_without_showing_it() {
        for text in ["s3cret", "", "-----BEGIN PRIVATE KEY-----\nczNjcmV0\n-----END PRIVATE KEY-----\n"] {
            let error = SigningKey::from_pem(&text.into()).err().unwrap().to_string();
            assert!(error.starts_with("the private key cannot be used: it is n"), "{error}");
            assert!(!error.contains("s3cret") && !error.contains("czNjcmV0"), "{error}");
        }
    }
}
