//! Who is told that a certificate was delivered, so that whatever serves it takes it up.

use std::path::PathBuf;

use async_trait::async_trait;
use perennial_core::Retry;

use crate::{CertificateId, Facts, SinkName};

mod command;
pub use command::CommandHook;

mod output;

#[cfg(unix)]
mod signal;
#[cfg(unix)]
pub use signal::{ReloadSignal, SignalHook};

/// Who is told that a certificate was delivered: a server that reads its files only when it is told to.
///
/// A keeper writes down that a hook is to be called with the delivery itself, and calls it until it succeeds, later and
/// later: a crash in between calls it again, and a hook that fails has nothing issued or delivered anew.
///
/// # Contract
/// - `reload` MUST be safe to call again for the same delivery.
/// - It MUST return within a bounded time, and MUST leave nothing running when it is dropped.
/// - It may be called at once for different certificates, unless it [takes up all](Self::takes_up_all), and at the same
///   time as the hooks of other sinks.
#[async_trait]
pub trait ReloadHook: Send + Sync {
    /// Has it taken up. Returns what there is to be shown about it, such as the output of a program; it may be empty, and
    /// must hold no secret.
    ///
    /// # Errors
    /// [`HookError`]; it is called again later.
    async fn reload(&self, delivery: &Reload) -> Result<String, HookError>;

    /// Whether one call takes up all that was delivered to the sink before it, of whatever certificate. Then what is
    /// delivered while it runs waits for one next call: a hundred certificates that are renewed together have a server
    /// reload a few times, and each has the result on record. It is told of one of them. After a failure each comes again
    /// at a moment of its own, and the first of them calls for all that have failed by then, as long as the keeper lives
    /// that has called before.
    ///
    /// Default: no, it is called for each.
    fn takes_up_all(&self) -> bool {
        false
    }
}

#[cfg(test)]
fn _object_safe(_: &dyn ReloadHook) {}

/// What was delivered, as a hook is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reload {
    /// Which certificate.
    pub id: CertificateId,
    /// To which sink.
    pub sink: SinkName,
    /// Where it lies, if the sink has a path ([`Sink::place`](crate::Sink::place)).
    pub place: Option<PathBuf>,
    /// What it is.
    pub facts: Facts,
}

impl Reload {
    /// That a certificate was delivered.
    #[must_use]
    pub const fn new(id: CertificateId, sink: SinkName, place: Option<PathBuf>, facts: Facts) -> Self {
        Self { id, sink, place, facts }
    }
}

/// Why a hook did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct HookError {
    /// What happened, naming the thing, the value and the remedy.
    pub message: String,
    retry: Retry,
}

impl HookError {
    /// An error.
    #[must_use]
    pub fn new(message: impl Into<String>, retry: Retry) -> Self {
        Self { message: message.into(), retry }
    }

    /// Whether and when to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        self.retry
    }
}
