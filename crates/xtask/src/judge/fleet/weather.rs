//! What happens to the fleet: processes are killed and stopped, and the database is restarted.

use std::{collections::VecDeque, process::Command, time::Duration};

use perennial_testkit::{ChildGuard, real::Postgres};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};

use super::text;
use crate::simulate::random::Random;

/// The processes, each with what it has printed.
pub(super) struct Fleet {
    command: Box<dyn Fn(usize) -> Command>,
    workers: Vec<Worker>,
    logs: TempDir,
    started: usize,
    random: Random,
    pub(super) killed: usize,
    pub(super) stopped: usize,
}

struct Worker {
    process: ChildGuard,
    /// Until when it does not run.
    stopped_until: Option<Instant>,
}

impl Fleet {
    /// Starts so many processes; each is told its number.
    pub(super) fn start(
        count: usize,
        seed: u64,
        command: impl Fn(usize) -> Command + 'static,
    ) -> Result<Self, String> {
        let (logs, random) = (text(tempfile::tempdir())?, Random::new(seed, 0));
        let command = Box::new(command);
        let mut fleet =
            Self { command, workers: Vec::new(), logs, started: 0, random, killed: 0, stopped: 0 };
        for _ in 0..count {
            let worker = fleet.spawn()?;
            fleet.workers.push(worker);
        }
        Ok(fleet)
    }

    fn spawn(&mut self) -> Result<Worker, String> {
        let log = self.logs.path().join(self.started.to_string());
        let process = text(ChildGuard::spawn((self.command)(self.started), log))?;
        self.started += 1;
        Ok(Worker { process, stopped_until: None })
    }

    /// Lets those go on whose time at rest is over.
    pub(super) fn look_after(&mut self, now: Instant) -> Result<(), String> {
        for worker in &mut self.workers {
            if worker.stopped_until.is_some_and(|until| until <= now) {
                worker.stopped_until = None;
                worker.signal(Signal::CONT)?;
            }
            if let Some(status) = worker.process.exited() {
                return Err(format!("a process ended by itself: {status}: {}", worker.process.log_tail()));
            }
        }
        Ok(())
    }

    /// Lets one thing happen to one process, as the seed has it: it is killed and replaced, or stopped for
    /// longer than its claims last.
    pub(super) fn strike(&mut self, lease: Duration, now: Instant) -> Result<(), String> {
        let which = usize::try_from(self.random.next()).unwrap_or(0) % self.workers.len().max(1);
        let kill = self.random.per_mille(500);
        let longer = Duration::from_millis(self.random.next() % 2_000);
        let at_rest = self.workers.iter().filter(|worker| worker.stopped_until.is_some()).count();
        let Some(worker) = self.workers.get_mut(which) else { return Ok(()) };
        if kill {
            worker.signal(Signal::KILL)?;
            self.killed += 1;
            let next = self.spawn()?;
            if let Some(worker) = self.workers.get_mut(which) {
                *worker = next;
            }
        } else if worker.stopped_until.is_none() && at_rest < MOST_STOPPED {
            worker.signal(Signal::STOP)?;
            // A second more: leases end at whole seconds.
            worker.stopped_until = Some(now + lease + Duration::from_secs(1) + longer);
            self.stopped += 1;
        }
        Ok(())
    }

    /// Lets all go on that were stopped.
    pub(super) fn calm(&mut self) -> Result<(), String> {
        let mut stopped =
            self.workers.iter_mut().filter_map(|worker| worker.stopped_until.take().map(|_| worker));
        stopped.try_for_each(|worker| worker.signal(Signal::CONT))
    }

    /// The lines that begin with a word, of all processes that there ever were.
    pub(super) fn said(&self, word: &str) -> Result<usize, String> {
        let mut lines = 0;
        for number in 0..self.started {
            let log = text(std::fs::read(self.logs.path().join(number.to_string())))?;
            lines += String::from_utf8_lossy(&log).lines().filter(|line| line.starts_with(word)).count();
        }
        Ok(lines)
    }
}

/// How many processes may be at rest at once: somebody has to take over from them.
const MOST_STOPPED: usize = 2;

impl Worker {
    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = i32::try_from(self.process.pid()).ok().and_then(Pid::from_raw);
        text(kill_process(pid.ok_or("a process without a number")?, signal))
    }
}

/// A server that is restarted at moments in between: as for an update, and as after a crash.
pub(super) struct Restarts {
    /// When so many certificates are done.
    due: VecDeque<(usize, Manner)>,
    pub(super) done: Vec<&'static str>,
}

/// How often it is restarted.
pub(super) const RESTARTS: usize = 4;

enum Manner {
    Crash,
    Stop,
}

impl Restarts {
    pub(super) fn of(certificates: usize) -> Self {
        let due = [(1, Manner::Stop), (2, Manner::Crash), (3, Manner::Stop), (4, Manner::Crash)];
        let due = due.into_iter().map(|(fifths, manner)| (certificates * fifths / 5, manner)).collect();
        Self { due, done: Vec::new() }
    }

    pub(super) async fn strike(&mut self, server: &mut Postgres, done: usize) -> Result<(), String> {
        if self.due.front().is_none_or(|(at, _)| done < *at) {
            return Ok(());
        }
        let Some((_, manner)) = self.due.pop_front() else { return Ok(()) };
        match manner {
            Manner::Stop => text(server.stop().await)?,
            Manner::Crash => text(server.crash().await)?,
        }
        // Long enough that everybody who writes notices.
        sleep_until(Instant::now() + Duration::from_millis(300)).await;
        text(server.start().await)?;
        self.done.push(match manner {
            Manner::Stop => "stopped",
            Manner::Crash => "crashed",
        });
        Ok(())
    }
}
