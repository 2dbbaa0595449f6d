//! Why it failed, whose fault that is, and the exit code that says so.

use std::fmt;

use perennial::{acme, issuers, lifecycle::IssueErrorClass};

/// A malformed command line; from BSD's sysexits, as the others.
pub(crate) const USAGE: u8 = 64;

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) struct Failure {
    blame: Blame,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    Usage,
    Class(IssueErrorClass),
}

impl Failure {
    pub(crate) const fn usage(message: String) -> Self {
        Self { blame: Blame::Usage, message }
    }

    pub(crate) const fn local(message: String) -> Self {
        Self { blame: Blame::Class(IssueErrorClass::Local), message }
    }

    /// Adds a remedy.
    pub(crate) fn with(mut self, remedy: &str) -> Self {
        self.message = format!("{}; {remedy}", self.message);
        self
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self.blame {
            Blame::Usage => USAGE,
            Blame::Class(IssueErrorClass::Policy) => 65,
            Blame::Class(IssueErrorClass::Transient) => 69,
            Blame::Class(IssueErrorClass::Contract) => 76,
            Blame::Class(IssueErrorClass::Auth) => 77,
            Blame::Class(_) => 78,
        }
    }

    fn blamed(&self) -> String {
        match self.blame {
            Blame::Usage => "usage".to_owned(),
            Blame::Class(class) => class.to_string(),
        }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": { "blame": self.blamed(), "message": self.message, "exit_code": self.exit_code() }
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.blame {
            Blame::Usage => write!(f, "{}; see --help", self.message),
            Blame::Class(_) => write!(f, "{}: {}", self.blamed(), self.message),
        }
    }
}

impl From<acme::Error> for Failure {
    fn from(error: acme::Error) -> Self {
        let error = issuers::Error::from(error);
        Self { blame: Blame::Class(error.class()), message: error.to_string() }
    }
}

impl From<acme::Misuse> for Failure {
    fn from(error: acme::Misuse) -> Self {
        acme::Error::from(error).into()
    }
}
