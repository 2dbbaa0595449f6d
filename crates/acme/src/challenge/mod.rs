//! Challenges (RFC 8555 §7.1.5, §8): the ways to prove control of a name.

pub mod dns01;
pub mod dns_account01;
pub mod dns_persist01;
pub mod http01;
pub mod onion_csr01;
pub mod tls_alpn01;

use std::{fmt, sync::Arc};

use perennial_core::Timestamp;

use crate::{
    Misbehaved, Problem, Thumbprint, Url,
    json::{Kept, Object},
    open_enum::open_enum,
};

open_enum! {
    /// The type of a challenge. The registry is open (RFC 8555 §9.7.8).
    pub enum ChallengeKind {
        /// A statement of a device's maker about a key (draft-ietf-acme-device-attest).
        DeviceAttest01 => "device-attest-01",
        /// A TXT record below `_acme-challenge` (RFC 8555 §8.4).
        Dns01 => "dns-01",
        /// A TXT record below a label of the account's own (draft-ietf-acme-dns-account-label).
        DnsAccount01 => "dns-account-01",
        /// A TXT record that stays (draft-ietf-acme-dns-persist).
        DnsPersist01 => "dns-persist-01",
        /// A file on port 80 (RFC 8555 §8.3).
        Http01 => "http-01",
        /// A signing request by the key of an onion service (RFC 9799 §3.2).
        OnionCsr01 => "onion-csr-01",
        /// A self-signed certificate on port 443 (RFC 8737).
        TlsAlpn01 => "tls-alpn-01",
    }
}

open_enum! {
    /// How far a challenge has come (RFC 8555 §7.1.6).
    pub enum ChallengeStatus {
        /// The proof failed.
        Invalid => "invalid",
        /// It waits for our answer.
        Pending => "pending",
        /// The server is looking.
        Processing => "processing",
        /// The proof was found.
        Valid => "valid",
    }
}

/// What a server says about a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChallengeState {
    /// Which way to prove it.
    pub kind: ChallengeKind,
    /// Where the answer goes.
    pub url: Url,
    /// How far it has come; `pending` when the server does not say.
    pub status: ChallengeStatus,
    /// When the server found the proof.
    pub validated: Option<Timestamp>,
    /// Why the proof failed.
    pub error: Option<Problem>,
    token: Result<Token, TokenFault>,
    fields: Kept,
}

impl ChallengeState {
    /// Reads a challenge object.
    ///
    /// # Errors
    /// [`Misbehaved`] when it has no type or no URL.
    pub fn parse(body: &[u8]) -> Result<Self, Misbehaved> {
        Self::read(&Object::parse("challenge", body)?, || Kept::whole(body))
    }

    pub(crate) fn read(challenge: &Object<'_>, fields: impl FnOnce() -> Kept) -> Result<Self, Misbehaved> {
        Ok(Self {
            kind: challenge.required_text("type")?.into(),
            url: challenge.required_url("url")?,
            status: challenge.text("status").map_or(ChallengeStatus::Pending, ChallengeStatus::from),
            validated: challenge.moment("validated"),
            error: Problem::inner(challenge.value("error")),
            token: challenge.text("token").map_or(Err(TokenFault::Missing), Token::parse),
            fields: fields(),
        })
    }

    /// The token, if there is a sound one.
    ///
    /// # Errors
    /// [`TokenFault`]: there is none, which is right for some challenge types, or it is not what RFC 8555
    /// allows.
    pub fn token(&self) -> Result<&Token, TokenFault> {
        self.token.as_ref().map_err(|fault| *fault)
    }

    /// Reads fields that have no place of their own here.
    pub(crate) fn read_fields<T>(&self, read: impl FnOnce(&Object<'_>) -> Option<T>) -> Option<T> {
        self.fields.read("challenge", read)
    }

    /// Any field as JSON text, also one that this library does not know.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields.raw(name)
    }
}

