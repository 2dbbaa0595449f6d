//! Transaction signatures: keys and algorithms, signing and verifying (RFC 8945).

use std::{fmt, path::Path, str::FromStr};

use base64::Engine as _;
use hickory_proto::{
    op::Message,
    rr::{
        DNSClass, Name,
        rdata::{
            TSIG,
            tsig::{TsigAlgorithm, TsigError, make_tsig_record, message_tbs, signed_bitmessage_to_buf},
        },
    },
};
use perennial_core::{SecretBytes, SecretString, Timestamp};
use ring::hmac;

use super::{
    failure::Failure,
    key_file::{self, KeyFileError},
};

/// How much the clocks of both sides may differ, in seconds: RFC 8945 §10 recommends five minutes.
pub(super) const FUDGE: u16 = 300;

/// A shared key: its name, its algorithm and its secret, as both sides know them.
///
/// There is no way to see the secret again; `Debug` shows the name and the algorithm.
#[derive(Clone, PartialEq, Eq)]
pub struct TsigKey {
    name: Name,
    algorithm: Algorithm,
    secret: SecretBytes,
}

impl TsigKey {
    /// A key. The name is compared without regard to case or a final dot; the secret is base64, as
    /// `tsig-keygen` prints it (RFC 4648 §4), white space around it dropped.
    ///
    /// ```
    /// use perennial_providers::rfc2136::{Algorithm, TsigKey};
    ///
    /// let key = TsigKey::new("Acme-Key", Algorithm::HmacSha256, &"c2VjcmV0\n".into())?;
    /// assert_eq!(format!("{key:?}"), "TsigKey(acme-key. hmac-sha256)");
    /// # Ok::<(), perennial_providers::rfc2136::TsigKeyError>(())
    /// ```
    ///
    /// # Errors
    /// [`TsigKeyError`], which never shows the secret.
    pub fn new(name: &str, algorithm: Algorithm, secret: &SecretString) -> Result<Self, TsigKeyError> {
        Ok(Self { name: parse_name(name)?, algorithm, secret: parse_secret(secret.expose())? })
    }

    /// The keys of a file as `tsig-keygen` or `keymgr -t` print it, or of the configuration of BIND or Knot, or
    /// one `name:algorithm:secret` a line.
    ///
    /// More than one key is more than one that is tried: see [`Rfc2136Builder::key`](super::Rfc2136Builder::key).
    ///
    /// # Errors
    /// [`KeyFileError`], which never shows a secret.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Vec<Self>, KeyFileError> {
        key_file::read(path.as_ref(), Weak::Refused)
    }

    /// The keys of a text in the forms of [`from_file`](Self::from_file).
    ///
    /// ```
    /// use perennial_providers::rfc2136::TsigKey;
    ///
    /// let keys = TsigKey::parse_all(&"key \"acme-key\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };".into())?;
    /// assert_eq!(keys[0].to_string(), "acme-key. hmac-sha256");
    /// # Ok::<(), perennial_providers::rfc2136::KeyFileError>(())
    /// ```
    ///
    /// # Errors
    /// [`KeyFileError`], which never shows a secret.
    pub fn parse_all(text: &SecretString) -> Result<Vec<Self>, KeyFileError> {
        key_file::parse(text.expose(), Weak::Refused)
    }

    /// Signs the message in place and returns the MAC, which the answer's MAC covers (RFC 8945 §5.3.1).
    pub(super) fn sign(&self, message: &mut Message, now: Timestamp) -> Result<Vec<u8>, TooLong> {
        let algorithm = self.algorithm.wire();
        let id = message.metadata.id;
        let unsigned = TSIG::new(algorithm.clone(), seconds(now), FUDGE, Vec::new(), id, None, Vec::new());
        let signed_bytes = message_tbs(message, &unsigned, &self.name).map_err(|_| TooLong)?;
        let mac = self.algorithm.mac(self.secret.expose(), &signed_bytes);
        message.set_signature(Box::new(make_tsig_record(self.name.clone(), unsigned.set_mac(mac.clone()))));
        Ok(mac)
    }

    /// Whether the answer was signed with this key, in reply to the request with this MAC, at about the time
    /// of the request (RFC 8945 §5.2 and §5.4).
    pub(super) fn verify(
        &self,
        bytes: &[u8],
        answer: &Message,
        request_mac: &[u8],
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Some(record) = answer.signature() else {
            return Err(Failure::Unsigned { code: answer.metadata.response_code.into() });
        };
        let tsig = &record.data;
        // RFC 8945 §5.3.2: a server that does not know the key cannot sign what it says about it.
        match tsig.error {
            Some(TsigError::BadKey) => return Err(Failure::BadKey),
            Some(TsigError::BadSig) => return Err(Failure::BadSig),
            Some(TsigError::BadTrunc) => return Err(Failure::BadTrunc),
            Some(TsigError::BadTime | TsigError::Unknown(_)) | None => {}
        }
        // RFC 8945 §4.2 fixes class and time to live, so the MAC does not cover what was received there.
        if record.dns_class != DNSClass::ANY || record.ttl != 0 {
            return Err(Failure::Forged);
        }
        // The library knows an algorithm's name in one case only; names have none (RFC 4343).
        if record.name != self.name || tsig.algorithm.to_name() != self.algorithm.wire().to_name() {
            return Err(Failure::Forged);
        }
        // Truncated MACs (RFC 8945 §5.2.2.1) are not accepted: nobody asked for them, they only weaken.
        if tsig.mac.len() != self.algorithm.mac_length() {
            return Err(Failure::Forged);
        }
        let covered = covered(bytes, request_mac).ok_or(Failure::Forged)?;
        if !self.algorithm.verifies(self.secret.expose(), &covered, &tsig.mac) {
            return Err(Failure::Forged);
        }
        check_time(tsig, now)
    }
}

