//! SHA-256 over a whole certificate: what people compare.

use std::{fmt, str::FromStr};

use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::TrustError;

/// SHA-256 over the DER of a certificate. It is read with colons, as openssl and keytool print it, or without, and in
/// either case; its text is lower-case hex.
///
/// ```
/// use perennial_lifecycle::trust::Fingerprint;
///
/// let of_nothing: Fingerprint =
///     "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55".parse()?;
/// assert_eq!(of_nothing, Fingerprint::of(b""));
/// assert_eq!(of_nothing.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// # Ok::<(), perennial_lifecycle::trust::TrustError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; digest::SHA256_OUTPUT_LEN]);

impl Fingerprint {
    /// That of a certificate's DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; digest::SHA256_OUTPUT_LEN] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let refused = || TrustError::Fingerprint { text: text.chars().take(SHOWN).collect() };
        let text = text.trim();
        let digits: Vec<u8> = if text.contains(':') {
            if !text.split(':').all(|byte| byte.len() == 2) {
                return Err(refused());
            }
            text.bytes().filter(|byte| *byte != b':').collect()
        } else {
            text.bytes().collect()
        };
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        if digits.len() != 2 * bytes.len() {
            return Err(refused());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value =
                pair.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?));
            *byte = value.and_then(|value| u8::try_from(value).ok()).ok_or_else(refused)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

const SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_cut_off_or_no_hex_is_refused() {
        let whole = Fingerprint::of(b"a").to_string();
        for text in
            ["", "ab", &whole[1..], &whole.replace('a', "g"), &format!("{whole}00"), &format!("{whole}:")]
        {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_shown_is_read(text in ".{0,100}", bytes in any::<[u8; 32]>()) {
            let _ = text.parse::<Fingerprint>();
            let fingerprint = Fingerprint(bytes);
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }
    }
}
