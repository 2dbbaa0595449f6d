//! Why a set of trust anchors is refused.

use perennial_core::Retry;

use super::Fingerprint;

/// Why a set of trust anchors is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Nothing is trusted.
    #[error("the trust bundle holds no certificate: nobody could be trusted by it")]
    Empty,
    /// A text that is no fingerprint.
    #[error(
        "{text:?} is no SHA-256 fingerprint: it takes 64 hex digits, with colons between bytes or without"
    )]
    Fingerprint {
        /// The text, as far as it is shown.
        text: String,
    },
    /// Bytes that are no certificate.
    #[error("certificate {index} of the trust bundle is malformed: {reason}")]
    Malformed {
        /// Which, from 0.
        index: usize,
        /// Where reading stopped.
        reason: String,
    },
    /// What must be in it is not.
    #[error(
        "the trust bundle lacks the pinned certificate {pin}: it has {found}; was it replaced on its way?"
    )]
    NotPinned {
        /// The fingerprint that was pinned.
        pin: Fingerprint,
        /// Those that are there, separated by commas.
        found: String,
    },
    /// More than anybody trusts.
    #[error("the trust bundle has more than {most} certificates")]
    TooMany {
        /// As many are taken.
        most: usize,
    },
}

impl TrustError {
    /// Whether and when to try again: never, a person has to mend it.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Empty
            | Self::Fingerprint { .. }
            | Self::Malformed { .. }
            | Self::NotPinned { .. }
            | Self::TooMany { .. } => Retry::Never,
        }
    }
}
