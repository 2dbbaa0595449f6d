//! Why a CA cannot sign, or may not sign this.

use std::path::PathBuf;

use perennial_core::{KeyError, Retry, Timestamp};
use perennial_lifecycle::CertificateId;

/// Why a CA cannot sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityFault {
    /// The kept certificate is in other hands.
    #[error("the CA certificate {certificate} is compromised: it signs again when it has been replaced")]
    Compromised {
        /// Which certificate.
        certificate: CertificateId,
    },
    /// It has ended, or one above it has.
    #[error("the CA {subject} ended at {not_after}, it is {now} now: renew it")]
    Expired {
        /// Its subject.
        subject: String,
        /// Its end.
        not_after: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// A file of it cannot be read.
    #[error("the CA's file {}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The certificate is none of a CA.
    #[error(
        "{subject} is no CA: its certificate has no basicConstraints with cA (RFC 5280 §4.2.1.9); take a CA's"
    )]
    IsNoCa {
        /// Its subject.
        subject: String,
    },
    /// The key cannot be read.
    #[error("the CA's key: {0}")]
    Key(#[from] KeyError),
    /// Key and certificate do not belong together.
    #[error(
        "the key is not that of the CA {subject}: give the key and the chain that belong together, the CA first"
    )]
    KeyMismatch {
        /// Its subject.
        subject: String,
    },
    /// A certificate or the PEM around it is malformed.
    #[error("certificate {index} of the CA's chain is malformed: {reason}")]
    Malformed {
        /// Which; the CA's own is 0.
        index: usize,
        /// Where reading stopped.
        reason: String,
    },
    /// Its key usage forbids to sign certificates.
    #[error(
        "the CA {subject} may not sign certificates: its key usage lacks keyCertSign (RFC 5280 §4.2.1.3)"
    )]
    MayNotSign {
        /// Its subject.
        subject: String,
    },
    /// Its key usage forbids to sign lists of what is revoked.
    #[error("the CA {subject} may not sign CRLs: its key usage lacks cRLSign (RFC 5280 §4.2.1.3)")]
    MayNotSignLists {
        /// Its subject.
        subject: String,
    },
    /// The text holds no certificate.
    #[error("the CA's chain holds no certificate: give PEM, the CA's own certificate first")]
    NoCertificate,
    /// The kept certificate is not there yet.
    #[error("the CA certificate {certificate} is not there yet: it is waited for")]
    NotIssued {
        /// Which certificate.
        certificate: CertificateId,
    },
    /// The chain does not hold together.
    #[error(
        "certificate {index} of the CA's chain was not signed by the one that follows it: put them in order"
    )]
    NotSigned {
        /// Which; the CA's own is 0.
        index: usize,
    },
    /// It is not valid yet, or one above it is not.
    #[error("the CA {subject} begins at {not_before}, it is {now} now: check this machine's clock")]
    NotYetValid {
        /// Its subject.
        subject: String,
        /// Its beginning.
        not_before: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// One above it does not allow it.
    #[error(
        "the CA {subject} stands lower in its chain than the path length of one above it allows (RFC 5280 §4.2.1.9)"
    )]
    PathLength {
        /// Its subject.
        subject: String,
    },
    /// Its subject cannot be copied.
    #[error(
        "the CA {subject} has a subject that cannot be written as an issuer: it is empty, or has an attribute twice or \
         two in one part"
    )]
    Subject {
        /// Its subject.
        subject: String,
    },
    /// Nobody's chain has so many.
    #[error("the CA's chain has more than {most} certificates", most = super::authority::LONGEST)]
    TooLong,
}

impl AuthorityFault {
    /// Whether and when to try again: whatever it is, the certificate may be renewed, or the file put right, without a
    /// word to us.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Backoff
    }
}
