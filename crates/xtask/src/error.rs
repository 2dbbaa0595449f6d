//! Why a check did not pass.

use std::path::PathBuf;

use perennial_testkit::real::Missing;

/// Why a check did not pass, or could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{line}` ended with {status}{}{output}", if output.is_empty() { "" } else { ":\n" })]
    Command { line: String, status: std::process::ExitStatus, output: String },
    #[error("cannot use {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{failed} of {cases} cases of `judge {suite}` did not pass")]
    Judged { suite: &'static str, failed: usize, cases: usize },
    #[error("cannot read `cargo metadata`: {0}")]
    Metadata(#[from] serde_json::Error),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Missing(Vec<Missing>),
    #[error("there is no {what} `{name}`; there are: {known}")]
    NoSuch { what: &'static str, name: String, known: String },
    #[error("{broken} promises were broken in the years of seed {seed}")]
    Simulated { seed: u64, broken: usize },
    #[error("cannot start `{program}`: {reason}")]
    Start { program: String, reason: std::io::Error },
    #[error("the step `{step}` failed: {reason}")]
    Step { step: &'static str, reason: Box<Self> },
    #[error(transparent)]
    Testkit(#[from] perennial_testkit::Error),
    #[cfg(target_os = "linux")]
    #[error("the worker failed: {reason}")]
    Worker { reason: String },
    #[error("{count} arrows are wrong")]
    WrongArrows { count: usize },
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::File { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn missing(what: impl Into<String>, how: impl Into<String>) -> Self {
        Self::Missing(vec![Missing::new(what, how)])
    }
}
