//! Where records, keys and chains are kept.

use std::fmt;

use async_trait::async_trait;
use perennial_core::SecretBytes;
use serde::{Deserialize, Serialize};

use crate::{CertificateId, Generation, IssuerName, Record, StoreError};

mod file;
pub use file::FileStore;

pub mod laws;

mod memory;
pub use memory::MemoryStore;

/// Where records, keys and chains are kept.
///
/// Records are small and compared-and-swapped; keys and chains lie apart in [`Slot`]s. The runnable form of
/// this contract is [`laws`].
///
/// # Contract
/// - `commit` MUST be atomic and durable when it returns: after a crash the record is the old or the new one.
/// - `commit` MUST refuse with [`StoreError::Conflict`] unless the version there is the expected one; of two
///   writers that expect the same version exactly one succeeds.
/// - `write` MUST be atomic and durable when it returns, and a private key MUST be readable by its owner
///   alone.
/// - All methods may be called from any number of tasks at once. On cancellation an operation has happened
///   wholly or not at all.
#[async_trait]
pub trait Store: Send + Sync {
    /// The record of a certificate and its version, or `None`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::NewerSchema`], [`StoreError::Io`] or
    /// [`StoreError::Unavailable`]; the record is left as it is.
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError>;

    /// Writes the record if the version there is `expected` (`None`: there is none yet), and returns the new
    /// version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else wrote in between, else [`StoreError::Io`] or
    /// [`StoreError::Unavailable`]: then the commit may have happened all the same, and the next one tells.
    async fn commit(&self, record: &Record, expected: Option<Version>) -> Result<Version, StoreError>;

    /// Up to `most` ids that come after `after`, in order.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError>;

    /// What lies in a slot, or `None`.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError>;

    /// Puts bytes in a slot, replacing what was there.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was there stays. [`StoreError::Unavailable`]; it is the old or the new.
    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError>;

    /// Drops the key and chain of a generation that no record names any more. A no-op when they are gone.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError>;
}

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

/// Whether `expected` is what is there; the one comparison that all stores share.
fn check_version(
    record: &Record,
    expected: Option<Version>,
    found: Option<Version>,
) -> Result<Version, StoreError> {
    if expected != found {
        return Err(StoreError::Conflict { id: record.id().clone(), expected, found });
    }
    Ok(found.map_or(Version::FIRST, Version::next))
}
