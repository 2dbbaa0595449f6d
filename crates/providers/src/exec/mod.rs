//! A program of yours that makes each change: for a vendor that has no client here.
//!
//! The program is called as lego's `exec` calls it, so that its scripts work here:
//!
//! ```text
//! PROGRAM [ARGUMENTS…] present _acme-challenge.example.com. VALUE
//! PROGRAM [ARGUMENTS…] cleanup _acme-challenge.example.com. VALUE
//! ```
//!
//! It must end with status 0 when the change is made, or was already, and leave the name's other values alone.
//! There is no shell in between: nothing in a name or a value can become a command. A value is base64url and may
//! begin with a hyphen, so it must not be taken for an option.
//!
//! ```
//! use perennial_providers::{DnsProvider, exec::Exec};
//! use std::time::Duration;
//!
//! let provider = Exec::builder("/etc/acme/dns-hook").argument("--verbose").timeout(Duration::from_secs(30)).build();
//! assert_eq!(provider.kind(), "exec");
//! ```

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Action, Change, Error, Zone, engine,
    hook::{Hook, Hooked},
};

mod options;
pub use options::factory;
mod run;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "exec";

/// Long enough for a slow vendor behind the program, short enough that one that hangs is noticed.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// A program that makes each change.
///
/// - It is called once for each value, never twice at once for one provider: scripts seldom expect that.
/// - It inherits the environment and the working directory; its standard input is empty.
/// - After the time limit it is killed. What it started itself is not.
/// - What it prints is shown, without control characters, in the error when it fails, and in the log at level
///   `debug` when it does not. A secret that it prints is not kept from there.
#[derive(Clone)]
pub struct Exec(Arc<Hooked<Program>>);

engine::forward!(Exec, "Exec");

impl Exec {
    /// Begins a provider that calls this program.
    pub fn builder(program: impl Into<PathBuf>) -> ExecBuilder {
        let program = Program {
            path: program.into(),
            arguments: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            turn: tokio::sync::Mutex::new(()),
        };
        ExecBuilder(Hooked { hook: program, zones: Vec::new() })
    }
}

/// A provider in the making: see [`Exec::builder`].
#[derive(Debug)]
#[must_use]
pub struct ExecBuilder(Hooked<Program>);

impl ExecBuilder {
    /// One more argument before the action.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.0.hook.arguments.push(argument.into());
        self
    }

    /// How long one call may take; a minute by default.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.0.hook.timeout = timeout;
        self
    }

    /// One more zone that names may be in; any name when no zone is given.
    pub fn zone(mut self, apex: DomainName) -> Self {
        self.0.zones.push(Zone::new(apex));
        self
    }

    /// The provider.
    #[must_use]
    pub fn build(self) -> Exec {
        Exec(Arc::new(self.0))
    }
}

#[derive(Debug)]
struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    timeout: Duration,
    turn: tokio::sync::Mutex<()>,
}

#[async_trait]
impl Hook for Program {
    fn kind(&self) -> &str {
        KIND
    }

    async fn tell(&self, _: &Zone, change: &Change) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let action = match change.action {
            Action::Add => "present",
            Action::Remove => "cleanup",
        };
        let name = format!("{}.", change.name);
        let arguments =
            self.arguments.iter().cloned().chain([action, &name, &change.value].map(OsString::from));
        run::run(&self.path, arguments, self.timeout)
            .await
            .map_err(|failure| self.explain(action, &name, &failure))
    }
}

impl Program {
    fn explain(&self, action: &str, name: &str, failure: &run::Failure) -> Error {
        let (provider, server) = (KIND.to_owned(), self.path.display().to_string());
        match failure {
            run::Failure::Ended { status, said } => {
                let said =
                    if said.is_empty() { "and said nothing".to_owned() } else { format!("and said: {said}") };
                let reason = format!("asked to {action} {name} it ended with {status} {said}");
                Error::Unavailable { provider, server, reason, fault: None }
            }
            run::Failure::Late => {
                let (limit, said) = (self.timeout.as_secs_f32(), "let it be faster or raise `timeout`");
                let reason =
                    format!("asked to {action} {name} it had not ended after {limit} seconds; {said}");
                Error::Unavailable { provider, server, reason, fault: None }
            }
            run::Failure::NotStarted(reason) => Error::InvalidRequest {
                provider,
                reason: format!("{server} cannot be run: {reason}; correct the option `program`"),
                fault: None,
            },
        }
    }
}
