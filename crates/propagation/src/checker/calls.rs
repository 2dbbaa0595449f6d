//! Between a caller and the task that drives its watches.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    runtime::{self, Handle},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, error::SendError, unbounded_channel},
};

use super::{Shared, drive::Drive};
use crate::{
    Error, Report, Wanted,
    watch::{Outcome, Settings},
};

/// The tasks that drive watches: one a runtime that has any.
#[derive(Default)]
pub(super) struct Drivers(Mutex<Running>);

#[derive(Default)]
struct Running {
    next_group: u64,
    /// A task lives and dies with its runtime, and a runtime that nobody runs at the moment runs no task.
    tasks: Vec<(runtime::Id, UnboundedSender<Command>)>,
}

/// What a driver is told.
pub(super) enum Command {
    Begin(Begin),
    /// The caller is gone.
    Stop(Group),
}

/// Names to watch on behalf of one caller.
pub(super) struct Begin {
    pub(super) group: Group,
    pub(super) wanted: Vec<Wanted>,
    pub(super) settings: Settings,
    pub(super) hears: Hears,
    pub(super) updates: UnboundedSender<(usize, Update)>,
}

/// What a caller wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hears {
    /// Every change; each costs a report.
    Changes,
    /// How each watch ends.
    End,
}

/// One caller's watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group(u64);

/// What a caller hears of one of its watches.
pub(super) enum Update {
    Changed(Box<Report>),
    Done(Result<Outcome, Error>),
}

/// A caller's end. Dropping it ends its watches.
pub(super) struct Calls {
    group: Group,
    commands: UnboundedSender<Command>,
    updates: UnboundedReceiver<(usize, Update)>,
}

impl Drivers {
    /// Has names watched, by the task of this runtime.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        wanted: Vec<Wanted>,
        settings: Settings,
        hears: Hears,
    ) -> Calls {
        let runtime = Handle::current();
        let (sender, updates) = unbounded_channel();
        let mut running = shared.drivers.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.next_group += 1;
        let group = Group(running.next_group);
        let mut begin = Begin { group, wanted, settings, hears, updates: sender };
        running.tasks.retain(|(_, commands)| !commands.is_closed());
        let known = running.tasks.iter().find(|(id, _)| *id == runtime.id());
        if let Some((_, commands)) = known {
            match commands.send(Command::Begin(begin)) {
                Ok(()) => return Calls { group, commands: commands.clone(), updates },
                // It has just died.
                Err(SendError(Command::Begin(unsent))) => begin = unsent,
                Err(SendError(Command::Stop(_))) => unreachable!("what comes back is what was sent"),
            }
        }
        let (commands, receiver) = unbounded_channel();
        running.tasks.push((runtime.id(), commands.clone()));
        runtime.spawn(Drive::new(shared.clone(), begin).run(receiver));
        Calls { group, commands, updates }
    }

    /// The next command for a driver that has nothing to do; `None`, and no more commands, when there is none.
    pub(super) fn retire(&self, commands: &mut UnboundedReceiver<Command>) -> Option<Command> {
        // Under the lock nobody can give a driver work that is just about to go.
        let _running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = commands.try_recv().ok();
        if next.is_none() {
            commands.close();
        }
        next
    }
}

impl Calls {
    /// What is heard next, and of which of the names.
    ///
    /// # Panics
    /// When the driver's task did.
    pub(super) async fn next(&mut self) -> (usize, Update) {
        // The driver lets go of a caller only when it has told it about the end of each watch.
        let update = self.updates.recv().await;
        update.unwrap_or_else(|| panic!("the exchange that carries the questions has panicked"))
    }

    /// How the one watch of this caller ends.
    pub(super) async fn outcome(
        &mut self,
        on_report: &mut (dyn FnMut(&Report) + Send),
    ) -> Result<Outcome, Error> {
        loop {
            match self.next().await {
                (_, Update::Changed(report)) => on_report(&report),
                (_, Update::Done(outcome)) => return outcome,
            }
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // A driver that is gone has nothing to stop.
        let _ = self.commands.send(Command::Stop(self.group));
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("group", &self.group).finish_non_exhaustive()
    }
}
