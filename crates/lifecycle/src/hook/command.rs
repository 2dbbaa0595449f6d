//! A program that is run after a delivery.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, process::Stdio, time::Duration};

use async_trait::async_trait;
use perennial_core::Retry;
use tokio::{
    process::{Child, Command},
    task::JoinSet,
    time::timeout,
};

use super::{HookError, Reload, ReloadHook, output::Said};

/// Runs a program: `systemctl reload nginx`, or a script of yours.
///
/// - There is no shell in between: nothing in a name can become a command.
/// - Of our environment it has `PATH`, `HOME`, `LANG`, and what it takes to reach a user's services
///   (`XDG_RUNTIME_DIR`, `DBUS_SESSION_BUS_ADDRESS`): the tokens of DNS providers are no business of a web server. What
///   else it needs is [given](Self::environment).
/// - It is told of the certificate by `PERENNIAL_CERTIFICATE` (its id), `PERENNIAL_DIRECTORY` (where it lies),
///   `PERENNIAL_FINGERPRINT` and `PERENNIAL_SINK`; and in certbot's words, so that its deploy hooks work here, by
///   `RENEWED_LINEAGE` (the directory) and `RENEWED_DOMAINS` (the names, with spaces between).
/// - Its standard input is empty. The end of what it says is shown, control characters replaced.
/// - When its time is over it is killed, with all that it started in its process group. What it leaves running when it
///   ends by itself is left alone.
///
/// ```
/// use perennial_lifecycle::CommandHook;
/// use std::time::Duration;
///
/// let hook = CommandHook::new("systemctl").arguments(["reload", "nginx"]).once_for_all();
/// let hook_of_mail = CommandHook::new("/etc/mail/renewed.sh").time_limit(Duration::from_secs(10));
/// # let _ = (hook, hook_of_mail);
/// ```
#[derive(Clone, Debug)]
pub struct CommandHook {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    for_all: bool,
    time_limit: Duration,
}

impl CommandHook {
    /// Runs this program, looked for on the `PATH` if it has no slash.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            for_all: false,
            time_limit: TIME_LIMIT,
        }
    }

    /// More arguments, each as it is.
    #[must_use]
    pub fn arguments<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// That one run [takes up all](ReloadHook::takes_up_all) that was delivered before, as a reload of a web server does,
    /// whichever certificate it is told of. Default: it runs for each.
    #[must_use]
    pub const fn once_for_all(mut self) -> Self {
        self.for_all = true;
        self
    }

    /// How long it may run. Default: 30 seconds. A server that is told to reload says so within moments; one that
    /// first finishes what it has is not waited for by its own control program either.
    #[must_use]
    pub const fn time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    fn command(&self, delivery: &Reload) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("PERENNIAL_CERTIFICATE", delivery.id.as_str());
        command.env("PERENNIAL_FINGERPRINT", &delivery.facts.fingerprint);
        command.env("PERENNIAL_SINK", delivery.sink.as_str());
        if let Some(place) = &delivery.place {
            command.env("PERENNIAL_DIRECTORY", place).env("RENEWED_LINEAGE", place);
        }
        let names: Vec<String> = delivery.facts.names.iter().map(ToString::to_string).collect();
        command.env("RENEWED_DOMAINS", names.join(" ")).envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command
    }
}

#[async_trait]
impl ReloadHook for CommandHook {
    async fn reload(&self, delivery: &Reload) -> Result<String, HookError> {
        let program = self.program.display();
        let mut child = self.command(delivery).spawn().map_err(|error| {
            let message = format!("{program} cannot be run: {error}: name a program that may be executed");
            HookError::new(message, Retry::Backoff)
        })?;
        // Whatever ends this future before the program has ended, nobody of its group survives it.
        let mut group = Group::of(&child);
        let (said, mut listeners) = (Said::default(), JoinSet::new());
        child.stdout.take().map(|pipe| listeners.spawn(said.clone().listen(pipe)));
        child.stderr.take().map(|pipe| listeners.spawn(said.clone().listen(pipe)));
        let ended = timeout(self.time_limit, child.wait()).await;
        if ended.is_ok() {
            group.let_go();
            // What it left running may hold the pipe for ever.
            let _ = timeout(LAST_WORDS, async { while listeners.join_next().await.is_some() {} }).await;
        }
        drop(group);
        match ended {
            Ok(Ok(status)) if status.success() => Ok(said.text()),
            Ok(Ok(status)) => {
                let said = Some(said.text()).filter(|said| !said.is_empty());
                let said = said.unwrap_or_else(|| "it said nothing".to_owned());
                Err(HookError::new(format!("{program} failed ({status}): {said}"), Retry::Backoff))
            }
            Ok(Err(error)) => {
                let message = format!("{program} cannot be waited for: {error}");
                Err(HookError::new(message, Retry::Backoff))
            }
            Err(_) => {
                let limit = self.time_limit;
                let message = format!(
                    "{program} was not done after {limit:?} and was killed: see what it waits for, or allow it more time"
                );
                Err(HookError::new(message, Retry::Backoff))
            }
        }
    }

