//! JSON Web Signatures in the flattened form (RFC 7515 §7.2.2), with the protected header of RFC 8555 §6.2.
//!
//! A signature may come from far away, so making one is cut in two: [`SigningInput`] is what is to be signed,
//! and [`seal`](SigningInput::seal) puts the signature in its place. Nothing here signs.

use base64::{Engine as _, encoded_len, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use crate::{Algorithm, Jwk, json::push_text};

/// Whose key it is: the key itself, or the account that the server knows it by. Never both, never neither
/// (RFC 8555 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // RFC 8555 §6.2 allows exactly these two.
pub enum KeyReference<'a> {
    /// The public key: for newAccount, and for requests signed by a certificate's key.
    Jwk(&'a Jwk),
    /// The account URL: for everything else.
    Kid(&'a str),
}

/// The protected header of an ACME request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // RFC 8555 §6.2 allows no other members.
pub struct Header<'a> {
    /// How it is signed.
    pub algorithm: Algorithm,
    /// By whom.
    pub key: KeyReference<'a>,
    /// A nonce of the server; none in the inner JWS of a key change (RFC 8555 §7.3.5).
    pub nonce: Option<&'a str>,
    /// Where the request goes.
    pub url: &'a str,
}

impl Header<'_> {
    fn to_json(self) -> String {
        let mut json = String::with_capacity(512);
        json.push_str(r#"{"alg":"#);
        push_text(&mut json, self.algorithm.as_str());
        match self.key {
            KeyReference::Jwk(jwk) => {
                json.push_str(r#","jwk":"#);
                json.push_str(&jwk.to_json());
            }
            KeyReference::Kid(kid) => {
                json.push_str(r#","kid":"#);
                push_text(&mut json, kid);
            }
        }
        if let Some(nonce) = self.nonce {
            json.push_str(r#","nonce":"#);
            push_text(&mut json, nonce);
        }
        json.push_str(r#","url":"#);
        push_text(&mut json, self.url);
        json.push('}');
        json
    }
}

/// What is signed: `base64url(header) . base64url(payload)` (RFC 7515 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningInput {
    /// The body up to the signature, but for the one dot in it where the object has its next name.
    body: Vec<u8>,
    dot: usize,
}

impl SigningInput {
    /// Joins header and payload. The payload of a POST-as-GET is empty (RFC 8555 §6.3).
    #[must_use]
    pub fn new(header: &Header<'_>, payload: &[u8]) -> Self {
        Self::with_room(&header.to_json(), payload, signature_octets(header.algorithm))
    }

    /// Joins a header in JSON and a payload.
    pub(crate) fn join(header: &str, payload: &[u8]) -> Self {
        Self::with_room(header, payload, 0)
    }

    /// With room for a signature of so many octets: exactly, so that the body is sent as it lies there.
    fn with_room(header: &str, payload: &[u8], signature: usize) -> Self {
        let texts: usize = [header.len(), payload.len(), signature].into_iter().map(base64_len).sum();
        let names = PROTECTED.len() + PAYLOAD.len() + SIGNATURE.len() + END.len();
        let mut body = Vec::with_capacity(texts + names);
        body.extend_from_slice(PROTECTED);
        push_base64(&mut body, header.as_bytes());
        let dot = body.len();
        body.push(b'.');
        push_base64(&mut body, payload);
        Self { body, dot }
    }

    /// The octets to sign.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.body.get(PROTECTED.len()..).unwrap_or_default()
    }

    /// The JWS with its signature, as a part of another JSON text.
    pub(crate) fn to_value(&self, signature: &[u8]) -> serde_json::Value {
        // All base64url and a dot.
        let input = String::from_utf8_lossy(self.as_bytes());
        let (protected, payload) = input.split_once('.').unwrap_or_default();
        serde_json::json!({
            "protected": protected,
            "payload": payload,
            "signature": URL_SAFE_NO_PAD.encode(signature),
        })
    }

    /// The JWS with its signature, ready to be a request's body.
    #[must_use]
    pub fn seal(self, signature: &[u8]) -> Bytes {
        let Self { mut body, dot } = self;
        // All three are base64url: there is nothing to escape. The payload makes room for its name.
        let end = body.len();
        body.resize(end + PAYLOAD.len() - 1, 0);
        body.copy_within(dot + 1..end, dot + PAYLOAD.len());
        if let Some(name) = body.get_mut(dot..dot + PAYLOAD.len()) {
            name.copy_from_slice(PAYLOAD);
        }
        body.extend_from_slice(SIGNATURE);
        push_base64(&mut body, signature);
        body.extend_from_slice(END);
        body.into()
    }
}

const PROTECTED: &[u8] = br#"{"protected":""#;
const PAYLOAD: &[u8] = br#"","payload":""#;
const SIGNATURE: &[u8] = br#"","signature":""#;
const END: &[u8] = br#""}"#;

/// How long a signature is; most RSA keys have 2048 bits, and for others the body grows.
const fn signature_octets(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Es256 | Algorithm::EdDsa => 64,
        Algorithm::Es384 => 96,
        Algorithm::Es512 => 132,
        Algorithm::Rs256 => 256,
    }
}

fn base64_len(octets: usize) -> usize {
    encoded_len(octets, false).unwrap_or_default()
}

fn push_base64(body: &mut Vec<u8>, octets: &[u8]) {
    let start = body.len();
    body.resize(start + base64_len(octets.len()), 0);
    let room = body.get_mut(start..).unwrap_or_default();
    // There is room for all of them.
    let written = URL_SAFE_NO_PAD.encode_slice(octets, room).unwrap_or_default();
    body.truncate(start + written);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::Curve;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn member(body: &[u8], name: &str) -> String {
        let json: serde_json::Value = serde_json::from_slice(body).unwrap();
        json[name].as_str().unwrap().to_owned()
    }

    #[test]
    fn rfc7515_a_3_es256() {
        let x = decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let signature =
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let body = [PROTECTED, text.as_bytes()].concat();
        let input = SigningInput { body, dot: PROTECTED.len() + text.find('.').unwrap() };
        let point = [&[0x04][..], &x, &y].concat();
        assert!(Jwk::ec(Curve::P256, &point).is_some());
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
            .verify(input.as_bytes(), &decode(signature))
            .unwrap();
        // RFC 7515 A.6.4 / A.7 has this object's shape; ours orders the members as RFC 8555 does.
        let body = input.seal(&decode(signature));
        assert_eq!(member(&body, "protected"), "eyJhbGciOiJFUzI1NiJ9");
        assert_eq!(format!("{}.{}", member(&body, "protected"), member(&body, "payload")), text);
        assert_eq!(member(&body, "signature"), signature);
    }

    #[test]
    fn rfc8555_7_4_the_header_names_the_account_the_nonce_and_the_url() {
        let header = Header {
            algorithm: Algorithm::Es256,
            key: KeyReference::Kid("https://example.com/acme/acct/evOfKhNU60wg"),
            nonce: Some("5XJ1L3lEkMG7tR6pA00clA"),
            url: "https://example.com/acme/new-order",
        };
        assert_eq!(
            header.to_json(),
            r#"{"alg":"ES256","kid":"https://example.com/acme/acct/evOfKhNU60wg","nonce":"5XJ1L3lEkMG7tR6pA00clA","url":"https://example.com/acme/new-order"}"#
        );
    }

    #[test]
    fn the_inner_jws_of_a_key_change_has_a_key_and_no_nonce() {
        let jwk = Jwk::ec(Curve::P256, &[0x04; 65]).unwrap();
        let header = Header {
            algorithm: Algorithm::Es256,
            key: KeyReference::Jwk(&jwk),
            nonce: None,
            url: "https://example.com/acme/key-change",
        };
        let json: serde_json::Value = serde_json::from_str(&header.to_json()).unwrap();
        assert_eq!(json["jwk"]["kty"], "EC");
        assert!(json.get("nonce").is_none() && json.get("kid").is_none());
    }

    #[test]
    fn rfc8555_6_3_a_post_as_get_has_an_empty_payload() {
        let header = Header {
            algorithm: Algorithm::Es256,
            key: KeyReference::Kid("https://example.com/acme/acct/1"),
            nonce: Some("uQpSjlRb4vQVCjVYAyyUWg"),
            url: "https://example.com/acme/certificate/mAt3xBGaobw",
        };
        let body = SigningInput::new(&header, b"").seal(&[0; 64]);
        assert_eq!(member(&body, "payload"), "");
    }

    #[test]
    fn a_body_has_room_for_the_signature_and_not_an_octet_more() {
        for (algorithm, octets) in [(Algorithm::Es256, 64), (Algorithm::Es384, 96), (Algorithm::Rs256, 256)] {
            let key = KeyReference::Kid("https://example.com/acme/acct/1");
            let header = Header { algorithm, key, nonce: None, url: "https://example.com/" };
            let input = SigningInput::new(&header, b"{}");
            let room = input.body.capacity();
            assert_eq!(input.seal(&vec![0; octets]).len(), room);
        }
    }

    #[test]
    fn a_quote_in_a_url_cannot_forge_a_member() {
        let header = Header {
            algorithm: Algorithm::Es256,
            key: KeyReference::Kid(r#"https://example.com/","alg":"none"#),
            nonce: None,
            url: "https://example.com/",
        };
        let json: serde_json::Value = serde_json::from_str(&header.to_json()).unwrap();
        assert_eq!(json["alg"], "ES256");
    }
}
