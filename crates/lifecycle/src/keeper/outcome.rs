//! What one pass over a certificate came to.

use perennial_core::Timestamp;

use crate::Error;

/// What one pass over a certificate came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// An attempt failed; the failure is on record.
    Failed {
        /// What went wrong.
        error: Error,
        /// When the next attempt is due, or sooner if something that was presented is still to be removed.
        until: Timestamp,
    },
    /// No attempt is made any more until the spec is changed, or [`Keeper::retry`](crate::Keeper::retry) is called.
    GivenUp {
        /// Why.
        error: Error,
        /// The end of time, or sooner if something that was presented is still to be removed.
        until: Timestamp,
    },
    /// A new certificate is in place.
    Issued {
        /// When it is due for renewal.
        until: Timestamp,
    },
    /// The certificate is good.
    Kept {
        /// When it is due for renewal.
        until: Timestamp,
    },
    /// A new certificate is wanted, and nobody may be asked for it yet: an earlier attempt failed, a budget is
    /// used up, or the issuer fails everybody.
    Waiting {
        /// What went wrong then, in this process or in one before it, or what is waited for.
        error: Error,
        /// As of [`Failed`](Self::Failed).
        until: Timestamp,
    },
}

impl Outcome {
    /// When the next pass has something to do.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        match self {
            Self::Failed { until, .. }
            | Self::GivenUp { until, .. }
            | Self::Issued { until }
            | Self::Kept { until }
            | Self::Waiting { until, .. } => *until,
        }
    }

    /// What keeps it from being as it is wished for, if something does.
    #[must_use]
    pub const fn trouble(&self) -> Option<&Error> {
        match self {
            Self::Failed { error, .. } | Self::GivenUp { error, .. } | Self::Waiting { error, .. } => {
                Some(error)
            }
            Self::Issued { .. } | Self::Kept { .. } => None,
        }
    }
}
