//! A new key for an account (RFC 8555 §7.3.5).

use serde_json::Value;

use super::spec;
use crate::{
    Algorithm, Directory, Jwk, Misuse, Session, Signer, Url,
    call::{Call, Payload, Target},
    jws::{Header, KeyReference, SigningInput},
};

/// A change of an account's key that waits for the new key's signature.
///
/// Two keys sign: the new one first, that it agrees to the account, then the old one, around that, like every
/// other request of the account. **Keep the new key before the call is driven**: after a lost answer the
/// server may know the account by either.
///
/// ```
/// # use perennial_acme::{Directory, Error, Session, Signer, call::{Call, KeyChange}};
/// async fn change(session: &Session, directory: &Directory, new: &dyn Signer) -> Result<Call<()>, Error> {
///     let change = KeyChange::new(session, directory, new)?;
///     let signature = new.sign(change.message()).await?;
///     Ok(change.seal(&signature)?) // To be driven in the session of the old key.
/// }
/// ```
#[derive(Debug)]
#[must_use = "sign the message with the new key, seal it, drive the call"]
pub struct KeyChange {
    url: Url,
    input: SigningInput,
    algorithm: Algorithm,
    new_key: Jwk,
}

impl KeyChange {
    /// From the session's key to a new one.
    ///
    /// # Errors
    /// [`Misuse::NotOffered`] when the server has no keyChange, [`Misuse::SameKey`] when the new key is the
    /// old one, [`Misuse::AlgorithmOfOtherKey`] when the new signer's algorithm and key do not match,
    /// [`Misuse::NoAccount`] when the session has no account.
    pub fn new(session: &Session, directory: &Directory, new_key: &dyn Signer) -> Result<Self, Misuse> {
        let url = directory.key_change.clone().ok_or(Misuse::NotOffered { what: VERB })?;
        let (Some(account), Some(old_key)) = (session.account(), session.jwk()) else {
            return Err(Misuse::NoAccount { verb: VERB });
        };
        let (algorithm, jwk) = (new_key.algorithm(), new_key.jwk());
        algorithm.check_key(jwk)?;
        if jwk == old_key {
            return Err(Misuse::SameKey { account: account.to_string() });
        }
        // RFC 8555 §7.3.5: the inner JWS has the outer one's URL, the new key, and no nonce.
        let header = Header { algorithm, key: KeyReference::Jwk(jwk), nonce: None, url: url.as_str() };
        let payload =
            format!(r#"{{"account":{},"oldKey":{}}}"#, Value::from(account.as_str()), old_key.to_json());
        let input = SigningInput::new(&header, payload.as_bytes());
        Ok(Self { url, input, algorithm, new_key: jwk.clone() })
    }

    /// What the new key has to sign.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.input.as_bytes()
    }

    /// The call, with the new key's signature. It is refused with status 409 when the new key has an account
    /// already, which [`Problem::location`](crate::Problem::location) names.
    ///
    /// # Errors
    /// [`Misuse::SignatureSize`] when the signature has not the size that its algorithm gives it.
    pub fn seal(self, signature: &[u8]) -> Result<Call<()>, Misuse> {
        self.algorithm.check_signature(&self.new_key, signature)?;
        let payload = Payload::Fixed(self.input.to_value(signature).to_string().into());
        // The status says it all: servers differ in what they send along.
        Ok(Call::new(spec(VERB, Target::Url(self.url), payload, |_| Ok(()))))
    }
}

const VERB: &str = "keyChange";
