//! What is wrong with a certificate.

use perennial_core::{Retry, Timestamp};

use super::chain::{MAX_CERTIFICATES, MAX_CHAIN_BYTES};

/// How a certificate differs from the one that was ordered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// A certificate is not signed by the one that follows it.
    #[error("certificate {index} of the chain is not signed by the one that follows it")]
    BrokenLink {
        /// Which one; the leaf is 0.
        index: usize,
    },
    /// A certificate comes twice.
    #[error("a certificate comes twice in the chain")]
    Duplicate,
    /// No certificate at all.
    #[error("there is no certificate in it")]
    Empty,
    /// It is over.
    #[error("it expired at {not_after}, and it is {now}; is the clock right?")]
    Expired {
        /// Its end.
        not_after: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// A certificate above the leaf is over.
    #[error("certificate {index} of the chain expired at {not_after}, and it is {now}; prefer another chain")]
    IssuerExpired {
        /// Which one; the leaf is 0.
        index: usize,
        /// Its end.
        not_after: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// An issuer that may not issue: by its basicConstraints or its keyUsage (RFC 5280 §4.2.1.3, §4.2.1.9).
    #[error("certificate {index} of the chain issues but is not a CA that may")]
    IssuerIsNoCa {
        /// Which one; the leaf is 0.
        index: usize,
    },
    /// A certificate above the leaf begins more than five minutes from now.
    #[error(
        "certificate {index} of the chain is valid from {not_before} only, and it is {now}; is the clock right?"
    )]
    IssuerNotYetValid {
        /// Which one; the leaf is 0.
        index: usize,
        /// Its beginning.
        not_before: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// The leaf may issue certificates itself.
    #[error("the leaf is a CA certificate")]
    LeafIsCa,
    /// It ends before it begins.
    #[error("it is never valid: it begins at {not_before} and ends at {not_after}")]
    NeverValid {
        /// Its beginning.
        not_before: Timestamp,
        /// Its end.
        not_after: Timestamp,
    },
    /// What should be PEM is not.
    #[error("it is not PEM: {reason}")]
    NotPem {
        /// What the parser says.
        reason: String,
    },
    /// It begins more than five minutes from now.
    #[error("it is valid from {not_before} only, and it is {now}; is the clock right?")]
    NotYetValid {
        /// Its beginning.
        not_before: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// A PEM block that is no certificate.
    #[error("there is a {label:?} block in it where only CERTIFICATE may be")]
    OtherBlock {
        /// What it calls itself.
        label: String,
    },
    /// It is for another key.
    #[error("its public key is not the one that was asked for")]
    OtherKey,
    /// Its names are not those that were asked for.
    #[error("its names are not those that were asked for: missing {missing:?}, surplus {surplus:?}")]
    OtherNames {
        /// Asked for and not there.
        missing: Vec<String>,
        /// There and not asked for.
        surplus: Vec<String>,
    },
    /// More bytes than any chain has.
    #[error("it has {bytes} bytes, {MAX_CHAIN_BYTES} is the most")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// More certificates than any chain has.
    #[error("it has more than {MAX_CERTIFICATES} certificates")]
    TooMany,
    /// A certificate whose signature cannot be checked.
    #[error("certificate {index} of the chain is signed in a way ({algorithm}) that cannot be checked here")]
    UnknownSignature {
        /// Which one; the leaf is 0.
        index: usize,
        /// The object identifier of the algorithm; the key of the issuer may be what is unknown.
        algorithm: String,
    },
    /// A certificate that cannot be read.
    #[error("certificate {index} of the chain cannot be read: {reason}")]
    Unreadable {
        /// Which one; the leaf is 0.
        index: usize,
        /// What the parser says.
        reason: String,
    },
}

impl CertificateFault {
    /// A new order may bring a better certificate, and a wrong clock may be set right; but a CA does not
    /// change how it signs.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::UnknownSignature { .. } => Retry::Never,
            _ => Retry::Backoff,
        }
    }
}