/// What the MAC of an answer covers (RFC 8945 §5.3.1): the request's MAC, the message as it was before it was
/// signed, and the variables of the signature.
fn covered(answer: &[u8], request_mac: &[u8]) -> Option<Vec<u8>> {
    let (mut covered, _) = signed_bitmessage_to_buf(answer, Some(request_mac), true).ok()?;
    // The library writes the flags anew and loses the one that is reserved (RFC 1035 §4.1.1); what was
    // received must be what was signed.
    let flags = 2 + request_mac.len() + 2;
    covered.get_mut(flags..flags + 2)?.copy_from_slice(answer.get(2..4)?);
    Some(covered)
}

/// Of an answer whose MAC is right.
fn check_time(tsig: &TSIG, now: Timestamp) -> Result<(), Failure> {
    if tsig.error == Some(TsigError::BadTime) {
        // RFC 8945 §5.2.3: the server's time, in 48 bits.
        let there = tsig.other.iter().fold(0_u64, |time, byte| time << 8 | u64::from(*byte));
        return Err(Failure::BadTime { here: now, there: timestamp(there) });
    }
    if tsig.time.abs_diff(seconds(now)) > u64::from(FUDGE) {
        return Err(Failure::BadTime { here: now, there: timestamp(tsig.time) });
    }
    Ok(())
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.unix()).unwrap_or(0)
}

fn timestamp(seconds: u64) -> Timestamp {
    Timestamp::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The message does not fit into 65 535 bytes (RFC 1035 §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

fn parse_name(text: &str) -> Result<Name, TsigKeyError> {
    let fault = || TsigKeyError::Name { text: text.chars().take(260).collect() };
    let trimmed = text.trim();
    let lower = trimmed.strip_suffix('.').unwrap_or(trimmed).to_ascii_lowercase();
    let plain = lower.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'"');
    if lower.is_empty() || !plain {
        return Err(fault());
    }
    Name::from_ascii(format!("{lower}.")).map_err(|_| fault())
}

fn parse_secret(text: &str) -> Result<SecretBytes, TsigKeyError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TsigKeyError::SecretEmpty);
    }
    if text.contains("secret") && text.contains('{') {
        return Err(TsigKeyError::SecretIsKeyFile);
    }
    if text.contains(char::is_whitespace) {
        return Err(TsigKeyError::SecretBroken);
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(text);
    decoded.map(SecretBytes::from).map_err(|_| TsigKeyError::SecretNotBase64)
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TsigKey({self})")
    }
}

/// The name and the algorithm.
impl fmt::Display for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name.to_ascii(), self.algorithm)
    }
}

/// The algorithm of a key (RFC 8945 §6).
///
/// Nobody gets a weak one by accident: a text or a key file that names one is refused, unless the option
/// `allow-weak` says otherwise. Whoever writes the variant has chosen it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `hmac-md5`, which RFC 8945 §6 forbids: for a server that has nothing else (feature `hmac-md5`).
    #[cfg(feature = "hmac-md5")]
    HmacMd5,
    /// `hmac-sha1`, which RFC 8945 §6 advises against: for a server that has nothing else.
    HmacSha1,
    /// `hmac-sha256`. The default, as it is `tsig-keygen`'s; every server has it.
    #[default]
    HmacSha256,
    /// `hmac-sha384`.
    HmacSha384,
    /// `hmac-sha512`.
    HmacSha512,
}

/// Whether a text may name an algorithm that RFC 8945 §6 forbids or advises against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weak {
    Allowed,
    Refused,
}

