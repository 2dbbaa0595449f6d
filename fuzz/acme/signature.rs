//! The flattened JWS (RFC 7515 §7.2.2) that every signed request is, and signatures from elsewhere.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_acme::{
    Algorithm, Curve, Jwk,
    jws::{Header, KeyReference, SigningInput},
    signature_from_der,
};
use serde_json::Value;

/// Four lines (account, nonce, URL, signature) and a payload: whatever they hold, the body is one JSON object
/// of exactly three members, and its header says exactly what went in.
pub fn acme_jws(bytes: &[u8]) {
    let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (account, nonce, url) = (part(), part(), part());
    let (signature, payload) = (part(), part());
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512] {
        let jose = signature_from_der(algorithm, signature);
        assert!(jose.is_none_or(|jose| [64, 96, 132].contains(&jose.len())));
    }

    let (account, nonce) = (String::from_utf8_lossy(account), String::from_utf8_lossy(nonce));
    let url = String::from_utf8_lossy(url);
    let jwk = Jwk::ec(Curve::P256, signature).unwrap_or_else(|| Jwk::rsa(signature, payload));
    let key = if account.is_empty() { KeyReference::Jwk(&jwk) } else { KeyReference::Kid(&account) };
    let nonce = (!nonce.is_empty()).then_some(&*nonce);
    let header = Header { algorithm: Algorithm::Es256, key, nonce, url: &url };
    let input = SigningInput::new(&header, payload);
    let signed = input.as_bytes().to_vec();
    let body: Value = serde_json::from_slice(&input.seal(signature)).expect("a JWS is JSON");

    let text = |name: &str| body[name].as_str().expect(name);
    let decode = |name: &str| URL_SAFE_NO_PAD.decode(text(name)).expect(name);
    assert_eq!(body.as_object().expect("an object").len(), 3);
    assert_eq!(signed, format!("{}.{}", text("protected"), text("payload")).as_bytes());
    assert_eq!(decode("payload"), payload);
    assert_eq!(decode("signature"), signature);

    let protected: Value = serde_json::from_slice(&decode("protected")).expect("a header is JSON");
    assert_eq!(protected["alg"], "ES256");
    assert_eq!(protected["url"], *url);
    assert_eq!(protected.get("nonce").and_then(Value::as_str), nonce);
    match key {
        KeyReference::Kid(kid) => assert_eq!(protected["kid"], kid),
        KeyReference::Jwk(jwk) => assert_eq!(protected["jwk"].to_string(), jwk.to_json()),
    }
    let members = 3 + usize::from(nonce.is_some());
    assert_eq!(protected.as_object().expect("an object").len(), members, "{protected}");
}
