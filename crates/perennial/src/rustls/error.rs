//! Why a certificate cannot be served.

use perennial_core::Retry;
use perennial_lifecycle::FactsError;

/// Why a certificate and its key cannot be served. What served before goes on serving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServingError {
    /// The chain cannot be read.
    #[error("the chain cannot be served: {0}")]
    Chain(#[from] FactsError),
    /// More certificates than any chain has, which each client would be sent.
    #[error("the chain has more than {most} certificates: leave out what does not belong to it")]
    ChainTooLong {
        /// How many there may be.
        most: usize,
    },
    /// The private key cannot be read, or is of a kind that cannot sign here. Its text is never shown.
    #[error(
        "the private key cannot be served: {reason}; it must be an unencrypted PEM key (ECDSA, Ed25519 or RSA)"
    )]
    Key {
        /// Why.
        reason: String,
    },
    /// The certificate is for another key.
    #[error(
        "the private key is not that of the certificate with serial {serial} for {names}: give both of one issuance"
    )]
    KeyMismatch {
        /// The certificate's names, separated by commas.
        names: String,
        /// Its serial number in lower-case hex.
        serial: String,
    },
    /// What the store has of it cannot be read, or is not all there. It is looked at again.
    #[error("what the store has of it cannot be served: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
}

impl ServingError {
    /// Whether and when to try again: never, with the same certificate and key; what cannot be read may be restored.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Chain(_) | Self::ChainTooLong { .. } | Self::Key { .. } | Self::KeyMismatch { .. } => {
                Retry::Never
            }
            Self::Unreadable { .. } => Retry::Backoff,
        }
    }
}
