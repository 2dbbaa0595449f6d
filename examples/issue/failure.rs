//! Why it failed, whose fault that is, and the exit code that says so.

use std::fmt;

use perennial::{
    issuers, lifecycle,
    lifecycle::{IssueError, IssueErrorClass},
    propagation::Report,
    providers,
};

/// A malformed command line; from BSD's sysexits, as the others.
pub(crate) const USAGE: u8 = 64;

/// Why no certificate was issued.
#[derive(Debug)]
pub(crate) struct Failure {
    blame: Blame,
    message: String,
    reports: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    Usage,
    Interrupted,
    Class(IssueErrorClass),
}

impl Failure {
    pub(crate) fn usage(message: String) -> Self {
        Self { blame: Blame::Usage, message, reports: Vec::new() }
    }

    pub(crate) fn local(message: String) -> Self {
        Self { blame: Blame::Class(IssueErrorClass::Local), message, reports: Vec::new() }
    }

    pub(crate) fn interrupted() -> Self {
        Self { blame: Blame::Interrupted, message: "interrupted".to_owned(), reports: Vec::new() }
    }

    /// Adds what the checker saw, where that is the reason.
    pub(crate) fn with_reports(mut self, reports: &[Report]) -> Self {
        if self.blame == Blame::Class(IssueErrorClass::Validation) {
            self.reports = reports.iter().map(|report| report.to_string().trim_end().to_owned()).collect();
        }
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.blame {
            Blame::Usage => USAGE,
            Blame::Interrupted => 130,
            Blame::Class(IssueErrorClass::Policy) => 65,
            Blame::Class(IssueErrorClass::Validation) => 66,
            Blame::Class(IssueErrorClass::Transient) => 69,
            Blame::Class(IssueErrorClass::Contract) => 76,
            Blame::Class(IssueErrorClass::Auth) => 77,
            Blame::Class(_) => 78,
        }
    }

    fn blamed(&self) -> String {
        match self.blame {
            Blame::Usage => "usage".to_owned(),
            Blame::Interrupted => "interrupted".to_owned(),
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
            Blame::Interrupted => f.write_str(&self.message)?,
            Blame::Usage => write!(f, "{}; see --help", self.message)?,
            Blame::Class(_) => write!(f, "{}: {}", self.blamed(), self.message)?,
        }
        self.reports.iter().try_for_each(|report| write!(f, "\n\n{report}"))
    }
}

impl From<lifecycle::Error> for Failure {
    fn from(error: lifecycle::Error) -> Self {
        let blame = match &error {
            lifecycle::Error::Issue(error) => Blame::Class(error.class),
            lifecycle::Error::Contract { .. } => Blame::Class(IssueErrorClass::Contract),
            lifecycle::Error::Spec(_) => Blame::Usage,
            _ => Blame::Class(IssueErrorClass::Local),
        };
        Self { blame, message: error.to_string(), reports: Vec::new() }
    }
}

impl From<issuers::Error> for Failure {
    fn from(error: issuers::Error) -> Self {
        let error = IssueError::from(error);
        Self { blame: Blame::Class(error.class), message: error.message, reports: Vec::new() }
    }
}

impl From<providers::Error> for Failure {
    fn from(error: providers::Error) -> Self {
        match error {
            providers::Error::Config(error) => Self::usage(error.to_string()),
            error => issuers::Error::from(error).into(),
        }
    }
}
