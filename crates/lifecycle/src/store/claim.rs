//! Who works on a certificate: claims with an owner, an end and a fence.

use std::{fmt, str::FromStr};

use perennial_core::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::Version;
use crate::{CertificateId, Record, StoreError};

/// Who claims: one keeper of one process.
///
/// 1 to 100 of `A-Z a-z 0-9 . _ -`, so that it can be shown and kept anywhere. Two keepers must not have the
/// same name; [`unique`](Self::unique) makes one that no other has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Box<str>);

impl Owner {
    /// The name of this machine, the number of this process and a random part: who reads it finds the process,
    /// and a process that starts again with the same number is another owner.
    #[must_use]
    pub fn unique() -> Self {
        let mut random = [0; 8];
        // Without randomness the number of the process still tells owners on one machine apart.
        let _ = SystemRandom::new().fill(&mut random);
        let (host, random) = (host(), u64::from_be_bytes(random));
        Self(format!("{host}-{}-{random:016x}", std::process::id()).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What this machine calls itself, as far as an owner may be called so.
fn host() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name: String = name.chars().filter(|letter| is_fit(*letter)).take(LONGEST_HOST).collect();
    if name.is_empty() { "host".to_owned() } else { name }
}

const fn is_fit(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

/// A label of the DNS (RFC 1035 §2.3.4) has 63 at most.
const LONGEST_HOST: usize = 63;
const LONGEST_OWNER: usize = 100;

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.is_empty() && text.len() <= LONGEST_OWNER && text.chars().all(is_fit) {
            return Ok(Self(text.into()));
        }
        Err(OwnerError { text: text.chars().take(LONGEST_OWNER).filter(|c| !c.is_control()).collect() })
    }
}

/// A text that no owner can be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an owner cannot be called {text:?}: use 1 to 100 of A-Z a-z 0-9 . _ -")]
#[non_exhaustive]
pub struct OwnerError {
    /// The text, cut at 100 characters.
    pub text: String,
}

/// Which claim of a certificate this is: it grows with every claim and is never used again, not by another
/// process either.
///
/// A write that carries an older fence than the newest is refused: its owner was held up for longer than it
/// held the certificate, and somebody else has taken over since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(u64);

impl Fence {
    /// The fence that a store has kept as a number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number, for a store to keep.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The fence that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A certificate that is held, by whom and by which of its claims.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // All that a claim is known by.
pub struct Held {
    /// Which certificate.
    pub id: CertificateId,
    /// Who holds it.
    pub owner: Owner,
    /// By which claim.
    pub fence: Fence,
}

/// A certificate that was claimed, and what the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // What every store answers.
pub struct Claim {
    /// What every write that belongs to this claim carries.
    pub held: Held,
    /// How long it is held at least, by the store's clock.
    pub until: Timestamp,
    /// The version of the record.
    pub version: Version,
    /// The record.
    pub record: Record,
}

/// When a certificate is due. Ordered by time, then by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs)] // A row of the index.
pub struct Due {
    /// When somebody can claim it: when it is due, or when its claim ends.
    pub at: Timestamp,
    /// Which certificate.
    pub id: CertificateId,
}

/// Something in a store that could not be read. It lies where it lay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Which and why.
pub struct Quarantined {
    /// Which certificate's record; `None` for what belongs to no one certificate.
    pub id: Option<CertificateId>,
    /// Why it could not be read.
    pub error: StoreError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_unique_and_can_be_read_back() {
        let (one, two) = (Owner::unique(), Owner::unique());
        assert_ne!(one, two);
        assert_eq!(one.as_str().parse(), Ok(one.clone()));
        assert!(one.as_str().contains(&format!("-{}-", std::process::id())), "{one}");
    }

    #[test]
    fn what_no_owner_can_be_called_is_named() {
        for text in ["", "a b", "a\u{1b}[2J", &"a".repeat(101)] {
            let error = text.parse::<Owner>().unwrap_err();
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
    }
}