    fn takes_up_all(&self) -> bool {
        self.for_all
    }
}

/// The process group of a program that has not ended, which ends with this value.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        Self { leader: leader.and_then(rustix::process::Pid::from_raw) }
    }

    /// The program has ended: its number may be another's soon, and what it left running is meant to run.
    #[cfg(unix)]
    const fn let_go(&mut self) {
        self.leader = None;
    }

    #[cfg(not(unix))]
    const fn of(_: &Child) -> Self {
        Self {}
    }

    #[cfg(not(unix))]
    const fn let_go(&mut self) {}
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // A group that is gone already is what is wanted.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

const TIME_LIMIT: Duration = Duration::from_secs(30);
const LAST_WORDS: Duration = Duration::from_millis(200);
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::made;
    use std::path::Path;

    fn delivery(place: &Path) -> Reload {
        let facts = made().certified().facts().clone();
        Reload::new("site".parse().unwrap(), "web".parse().unwrap(), Some(place.to_owned()), facts)
    }

    fn shell(script: &str) -> CommandHook {
        CommandHook::new("sh").arguments(["-c", script])
    }

    #[tokio::test]
    async fn a_program_is_told_of_the_certificate_and_of_none_of_our_secrets() {
        let hook = shell("echo \"$1\"").arguments(["name", "$(id); `id`"]);
        assert_eq!(hook.reload(&delivery(Path::new("/srv/site"))).await.unwrap(), "$(id); `id`");
        let hook = shell(
            "echo $PERENNIAL_CERTIFICATE $PERENNIAL_DIRECTORY $PERENNIAL_SINK $RENEWED_LINEAGE \
             $RENEWED_DOMAINS $MINE ${#PERENNIAL_FINGERPRINT} [$CARGO_MANIFEST_DIR]",
        )
        .environment("MINE", "1");
        let said = hook.reload(&delivery(Path::new("/srv/site"))).await.unwrap();
        assert_eq!(said, "site /srv/site web /srv/site site.example 1 64 []");
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    }

    #[tokio::test]
    async fn a_program_that_fails_is_heard_to_its_end_without_what_it_would_do_to_a_terminal() {
        let hook =
            shell("head -c 100000 /dev/zero | tr '\\0' x; printf '\\033[31mno such server\\n' >&2; exit 3");
        let error = hook.reload(&delivery(Path::new("/srv/site"))).await.unwrap_err();
        assert!(error.message.starts_with("sh failed (exit status: 3): "), "{error}");
        assert!(
            error.message.ends_with("[31mno such server") && !error.message.contains('\u{1b}'),
            "{error}"
        );
        assert!(error.message.len() < 400, "{}", error.message.len());
        let missing = CommandHook::new("/no/such/program");
        let error = missing.reload(&delivery(Path::new("/srv/site"))).await.unwrap_err();
        assert!(error.message.starts_with("/no/such/program cannot be run: "), "{error}");
    }

    /// Whether a process is there and runs: a zombie does not.
    fn lives(id: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
        stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_all_that_it_has_started() {
        let directory = tempfile::tempdir().unwrap();
        let script = "sleep 600 & echo $! > \"$PERENNIAL_DIRECTORY/child\"; wait";
        let hook = shell(script).time_limit(Duration::from_millis(500));
        let delivery = delivery(directory.path());
        let ended = timeout(Duration::from_secs(8), hook.reload(&delivery)).await;
        let error = ended.expect("it is not waited for").unwrap_err();
        assert!(error.message.starts_with("sh was not done after 500ms and was killed"), "{error}");
        let child = std::fs::read_to_string(directory.path().join("child")).unwrap();
        for _ in 0..200 {
            if !lives(child.trim()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {child} lives on");
    }

    #[test]
    fn one_run_is_for_all_where_that_is_said() {
        assert!(!shell("true").takes_up_all() && shell("true").once_for_all().takes_up_all());
    }

    #[tokio::test]
    async fn a_daemon_that_a_program_leaves_behind_is_not_waited_for() {
        let (hook, delivery) = (shell("sleep 9 & echo started"), delivery(Path::new("/srv")));
        let ended = timeout(Duration::from_secs(8), hook.reload(&delivery)).await;
        assert_eq!(ended.expect("it is not waited for").unwrap(), "started");
    }
}
