//! What an error says about trying again.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What an error says about trying again.
///
/// Every error of every perennial crate answers `retry()` with one of these, so that a scheduler never has
/// to read an error's text or know its type.
///
/// ```
/// use perennial_core::{Retry, Timestamp};
///
/// let busy = Retry::At(Timestamp::from_unix(1_800_000_000));
/// assert!(busy.is_worthwhile());
/// assert!(!Retry::Never.is_worthwhile());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // Three answers are all there are: no, then, later.
pub enum Retry {
    /// The same request fails the same way until somebody changes something: a wrong secret, a forbidden
    /// name, a misuse of the library.
    Never,
    /// The other side named the moment, for instance with `Retry-After` (RFC 9110 §10.2.3). Trying earlier
    /// is an offence.
    At(Timestamp),
    /// A passing trouble: a lost connection, a busy server. Try again after a wait that grows.
    Backoff,
}

impl Retry {
    /// Whether the same request can succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_worthwhile(self) -> bool {
        !matches!(self, Self::Never)
    }

    /// The moment that was named, if one was.
    #[must_use]
    pub const fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(moment) => Some(moment),
            Self::Never | Self::Backoff => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_named_moment_has_a_moment_and_only_never_is_in_vain() {
        let moment = Timestamp::from_unix(7);
        let answers = [Retry::Never, Retry::At(moment), Retry::Backoff];
        assert_eq!(answers.map(Retry::at), [None, Some(moment), None]);
        assert_eq!(answers.map(Retry::is_worthwhile), [false, true, true]);
    }
}
