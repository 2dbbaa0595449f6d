//! One run of the example: its command line, and what came of it.

use std::{fmt, path::PathBuf, time::Duration};

use tempfile::TempDir;
use tokio::process::Command;

use super::text;
use crate::shell::Stopwatch;

/// A run takes seconds; whoever takes minutes hangs.
const LONGEST_RUN: Duration = Duration::from_secs(180);

/// The command line.
pub(super) struct Invocation {
    pub(super) directory: String,
    pub(super) domains: Vec<String>,
    pub(super) provider: String,
    pub(super) options: Vec<(&'static str, String)>,
    pub(super) name_server: String,
}

impl Invocation {
    /// Gives an option of the provider another value.
    pub(super) fn set(&mut self, option: &str, value: &str) {
        for (name, old) in &mut self.options {
            if *name == option {
                value.clone_into(old);
            }
        }
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments =
            ["--ca-file", "pebble.pem", "--agree-tos", "--out", "out", "--json"].map(str::to_owned).to_vec();
        let mut flag = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
        flag("--directory", &self.directory);
        flag("--provider", &self.provider);
        flag("--nameserver", &self.name_server);
        self.domains.iter().for_each(|domain| flag("--domain", domain));
        self.options.iter().for_each(|(name, value)| flag("--provider-option", &format!("{name}={value}")));
        arguments
    }
}

/// What came of a run.
#[derive(Default)]
pub(super) struct Run {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) elapsed: Duration,
    pub(super) directory: Option<TempDir>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
        write!(f, "{code} after {:.1} s; {}", self.elapsed.as_secs_f32(), last_lines(&self.stderr, 40))
    }
}

impl Run {
    /// Runs the program to its end in a directory of its own.
    pub(super) async fn of(mut command: Command, directory: TempDir) -> Result<Self, String> {
        command.current_dir(directory.path()).kill_on_drop(true);
        let watch = Stopwatch::start();
        let output = tokio::time::timeout(LONGEST_RUN, command.output()).await;
        let output = text(output.map_err(|_| format!("still running after {LONGEST_RUN:?}"))?)?;
        Ok(Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            elapsed: watch.read(),
            directory: Some(directory),
        })
    }

    /// A file that it should have written.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf, String> {
        let directory = self.directory.as_ref().ok_or("it did not run")?;
        let path = directory.path().join("out").join(name);
        if path.is_file() { Ok(path) } else { Err(format!("there is no out/{name}")) }
    }
}

/// The end of a text, without its empty lines.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
