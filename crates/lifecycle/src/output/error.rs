//! Why a certificate cannot be put into a form, or not be read from one.

use perennial_core::Retry;

use crate::{FactsError, KeyError, OutputFormat, trust::TrustError};

/// Why a certificate cannot be put into a form, or not be read from one. No message holds a password or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The chain cannot be read.
    #[error("the chain cannot be read: {0}")]
    Chain(#[from] FactsError),
    /// What should be read is something else, or was cut off.
    #[error("this is no {format} file: {reason}")]
    Damaged {
        /// What it should be.
        format: OutputFormat,
        /// Where reading stopped.
        reason: String,
    },
    /// A password that protects nothing.
    #[error("the password for {format} is empty: give one, most programs refuse a store without")]
    EmptyPassword {
        /// For which form.
        format: OutputFormat,
    },
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is not that of the certificate.
    #[error(
        "the private key does not belong to the certificate with fingerprint {fingerprint}: nothing is written"
    )]
    KeyMismatch {
        /// The certificate's SHA-256, lower-case hex.
        fingerprint: String,
    },
    /// A name that no object of a cluster can have.
    #[error(
        "{name:?} cannot be the {what} of a Kubernetes object: it takes at most {most} of a-z 0-9 - (and dots in a \
         name), beginning and ending with a letter or digit"
    )]
    ObjectName {
        /// What it is to be: `name` or `namespace`.
        what: &'static str,
        /// The text.
        name: String,
        /// How long it may be, in characters.
        most: usize,
    },
    /// A password that programs disagree about.
    #[error(
        "the password for {format} has a character beyond printable ASCII, which programs encode differently: \
         choose another"
    )]
    PasswordNotAscii {
        /// For which form.
        format: OutputFormat,
    },
    /// Trust anchors cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The form cannot be made.
    #[error("{format} cannot be written: {reason}")]
    Unwritable {
        /// Which form.
        format: OutputFormat,
        /// Why.
        reason: String,
    },
    /// The password does not open it.
    #[error("the password does not open this {format} file: it is another one, or the file was changed")]
    WrongPassword {
        /// What the file is.
        format: OutputFormat,
    },
}

impl OutputError {
    /// Whether and when to try again: a person has to mend all but a machine without randomness.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unwritable { .. } => Retry::Backoff,
            Self::Chain(_)
            | Self::Damaged { .. }
            | Self::EmptyPassword { .. }
            | Self::Key(_)
            | Self::KeyMismatch { .. }
            | Self::ObjectName { .. }
            | Self::PasswordNotAscii { .. }
            | Self::Trust(_)
            | Self::WrongPassword { .. } => Retry::Never,
        }
    }
}
