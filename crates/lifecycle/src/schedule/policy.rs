//! When to renew, as somebody wishes it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When to renew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RenewalPolicy {
    /// After two thirds of the life, or after half of it when the whole is at most ten days: short-lived
    /// certificates need the larger share for retries. The default, and what certbot and lego do.
    #[default]
    Automatic,
    /// So long before the end.
    Before(Duration),
    /// Not at all: it ends, and nothing is done about it. For certificates that somebody replaces by hand.
    Never,
    /// When so many percent of the life are left, 1 to 99.
    Percentage(u8),
}

impl RenewalPolicy {
    pub(crate) fn validate(&self) -> Result<(), String> {
        match self {
            Self::Percentage(percent) if !(1..=99).contains(percent) => {
                Err(format!("renewal at {percent} percent of life left: use 1 to 99"))
            }
            Self::Before(duration) if duration.as_secs() < SHORTEST_BEFORE => Err(format!(
                "renewal {}s before the end: less than {SHORTEST_BEFORE}s leave no time for a retry",
                duration.as_secs()
            )),
            Self::Automatic | Self::Before(_) | Self::Never | Self::Percentage(_) => Ok(()),
        }
    }
}

/// Five minutes: one retry of a transient error.
const SHORTEST_BEFORE: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_cannot_work_are_refused() {
        assert!(RenewalPolicy::Percentage(0).validate().is_err());
        assert!(RenewalPolicy::Percentage(100).validate().is_err());
        assert!(RenewalPolicy::Before(Duration::from_secs(10)).validate().is_err());
        assert!(RenewalPolicy::Percentage(33).validate().is_ok());
    }
}
