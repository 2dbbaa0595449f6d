//! More networks of one's own, beside the one that this process runs in (network_namespaces(7)).

use std::{fs::File, os::fd::AsFd, path::PathBuf, process::Command};

use perennial_testkit::{
    ChildGuard,
    real::{Components, Tool},
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::shell;

/// A network namespace with nothing in it but the loopback interface. It lasts as long as the value does.
pub(super) struct Namespace {
    /// A process that does nothing but be there: a namespace without any is gone.
    holder: ChildGuard,
    _directory: TempDir,
}

impl Namespace {
    pub(super) async fn new() -> Result<Self, String> {
        let directory = text(TempDir::with_prefix("perennial-judge-"))?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sleep", "infinity"]);
        let mut holder = text(ChildGuard::spawn(command, directory.path().join("log")))?;
        let (own, theirs) = (PathBuf::from("/proc/self/ns/net"), link(holder.pid()));
        let separate = || {
            let both = [&own, &theirs].map(|path| std::fs::read_link(path).ok());
            async move { both[1].is_some() && both[0] != both[1] }
        };
        text(holder.wait_until_ready(std::time::Duration::from_secs(10), separate).await)?;
        let namespace = Self { holder, _directory: directory };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The process whose network it is: `ip link … netns PID`.
    pub(super) fn pid(&self) -> u32 {
        self.holder.pid()
    }

    /// Does something there: what it starts and what it opens belongs to that network from then on.
    pub(super) fn within<T: Send>(
        &self,
        story: impl FnOnce() -> Result<T, String> + Send,
    ) -> Result<T, String> {
        let there = text(File::open(link(self.pid())))?;
        std::thread::scope(|scope| {
            // A thread of its own, for a thread is what moves.
            let thread = scope.spawn(|| {
                text(move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)))?;
                story()
            });
            thread.join().unwrap_or_else(|_| Err("the thread in the other network has panicked".to_owned()))
        })
    }

    /// The same for what waits.
    pub(super) fn block_on<T: Send>(
        &self,
        story: impl AsyncFnOnce() -> Result<T, String> + Send,
    ) -> Result<T, String> {
        self.within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            text(runtime)?.block_on(story())
        })
    }

    /// `ip`, as one would type it there.
    pub(super) fn ip(&self, words: &str) -> Result<(), String> {
        self.within(|| ip(words))
    }

    /// Lets packets pass from one interface to another.
    pub(super) fn forward(&self) -> Result<(), String> {
        self.within(|| {
            text(std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?;
            text(std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1"))
        })
    }
}

/// `ip`, as one would type it here.
pub(super) fn ip(words: &str) -> Result<(), String> {
    let components = Components::locate();
    let mut command = text(components.find(Tool::Ip))?.command();
    command.args(words.split(' '));
    text(shell::read(command)).map(drop)
}

fn link(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
