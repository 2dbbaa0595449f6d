//! onion-csr-01 (RFC 9799 §3.2): a signing request by the key of an onion service.
//!
//! A name that ends in `.onion` holds the public key of its service. The proof is a signing request of one's
//! own making, signed by that key, with a nonce of the CA and one of the applicant as attributes (Baseline
//! Requirements, appendix B). It is not the request that finalizes the order, and it goes to the CA as the
//! answer itself: nothing has to be reachable. There is no token.
//!
//! This module reads the challenge, writes the attributes and the answer; the signing request is the
//! caller's, who has the key.
//!
//! ```
//! use perennial_acme::challenge::onion_csr01;
//! use perennial_core::DomainName;
//!
//! let name: DomainName = "bbcweb3hytmzhn5d532owbu6oqadra5z3ar726vq5kgwwn6aucdccrad.onion".parse()?;
//! assert_eq!(onion_csr01::service_key(&name)?.len(), 32);
//! // As rcgen's `Attribute { oid: onion_csr01::CA_SIGNING_NONCE, values }` wants it.
//! let values = onion_csr01::attribute_values(&[7; 8]);
//! assert_eq!(values, [&[0x31, 10, 0x04, 8][..], &[7; 8]].concat());
//! assert_eq!(onion_csr01::payload(b"\x30\x03"), r#"{"csr":"MAM"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use data_encoding::BASE32_NOPAD;
use perennial_core::DomainName;
use serde_json::json;

use crate::{ChallengeState, Misbehaved};

/// The object identifier of the attribute with the CA's nonce, `cabf-caSigningNonce`.
pub const CA_SIGNING_NONCE: &[u64] = &[2, 23, 140, 41];

/// The object identifier of the attribute with the applicant's nonce, `cabf-applicantSigningNonce`: eight
/// random octets at least, new for each request.
pub const APPLICANT_SIGNING_NONCE: &[u64] = &[2, 23, 140, 42];

/// The CA's nonce, for the attribute [`CA_SIGNING_NONCE`]: decoded, as RFC 9799 §3.2 wants it there.
///
/// # Errors
/// [`Misbehaved::Field`] when the challenge has none, or it has not 8 to 255 octets.
pub fn nonce(challenge: &ChallengeState) -> Result<Vec<u8>, Misbehaved> {
    let octets = challenge.read_fields(|fields| BASE64.decode(fields.text("nonce")?).ok());
    octets.filter(|octets| (8..=255).contains(&octets.len())).ok_or(Misbehaved::Field {
        resource: "challenge",
        field: "nonce",
        expected: "8 to 255 octets in base64",
    })
}

/// RFC 9799 §3.2 has padding in its nonces, the rest of ACME has none; neither is a reason to fail.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The Ed25519 key by which the CA will come to a service that lets in known clients only (RFC 9799 §4); any
/// challenge for an onion service may have one. Let it in, publish the descriptor, and wait some minutes
/// before the challenge is answered.
#[must_use]
pub fn auth_key(challenge: &ChallengeState) -> Option<[u8; 32]> {
    challenge.read_fields(|fields| {
        let key = fields.object("challenge's authKey", "authKey")?;
        if key.text("kty") != Some("OKP") || key.text("crv") != Some("Ed25519") {
            return None;
        }
        URL_SAFE_NO_PAD.decode(key.text("x")?).ok()?.try_into().ok()
    })
}

/// The values of an attribute: a SET of one OCTET STRING, in DER.
#[must_use]
pub fn attribute_values(nonce: &[u8]) -> Vec<u8> {
    element(0x31, &element(0x04, nonce))
}

/// Tag, length and content (X.690 §8.1.3); a nonce is never longer than two octets of length can say.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    match u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes() {
        [0, low] if low < 0x80 => element.push(low),
        [0, low] => element.extend([0x81, low]),
        [high, low] => element.extend([0x82, high, low]),
    }
    element.extend_from_slice(content);
    element
}

/// The answer to the challenge, for [`Challenge::answer_with`](crate::Challenge::answer_with).
#[must_use]
pub fn payload(csr_der: &[u8]) -> String {
    json!({ "csr": URL_SAFE_NO_PAD.encode(csr_der) }).to_string()
}

/// The Ed25519 key of the service that a name leads to, and by which the signing request has to be signed.
/// The name may have labels in front of the service's.
///
/// # Errors
/// [`OnionFault`] when it is no name of a version 3 service. The name's checksum is not verified: that takes
/// SHA-3, which nothing else here needs, and the CA does it.
pub fn service_key(name: &DomainName) -> Result<[u8; 32], OnionFault> {
    let mut labels = name.labels().rev();
    if labels.next() != Some("onion") {
        return Err(OnionFault::OtherDomain);
    }
    let label = labels.next().unwrap_or_default();
    if label.len() != ADDRESS_LABEL {
        return Err(OnionFault::Length { length: label.len() });
    }
    let octets = BASE32_NOPAD.decode(label.to_ascii_uppercase().as_bytes());
    let octets: [u8; 35] = octets.ok().and_then(|octets| octets.try_into().ok()).ok_or(OnionFault::Base32)?;
    // PUBKEY | CHECKSUM | VERSION, of 32, 2 and 1 octets.
    match octets {
        [.., 3] => {
            let (key, _) = octets.split_at(32);
            key.try_into().map_err(|_| OnionFault::Base32)
        }
        [.., version] => Err(OnionFault::Version { version }),
    }
}

/// Whether a name is one of the Tor network.
pub(crate) fn is_onion(name: &DomainName) -> bool {
    name.labels().next_back() == Some("onion")
}

/// 35 octets in base32.
const ADDRESS_LABEL: usize = 56;

