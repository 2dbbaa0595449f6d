//! Signed requests: the profile of JWS (RFC 7515 §7.2.2) that RFC 8555 §6.2 prescribes.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{
    jwk::{ALGORITHMS, Jwk},
    problem::Problem,
};

/// A JWS in its flattened form, read but not verified.
#[derive(Debug)]
pub(super) struct Jws {
    pub(super) algorithm: String,
    pub(super) nonce: Option<String>,
    pub(super) url: String,
    pub(super) signer: Signer,
    pub(super) payload: Vec<u8>,
    text: String,
    signature: Vec<u8>,
}

/// Who claims to have signed: exactly one of the two (RFC 8555 §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    Key(Jwk),
    /// The URL of an account.
    Account(String),
}

#[derive(Deserialize)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
    header: Option<IgnoredAny>,
    signatures: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    nonce: Option<String>,
    url: Option<String>,
    jwk: Option<Value>,
    kid: Option<String>,
    b64: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
}

impl Jws {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let flattened: Flattened = serde_json::from_slice(body)
            .map_err(|error| Problem::malformed(format!("the body is no flattened JWS: {error}")))?;
        if flattened.header.is_some() || flattened.signatures.is_some() {
            return Err(Problem::malformed("one signature and no unprotected header (RFC 8555 §6.2)"));
        }
        let header: Header = serde_json::from_slice(&decode("protected", &flattened.protected)?)
            .map_err(|error| Problem::malformed(format!("the protected header cannot be read: {error}")))?;
        if header.b64.is_some() || header.crit.is_some() {
            return Err(Problem::malformed(
                "the header has \"b64\" or \"crit\", which are not understood here",
            ));
        }
        if !ALGORITHMS.contains(&header.alg.as_str()) {
            let detail = format!("the algorithm {:?} is not taken here", header.alg);
            let problem = Problem::new("badSignatureAlgorithm", StatusCode::BAD_REQUEST, detail);
            return Err(problem.with_algorithms(ALGORITHMS));
        }
        let signer = match (&header.jwk, header.kid) {
            (Some(jwk), None) => Signer::Key(Jwk::parse(jwk)?),
            (None, Some(kid)) => Signer::Account(kid),
            _ => return Err(Problem::malformed("the header needs exactly one of \"jwk\" and \"kid\"")),
        };
        Ok(Self {
            algorithm: header.alg,
            nonce: header.nonce,
            url: header.url.ok_or_else(|| Problem::malformed("the header has no \"url\""))?,
            signer,
            payload: decode("payload", &flattened.payload)?,
            text: format!("{}.{}", flattened.protected, flattened.payload),
            signature: decode("signature", &flattened.signature)?,
        })
    }

    pub(super) fn verify(&self, key: &Jwk) -> Result<(), Problem> {
        if self.algorithm != key.algorithm() {
            let detail =
                format!("{} is not the algorithm of the key, {} is", self.algorithm, key.algorithm());
            return Err(Problem::malformed(detail));
        }
        if !key.verifies(self.text.as_bytes(), &self.signature) {
            return Err(Problem::malformed("the signature does not verify"));
        }
        Ok(())
    }
}

fn decode(field: &str, text: &str) -> Result<Vec<u8>, Problem> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
    bytes.map_err(|_| Problem::malformed(format!("{field:?} is not base64url without padding")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn body(header: &Value) -> Vec<u8> {
        let protected = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        json!({"protected": protected, "payload": "", "signature": ""}).to_string().into_bytes()
    }

    #[test]
    fn a_header_that_breaks_the_profile_is_refused() {
        let kid = "https://127.0.0.1/account/1";
        for (header, kind) in [
            (json!({"alg": "HS256", "kid": kid, "url": "u"}), "badSignatureAlgorithm"),
            (json!({"alg": "none", "kid": kid, "url": "u"}), "badSignatureAlgorithm"),
            (json!({"alg": "ES256", "url": "u"}), "malformed"),
            (json!({"alg": "ES256", "kid": kid}), "malformed"),
            (json!({"alg": "ES256", "kid": kid, "url": "u", "crit": ["b64"], "b64": false}), "malformed"),
            (json!({"alg": "ES256", "kid": kid, "url": "u", "jwk": {}}), "malformed"),
            (json!({"alg": "ES256", "jwk": {}, "url": "u"}), "badPublicKey"),
        ] {
            assert_eq!(Jws::parse(&body(&header)).unwrap_err().kind, kind, "{header}");
        }
    }

    #[test]
    fn an_unprotected_header_and_padding_are_refused() {
        let good = body(&json!({"alg": "ES256", "kid": "k", "url": "u"}));
        assert!(Jws::parse(&good).is_ok());
        let mut json: Value = serde_json::from_slice(&good).unwrap();
        json["header"] = json!({"alg": "none"});
        assert_eq!(Jws::parse(json.to_string().as_bytes()).unwrap_err().kind, "malformed");
        let mut json: Value = serde_json::from_slice(&good).unwrap();
        json["payload"] = json!("e30=");
        assert_eq!(Jws::parse(json.to_string().as_bytes()).unwrap_err().kind, "malformed");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Jws::parse(&body);
        }
    }
}
