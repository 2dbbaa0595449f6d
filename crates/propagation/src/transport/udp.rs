//! DNS over UDP: the callers' side of the one engine and its one task.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime,
    sync::{Notify, mpsc, oneshot},
    time::{self, Instant},
};

use super::{
    Counters, TransportError,
    driver::drive,
    engine::{Engine, Key, Outcome, Settings},
};
use crate::wire::Query;

/// Asks over UDP. Clones share servers' state and sockets.
#[derive(Clone)]
pub(super) struct Udp(Arc<Handle>);

/// The callers' hold on the task: when the last one lets go, it ends.
struct Handle(Arc<Shared>);

/// What callers and the task share. The lock is never held across a wait or a system call.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Tells the task that there is something to send.
    pub(super) wake: Notify,
    pub(super) start: Instant,
}

struct State {
    engine: Engine<Token>,
    driver: Option<Driver>,
    /// How many there have been.
    drivers: u64,
    /// How often the task has come round.
    turns: u64,
    closed: bool,
}

/// The task that serves the sockets, and where it lives.
#[derive(Clone, Copy)]
struct Driver {
    number: u64,
    runtime: runtime::Id,
}

/// Whom to tell how a question ended; `None` when the task has ended first.
pub(super) enum Token {
    /// One of many, by its place among them.
    Many { index: usize, landed: mpsc::UnboundedSender<(usize, Option<Outcome>)> },
    /// The only one.
    One(oneshot::Sender<Option<Outcome>>),
}

impl Token {
    pub(super) fn land(self, outcome: Option<Outcome>) {
        // Nobody there to listen: the caller has lost interest.
        match self {
            Self::Many { index, landed } => drop(landed.send((index, outcome))),
            Self::One(landed) => drop(landed.send(outcome)),
        }
    }
}

impl Udp {
    pub(super) fn new(settings: Settings) -> Self {
        let engine = Engine::new(settings, rand::random(), rand::random());
        let state = State { engine, driver: None, drivers: 0, turns: 0, closed: false };
        let shared = Shared { state: Mutex::new(state), wake: Notify::new(), start: Instant::now() };
        Self(Arc::new(Handle(Arc::new(shared))))
    }

    pub(super) fn counters(&self) -> Counters {
        self.shared().with(|engine, _| engine.counters())
    }

    /// Asks one question.
    pub(super) async fn exchange(&self, server: SocketAddr, query: &Query) -> Outcome {
        for _ in 0..RESTARTS {
            let (token, mut landed) = oneshot::channel();
            let mut asked = Asked { shared: self.shared(), keys: Vec::with_capacity(1) };
            asked.ask(std::iter::once((server, query.clone(), Token::One(token))));
            loop {
                let turns = self.shared().lock().turns;
                match time::timeout(STALL, &mut landed).await {
                    Ok(Ok(Some(outcome))) => return outcome,
                    Ok(_) => break,
                    Err(_elapsed) => self.shared().replace_stalled(turns),
                }
            }
        }
        Outcome::Failed(ended())
    }

    /// Asks many questions; the results come from [`Many::next`].
    pub(super) fn ask_many<'a>(&'a self, questions: Vec<(usize, SocketAddr, &'a Query)>) -> Many<'a> {
        let (sender, landed) = mpsc::unbounded_channel();
        let keys = Vec::with_capacity(questions.len());
        let asked = Asked { shared: self.shared(), keys };
        Many { questions, asked, sender, landed, next: 0, open: 0, restarts: 0, batch: Vec::new() }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.wake.notify_one();
    }
}

/// Many questions of one caller.
pub(super) struct Many<'a> {
    questions: Vec<(usize, SocketAddr, &'a Query)>,
    asked: Asked<'a>,
    sender: mpsc::UnboundedSender<(usize, Option<Outcome>)>,
    landed: mpsc::UnboundedReceiver<(usize, Option<Outcome>)>,
    /// The first that was not asked yet.
    next: usize,
    /// Asked and not landed.
    open: usize,
    restarts: usize,
    batch: Vec<(usize, Option<Outcome>)>,
}

impl Many<'_> {
    /// Adds the next results: each question's index, and how it ended. Whether there were any left. May be
    /// dropped and called again.
    pub(super) async fn next(&mut self, results: &mut Vec<(usize, Outcome)>) -> bool {
        if self.open < MOST_ASKED / 2 {
            let more = (self.questions.len() - self.next).min(MOST_ASKED - self.open);
            self.ask(self.next..self.next + more);
            (self.next, self.open) = (self.next + more, self.open + more);
        }
        if self.open == 0 {
            return false;
        }
        let turns = self.asked.shared.lock().turns;
        if time::timeout(STALL, self.landed.recv_many(&mut self.batch, BATCH)).await.is_err() {
            self.asked.shared.replace_stalled(turns);
        }
        for (place, outcome) in std::mem::take(&mut self.batch) {
            let Some((index, ..)) = self.questions.get(place) else { continue };
            let outcome = match outcome {
                None if self.restarts < self.questions.len() * RESTARTS => {
                    self.restarts += 1;
                    self.ask(place..place + 1);
                    continue;
                }
                outcome => outcome.unwrap_or_else(|| Outcome::Failed(ended())),
            };
            self.open -= 1;
            results.push((*index, outcome));
        }
        true
    }

    fn ask(&mut self, places: std::ops::Range<usize>) {
        let (questions, sender) = (&self.questions, &self.sender);
        self.asked.ask(places.filter_map(|index| {
            let (_, server, query) = questions.get(index)?;
            Some((*server, (*query).clone(), Token::Many { index, landed: sender.clone() }))
        }));
    }
}