/// A challenge's random value (RFC 8555 §8.3): 22 to 255 characters of base64url. Cheap to clone.
///
/// Tokens become file names and parts of URLs. A server that could put `../` or a quote in one could write
/// files and run commands on its clients, and some did; a `Token` cannot hold either.
///
/// ```
/// use perennial_acme::challenge::{Token, TokenFault};
///
/// let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA")?;
/// assert_eq!(token.as_str().len(), 43);
/// assert_eq!(Token::parse("../../../etc/cron.d/evil-job"), Err(TokenFault::BadCharacter));
/// # Ok::<(), TokenFault>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token(Arc<str>);

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// [`TokenFault`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, TokenFault> {
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(TokenFault::BadCharacter);
        }
        match text.len() {
            0..MIN_TOKEN => Err(TokenFault::TooShort { length: text.len() }),
            MIN_TOKEN..=MAX_TOKEN => Ok(Self(text.into())),
            length => Err(TokenFault::TooLong { length }),
        }
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 8555 §8.3 wants 128 bits of entropy, which base64url writes in 22 characters.
const MIN_TOKEN: usize = 22;
/// What a file name may have on common file systems.
const MAX_TOKEN: usize = 255;

/// Why there is no usable token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// A character outside base64url.
    #[error("it has a character outside of base64url (RFC 8555 §8.3)")]
    BadCharacter,
    /// No token at all.
    #[error("there is none")]
    Missing,
    /// Longer than any file name.
    #[error("it has {length} characters, {MAX_TOKEN} is the most")]
    TooLong {
        /// How many characters.
        length: usize,
    },
    /// Too few characters to be unguessable.
    #[error("it has {length} characters, {MIN_TOKEN} is the least (RFC 8555 §8.3)")]
    TooShort {
        /// How many characters.
        length: usize,
    },
}

/// Token and key thumbprint with a dot between (RFC 8555 §8.1): the proof that the account's holder wants
/// this challenge to succeed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyAuthorization(String);

impl KeyAuthorization {
    /// Joins the two.
    #[must_use]
    pub fn new(token: &Token, thumbprint: &Thumbprint) -> Self {
        Self([token.as_str(), ".", thumbprint.as_str()].concat())
    }

    /// The key authorization as text: what http-01 serves.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc8555_8_4_dns_challenge() {
        let challenge = ChallengeState::parse(
            br#"{
  "type": "dns-01",
  "url": "https://example.com/acme/chall/Rg5dV14Gh1Q",
  "status": "pending",
  "token": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
}"#,
        )
        .unwrap();
        assert_eq!(challenge.kind, ChallengeKind::Dns01);
        assert_eq!(challenge.status, ChallengeStatus::Pending);
        assert_eq!(challenge.token().unwrap().as_str(), "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA");
    }

    #[test]
    fn tokens_that_could_be_paths_or_commands_are_refused() {
        for text in
            ["../../../../etc/passwd", "`touch${IFS}/tmp/x`AAAAAAAA", "aaaaaaaaaaaaaaaaaaaaaa=", "\0\0"]
        {
            assert_eq!(Token::parse(text), Err(TokenFault::BadCharacter), "{text}");
        }
        assert_eq!(Token::parse(&"a".repeat(21)), Err(TokenFault::TooShort { length: 21 }));
        assert_eq!(Token::parse(&"a".repeat(256)), Err(TokenFault::TooLong { length: 256 }));
        assert!(Token::parse(&"a".repeat(22)).is_ok() && Token::parse(&"a".repeat(255)).is_ok());
    }

    #[test]
    fn a_bad_token_spoils_its_challenge_only_when_it_is_used() {
        let challenge = ChallengeState::parse(
            br#"{"type":"http-01","url":"https://example.com/c","token":"../../../x"}"#,
        )
        .unwrap();
        assert_eq!(challenge.token(), Err(TokenFault::BadCharacter));
        assert_eq!(challenge.status, ChallengeStatus::Pending);
    }

    proptest! {
        #[test]
        fn a_token_is_safe_in_a_path_a_url_and_a_shell(text in ".{0,40}|[A-Za-z0-9_-]{20,260}") {
            if let Ok(token) = Token::parse(&text) {
                prop_assert!(token.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            }
        }
    }
}
