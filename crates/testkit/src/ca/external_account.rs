//! The binding of an account to a customer: RFC 8555 §7.3.4.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use ring::hmac;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{jwk::Jwk, problem::Problem};

#[derive(Deserialize)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    url: String,
    nonce: Option<IgnoredAny>,
}

/// Whether one of the customers has signed, with his MAC key, that the account's key is his. Without
/// customers there is nothing to check.
pub(super) fn check(
    customers: &BTreeMap<String, Vec<u8>>,
    binding: Option<&Value>,
    account: &Jwk,
    url: &str,
) -> Result<(), Problem> {
    if customers.is_empty() {
        return Ok(());
    }
    let Some(binding) = binding else {
        let detail = "an account here must be bound to a customer (\"externalAccountBinding\")";
        return Err(Problem::new("externalAccountRequired", StatusCode::FORBIDDEN, detail));
    };
    let malformed = |detail: &str| Problem::malformed(format!("the external account binding {detail}"));
    let jws = Flattened::deserialize(binding)
        .map_err(|error| malformed(&format!("is no flattened JWS: {error}")))?;
    let decode = |text: &str| {
        BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed("is not base64url without padding"))
    };
    let header: Header = serde_json::from_slice(&decode(&jws.protected)?)
        .map_err(|error| malformed(&format!("has a header that cannot be read: {error}")))?;
    if header.nonce.is_some() || header.url != url {
        return Err(malformed("has the url of the outer JWS, and no nonce"));
    }
    let algorithm = match header.alg.as_str() {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        other => return Err(malformed(&format!("is signed by {other:?}, which is no MAC"))),
    };
    let key = serde_json::from_slice(&decode(&jws.payload)?)
        .map_err(|error| malformed(&format!("has a payload that is no key: {error}")))?;
    if Jwk::parse(&key)? != *account {
        return Err(malformed("is for another key than the account's"));
    }
    let unknown = || Problem::unauthorized("the external account is not known here, or its MAC is wrong");
    let mac_key = customers.get(&header.kid).ok_or_else(unknown)?;
    let text = format!("{}.{}", jws.protected, jws.payload);
    let mac_key = hmac::Key::new(algorithm, mac_key);
    hmac::verify(&mac_key, text.as_bytes(), &decode(&jws.signature)?).map_err(|_| unknown())
}
