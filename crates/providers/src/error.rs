//! Why a change was not made, sorted by whose move it is.

use std::fmt;

use perennial_core::{DomainName, Retry, SecretError, Timestamp};

/// Why a change was not made, sorted by whose move it is. Every variant names the provider; every text ends
/// in what to do about it. No variant ever holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The credential is not accepted: unknown, wrong or expired. The operator's move.
    #[error("{provider}: {reason}{}", said(.fault))]
    Auth {
        /// The kind of provider.
        provider: String,
        /// What was not accepted, by whom, and what to check.
        reason: String,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
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
    #[error("{provider}: {what} was changed by another writer each time we tried to; try again{}", said(.fault))]
    Conflict {
        /// The kind of provider.
        provider: String,
        /// The record set or zone that was fought for.
        what: String,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
    },
    /// The name has its record elsewhere, and nothing leads there yet. The operator's move, once.
    #[error(
        "{provider}: {name} has its record at {target}, and nothing leads there yet; create `{name}. CNAME {target}.` \
         and try again"
    )]
    DelegationRequired {
        /// The kind of provider.
        provider: String,
        /// The name that the record was wanted at.
        name: DomainName,
        /// Where the record will be.
        target: DomainName,
    },
    /// The request cannot be made like this. The caller's move.
    #[error("{provider}: {reason}{}", said(.fault))]
    InvalidRequest {
        /// The kind of provider.
        provider: String,
        /// What is wrong with it, and what would be right.
        reason: String,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
    },
    /// The other side answers, but not as its protocol says.
    #[error("{provider}: {server} does not answer as it should: {reason}{}", said(.fault))]
    Misbehaved {
        /// The kind of provider.
        provider: String,
        /// The other side.
        server: String,
        /// What it did, and what to check.
        reason: String,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
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
    /// The vendor's own servers do not have the change yet.
    #[error(
        "{provider}: {what} is not on all of the vendor's servers at {at}; wait longer, or look at its status page"
    )]
    NotInSync {
        /// The kind of provider.
        provider: String,
        /// The change that was waited for.
        what: String,
        /// When the waiting ended.
        at: Timestamp,
    },
    /// The credential is good but may not do this. The operator's move.
    #[error("{provider}: {reason}{}", said(.fault))]
    Permission {
        /// The kind of provider.
        provider: String,
        /// Who may not do what where, and what to grant.
        reason: String,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
    },
    /// What the account may do in a day or a month is used up.
    #[error("{provider}: {reason}; {}{}", match .until {
        Some(until) => format!("there is more at {until}"),
        None => "wait, or ask the vendor for more".to_owned(),
    }, said(.fault))]
    Quota {
        /// The kind of provider.
        provider: String,
        /// What is used up.
        reason: String,
        /// When there is more, if it said so.
        until: Option<Timestamp>,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
    },
    /// Too many requests.
    #[error("{provider}: too many requests; {}{}", match .until {
        Some(until) => format!("it asks to wait until {until}"),
        None => "wait, and ask less often".to_owned(),
    }, said(.fault))]
    RateLimited {
        /// The kind of provider.
        provider: String,
        /// When to come back, if it said so.
        until: Option<Timestamp>,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
    },
    /// The other side is in trouble and says so: SERVFAIL, HTTP 5xx.
    #[error("{provider}: {server} is in trouble: {reason}{}", said(.fault))]
    Unavailable {
        /// The kind of provider.
        provider: String,
        /// The other side.
        server: String,
        /// What it said.
        reason: String,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
    },
    /// The provider cannot do this at all.
    #[error("{provider}: {reason}{}", said(.fault))]
    Unsupported {
        /// The kind of provider.
        provider: String,
        /// What it cannot do, and what could.
        reason: String,
        /// What the vendor said besides, where one answered.
        fault: Option<Box<VendorFault>>,
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
            | Self::DelegationRequired { .. }
            | Self::InvalidRequest { .. }
            | Self::Permission { .. }
            | Self::Unsupported { .. }
            | Self::ZoneNotFound { .. } => Retry::Never,
            Self::Quota { until: Some(until), .. } | Self::RateLimited { until: Some(until), .. } => {
                Retry::At(*until)
            }
            // A clock that a time daemon pulls right again needs nobody.
            Self::ClockSkew { .. }
            | Self::Conflict { .. }
            | Self::Misbehaved { .. }
            | Self::Network { .. }
            | Self::NotInSync { .. }
            | Self::Quota { until: None, .. }
            | Self::RateLimited { until: None, .. }
            | Self::Unavailable { .. } => Retry::Backoff,
        }
    }

    /// What the vendor's answer said besides its text, where one answered.
    #[must_use]
    pub fn fault(&self) -> Option<&VendorFault> {
        match self {
            Self::Auth { fault, .. }
            | Self::Conflict { fault, .. }
            | Self::InvalidRequest { fault, .. }
            | Self::Misbehaved { fault, .. }
            | Self::Permission { fault, .. }
            | Self::Quota { fault, .. }
            | Self::RateLimited { fault, .. }
            | Self::Unavailable { fault, .. }
            | Self::Unsupported { fault, .. } => fault.as_deref(),
            Self::ClockSkew { .. }
            | Self::Config(_)
            | Self::DelegationRequired { .. }
            | Self::Network { .. }
            | Self::NotInSync { .. }
            | Self::ZoneNotFound { .. } => None,
        }
    }

    /// The vendor's own code for what went wrong.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.fault()?.code.as_deref()
    }

    /// The HTTP status of the vendor's answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.fault()?.status
    }

    /// Whether the change may have been made all the same: the answer got lost, or was none.
    #[must_use]
    pub const fn is_uncertain(&self) -> bool {
        matches!(self, Self::Misbehaved { .. } | Self::Network { .. } | Self::Unavailable { .. })
    }
}

