//! What can go wrong while the little internet is put up.

use std::{net::SocketAddr, path::PathBuf, process::ExitStatus, time::Duration};

use perennial_core::{DomainNameError, Retry};

/// Why a part of the little internet cannot be put up, or cannot do what the test asked of it.
///
/// Servers never fail once they run: what a client sends wrong is answered as the protocol says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Bind {
        /// The address that was tried.
        address: SocketAddr,
        /// The operating system's reason.
        reason: String,
    },
    /// A certificate or key cannot be made.
    #[error("cannot make {what}: {reason}")]
    Certificate {
        /// Which one.
        what: &'static str,
        /// The certificate library's reason.
        reason: String,
    },
    /// A child process ended before it was ready.
    #[error("{program} ended with {status} before it was ready; the end of its output is:\n{log}")]
    ChildExited {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it wrote.
        log: String,
    },
    /// A child process did not get ready in time.
    #[error("{program} was not ready after {}s; the end of its output is:\n{log}", after.as_secs_f32())]
    ChildNotReady {
        /// The program.
        program: String,
        /// How long it was waited for.
        after: Duration,
        /// The last lines that it wrote.
        log: String,
    },
    /// A file of the fixture cannot be written or read.
    #[error("cannot use the file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// A text that should be a name is none.
    #[error(transparent)]
    Name(#[from] DomainNameError),
    /// No port is free on all the addresses at once.
    #[error("found no port that is free on all of {addresses} for UDP and TCP in {attempts} attempts")]
    NoCommonPort {
        /// The addresses, as text.
        addresses: String,
        /// How many ports were tried.
        attempts: usize,
    },
    /// The scene contradicts itself.
    #[error("this scene cannot be built: {reason}")]
    Scene {
        /// What contradicts what.
        reason: String,
    },
    /// A child process cannot be started.
    #[error("cannot start {program}: {reason}")]
    Spawn {
        /// The program.
        program: String,
        /// The operating system's reason.
        reason: String,
    },
}

impl Error {
    /// Whether the same call can succeed later.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Bind { .. } | Self::ChildNotReady { .. } | Self::NoCommonPort { .. } => Retry::Backoff,
            Self::Certificate { .. }
            | Self::ChildExited { .. }
            | Self::File { .. }
            | Self::Name(_)
            | Self::Scene { .. }
            | Self::Spawn { .. } => Retry::Never,
        }
    }
}
