//! What can go wrong with a real server.

use std::net::SocketAddr;

use perennial_core::Retry;

use super::Missing;

/// Why a real server cannot be had, or did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A server answered something else than it should, or nothing.
    #[error("{server} did not answer the question for {question}: {reason}")]
    Answer {
        /// Who was asked.
        server: SocketAddr,
        /// What for.
        question: String,
        /// What came instead.
        reason: String,
    },
    /// A control program of the server (`rndc`, `nsupdate`) failed.
    #[error("{command} failed: {output}")]
    Control {
        /// The program and its arguments.
        command: String,
        /// What it printed.
        output: String,
    },
    /// The program is not on this machine.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Other processes were quicker to take the ports, every time.
    #[error("{program} found its ports taken {attempts} times; the end of its output is:\n{log}")]
    PortsTaken {
        /// The program.
        program: &'static str,
        /// How often it was started.
        attempts: usize,
        /// What it printed the last time.
        log: String,
    },
    /// A file, a key or a process of the fixture.
    #[error(transparent)]
    Testkit(#[from] crate::Error),
}

impl Error {
    /// Whether the same call can succeed later.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Answer { .. } | Self::PortsTaken { .. } => Retry::Backoff,
            Self::Control { .. } | Self::Missing(_) => Retry::Never,
            Self::Testkit(error) => error.retry(),
        }
    }
}
