//! From a started program to a server that answers.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{Components, Error, Tool, ask, zone_file::absolute};
use crate::ChildGuard;

/// How often a server is started on other ports before it is given up.
pub(super) const ATTEMPTS: usize = 5;

/// All of these servers answer within 150 ms on an idle machine; the rest is for busy ones.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a name server until it answers for these zones: again, on another port, while its own is taken.
///
/// `spawn` starts the program under a name by which it is known again; `parts` shows what watches over it, and
/// where it listens.
pub(super) async fn serving<S>(
    program: &'static str,
    origins: &[&str],
    spawn: impl Fn(&Components, &str) -> Result<S, Error>,
    parts: impl Fn(&mut S) -> (&mut ChildGuard, SocketAddr),
) -> Result<S, Error> {
    let components = Components::locate();
    let mut log = String::new();
    for _ in 0..ATTEMPTS {
        let identity = identity();
        let mut server = spawn(&components, &identity)?;
        let (guard, address) = parts(&mut server);
        if becomes_ready(guard, || ask::serves(address, origins, &identity)).await? {
            return Ok(server);
        }
        log = guard.log_tail();
    }
    Err(Error::PortsTaken { program, attempts: ATTEMPTS, log })
}

/// Waits until `probe` says that the server answers. `false`: its port was taken, another one is needed.
///
/// `named` keeps running when a port is taken and only notes it, hence the look into the log.
pub(super) async fn becomes_ready<F>(
    guard: &mut ChildGuard,
    mut probe: impl FnMut() -> F,
) -> Result<bool, Error>
where
    F: Future<Output = bool>,
{
    let log = guard.log_path().to_owned();
    let ready = guard
        .wait_until_ready(PATIENCE, || {
            let answers = probe();
            let taken = port_was_taken(&log);
            async move { taken || answers.await }
        })
        .await;
    match ready {
        _ if port_was_taken(&log) => Ok(false),
        Ok(()) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Runs a short program to its end, beside the runtime's own threads.
pub(super) async fn control(mut command: Command) -> Result<(), Error> {
    let line = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let failed = |output: String| Error::Control { command: line, output };
    match output.map_err(std::io::Error::other).and_then(|output| output) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(failed(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Sends a dynamic update (RFC 2136) with `nsupdate`, signed with a key if there is one. Its script is
/// written to the directory, below a name of its own: there may be several at a time.
pub(super) async fn update(
    components: &Components,
    server: SocketAddr,
    zone: &str,
    lines: &str,
    directory: &Path,
    key: Option<&Path>,
) -> Result<(), Error> {
    let (ip, port, zone) = (server.ip(), server.port(), absolute(zone));
    let script = directory.join(identity());
    write(&script, &format!("server {ip} {port}\nzone {zone}\n{lines}\nsend\n"))?;
    let mut command = components.find(Tool::Nsupdate)?.command();
    command.args(key.iter().flat_map(|key| ["-k".as_ref(), key.as_os_str()])).arg(script);
    control(command).await
}

/// A name for one server that no other server on this machine has: whoever answers with it is the one that
/// was started, not a stranger on the same port.
pub(super) fn identity() -> String {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    format!("perennial-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed))
}

/// Writes one file of a server's configuration.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    Ok(std::fs::write(path, text).map_err(|error| file(path, &error))?)
}

/// A directory for one server, gone when it is.
pub(super) fn directory() -> Result<tempfile::TempDir, Error> {
    Ok(tempfile::Builder::new()
        .prefix("perennial-")
        .tempdir()
        .map_err(|error| file(&std::env::temp_dir(), &error))?)
}

pub(super) fn file(path: &Path, error: &std::io::Error) -> crate::Error {
    crate::Error::File { path: path.to_owned(), reason: error.to_string() }
}

fn port_was_taken(log: &Path) -> bool {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).to_lowercase());
    text.is_ok_and(|text| text.contains("address in use") || text.contains("address already in use"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn started(script: &str, ready: bool) -> Result<bool, Error> {
        let directory = directory().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut guard = ChildGuard::spawn(command, directory.path().join("log")).unwrap();
        becomes_ready(&mut guard, || async move { ready }).await
    }

    #[tokio::test]
    async fn a_server_whose_port_is_taken_is_to_be_started_again_whether_it_stays_or_goes() {
        assert!(!started("echo 'bind: Address already in use'; exec sleep 3600", false).await.unwrap());
        assert!(!started("echo 'could not listen: address in use'; exit 1", false).await.unwrap());
    }

    #[tokio::test]
    async fn a_server_that_ends_for_another_reason_is_an_error() {
        let error = started("echo 'unknown option'; exit 1", false).await.unwrap_err();
        assert!(error.to_string().contains("unknown option"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_answers_is_ready() {
        assert!(started("exec sleep 3600", true).await.unwrap());
    }
}
