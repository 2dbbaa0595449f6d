//! What is wrong with a spec.

use perennial_core::{DomainName, DomainNameError};

use super::{CertificateId, check::MOST_NAMES, identifier::LONGEST_IDENTIFIER};

/// What is wrong with a [`CertificateSpec`](super::CertificateSpec).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A field whose value cannot work.
    #[error("certificate {id}: {field}: {reason}")]
    Field {
        /// Which certificate.
        id: CertificateId,
        /// The field, as it is called in the serde form.
        field: &'static str,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// An id or issuer name outside its alphabet.
    #[error(
        "{text:?} cannot be an identifier: use 1 to {LONGEST_IDENTIFIER} of a-z, 0-9, '.', '_' and '-', beginning with a \
         letter or digit"
    )]
    Id {
        /// The text.
        text: String,
    },
    /// A malformed name.
    #[error(transparent)]
    Name(DomainNameError),
    /// No name at all.
    #[error("certificate {id}: names: there are none: give at least one")]
    NoNames {
        /// Which certificate.
        id: CertificateId,
    },
    /// A name with an underscore.
    #[error(
        "certificate {id}: names: {name} has an underscore, which no public CA signs (RFC 5280 §4.2.1.6)"
    )]
    NotHostName {
        /// Which certificate.
        id: CertificateId,
        /// The name.
        name: DomainName,
    },
    /// More names than one certificate can hold.
    #[error("certificate {id}: names: there are {count}, {MOST_NAMES} is the most: split it")]
    TooManyNames {
        /// Which certificate.
        id: CertificateId,
        /// How many.
        count: usize,
    },
}

impl SpecError {
    /// The field that is wrong, as it is called in the serde form; `None` for an identifier, which may be the `id`, an
    /// issuer's or a sink's.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Field { field, .. } => Some(field),
            Self::Id { .. } => None,
            Self::Name(_) | Self::NoNames { .. } | Self::NotHostName { .. } | Self::TooManyNames { .. } => {
                Some("names")
            }
        }
    }
}
