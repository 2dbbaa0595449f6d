//! Signatures against those that the vendors' own libraries made: tests/vectors/README.md says how.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use perennial_core::{SecretString, Timestamp};
use perennial_providers::signature::{acs3, eg1, jwt, ovh, sigv4, tc3};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    now: i64,
    #[serde(default)]
    nonce: String,
    /// Credentials and scope, each under the vendor's word.
    with: BTreeMap<String, String>,
    request: Unsigned,
    /// The headers that the library put in.
    expected: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Unsigned {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: String,
    /// How many times the body comes one after the other.
    #[serde(default = "once")]
    times: usize,
}

const fn once() -> usize {
    1
}

impl Vector {
    fn get(&self, word: &str) -> &str {
        self.with.get(word).unwrap_or_else(|| panic!("{}: no {word}", self.name))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.now)
    }

    fn unsigned(&self) -> Request<Bytes> {
        let Unsigned { method, url, headers, body, times } = &self.request;
        let mut request = Request::builder().method(method.as_str()).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(Bytes::from(body.repeat(*times))).unwrap()
    }
}

/// Signs the request of each vector and compares the headers that the vendor's library put in.
fn hold(vectors: &str, sign: impl Fn(&Vector, &mut Request<Bytes>)) {
    let Vectors { vectors } = serde_json::from_str(vectors).unwrap();
    assert!(vectors.len() >= 6, "{} are too few", vectors.len());
    for vector in &vectors {
        let mut request = vector.unsigned();
        sign(vector, &mut request);
        assert!(!vector.expected.is_empty(), "{}", vector.name);
        for (name, expected) in &vector.expected {
            let ours = request.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(ours, Some(expected.as_str()), "{}: {name}", vector.name);
        }
    }
}

#[test]
fn sigv4_signs_as_botocore_does() {
    hold(include_str!("../vectors/sigv4.json"), |vector, request| {
        let mut credentials =
            sigv4::Credentials::new(vector.get("access_key_id"), vector.get("secret_access_key"));
        if let Some(token) = vector.with.get("session_token") {
            credentials = credentials.with_session_token(token.as_str());
        }
        let scope = sigv4::Scope { region: vector.get("region"), service: vector.get("service") };
        sigv4::sign(request, &credentials, &scope, vector.now()).unwrap();
    });
}

#[test]
fn tc3_signs_as_tencents_library_does() {
    hold(include_str!("../vectors/tc3.json"), |vector, request| {
        let mut credentials = tc3::Credentials::new(vector.get("secret_id"), vector.get("secret_key"));
        if let Some(token) = vector.with.get("token") {
            credentials = credentials.with_token(token.as_str());
        }
        tc3::sign(request, &credentials, vector.get("service"), vector.now()).unwrap();
    });
}

#[test]
fn acs3_signs_as_alibabas_library_does() {
    hold(include_str!("../vectors/acs3.json"), |vector, request| {
        let mut credentials =
            acs3::Credentials::new(vector.get("access_key_id"), vector.get("access_key_secret"));
        if let Some(token) = vector.with.get("security_token") {
            credentials = credentials.with_security_token(token.as_str());
        }
        acs3::sign(request, &credentials, &vector.nonce, vector.now()).unwrap();
    });
}

#[test]
fn eg1_signs_as_akamais_library_does() {
    hold(include_str!("../vectors/eg1.json"), |vector, request| {
        let credentials = eg1::Credentials::new(
            vector.get("client_token"),
            vector.get("client_secret"),
            vector.get("access_token"),
        );
        eg1::sign(request, &credentials, &vector.nonce, vector.now()).unwrap();
    });
}

#[test]
fn ovh_signs_as_ovhclouds_library_does() {
    hold(include_str!("../vectors/ovh.json"), |vector, request| {
        let credentials = ovh::Credentials::new(
            vector.get("application_key"),
            vector.get("application_secret"),
            vector.get("consumer_key"),
        );
        ovh::sign(request, &credentials, vector.now()).unwrap();
    });
}

/// Two libraries order the members of JSON each in their way, so their tokens differ and mean the same: what is
/// in them is compared, and the signature over the very bytes of theirs.
#[test]
fn a_token_says_and_signs_what_googles_library_does() {
    #[derive(Deserialize)]
    struct Tokens {
        key: String,
        vectors: Vec<Token>,
    }

    #[derive(Deserialize)]
    struct Token {
        now: i64,
        key_id: String,
        issuer: String,
        subject: Option<String>,
        scope: String,
        audience: String,
        token: String,
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    let Tokens { key, vectors } = serde_json::from_str(include_str!("../vectors/jwt.json")).unwrap();
    let key = jwt::SigningKey::from_pem(&SecretString::new(key)).unwrap();
    assert!(vectors.len() >= 6, "{} are too few", vectors.len());
    for vector in vectors {
        let now = Timestamp::from_unix(vector.now);
        let mut claims = jwt::Claims::new(vector.issuer, vector.scope, vector.audience, now);
        claims.subject = vector.subject;
        let ours = claims.sign(&key, Some(&vector.key_id)).unwrap();
        let theirs = vector.token;
        for index in [0, 1] {
            assert_eq!(part(ours.expose(), index), part(&theirs, index));
        }
        let (signed, signature) = theirs.rsplit_once('.').unwrap();
        let again = key.sign(signed.as_bytes()).unwrap();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(again), signature);
    }
}
