//! Why it failed, whose fault that is, and the exit code that says so.

use std::fmt;

use perennial::{
    core::Retry,
    providers::{Error, VendorFault},
};
use serde_json::{Map, Value, json};

/// A malformed command line; from BSD's sysexits, as the others.
pub(crate) const USAGE: u8 = 64;

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) struct Failure {
    blame: Blame,
    message: String,
    retry: Retry,
    fault: Option<Box<VendorFault>>,
    /// What was done before it failed.
    done: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    Access,
    Local,
    NotNow,
    Protocol,
    Request,
    Unavailable,
    Usage,
    Zone,
}

impl Failure {
    pub(crate) fn usage(message: String) -> Self {
        Self::of(Blame::Usage, message)
    }

    pub(crate) fn local(message: String) -> Self {
        Self::of(Blame::Local, message)
    }

    fn of(blame: Blame, message: String) -> Self {
        Self { blame, message, retry: Retry::Never, fault: None, done: Map::new() }
    }

    /// Adds what was done before it failed.
    pub(crate) fn after(mut self, done: Map<String, Value>) -> Self {
        self.done = done;
        self
    }

    /// Adds what else there is to know.
    pub(crate) fn with(mut self, more: &str) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self.blame {
            Blame::Usage => USAGE,
            Blame::Request => 65,
            Blame::Zone => 66,
            Blame::Unavailable => 69,
            Blame::NotNow => 75,
            Blame::Protocol => 76,
            Blame::Access => 77,
            Blame::Local => 78,
        }
    }

    const fn blamed(&self) -> &'static str {
        match self.blame {
            Blame::Access => "access",
            Blame::Local => "local",
            Blame::NotNow => "not now",
            Blame::Protocol => "protocol",
            Blame::Request => "request",
            Blame::Unavailable => "unavailable",
            Blame::Usage => "usage",
            Blame::Zone => "zone",
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let retry = match self.retry {
            Retry::At(at) => at.to_string(),
            Retry::Backoff => "later".to_owned(),
            Retry::Never => "never".to_owned(),
        };
        let fault = self.fault.as_deref().cloned().unwrap_or_default();
        let mut said = self.done.clone();
        let error = json!({
            "blame": self.blamed(), "message": self.message, "retry": retry, "status": fault.status,
            "code": fault.code, "request_id": fault.request_id, "exit_code": self.exit_code(),
        });
        said.insert("error".to_owned(), error);
        said.into()
    }
}

/// The vendor's code and the remedy are in the message.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.blame {
            Blame::Usage => write!(f, "{}; see --help", self.message),
            _ => write!(f, "{}: {}", self.blamed(), self.message),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let blame = match &error {
            Error::Auth { .. } | Error::Permission { .. } => Blame::Access,
            Error::ClockSkew { .. } => Blame::Local,
            Error::Config(_) => Blame::Usage,
            Error::Conflict { .. }
            | Error::NotInSync { .. }
            | Error::Quota { .. }
            | Error::RateLimited { .. } => Blame::NotNow,
            Error::DelegationRequired { .. } | Error::InvalidRequest { .. } | Error::Unsupported { .. } => {
                Blame::Request
            }
            Error::Misbehaved { .. } => Blame::Protocol,
            Error::ZoneNotFound { .. } => Blame::Zone,
            _ => Blame::Unavailable,
        };
        let fault = error.fault().cloned().map(Box::new);
        Self { retry: error.retry(), fault, ..Self::of(blame, error.to_string()) }
    }
}
