//! The loop around the [`Engine`]: sends what it asks for, hands in what comes back.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use futures_util::{
    future::{BoxFuture, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use perennial_core::Retry;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{self, Instant},
};

use super::{
    Shared,
    calls::{Begin, Command, Group, Hears, Update},
    locator::Sighting,
};
use crate::{
    Error,
    transport::{Reply, TransportError},
    watch::{
        Engine, Locate, Outcome, StageId, Sweep,
        engine::{Event, Question, Ticket, WatchId},
    },
};

/// All watches of one runtime.
pub(super) struct Drive {
    shared: Arc<Shared>,
    engine: Engine,
    start: Instant,
    callers: HashMap<WatchId, Caller>,
    groups: HashMap<Group, HashSet<WatchId>>,
    /// Zones that are still to be looked for.
    places: VecDeque<(WatchId, Locate)>,
    locating: FuturesUnordered<BoxFuture<'static, Found>>,
    /// Questions that were sent together, until the last is answered.
    batches: FuturesUnordered<BoxFuture<'static, ()>>,
    asking: usize,
    answers: UnboundedReceiver<Landed>,
    land: UnboundedSender<Landed>,
}

/// Who waits for a watch.
struct Caller {
    group: Group,
    index: usize,
    hears: Hears,
    sweep: Sweep,
    updates: UnboundedSender<(usize, Update)>,
}

/// An answer, or why there is none.
type Landed = (Ticket, Result<Reply, TransportError>);

/// What was found for whom.
type Found = (WatchId, StageId, Result<Sighting, Error>);

/// The most questions under way at once, to all servers together.
const MOST_QUESTIONS: usize = 4096;
/// The most zones that are looked for at once: resolvers are shared with others.
const MOST_PLACES: usize = 256;
/// How much is taken in before the engine is asked what follows from it.
const MOST_AT_ONCE: usize = 256;

impl Drive {
    /// Begins with a first caller's watches.
    pub(super) fn new(shared: Arc<Shared>, first: Begin) -> Self {
        let (land, answers) = unbounded_channel();
        let mut drive = Self {
            shared,
            engine: Engine::new(rand::random()),
            start: Instant::now(),
            callers: HashMap::new(),
            groups: HashMap::new(),
            places: VecDeque::new(),
            locating: FuturesUnordered::new(),
            batches: FuturesUnordered::new(),
            asking: 0,
            answers,
            land,
        };
        drive.begin(first);
        drive
    }

