//! dns-01 (RFC 8555 §8.4): a TXT record below `_acme-challenge`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_core::{DomainName, DomainNameError};
use ring::digest::{SHA256, digest};

use super::KeyAuthorization;

/// What the TXT record has to hold: the SHA-256 of the key authorization, 43 characters of base64url.
///
/// ```
/// use perennial_acme::{Jwk, challenge::{KeyAuthorization, Token, dns01}};
///
/// let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA")?;
/// let key = Jwk::ed25519([7; 32]);
/// let value = dns01::value(&KeyAuthorization::new(&token, &key.thumbprint()));
/// assert_eq!(value.len(), 43);
/// # Ok::<(), perennial_acme::challenge::TokenFault>(())
/// ```
#[must_use]
pub fn value(key_authorization: &KeyAuthorization) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, key_authorization.as_str().as_bytes()))
}

/// Where the TXT record has to be: `_acme-challenge` below the name. A wildcard's record is at the name
/// itself, so `example.com` and `*.example.com` need two values at one place.
///
/// # Errors
/// [`DomainNameError`] when the name is too long to have a record below it.
pub fn record_name(name: &DomainName) -> Result<DomainName, DomainNameError> {
    name.base().child("_acme-challenge")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_the_hash_of_the_key_authorization() {
        let token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
        // Computed with Python's hashlib.
        let authorization = KeyAuthorization(format!("{token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"));
        assert_eq!(value(&authorization), "LPsIwTo7o8BoG0-vjCyGQGBWSVIPxI-i_X336eUOQZo");
    }

    #[test]
    fn a_name_and_its_wildcard_share_the_record() {
        let name: DomainName = "example.org".parse().unwrap();
        let wildcard: DomainName = "*.example.org".parse().unwrap();
        assert_eq!(record_name(&name).unwrap().as_str(), "_acme-challenge.example.org");
        assert_eq!(record_name(&wildcard), record_name(&name));
    }
}
