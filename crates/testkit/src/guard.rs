//! A child process that dies with the test.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use crate::Error;

/// A child process that does not outlive the test that started it.
///
/// It is killed, by its own process id, when the guard is dropped: at the end of the test and while a failed
/// one unwinds. On Unix a second, tiny process holds the other end of a pipe of ours and kills the child when
/// the pipe closes, so that it dies as well when the test program is killed.
///
/// What the child writes goes to a file, from which errors quote the end.
///
/// ```
/// # #[cfg(unix)] {
/// use perennial_testkit::ChildGuard;
/// use std::process::Command;
///
/// let log = std::env::temp_dir().join(format!("sleep-{}.log", std::process::id()));
/// let mut command = Command::new("sleep");
/// command.arg("3600");
/// let mut child = ChildGuard::spawn(command, &log)?;
/// assert!(child.exited().is_none());
/// drop(child); // and it is gone
/// # std::fs::remove_file(&log).unwrap();
/// # }
/// # Ok::<(), perennial_testkit::Error>(())
/// ```
#[derive(Debug)]
pub struct ChildGuard {
    child: Child,
    watchman: Option<Child>,
    program: String,
    log: PathBuf,
}

impl ChildGuard {
    /// Starts the program with nothing on its standard input and both outputs in the file `log`.
    ///
    /// # Errors
    /// [`Error::File`] when the log cannot be created, [`Error::Spawn`] when the program cannot be started.
    pub fn spawn(mut command: Command, log: impl Into<PathBuf>) -> Result<Self, Error> {
        let log = log.into();
        let unusable = |error: std::io::Error| Error::File { path: log.clone(), reason: error.to_string() };
        let output = File::create(&log).map_err(unusable)?;
        let errors = output.try_clone().map_err(unusable)?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| Error::Spawn { program: program.clone(), reason: error.to_string() })?;
        let watchman = watchman(child.id());
        Ok(Self { child, watchman, program, log })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that holds what the child writes.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The end of what the child has written so far: at most the last 8 KiB, which is what fits an error
    /// message that somebody still reads.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log, 8 * 1024).unwrap_or_else(|error| format!("(no output to be read: {error})"))
    }

    /// How the child ended, or `None` while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks `probe` again and again until it says `true`.
    ///
    /// The probe should ask the server for something real: an open port is not yet a server. It is asked at
    /// once and then every 20 ms, short beside any server's start and long enough to let it have the
    /// processor; it should bound its own waiting.
    ///
    /// # Errors
    /// [`Error::ChildExited`] when the program ended meanwhile, [`Error::ChildNotReady`] when `patience` is
    /// over. Both quote the end of its output.
    pub async fn wait_until_ready<F>(
        &mut self,
        patience: Duration,
        mut probe: impl FnMut() -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = bool>,
    {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            if let Some(status) = self.exited() {
                let log = self.log_tail();
                return Err(Error::ChildExited { program: self.program.clone(), status, log });
            }
            // A probe that hangs must not hang the test.
            if tokio::time::timeout_at(deadline, probe()).await.unwrap_or(false) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                let log = self.log_tail();
                return Err(Error::ChildNotReady { program: self.program.clone(), after: patience, log });
            }
            tokio::time::sleep(PROBE_GAP).await;
        }
    }

    /// Kills the child and waits until it is gone. Dropping the guard does the same.
    pub fn stop(self) {}
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // The watchman first: afterwards nobody holds the process id of a process that is no longer ours.
        for process in self.watchman.iter_mut().chain([&mut self.child]) {
            // Both fail only where the process has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// See [`ChildGuard::wait_until_ready`].
const PROBE_GAP: Duration = Duration::from_millis(20);

/// A shell that reads from a pipe which we never write to: it comes to the end when this process ends.
///
/// Without a shell the guard still kills on drop, so failing to start one is no error.
#[cfg(unix)]
fn watchman(pid: u32) -> Option<Child> {
    Command::new("sh")
        .args(["-c", "read -r _; kill -KILL \"$0\"", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

#[cfg(not(unix))]
fn watchman(_: u32) -> Option<Child> {
    None
}

fn tail(path: &Path, most: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// A place for the log, deleted when it is dropped.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        (directory, log)
    }

    /// Signal 0 asks whether a process exists; a zombie does until its parent has looked.
    fn exists(pid: u32) -> bool {
        Command::new("sh")
            .args(["-c", "kill -0 \"$0\" 2>/dev/null", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    }

    #[test]
    fn a_dropped_guard_leaves_no_process() {
        let (_directory, log) = place();
        let guard = ChildGuard::spawn(shell("exec sleep 3600"), log).unwrap();
        let (child, watchman) = (guard.pid(), guard.watchman.as_ref().unwrap().id());
        assert!(exists(child) && exists(watchman));
        drop(guard);
        assert!(!exists(child) && !exists(watchman));
    }

    #[test]
    fn the_child_dies_when_the_pipe_to_the_watchman_closes() {
        let (_directory, log) = place();
        let mut guard = ChildGuard::spawn(shell("exec sleep 3600"), log).unwrap();
        let mut watchman = guard.watchman.take().unwrap();
        drop(watchman.stdin.take()); // as the kernel does when this process dies
        watchman.wait().unwrap();
        let status = guard.child.wait().unwrap();
        assert!(!status.success(), "{status}");
    }

    #[tokio::test]
    async fn a_child_that_ends_early_is_reported_with_its_output() {
        let (_directory, log) = place();
        let mut guard = ChildGuard::spawn(shell("echo cannot bind >&2; exit 7"), log).unwrap();
        let error = guard.wait_until_ready(Duration::from_secs(60), async || false).await.unwrap_err();
        assert!(matches!(&error, Error::ChildExited { log, .. } if log.contains("cannot bind")), "{error}");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_ends_at_the_deadline() {
        let (_directory, log) = place();
        let mut guard = ChildGuard::spawn(shell("exec sleep 3600"), log).unwrap();
        let error =
            guard.wait_until_ready(Duration::from_millis(50), std::future::pending).await.unwrap_err();
        assert!(matches!(error, Error::ChildNotReady { .. }), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let (_directory, log) = place();
        let error = ChildGuard::spawn(Command::new("/nowhere/named"), log).unwrap_err();
        assert!(error.to_string().contains("/nowhere/named"), "{error}");
    }
}