impl Algorithm {
    /// Reads the RFC's spelling (`hmac-sha256.`) and that of other tools (`HMACSHA256`), in any case.
    pub(super) fn read(text: &str, weak: Weak) -> Result<Self, AlgorithmError> {
        let trimmed = text.trim();
        let plain: String = trimmed
            .strip_suffix('.')
            .unwrap_or(trimmed)
            .chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let text = || text.chars().take(64).collect();
        match (plain.as_str(), weak) {
            ("hmacsha256", _) => Ok(Self::HmacSha256),
            ("hmacsha384", _) => Ok(Self::HmacSha384),
            ("hmacsha512", _) => Ok(Self::HmacSha512),
            ("hmacsha1", Weak::Allowed) => Ok(Self::HmacSha1),
            #[cfg(feature = "hmac-md5")]
            ("hmacmd5" | "hmacmd5.sigalg.reg.int", Weak::Allowed) => Ok(Self::HmacMd5),
            #[cfg(not(feature = "hmac-md5"))]
            ("hmacmd5" | "hmacmd5.sigalg.reg.int", Weak::Allowed) => {
                Err(AlgorithmError::NotBuilt { text: text() })
            }
            ("hmacmd5" | "hmacmd5.sigalg.reg.int" | "hmacsha1", Weak::Refused) => {
                Err(AlgorithmError::Weak { text: text() })
            }
            _ => Err(AlgorithmError::Unknown { text: text() }),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::HmacMd5 => "hmac-md5",
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    const fn mac_length(self) -> usize {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::HmacMd5 => 16,
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }

    const fn wire(self) -> TsigAlgorithm {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::HmacMd5 => TsigAlgorithm::HmacMd5,
            Self::HmacSha1 => TsigAlgorithm::HmacSha1,
            Self::HmacSha256 => TsigAlgorithm::HmacSha256,
            Self::HmacSha384 => TsigAlgorithm::HmacSha384,
            Self::HmacSha512 => TsigAlgorithm::HmacSha512,
        }
    }

    /// With *ring*, as everything; MD5 it does not have.
    fn mac(self, secret: &[u8], message: &[u8]) -> Vec<u8> {
        match self.digest() {
            Some(digest) => hmac::sign(&hmac::Key::new(digest, secret), message).as_ref().to_vec(),
            #[cfg(feature = "hmac-md5")]
            None => md5::sign(secret, message),
            #[cfg(not(feature = "hmac-md5"))]
            None => Vec::new(),
        }
    }

    fn verifies(self, secret: &[u8], message: &[u8], mac: &[u8]) -> bool {
        match self.digest() {
            Some(digest) => hmac::verify(&hmac::Key::new(digest, secret), message, mac).is_ok(),
            #[cfg(feature = "hmac-md5")]
            None => md5::verify(secret, message, mac),
            #[cfg(not(feature = "hmac-md5"))]
            None => false,
        }
    }

    const fn digest(self) -> Option<hmac::Algorithm> {
        match self {
            #[cfg(feature = "hmac-md5")]
            Self::HmacMd5 => None,
            Self::HmacSha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            Self::HmacSha256 => Some(hmac::HMAC_SHA256),
            Self::HmacSha384 => Some(hmac::HMAC_SHA384),
            Self::HmacSha512 => Some(hmac::HMAC_SHA512),
        }
    }
}

#[cfg(feature = "hmac-md5")]
mod md5 {
    use hmac::{Hmac, KeyInit, Mac};

    fn keyed(secret: &[u8], message: &[u8]) -> Hmac<md5::Md5> {
        // A key of any length is one (RFC 2104 §2).
        let mut mac = Hmac::<md5::Md5>::new_from_slice(secret).unwrap_or_else(|_| unreachable!());
        mac.update(message);
        mac
    }

    pub(super) fn sign(secret: &[u8], message: &[u8]) -> Vec<u8> {
        keyed(secret, message).finalize().into_bytes().to_vec()
    }

    pub(super) fn verify(secret: &[u8], message: &[u8], mac: &[u8]) -> bool {
        keyed(secret, message).verify_slice(mac).is_ok()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads the RFC's spelling (`hmac-sha256.`) and that of other tools (`HMACSHA256`), in any case. Weak ones are
/// refused.
impl FromStr for Algorithm {
    type Err = AlgorithmError;

    fn from_str(text: &str) -> Result<Self, AlgorithmError> {
        Self::read(text, Weak::Refused)
    }
}

/// A text that names no algorithm that is used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlgorithmError {
    /// Known and allowed, and not part of this build.
    #[error(
        "{text:?} needs the feature `hmac-md5` of perennial-providers; better, make a new key with hmac-sha256"
    )]
    NotBuilt {
        /// The text, cut at 64 characters.
        text: String,
    },
    /// None of those known.
    #[error("{text:?} is no TSIG algorithm known here; use hmac-sha256, hmac-sha384 or hmac-sha512")]
    Unknown {
        /// The text, cut at 64 characters.
        text: String,
    },
    /// Known, and not used: RFC 8945 §6 forbids MD5 and advises against SHA-1.
    #[error(
        "{text:?} is refused: RFC 8945 §6 forbids HMAC-MD5 and advises against HMAC-SHA1; make a new key with \
         hmac-sha256, for instance by `tsig-keygen -a hmac-sha256 NAME`, or set the option `allow-weak`"
    )]
    Weak {
        /// The text, cut at 64 characters.
        text: String,
    },
}

