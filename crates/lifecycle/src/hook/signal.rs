//! A signal to a server that has written its process number into a file.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use perennial_core::Retry;
use rustix::process::{Pid, Signal, kill_process};

use super::{HookError, Reload, ReloadHook};
use crate::durable;

/// What servers take for a wish to read their files again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReloadSignal {
    /// `SIGHUP`, which nginx, PostgreSQL, Postfix, Dovecot and stunnel take.
    #[default]
    Hangup,
    /// `SIGUSR1`, which Apache httpd takes for a graceful restart.
    User1,
    /// `SIGUSR2`, which HAProxy's master takes.
    User2,
}

impl ReloadSignal {
    const fn signal(self) -> Signal {
        match self {
            Self::Hangup => Signal::HUP,
            Self::User1 => Signal::USR1,
            Self::User2 => Signal::USR2,
        }
    }
}

/// Sends a signal to the process whose number is in a file, as nginx's `pid` directive writes it.
///
/// A server that died leaves its file behind, and its number may be somebody else's by now, who would die of a hang-up. Say
/// what the program is [called](Self::called), and no other gets the signal.
///
/// ```
/// use perennial_lifecycle::{ReloadSignal, SignalHook};
///
/// let hook = SignalHook::new("/run/nginx.pid").called("nginx");
/// let hook_of_httpd = SignalHook::new("/run/apache2/apache2.pid").signal(ReloadSignal::User1);
/// # let _ = (hook, hook_of_httpd);
/// ```
#[derive(Clone, Debug)]
pub struct SignalHook {
    pid_file: PathBuf,
    called: Option<String>,
    signal: ReloadSignal,
}

impl SignalHook {
    /// Sends a hang-up to the process of this file.
    pub fn new(pid_file: impl Into<PathBuf>) -> Self {
        Self { pid_file: pid_file.into(), called: None, signal: ReloadSignal::default() }
    }

    /// What the program is called, as `/proc/PID/comm` has it, of which the first 15 octets count. Default: anything. Where there is no
    /// such file, as on other systems than Linux, it is not asked.
    #[must_use]
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.called = Some(name.into());
        self
    }

    /// Which signal. Default: [`ReloadSignal::Hangup`].
    #[must_use]
    pub const fn signal(mut self, signal: ReloadSignal) -> Self {
        self.signal = signal;
        self
    }

    fn send(&self) -> Result<String, HookError> {
        let failed = |message: String| HookError::new(message, Retry::Backoff);
        let file = self.pid_file.display();
        let read = durable::read_at_most(&self.pid_file, LARGEST);
        let bytes = read.map_err(|error| failed(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| failed(format!("there is no {file}: the server does not run")))?;
        let pid = process_in(&bytes)
            .ok_or_else(|| failed(format!("{file} does not hold the number of a process")))?;
        let number = pid.as_raw_nonzero();
        if let (Some(wanted), Some(found)) = (&self.called, name_of(pid))
            && !is_called(&found, wanted)
        {
            let message = format!(
                "process {number} of {file} is {found:?}, not {wanted:?}: the server does not run, and has left its \
                 file behind"
            );
            return Err(failed(message));
        }
        kill_process(pid, self.signal.signal()).map_err(|error| {
            failed(format!(
                "process {number} of {file} cannot be told: {error}: does the server run, and may we?"
            ))
        })?;
        Ok(format!("told process {number}"))
    }
}

#[async_trait]
impl ReloadHook for SignalHook {
    async fn reload(&self, _: &Reload) -> Result<String, HookError> {
        let hook = self.clone();
        let sent = tokio::task::spawn_blocking(move || hook.send()).await;
        sent.unwrap_or_else(|error| Err(HookError::new(error.to_string(), Retry::Backoff)))
    }

    /// A signal says nothing of a certificate.
    fn takes_up_all(&self) -> bool {
        true
    }
}

/// Whether that is the name, of which Linux keeps 15 octets (`TASK_COMM_LEN`, proc(5)).
fn is_called(found: &str, wanted: &str) -> bool {
    found == wanted || (found.len() == 15 && wanted.starts_with(found))
}

/// The process of a number and a line break. 0 and what is below mean groups of processes, and 1 is the first of all.
fn process_in(bytes: &[u8]) -> Option<Pid> {
    let number = std::str::from_utf8(bytes).ok()?.trim().parse::<i32>().ok();
    number.filter(|number| *number > 1).and_then(Pid::from_raw)
}

/// What the program of a process is called, where that can be read.
fn name_of(pid: Pid) -> Option<String> {
    let path = format!("/proc/{}/comm", pid.as_raw_nonzero());
    let bytes = durable::read_at_most(Path::new(&path), LARGEST).ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// A number and a line break.
const LARGEST: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        process::{Child, Command, Stdio},
    };

    /// A process that is called `sleep`, which it is a moment after it was begun.
    fn sleeper() -> Child {
        let child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        while name_of(pid).is_some_and(|name| name != "sleep") {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn the_process_of_the_file_gets_the_signal_and_one_that_is_called_otherwise_does_not() {
        use std::os::unix::process::ExitStatusExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("server.pid");
        let mut child = sleeper();
        fs::write(&file, format!("{}\n", child.id())).unwrap();
        let error = SignalHook::new(&file).called("nginx").send().unwrap_err();
        assert!(error.message.contains("is \"sleep\", not \"nginx\""), "{error}");
        assert_eq!(child.try_wait().unwrap(), None);
        let said = SignalHook::new(&file).called("sleep").signal(ReloadSignal::User1).send().unwrap();
        assert_eq!(said, format!("told process {}", child.id()));
        assert_eq!(child.wait().unwrap().signal(), Some(10));
        let error = SignalHook::new(&file).send().unwrap_err();
        assert!(error.message.contains("does the server run"), "{error}");
        assert!(SignalHook::new(&file).takes_up_all());
    }

    #[test]
    fn a_name_that_the_system_cuts_is_the_same_name() {
        assert!(is_called("systemd-resolve", "systemd-resolved"));
        assert!(is_called("nginx", "nginx") && !is_called("nginx", "nginx-debug"));
        assert!(!is_called("systemd-resolve", "systemd-network"));
    }

    // Without a signal: one to everybody would end the test, and more.
    #[test]
    fn a_file_that_would_signal_everybody_signals_nobody() {
        assert_eq!(process_in(b" 4711\n").map(|pid| pid.as_raw_nonzero().get()), Some(4711));
        for text in ["", "0", "-1", "1", "nginx", "99999999999", "12 13", "\u{664}"] {
            assert_eq!(process_in(text.as_bytes()), None, "{text}");
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("server.pid");
        assert!(SignalHook::new(&file).send().unwrap_err().message.starts_with("there is no "));
        fs::write(&file, "nginx").unwrap();
        let error = SignalHook::new(&file).send().unwrap_err();
        assert!(error.message.ends_with("does not hold the number of a process"), "{error}");
        fs::write(&file, "1".repeat(100)).unwrap();
        assert!(SignalHook::new(&file).send().unwrap_err().message.contains("more than 64 bytes"));
    }
}
