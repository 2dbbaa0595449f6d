//! What can go wrong before a store is open, sorted by whose fault it is.

use perennial_core::Retry;
use perennial_lifecycle::StoreError;

/// Why a store cannot be opened. Afterwards it speaks in [`StoreError`]s.
///
/// No error holds a password, whatever is wrong with the text that it came in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The trusted roots cannot be used.
    #[error("the roots to trust for PostgreSQL cannot be used: {reason}")]
    Certificate {
        /// What is wrong with them.
        reason: String,
    },
    /// The URL, or the list of keys and values, cannot be read.
    #[error("the PostgreSQL connection string cannot be used: {reason}")]
    ConnectionString {
        /// What is wrong with it.
        reason: String,
    },
    /// A newer version has changed the tables.
    #[error("the tables in {store} have schema {found}, this version knows {known}: update this program")]
    NewerSchema {
        /// Which database.
        store: String,
        /// The schema there.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Private keys would cross a network in clear text.
    #[error(
        "private keys would go to {host} in clear text: say sslmode=require, or dangerous_allow_plaintext() where the \
         network is encrypted by other means"
    )]
    Plaintext {
        /// The host.
        host: String,
    },
    /// The database cannot be reached, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// Whether and when to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Certificate { .. }
            | Self::ConnectionString { .. }
            | Self::NewerSchema { .. }
            | Self::Plaintext { .. } => Retry::Never,
        }
    }
}