/// What is wrong with a key. The secret is never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TsigKeyError {
    /// The name is no domain name.
    #[error("{text:?} is not a key name; it is a domain name such as acme-key.")]
    Name {
        /// The text, cut at 260 characters.
        text: String,
    },
    /// White space inside.
    #[error("the secret has white space or a line break inside; it must be one word of base64")]
    SecretBroken,
    /// Nothing there.
    #[error("the secret is empty")]
    SecretEmpty,
    /// A whole `key { … }` block.
    #[error(
        "the secret is a whole key file; give it as `key-file`, or only the base64 text after the word `secret`"
    )]
    SecretIsKeyFile,
    /// Not base64.
    #[error("the secret is not base64 (RFC 4648 §4, with its final `=`); copy it whole from the key file")]
    SecretNotBase64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key_error(name: &str, secret: &str) -> TsigKeyError {
        TsigKey::new(name, Algorithm::HmacSha256, &secret.into()).unwrap_err()
    }

    #[test]
    fn both_spellings_of_an_algorithm_are_read() {
        for (text, algorithm) in [
            ("hmac-sha256", Algorithm::HmacSha256),
            ("HMACSHA256", Algorithm::HmacSha256),
            ("hmac-sha256.", Algorithm::HmacSha256),
            (" Hmac-Sha384 ", Algorithm::HmacSha384),
            ("HMAC_SHA512", Algorithm::HmacSha512),
        ] {
            assert_eq!(text.parse(), Ok(algorithm), "{text}");
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn broken_algorithms_are_refused_with_the_reason() {
        for text in ["hmac-md5", "HMAC-MD5.SIG-ALG.REG.INT.", "HMACMD5", "hmac-sha1", "HMACSHA1"] {
            assert_eq!(text.parse::<Algorithm>(), Err(AlgorithmError::Weak { text: text.into() }));
        }
        for text in ["hmac-sha224", "gss-tsig", "sha256", ""] {
            assert_eq!(text.parse::<Algorithm>(), Err(AlgorithmError::Unknown { text: text.into() }));
        }
    }

    /// RFC 2202 §2 and §3, case 2.
    #[test]
    fn weak_algorithms_are_read_only_where_they_are_allowed_and_are_what_their_rfc_says() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mac = |text: &str| {
            let algorithm = Algorithm::read(text, Weak::Allowed).unwrap();
            let mac = algorithm.mac(b"Jefe", b"what do ya want for nothing?");
            assert!(algorithm.verifies(b"Jefe", b"what do ya want for nothing?", &mac));
            assert!(!algorithm.verifies(b"jefe", b"what do ya want for nothing?", &mac));
            assert_eq!(mac.len(), algorithm.mac_length());
            hex(&mac)
        };
        assert_eq!(mac("HMAC-SHA1"), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        #[cfg(feature = "hmac-md5")]
        assert_eq!(mac("hmac-md5.sig-alg.reg.int."), "750c783e6ab0b503eaa86e310a5db738");
        #[cfg(not(feature = "hmac-md5"))]
        assert!(matches!(Algorithm::read("hmac-md5", Weak::Allowed), Err(AlgorithmError::NotBuilt { .. })));
    }

    #[test]
    fn each_mistake_in_a_key_has_its_own_word() {
        assert_eq!(key_error("k", " \n"), TsigKeyError::SecretEmpty);
        assert_eq!(key_error("k", "c2Vj\ncmV0"), TsigKeyError::SecretBroken);
        assert_eq!(key_error("k", "c2VjcmV"), TsigKeyError::SecretNotBase64);
        let file = "key \"k\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };";
        assert_eq!(key_error("k", file), TsigKeyError::SecretIsKeyFile);
        for name in ["", ".", "a..b", "a b", "kéy", &"a".repeat(64)] {
            assert_eq!(key_error(name, "c2VjcmV0"), TsigKeyError::Name { text: name.into() });
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}|[hmacsd0-9.\\-_]{0,30}") {
            let _ = text.parse::<Algorithm>();
            let _ = TsigKey::new(&text, Algorithm::HmacSha256, &text.as_str().into());
        }
    }
}
