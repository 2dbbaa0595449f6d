//! What can go wrong with a Vault, sorted by whose fault it is.

use perennial_core::{HttpError, Retry, SecretError, Timestamp};
use perennial_lifecycle::IssueErrorClass;

/// What can go wrong with a Vault.
///
/// `at` is the URL that was asked; `said` are Vault's own words, fit to be shown, with the identifier of the request
/// where there was one: by it the audit log knows the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// What came back is not what was asked for.
    #[error("{at} gave something else than was asked for: {what}; see what the role overrides")]
    Breach {
        /// Where.
        at: String,
        /// What is different, and in which request.
        what: String,
    },
    /// The token is good for nothing there (403).
    #[error(
        "{at}: {said}; see that the token has not ended and that its policy allows `update` on this path"
    )]
    Denied {
        /// Where.
        at: String,
        /// What Vault says.
        said: String,
    },
    /// We are not let in.
    #[error("{at} lets us not in: {said}; {remedy}")]
    Login {
        /// Where.
        at: String,
        /// What Vault says.
        said: String,
        /// What to look at.
        remedy: &'static str,
    },
    /// Nothing is mounted there (404).
    #[error("{at}: {said}; see that the mount and the namespace are spelled as in Vault")]
    NoMount {
        /// Where.
        at: String,
        /// What Vault says.
        said: String,
    },
    /// The mount has no such role.
    #[error("{at}: {said}; create the role, or change the path")]
    NoRole {
        /// Where.
        at: String,
        /// What Vault says.
        said: String,
    },
    /// No answer came.
    #[error(transparent)]
    Network(#[from] HttpError),
    /// It was installed and never set up (501).
    #[error("{at} is not initialized; run `operator init` there")]
    NotInitialized {
        /// Where.
        at: String,
    },
    /// More was asked for than a quota allows (429).
    #[error("{at}: {said}; ask for less, or for a larger quota")]
    Quota {
        /// Where.
        at: String,
        /// What Vault says.
        said: String,
        /// When it will listen again, if it says so.
        until: Option<Timestamp>,
    },
    /// It is elsewhere: a standby that cannot reach the active one sends to it.
    #[error("{at} sends to {to:?}; the token goes nowhere else: give that address, or one that leads there")]
    Redirected {
        /// Where.
        at: String,
        /// Where to.
        to: String,
    },
    /// The request is against the rules (400): a name that the role does not allow, most of the time.
    #[error("{at}: {said}; change the spec or the role")]
    Refused {
        /// Where.
        at: String,
        /// What Vault says.
        said: String,
    },
    /// It was restarted and nobody has given it its key yet (503).
    #[error("{at} is sealed; unseal it, and it goes on by itself")]
    Sealed {
        /// Where.
        at: String,
    },
    /// A secret of ours cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is in trouble.
    #[error("{at} is in trouble ({status}): {said}")]
    Unavailable {
        /// Where.
        at: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        said: String,
    },
    /// What came back is no answer of a Vault.
    #[error("the answer of {at} cannot be read: {reason}; see that a Vault listens there")]
    Unreadable {
        /// Where.
        at: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl VaultError {
    /// Whether and when to try again.
    ///
    /// "permission denied" too is worth another try: it is what a Vault says of a token that has just ended, and of a
    /// policy that somebody mends there.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::NoMount { .. } | Self::NoRole { .. } | Self::Refused { .. } => Retry::Never,
            Self::Network(error) => error.retry(),
            Self::Quota { until: Some(until), .. } => Retry::At(*until),
            Self::Breach { .. }
            | Self::Denied { .. }
            | Self::Login { .. }
            | Self::NotInitialized { .. }
            | Self::Quota { until: None, .. }
            | Self::Redirected { .. }
            | Self::Sealed { .. }
            // Whoever writes the file may be about to.
            | Self::Secret(_)
            | Self::Unavailable { .. }
            | Self::Unreadable { .. } => Retry::Backoff,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn class(&self) -> IssueErrorClass {
        match self {
            Self::Breach { .. } | Self::Unreadable { .. } => IssueErrorClass::Contract,
            Self::Denied { .. } | Self::Login { .. } => IssueErrorClass::Auth,
            Self::Network(HttpError::BadRequest { .. } | HttpError::InsecureUrl { .. })
            | Self::NoMount { .. }
            | Self::NoRole { .. }
            | Self::Secret(_) => IssueErrorClass::Local,
            Self::Network(_)
            | Self::NotInitialized { .. }
            | Self::Quota { .. }
            | Self::Redirected { .. }
            | Self::Sealed { .. }
            | Self::Unavailable { .. } => IssueErrorClass::Transient,
            Self::Refused { .. } => IssueErrorClass::Policy,
        }
    }

    /// Whether it is well and has counted.
    pub(crate) const fn is_limit(&self) -> bool {
        matches!(self, Self::Quota { .. })
    }
}