/// Why a name is not one of an onion service of version 3. Those of version 2 are insecure and not certified
/// (RFC 9799 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnionFault {
    /// A character outside of base32.
    #[error("its address has a character outside of base32")]
    Base32,
    /// A label of the wrong length before `.onion`.
    #[error("its address has {length} characters, one of version 3 has {ADDRESS_LABEL}")]
    Length {
        /// How many characters.
        length: usize,
    },
    /// A name that does not end in `.onion`.
    #[error("it does not end in .onion")]
    OtherDomain,
    /// Another version than 3.
    #[error("its address is of version {version}, only 3 is known")]
    Version {
        /// The version.
        version: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{Attribute, CertificateParams, KeyPair, PKCS_ED25519};
    use serde_json::Value;
    use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

    fn challenge(more: &Value) -> ChallengeState {
        let mut text = json!({
            "type": "onion-csr-01",
            "url": "https://acme-server.example.onion/acme/chall/bbc625c5",
            "status": "pending",
        });
        text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ChallengeState::parse(text.to_string().as_bytes()).unwrap()
    }

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[test]
    fn rfc9799_3_2_the_nonce_is_base64_with_padding() {
        let offered = challenge(&json!({ "nonce": "bI6/MRqV4gw=" }));
        assert_eq!(nonce(&offered).unwrap(), [0x6c, 0x8e, 0xbf, 0x31, 0x1a, 0x95, 0xe2, 0x0c]);
        assert!(nonce(&challenge(&json!({ "nonce": "bI6/MRqV4gw" }))).is_ok());
        assert!(offered.token().is_err(), "and there is no token");
        for broken in
            [json!({}), json!({ "nonce": 7 }), json!({ "nonce": "AAAA" }), json!({ "nonce": "b I6" })]
        {
            assert!(matches!(nonce(&challenge(&broken)), Err(Misbehaved::Field { field: "nonce", .. })));
        }
    }

    #[test]
    fn rfc9799_4_the_key_of_the_ca_is_a_jwk() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        let octets = auth_key(&challenge(&json!({ "authKey": key }))).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(octets), x);
        for other in [json!(null), json!({ "kty": "OKP", "crv": "X25519", "x": x }), json!({ "kty": "OKP" })]
        {
            assert_eq!(auth_key(&challenge(&json!({ "authKey": other }))), None);
        }
    }

    #[test]
    fn rfc9799_2_names_of_version_3_hold_a_key_also_below_labels_of_their_own() {
        let address = "bbcweb3hytmzhn5d532owbu6oqadra5z3ar726vq5kgwwn6aucdccrad.onion";
        let key = service_key(&name(address)).unwrap();
        assert_eq!(service_key(&name(&format!("www.{address}"))), Ok(key));
        assert_eq!(service_key(&name(&format!("*.{address}"))), Ok(key));
        let label = |end: &str| name(&format!("{}{end}.onion", "a".repeat(55)));
        assert_eq!(service_key(&label("c")), Err(OnionFault::Version { version: 2 }));
        assert_eq!(service_key(&label("1")), Err(OnionFault::Base32));
        let old = service_key(&name("facebookcorewwwi.onion"));
        assert_eq!(old, Err(OnionFault::Length { length: 16 }));
        assert_eq!(service_key(&name("onion")), Err(OnionFault::Length { length: 0 }));
        assert_eq!(service_key(&name("example.org")), Err(OnionFault::OtherDomain));
    }

    #[test]
    fn rfc9799_3_2_a_signing_request_has_both_nonces_as_attributes() {
        let ours = [0x80; 200]; // long enough for every form of length
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let attribute = |oid, nonce: &[u8]| Attribute { oid, values: attribute_values(nonce) };
        let nonces = vec![attribute(CA_SIGNING_NONCE, &[7; 8]), attribute(APPLICANT_SIGNING_NONCE, &ours)];
        let params = CertificateParams::new(vec!["a.onion".to_owned()]).unwrap();
        let request = params.serialize_request_with_attributes(&key, nonces).unwrap();
        let (_, parsed) = X509CertificationRequest::from_der(request.der()).unwrap();
        parsed.verify_signature().unwrap();
        assert_eq!(parsed.certification_request_info.iter_attributes().count(), 3, "with the names");
        let cabf = |last: u8| [0x06, 0x04, 0x67, 0x81, 0x0c, last]; // 2.23.140.last
        let theirs = [&cabf(41)[..], &[0x31, 10, 0x04, 8], &[7; 8]].concat();
        let ours = [&cabf(42)[..], &[0x31, 0x81, 203, 0x04, 0x81, 200], &ours].concat();
        for attribute in [theirs, ours] {
            assert!(request.der().windows(attribute.len()).any(|window| window == attribute));
        }
        let sent: Value = serde_json::from_str(&payload(request.der())).unwrap();
        let sent = URL_SAFE_NO_PAD.decode(sent["csr"].as_str().unwrap()).unwrap();
        assert_eq!(sent, request.der().as_ref());
    }

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        let head = |length: usize| element(0x04, &vec![0; length])[..4].to_vec();
        assert_eq!(head(127), [0x04, 127, 0, 0]);
        assert_eq!(head(128), [0x04, 0x81, 128, 0]);
        assert_eq!(head(256), [0x04, 0x82, 1, 0]);
    }

    proptest! {
        #[test]
        fn no_name_and_no_challenge_panics(label in "[a-z2-7]{56}|[a-z0-9]{1,60}", text in ".{0,40}") {
            let _ = service_key(&name(&format!("{label}.onion")));
            let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": text });
            let challenge = challenge(&json!({ "nonce": text, "authKey": key }));
            let _ = (nonce(&challenge), auth_key(&challenge));
        }
    }
}
