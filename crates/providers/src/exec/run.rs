//! One run of a program: no shell, no input, bounded time and bounded output.

use std::{
    ffi::OsString,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

/// Why a run was no success.
#[derive(Debug)]
pub(super) enum Failure {
    /// It ended with another status than 0; what it said last.
    Ended { status: ExitStatus, said: String },
    /// It was killed when its time was over.
    Late,
    /// There is no such program, or it may not be run.
    NotStarted(String),
}

/// As much of the end of what it says as fits into an error.
const MOST_SAID: usize = 1024;

/// How long the end of its output may be waited for after the program ended: what it left running may hold the
/// pipe for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs the program to its end, or kills it.
pub(super) async fn run(
    program: &Path,
    arguments: impl Iterator<Item = OsString>,
    limit: Duration,
) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A dropped future, too, leaves no program behind.
    command.kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| Failure::NotStarted(error.to_string()))?;
    let said = Said::default();
    let out = child.stdout.take().map(|pipe| tokio::spawn(said.clone().listen(pipe)));
    let err = child.stderr.take().map(|pipe| tokio::spawn(said.clone().listen(pipe)));
    let ended = timeout(limit, child.wait()).await;
    let listeners = [out, err].into_iter().flatten().collect::<Vec<_>>();
    let status = match ended {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return Err(Failure::NotStarted(error.to_string())),
        Err(_) => {
            // Nothing is left to be done about a program that cannot be killed.
            let _ = child.kill().await;
            listeners.iter().for_each(tokio::task::JoinHandle::abort);
            return Err(Failure::Late);
        }
    };
    for mut listener in listeners {
        if timeout(LAST_WORDS, &mut listener).await.is_err() {
            listener.abort();
        }
    }
    let said = said.text();
    if status.success() {
        tracing::debug!(program = %program.display(), said, "done");
        return Ok(());
    }
    Err(Failure::Ended { status, said })
}

/// The end of what a program says, on both of its outputs.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    async fn listen(self, mut pipe: impl AsyncRead + Unpin) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            said.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let surplus = said.len().saturating_sub(MOST_SAID);
            said.drain(..surplus);
        }
    }

    /// On one line: it goes into logs and errors.
    fn text(&self) -> String {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        let cleaned: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        cleaned.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
