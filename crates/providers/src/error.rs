//! Why a change was not made, sorted by whose move it is.

use perennial_core::{DomainName, Retry, SecretError, Timestamp};

/// Why a change was not made, sorted by whose move it is. Every variant names the provider; every text ends
/// in what to do about it. No variant ever holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The credential is not accepted: unknown, wrong or expired. The operator's move.
    #[error("{provider}: {reason}")]
    Auth {
        /// The kind of provider.
        provider: String,
        /// What was not accepted, by whom, and what to check.
        reason: String,
    },
    /// The two clocks differ by more than signatures allow. The operator's move, or a time daemon's.
    #[error(
        "{provider}: the clocks differ: it is {here} here and {there} at {server}; set both clocks right \
         (NTP), signatures are good for five minutes or less"
    )]
    ClockSkew {
        /// The kind of provider.
        provider: String,
        /// The other side.
        server: String,
        /// Our time when the request was signed.
        here: Timestamp,
        /// The other side's time when it looked.
        there: Timestamp,
    },
    /// An option is missing, unknown or wrong. The operator's move.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another writer was faster, again and again. Nobody's fault: try again.
    #[error("{provider}: another writer changed {name} each time we tried to; it passes, try again")]
    Conflict {
        /// The kind of provider.
        provider: String,
        /// The record set that was fought for.
        name: DomainName,
    },
    /// The request cannot be made like this. The caller's move.
    #[error("{provider}: {reason}")]
    InvalidRequest {
        /// The kind of provider.
        provider: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The other side answers, but not as its protocol says.
    #[error("{provider}: {server} does not answer as it should: {reason}")]
    Misbehaved {
        /// The kind of provider.
        provider: String,
        /// The other side.
        server: String,
        /// What it did, and what to check.
        reason: String,
    },
    /// No answer: refused, unreachable, lost, or too late.
    #[error("{provider}: {server} cannot be reached: {reason}")]
    Network {
        /// The kind of provider.
        provider: String,
        /// The other side.
        server: String,
        /// What happened, and what to check.
        reason: String,
    },
    /// The credential is good but may not do this. The operator's move.
    #[error("{provider}: {reason}")]
    Permission {
        /// The kind of provider.
        provider: String,
        /// Who may not do what where, and what to grant.
        reason: String,
    },
    /// Too many requests.
    #[error("{provider}: too many requests; {}", match .until {
        Some(until) => format!("it asks to wait until {until}"),
        None => "wait, and ask less often".to_owned(),
    })]
    RateLimited {
        /// The kind of provider.
        provider: String,
        /// When to come back, if it said so.
        until: Option<Timestamp>,
    },
    /// The other side is in trouble and says so: SERVFAIL, HTTP 5xx.
    #[error("{provider}: {server} is in trouble: {reason}")]
    Unavailable {
        /// The kind of provider.
        provider: String,
        /// The other side.
        server: String,
        /// What it said.
        reason: String,
    },
    /// The provider cannot do this at all.
    #[error("{provider}: {reason}")]
    Unsupported {
        /// The kind of provider.
        provider: String,
        /// What it cannot do, and what could.
        reason: String,
    },
    /// No zone for the name.
    #[error("{provider}: no zone for {name}: {reason} (tried {})", list(.tried))]
    ZoneNotFound {
        /// The kind of provider.
        provider: String,
        /// The name whose zone was wanted.
        name: DomainName,
        /// The names that were tried as its apex.
        tried: Vec<DomainName>,
        /// Why none of them is it, and what to check.
        reason: String,
    },
}

impl Error {
    /// Whether the same call can succeed later.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Auth { .. }
            | Self::Config(_)
            | Self::InvalidRequest { .. }
            | Self::Permission { .. }
            | Self::Unsupported { .. }
            | Self::ZoneNotFound { .. } => Retry::Never,
            Self::RateLimited { until: Some(until), .. } => Retry::At(*until),
            // A clock that a time daemon pulls right again needs nobody.
            Self::ClockSkew { .. }
            | Self::Conflict { .. }
            | Self::Misbehaved { .. }
            | Self::Network { .. }
            | Self::RateLimited { until: None, .. }
            | Self::Unavailable { .. } => Retry::Backoff,
        }
    }
}

/// What is wrong with the options of a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An option has a value that cannot be used. A secret's value is not shown.
    #[error("{provider}: option `{option}`: {reason}")]
    BadOption {
        /// The kind of provider.
        provider: String,
        /// The option's name.
        option: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A required option is absent.
    #[error("{provider} needs the option `{option}`: {meaning}")]
    MissingOption {
        /// The kind of provider.
        provider: String,
        /// The option's name.
        option: String,
        /// What it is.
        meaning: String,
    },
    /// A secret cannot be had from its file or variable.
    #[error("{provider}: option `{option}`: {reason}")]
    Secret {
        /// The kind of provider.
        provider: String,
        /// The option's name.
        option: String,
        /// Why not.
        reason: SecretError,
    },
    /// The provider has no such option.
    #[error("{provider} has no option `{option}`; it has {}", list(.known))]
    UnknownOption {
        /// The kind of provider.
        provider: String,
        /// The name that was given.
        option: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// No provider of this kind is registered.
    #[error("there is no DNS provider `{kind}`; there are {}", list(.known))]
    UnknownProvider {
        /// The kind that was asked for.
        kind: String,
        /// The kinds there are.
        known: Vec<String>,
    },
}

impl ConfigError {
    /// The same, where options come from the environment: a missing one is called by its variable too.
    pub(crate) fn with_variable(mut self) -> Self {
        if let Self::MissingOption { provider, option, meaning } = &mut self {
            *meaning = format!("{meaning}; set {}", variable(provider, option));
        }
        self
    }
}

/// The environment variable that holds an option of a provider.
pub(crate) fn variable(provider: &str, option: &str) -> String {
    format!("PERENNIAL_{provider}_{option}").replace('-', "_").to_ascii_uppercase()
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_moment_is_kept_and_passing_troubles_are_worth_another_try() {
        let provider = || "memory".to_owned();
        let until = Timestamp::from_unix(1_800_000_000);
        let limited = Error::RateLimited { provider: provider(), until: Some(until) };
        assert_eq!(limited.retry(), Retry::At(until));
        assert!(limited.to_string().ends_with("wait until 2027-01-15T08:00:00Z"), "{limited}");
        let lost = Error::Network { provider: provider(), server: "s".into(), reason: "r".into() };
        assert_eq!(lost.retry(), Retry::Backoff);
        let refused = Error::Permission { provider: provider(), reason: "r".into() };
        assert_eq!(refused.retry(), Retry::Never);
    }

    #[test]
    fn both_times_are_in_a_clock_error() {
        let error = Error::ClockSkew {
            provider: "rfc2136".into(),
            server: "192.0.2.1:53".into(),
            here: Timestamp::from_unix(1_800_000_000),
            there: Timestamp::from_unix(1_800_000_900),
        };
        let text = error.to_string();
        assert!(
            text.contains("2027-01-15T08:00:00Z here and 2027-01-15T08:15:00Z at 192.0.2.1:53"),
            "{text}"
        );
    }
}