/// What a vendor's answer said besides its text: for a program, and for the vendor's support.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VendorFault {
    /// The HTTP status (RFC 9110 §15).
    pub status: Option<u16>,
    /// The vendor's own code, such as `81058` or `InvalidChangeBatch`.
    pub code: Option<String>,
    /// The vendor's name of the exchange, which its support asks for.
    pub request_id: Option<String>,
}

impl VendorFault {
    /// With this HTTP status.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        Self { status: Some(status), code: None, request_id: None }
    }
}

/// `HTTP 400, code 81058, request 8a2f`.
impl fmt::Display for VendorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map(|status| format!("HTTP {status}"));
        let code = self.code.as_ref().map(|code| format!("code {code}"));
        let request = self.request_id.as_ref().map(|id| format!("request {id}"));
        let parts: Vec<_> = [status, code, request].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// In brackets behind a message, when there is anything to say.
fn said(fault: &Option<Box<VendorFault>>) -> String {
    match fault {
        Some(fault) if **fault != VendorFault::default() => format!(" ({fault})"),
        _ => String::new(),
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

fn list<T: fmt::Display>(items: &[T]) -> String {
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
        let limited = Error::RateLimited { provider: provider(), until: Some(until), fault: None };
        assert_eq!(limited.retry(), Retry::At(until));
        assert!(limited.to_string().ends_with("wait until 2027-01-15T08:00:00Z"), "{limited}");
        let lost = Error::Network { provider: provider(), server: "s".into(), reason: "r".into() };
        assert_eq!(lost.retry(), Retry::Backoff);
        let refused = Error::Permission { provider: provider(), reason: "r".into(), fault: None };
        assert_eq!(refused.retry(), Retry::Never);
        let spent = |until| Error::Quota { provider: provider(), reason: "r".into(), until, fault: None };
        assert_eq!(spent(Some(until)).retry(), Retry::At(until));
        assert_eq!(spent(None).retry(), Retry::Backoff);
    }

    #[test]
    fn what_the_vendor_said_is_in_the_text_and_can_be_asked_for() {
        let fault =
            VendorFault { status: Some(400), code: Some("81058".into()), request_id: Some("8a2f".into()) };
        let reason = "an identical record exists".to_owned();
        let error =
            Error::InvalidRequest { provider: "paper".into(), reason, fault: Some(Box::new(fault.clone())) };
        assert_eq!(
            error.to_string(),
            "paper: an identical record exists (HTTP 400, code 81058, request 8a2f)"
        );
        assert_eq!((error.code(), error.status()), (Some("81058"), Some(400)));
        let nothing = Error::InvalidRequest {
            provider: "paper".into(),
            reason: "r".into(),
            fault: Some(Box::default()),
        };
        assert_eq!(nothing.to_string(), "paper: r");
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
