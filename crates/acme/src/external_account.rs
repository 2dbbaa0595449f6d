//! External account binding (RFC 8555 §7.3.4): a new account is tied to a customer whom the CA knows already.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_core::{SecretBytes, SecretString};
use ring::hmac;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{Jwk, Misuse, Url, jws::SigningInput};

/// What the CA gave its customer to bind accounts with: a key identifier and a key for a MAC.
///
/// ```
/// use perennial_acme::{ExternalAccount, NewAccount};
///
/// let mac_key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W".into();
/// let customer = ExternalAccount::new("kid-1", &mac_key)?;
/// let request = NewAccount::new().agree_to_terms().external_account(customer);
/// assert!(!format!("{request:?}").contains("zWND"));
/// # Ok::<(), perennial_acme::Misuse>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    key_id: String,
    mac_key: SecretBytes,
    algorithm: MacAlgorithm,
}

impl ExternalAccount {
    /// With the two texts that the CA shows. The key is base64url; CAs also hand it out with padding, in the
    /// standard alphabet or with line breaks, and all of that is read.
    ///
    /// # Errors
    /// [`Misuse::ExternalAccount`] when one of them is empty, or the key is no base64.
    pub fn new(key_id: impl Into<String>, mac_key: &SecretString) -> Result<Self, Misuse> {
        let key_id = key_id.into();
        let fault = |fault| Misuse::ExternalAccount { key_id: key_id.clone(), fault };
        if key_id.is_empty() {
            return Err(fault(ExternalAccountFault::NoKeyId));
        }
        let mac_key = decode(mac_key.expose()).ok_or_else(|| fault(ExternalAccountFault::NotBase64))?;
        if mac_key.expose().is_empty() {
            return Err(fault(ExternalAccountFault::NoMacKey));
        }
        Ok(Self { key_id, mac_key, algorithm: MacAlgorithm::Hs256 })
    }

    /// The MAC that the CA asks for. Default: [`MacAlgorithm::Hs256`], which every CA takes.
    #[must_use]
    pub const fn algorithm(mut self, algorithm: MacAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The customer's word for that account key: a JWS over the key, with the MAC as its signature.
    pub(crate) fn bind(&self, account_key: &Jwk, new_account: &Url) -> Value {
        let header = json!({
            "alg": self.algorithm.as_str(),
            "kid": self.key_id,
            "url": new_account.as_str(),
        });
        let input = SigningInput::join(&header.to_string(), account_key.to_json().as_bytes());
        let key = hmac::Key::new(self.algorithm.of_ring(), self.mac_key.expose());
        input.to_value(hmac::sign(&key, input.as_bytes()).as_ref())
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount")
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Reads base64 in either alphabet, with or without padding and white space.
fn decode(text: &str) -> Option<SecretBytes> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let digits = text.chars().filter(|character| !character.is_whitespace());
    plain.extend(digits.map(|character| match character {
        '+' => '-',
        '/' => '_',
        other => other,
    }));
    URL_SAFE_NO_PAD.decode(plain.trim_end_matches('=')).ok().map(SecretBytes::new)
}

/// A MAC algorithm of JWS (RFC 7518 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MacAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl MacAlgorithm {
    /// The value of the protected header's `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    const fn of_ring(self) -> hmac::Algorithm {
        match self {
            Self::Hs256 => hmac::HMAC_SHA256,
            Self::Hs384 => hmac::HMAC_SHA384,
            Self::Hs512 => hmac::HMAC_SHA512,
        }
    }
}

impl fmt::Display for MacAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with the texts of an external account. It never quotes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalAccountFault {
    /// No key identifier.
    #[error("the key identifier is empty: copy it from the CA's website")]
    NoKeyId,
    /// No key.
    #[error("the MAC key is empty: copy it from the CA's website")]
    NoMacKey,
    /// Not base64.
    #[error("the MAC key is no base64: copy it whole from the CA's website")]
    NotBase64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::Curve;
    use proptest::prelude::*;

    const KEY: &str =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

    fn account(mac_key: &str) -> Result<ExternalAccount, Misuse> {
        ExternalAccount::new("kid-1", &SecretString::new(mac_key))
    }

    #[test]
    fn rfc7515_a_1_hs256() {
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = hmac::Key::new(MacAlgorithm::Hs256.of_ring(), account(KEY).unwrap().mac_key.expose());
        assert_eq!(
            URL_SAFE_NO_PAD.encode(hmac::sign(&key, input.as_bytes())),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
    }

    #[test]
    fn rfc8555_7_3_4_the_binding_signs_the_account_key_for_the_new_account_url() {
        let jwk = Jwk::ec(Curve::P256, &[0x04; 65]).unwrap();
        let url = "https://example.com/acme/new-account".parse().unwrap();
        let sizes = [(MacAlgorithm::Hs256, 32), (MacAlgorithm::Hs384, 48), (MacAlgorithm::Hs512, 64)];
        for (algorithm, size) in sizes {
            let bound = account(KEY).unwrap().algorithm(algorithm).bind(&jwk, &url);
            let text = |name: &str| bound[name].as_str().unwrap().to_owned();
            let part = |name: &str| URL_SAFE_NO_PAD.decode(text(name)).unwrap();
            let header: Value = serde_json::from_slice(&part("protected")).unwrap();
            let expected = json!({ "alg": algorithm.as_str(), "kid": "kid-1", "url": url.as_str() });
            assert_eq!(header, expected, "no nonce");
            assert_eq!(part("payload"), jwk.to_json().as_bytes());
            assert_eq!(part("signature").len(), size);
            let key = hmac::Key::new(algorithm.of_ring(), &URL_SAFE_NO_PAD.decode(KEY).unwrap());
            let input = format!("{}.{}", text("protected"), text("payload"));
            hmac::verify(&key, input.as_bytes(), &part("signature")).unwrap();
        }
    }

    #[test]
    fn every_way_in_which_cas_write_the_key_is_read() {
        let plain = account(KEY).unwrap();
        let standard = KEY.replace('-', "+").replace('_', "/");
        for text in
            [&format!("{KEY}=="), &standard, &format!(" {standard}==\r\n"), &KEY.replacen('4', "4\n", 1)]
        {
            assert!(account(text).unwrap() == plain, "{text}");
        }
    }

    #[test]
    fn an_empty_text_and_one_that_is_no_base64_are_told_apart_and_not_shown() {
        let fault = |error: Misuse| match error {
            Misuse::ExternalAccount { key_id, fault } if key_id == "kid-1" => fault,
            other => panic!("{other}"),
        };
        assert_eq!(fault(account(" = \n").unwrap_err()), ExternalAccountFault::NoMacKey);
        let error = account("s3cret!").unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(fault(error), ExternalAccountFault::NotBase64);
        let error = ExternalAccount::new("", &SecretString::new(KEY)).unwrap_err();
        assert!(error.to_string().contains("key identifier is empty"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = account(&text);
        }
    }
}
