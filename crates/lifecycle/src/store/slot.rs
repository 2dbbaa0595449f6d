//! Versions of records, and the places for bytes beside them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CertificateId, Generation, IssuerName};

/// The version of a record: grows with every commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// The version of a record that is written for the first time.
    pub const FIRST: Self = Self(1);

    /// The version that a store has kept as a number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number, for a store to keep.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The version that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A place for bytes beside the records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Slot {
    /// A PEM chain, leaf first.
    Chain {
        /// Of which certificate.
        certificate: CertificateId,
        /// Which generation.
        generation: Generation,
    },
    /// What an issuer keeps for itself, such as an account key. Secret.
    IssuerState {
        /// Whose.
        issuer: IssuerName,
    },
    /// A private key in PKCS#8 PEM. Secret.
    PrivateKey {
        /// Of which certificate.
        certificate: CertificateId,
        /// Which generation.
        generation: Generation,
    },
}

impl Slot {
    /// Whether what lies there must not be seen: everything but chains.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        !matches!(self, Self::Chain { .. })
    }

    /// Of which certificate it is, if it belongs to one.
    #[must_use]
    pub const fn certificate(&self) -> Option<&CertificateId> {
        match self {
            Self::Chain { certificate, .. } | Self::PrivateKey { certificate, .. } => Some(certificate),
            Self::IssuerState { .. } => None,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { certificate, generation } => {
                write!(f, "the chain of certificate {certificate}, generation {generation}")
            }
            Self::IssuerState { issuer } => write!(f, "the state of issuer {issuer}"),
            Self::PrivateKey { certificate, generation } => {
                write!(f, "the private key of certificate {certificate}, generation {generation}")
            }
        }
    }
}
