//! CAA records of onion services, told to the CA by their owner (RFC 9799 §6.4).
//!
//! They stand in the service's descriptor. A CA that does not read descriptors wants them with the request
//! that finalizes the order, signed by the service's key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use perennial_core::{DomainName, Timestamp};
use serde_json::{Map, Value, json};

/// The CAA record set of one onion service.
///
/// ```
/// use perennial_acme::OnionCaa;
///
/// let name = "5anebu2glyc235wbbop3m2ukzlaptpkq333vdtdvcjpigyb7x2i2m2qd.onion".parse()?;
/// let expiry = "2026-11-21T20:00:00Z".parse()?;
/// let records = OnionCaa::new(name, Some("caa 128 issue \"ca.example\"".to_owned()), expiry);
/// assert_eq!(records.message(), "onion-caa|1795291200|caa 128 issue \"ca.example\"");
/// let signed = records.signed(&[0; 64]); // by the service's Ed25519 key
/// # let _ = signed;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnionCaa {
    name: DomainName,
    caa: Option<String>,
    expiry: Timestamp,
}

impl OnionCaa {
    /// The record set of a name, each record on a line as the descriptor has it, or `None` when there is
    /// none; and until when the CA may rely on it: eight hours ahead at most, RFC 9799 §6.4 advises.
    #[must_use]
    pub const fn new(name: DomainName, caa: Option<String>, expiry: Timestamp) -> Self {
        Self { name, caa, expiry }
    }

    /// What the service's key has to sign.
    #[must_use]
    pub fn message(&self) -> String {
        format!("onion-caa|{}|{}", self.expiry.unix(), self.caa.as_deref().unwrap_or_default())
    }

    /// With the signature: what [`finalize_onion`](crate::call::finalize_onion) takes.
    #[must_use]
    pub fn signed(self, signature: &[u8; 64]) -> SignedOnionCaa {
        SignedOnionCaa { signature: URL_SAFE.encode(signature), records: self }
    }
}

/// A record set with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOnionCaa {
    records: OnionCaa,
    signature: String,
}

/// The field `onionCAA` of the request that finalizes an order.
pub(crate) fn to_json(sets: &[SignedOnionCaa]) -> Value {
    let set = |SignedOnionCaa { records, signature }: &SignedOnionCaa| {
        let expiry = records.expiry.unix();
        let value = json!({ "caa": records.caa, "expiry": expiry, "signature": signature });
        (records.name.to_string(), value)
    };
    Value::Object(sets.iter().map(set).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::challenge::onion_csr01::service_key;
    use ring::signature::{ED25519, UnparsedPublicKey};

    const NAME: &str = "5anebu2glyc235wbbop3m2ukzlaptpkq333vdtdvcjpigyb7x2i2m2qd.onion";
    const SIGNATURE: &str =
        "u_iP6JZ4JZBrzQUKH6lSrWejjRfeQmkTuehc0_FaaTNPAV0RVxpUz9r44DRdy6kgy0ofnx18KIhMrP7N1wpxAA==";

    fn sample() -> OnionCaa {
        let caa = "caa 128 issue \"test.acmeforonions.org; validationmethods=onion-csr-01\"\n\
                   caa 0 iodef \"mailto:example@example.com\"";
        let name = NAME.parse().unwrap();
        OnionCaa::new(name, Some(caa.to_owned()), Timestamp::from_unix(1_697_210_719))
    }

    #[test]
    fn rfc9799_6_4_2_the_sample_is_signed_by_the_key_in_the_name() {
        let key = service_key(&NAME.parse().unwrap()).unwrap();
        let signature = URL_SAFE.decode(SIGNATURE).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, key);
        public.verify(sample().message().as_bytes(), &signature).unwrap();
    }

    #[test]
    fn rfc9799_6_4_2_the_sample_is_sent_under_its_name() {
        let signature: [u8; 64] = URL_SAFE.decode(SIGNATURE).unwrap().try_into().unwrap();
        let none = OnionCaa::new("x.onion".parse().unwrap(), None, Timestamp::from_unix(7));
        assert_eq!(none.message(), "onion-caa|7|");
        let sent = to_json(&[sample().signed(&signature), none.signed(&[0; 64])]);
        let set = &sent[NAME];
        assert_eq!((&set["expiry"], &set["signature"]), (&json!(1_697_210_719), &json!(SIGNATURE)));
        assert!(set["caa"].as_str().unwrap().contains("\ncaa 0 iodef"));
        assert_eq!(sent["x.onion"]["caa"], Value::Null);
    }
}