    /// Drives until there is nothing to watch.
    pub(super) async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        let mut answers = Vec::new();
        loop {
            self.take_all(&mut commands, &mut answers);
            self.do_what_is_due();
            if self.engine.is_idle() {
                match self.shared.drivers.retire(&mut commands) {
                    Some(command) => self.obey(command),
                    None => return,
                }
                continue;
            }
            let Some(timeout) = self.engine.poll_timeout() else { continue };
            tokio::select! {
                Some(command) = commands.recv() => self.obey(command),
                Some(found) = self.locating.next() => self.take(found),
                Some(()) = self.batches.next() => {}
                _ = self.answers.recv_many(&mut answers, MOST_AT_ONCE) => {}
                () = time::sleep_until(self.start + timeout) => self.engine.handle_timeout(self.start.elapsed()),
            }
        }
    }

    /// Takes what came together together, so that those who ask the same ask once.
    fn take_all(&mut self, commands: &mut UnboundedReceiver<Command>, answers: &mut Vec<Landed>) {
        for _ in 0..MOST_AT_ONCE {
            match commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(_) => break,
            }
        }
        for _ in 0..MOST_AT_ONCE {
            match self.locating.next().now_or_never().flatten() {
                Some(found) => self.take(found),
                None => break,
            }
        }
        let now = self.start.elapsed();
        for (ticket, answer) in answers.drain(..) {
            self.asking -= 1;
            self.engine.handle_answer(now, ticket, &answer);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Begin(begin) => self.begin(begin),
            Command::Stop(group) => {
                for id in self.groups.remove(&group).unwrap_or_default() {
                    self.callers.remove(&id);
                    self.engine.remove(id);
                }
            }
        }
    }

    fn begin(&mut self, begin: Begin) {
        let Begin { group, wanted, settings, hears, updates } = begin;
        let now = self.start.elapsed();
        for (index, wanted) in wanted.into_iter().enumerate() {
            if wanted.values().is_empty() {
                let nothing = Error::NothingWanted { name: wanted.name().clone() };
                let _ = updates.send((index, Update::Done(Err(nothing))));
                continue;
            }
            let id = self.engine.add(now, wanted, settings);
            let caller = Caller { group, index, hears, sweep: settings.sweep, updates: updates.clone() };
            self.callers.insert(id, caller);
            self.groups.entry(group).or_default().insert(id);
        }
    }

    /// Tells, looks for and sends what the engine wants told, looked for and sent.
    fn do_what_is_due(&mut self) {
        loop {
            while let Some(event) = self.engine.poll_event() {
                match event {
                    Event::Changed(id) => self.tell(id),
                    Event::Done(id, outcome) => {
                        self.shared.locator.learn_from(outcome.report());
                        self.end(id, Ok(outcome));
                    }
                    Event::Locate(id, locate) => self.places.push_back((id, locate)),
                }
            }
            while self.locating.len() < MOST_PLACES
                && let Some((id, locate)) = self.places.pop_front()
            {
                // The caller may have gone while the place stood in the queue.
                if self.callers.contains_key(&id) {
                    let Locate { stage, place, freshness } = locate;
                    let asking = self.shared.policy.asking();
                    let found = self.shared.locator.locate(&place, freshness, asking);
                    self.locating.push(found.map(move |found| (id, stage, found)).boxed());
                }
            }
            self.ask();
            // Questions that need not be sent are answered at once.
            if !self.engine.has_events() {
                return;
            }
        }
    }

    /// Sends what there is to send, all at once.
    fn ask(&mut self) {
        let (mut tickets, mut questions) = (Vec::new(), Vec::new());
        while self.asking < MOST_QUESTIONS
            && let Some(Question { ticket, endpoint, query }) = self.engine.poll_question()
        {
            self.asking += 1;
            tickets.push(Some(ticket));
            questions.push((endpoint, query));
        }
        if questions.is_empty() {
            return;
        }
        let (shared, land) = (self.shared.clone(), self.land.clone());
        let batch = async move {
            let mut landed = |index: usize, answer| {
                if let Some(ticket) = tickets.get_mut(index).and_then(Option::take) {
                    let _ = land.send((ticket, answer));
                }
            };
            shared.exchange.exchange_all(&questions, &mut landed).await;
            // An exchange that forgets a question does not leave anybody waiting.
            for ticket in tickets.into_iter().flatten() {
                let _ = land.send((ticket, Err(TransportError::Timeout)));
            }
        };
        self.batches.push(batch.boxed());
    }

    fn tell(&self, id: WatchId) {
        let Some(caller) = self.callers.get(&id).filter(|caller| caller.hears == Hears::Changes) else {
            return;
        };
        if let Some(report) = self.engine.report(id) {
            let _ = caller.updates.send((caller.index, Update::Changed(Box::new(report))));
        }
    }

    fn end(&mut self, id: WatchId, outcome: Result<Outcome, Error>) {
        let Some(caller) = self.callers.remove(&id) else { return };
        if let Some(group) = self.groups.get_mut(&caller.group) {
            group.remove(&id);
            if group.is_empty() {
                self.groups.remove(&caller.group);
            }
        }
        // A caller that is gone has its Stop under way.
        let _ = caller.updates.send((caller.index, Update::Done(outcome)));
    }

    fn take(&mut self, (id, stage, found): Found) {
        let now = self.start.elapsed();
        match found {
            Ok(Sighting { located, rest }) => {
                self.engine.handle_located(now, id, stage, Ok(located));
                if let Some(rest) = rest {
                    let last = rest.map(move |located| {
                        (id, stage, located.map(|located| Sighting { located, rest: None }))
                    });
                    self.locating.push(last.boxed());
                }
            }
            Err(error) => {
                if self.is_final(id, &error) {
                    self.engine.remove(id);
                    self.end(id, Err(error));
                } else {
                    self.engine.handle_located(now, id, stage, Err(error.to_string()));
                }
            }
        }
    }

    /// Whether a zone that was not found ends it all: always for a single check, unless aliases led us there;
    /// in a watch only when no time can help.
    fn is_final(&self, id: WatchId, error: &Error) -> bool {
        let once = self.callers.get(&id).is_some_and(|caller| caller.sweep == Sweep::Once);
        self.engine.is_at_first_stage(id) && (once || error.retry() == Retry::Never)
    }
}
