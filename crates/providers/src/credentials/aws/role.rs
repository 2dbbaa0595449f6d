//! A role to take on.

use std::time::Duration;

/// A role to take on (AssumeRole), and as whom.
///
/// ```
/// use perennial_providers::credentials::aws::Role;
///
/// let role = Role::new("arn:aws:iam::123456789012:role/dns").with_external_id("perennial");
/// assert_eq!(role.session_name, "perennial");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Role {
    /// Its name, `arn:aws:iam::123456789012:role/dns`.
    pub arn: String,
    /// How the session is called in AWS's logs; `perennial` by default.
    pub session_name: String,
    /// What a role of somebody else's account may ask for, so that nobody else is let in by mistake.
    pub external_id: Option<String>,
    /// How long a session lasts; an hour by default, which every role allows.
    pub duration: Duration,
}

impl Role {
    /// The role of this name, with the defaults.
    #[must_use]
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            session_name: "perennial".to_owned(),
            external_id: None,
            duration: Duration::from_secs(3600),
        }
    }

    /// What tells one who has taken it on from others.
    pub(super) fn distinguishes(&self) -> [&str; 3] {
        [&self.arn, &self.session_name, self.external_id.as_deref().unwrap_or_default()]
    }

    /// Sets [`external_id`](Self::external_id).
    #[must_use]
    pub fn with_external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// Sets [`session_name`](Self::session_name): 2 to 64 letters, digits and `=,.@-`.
    #[must_use]
    pub fn with_session_name(mut self, name: impl Into<String>) -> Self {
        self.session_name = name.into();
        self
    }

    /// Sets [`duration`](Self::duration): 15 minutes to what the role allows.
    #[must_use]
    pub const fn with_duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }
}
