//! What certificates, issuers and places of delivery are called.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::SpecError;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = SpecError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check_identifier(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

identifier! {
    /// What a certificate is called in the store: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or
    /// digit.
    ///
    /// It becomes a directory name in the file store, so nothing that could leave that directory or differ
    /// by case alone is let in.
    CertificateId
}

identifier! {
    /// What an issuer is called; the same alphabet as [`CertificateId`].
    IssuerName
}

identifier! {
    /// What a place is called that finished certificates are delivered to; the same alphabet as
    /// [`CertificateId`].
    SinkName
}

impl Default for IssuerName {
    fn default() -> Self {
        Self("default".into())
    }
}

/// Longest file name that every file system takes is 255; 64 leaves room for suffixes and stays readable.
pub(super) const LONGEST_IDENTIFIER: usize = 64;

fn check_identifier(text: &str) -> Result<(), SpecError> {
    let first_fits = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let all_fit =
        text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    if first_fits && all_fit && text.len() <= LONGEST_IDENTIFIER {
        return Ok(());
    }
    Err(SpecError::Id { text: text.chars().take(LONGEST_IDENTIFIER + 1).collect() })
}