/// Questions that are cancelled when their caller is dropped.
struct Asked<'a> {
    shared: &'a Arc<Shared>,
    keys: Vec<Key>,
}

impl Asked<'_> {
    fn ask(&mut self, questions: impl Iterator<Item = (SocketAddr, Query, Token)>) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        for (server, query, token) in questions {
            self.keys.push(state.engine.ask(now, server, query, token));
        }
        let here = runtime::Handle::current();
        // A task in a runtime that nobody runs any more serves nobody.
        let elsewhere = state.driver.is_some_and(|driver| driver.runtime != here.id());
        let alone = |state: &State| {
            state.engine.len() <= self.keys.iter().filter(|key| state.engine.waits(**key)).count()
        };
        if state.driver.is_none() || (elsewhere && alone(&state)) {
            self.shared.start_driver(&mut state, &here);
        }
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let mut any = false;
        for key in &self.keys {
            any |= state.engine.cancel(*key);
        }
        drop(state);
        // There is room for others' questions now.
        if any {
            self.shared.wake.notify_one();
        }
    }
}

impl Shared {
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Engine<Token>, Duration) -> R) -> R {
        let now = self.now();
        act(&mut self.lock().engine, now)
    }

    /// Counts a turn of the task. Whether it is still the one.
    pub(super) fn turn(&self, number: u64) -> bool {
        let mut state = self.lock();
        state.turns += 1;
        !state.closed && state.driver.is_some_and(|driver| driver.number == number)
    }

    /// Lets the task end when there is nothing to do.
    pub(super) fn retire(&self, number: u64) -> bool {
        let mut state = self.lock();
        let idle = state.engine.len() == 0 && state.driver.is_some_and(|driver| driver.number == number);
        if idle {
            state.driver = None;
            // What has landed since the task last looked: it is asked anew.
            let tokens = state.engine.abandon();
            drop(state);
            tokens.into_iter().for_each(|token| token.land(None));
        }
        idle
    }

    /// Tells everybody that this task is gone, unless another one has taken over.
    pub(super) fn abandon(&self, number: u64) {
        let mut state = self.lock();
        if state.driver.is_some_and(|driver| driver.number == number) {
            state.driver = None;
            let tokens = state.engine.abandon();
            drop(state);
            tokens.into_iter().for_each(|token| token.land(None));
        }
    }

    /// Starts another task when the present one has not come round for long: its runtime stands still.
    fn replace_stalled(self: &Arc<Self>, turns: u64) {
        let mut state = self.lock();
        if state.turns == turns {
            self.start_driver(&mut state, &runtime::Handle::current());
            drop(state);
            self.wake.notify_one();
        }
    }

    fn start_driver(self: &Arc<Self>, state: &mut State, here: &runtime::Handle) {
        state.drivers += 1;
        state.turns += 1;
        state.driver = Some(Driver { number: state.drivers, runtime: here.id() });
        here.spawn(drive(Arc::clone(self), state.drivers));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The engine does not panic; if it did, its state would be no worse than a lost datagram.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended() -> TransportError {
    TransportError::Io { reason: "the runtime that served the sockets has ended, again and again".to_owned() }
}

/// How often a question is asked anew because the task that served it has ended.
const RESTARTS: usize = 3;
/// While a question waits, the task comes round every two seconds at least.
const STALL: Duration = Duration::from_secs(5);
/// Questions of one caller that the engine holds at a time: enough to keep every server busy.
const MOST_ASKED: usize = 4096;
/// Results that are taken at a time.
const BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RecordType;

    fn udp() -> Udp {
        Udp::new(Settings { sockets: 1, in_flight: 1, repeats: 5, case: true, cookies: true })
    }

    fn question(server: SocketAddr) -> (SocketAddr, Query, Token) {
        let query = Query::authoritative("a.example".parse().unwrap(), RecordType::Txt);
        (server, query, Token::One(oneshot::channel().0))
    }

    fn nobody_asked(udp: &Udp) -> Asked<'_> {
        Asked { shared: udp.shared(), keys: Vec::new() }
    }

    #[test]
    fn the_task_moves_only_to_who_alone_waits() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let build = || runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (here, there) = (build(), build());
        let udp = udp();
        let (mut one, mut other) = (nobody_asked(&udp), nobody_asked(&udp));
        here.block_on(async { one.ask(std::iter::once(question(address))) });
        there.block_on(async {
            other.ask(std::iter::once(question(address)));
            // It lands, and another one follows: that makes two, of which one waits.
            assert!(udp.shared().lock().engine.cancel(other.keys[0]));
            other.ask(std::iter::once(question(address)));
        });
        assert_eq!(udp.shared().lock().drivers, 1, "somebody waits in the other runtime");
        drop(one);
        there.block_on(async { other.ask(std::iter::once(question(address))) });
        assert_eq!(udp.shared().lock().drivers, 2);
    }

    #[tokio::test]
    async fn a_question_that_is_dropped_wakes_the_task_for_those_behind_it() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let udp = udp();
        let mut first = nobody_asked(&udp);
        first.ask(std::iter::once(question(address)));
        let mut second = nobody_asked(&udp);
        second.ask(std::iter::once(question(address)));
        silent.set_nonblocking(true).unwrap();
        let silent = tokio::net::UdpSocket::from_std(silent).unwrap();
        silent.recv(&mut [0; 512]).await.unwrap();
        drop(first);
        let soon = time::timeout(Duration::from_millis(300), silent.recv(&mut [0; 512])).await;
        assert!(soon.is_ok(), "it waits for a timer of the first");
    }
}
