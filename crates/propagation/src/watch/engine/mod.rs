//! Any number of watches at once, as one machine without I/O.
//!
//! The driver's part is that of a single [`Watch`], with an id for each: take
//! [`poll_event`](Engine::poll_event) and [`poll_question`](Engine::poll_question) until `None`, wait until something
//! arrives or the moment of [`poll_timeout`](Engine::poll_timeout) comes, and hand it in with the matching
//! `handle_…`. `now` is the time since the engine began. Whatever happens costs a step or two in the order of the
//! logarithm of the number of watches; nothing ever looks at them all.
//!
//! What watches share:
//!
//! - **A question** that is still to be sent is sent once, for all who ask it. What a server answers to one
//!   caller about a name is told to the others who wait for the same name there, so that they need not ask.
//!   Only a caller's first look and its confirmation are its own.
//! - **A queue for each address**, so that no server is flooded and no slow one holds up the others. An address
//!   that fails again and again is not waited for by everybody in turn.
//! - **A look-out** where a crowd of names waits for one address of one zone: the name that was asked about last
//!   is asked about on behalf of all, and the others wait until it is there or the zone's serial number has
//!   moved.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use perennial_core::DomainName;

use super::{Event as Happening, Heard, Locate, Located, Outcome, Purpose, Settings, StageId, Watch};
use crate::{
    Report, Wanted,
    transport::{Endpoint, Reply, TransportError},
    wire::{Query, RecordType},
};

mod lane;
use lane::Lane;

mod post;
use post::Post;

#[cfg(test)]
mod tests;

/// Watches over any number of names: see the [module](self).
#[derive(Debug)]
pub struct Engine {
    now: Duration,
    next_id: u64,
    seed: u64,
    watches: HashMap<WatchId, Entry>,
    /// Who watches a name.
    names: HashMap<DomainName, Vec<WatchId>>,
    timers: BTreeSet<(Duration, Alarm)>,
    events: VecDeque<Event>,
    flights: HashMap<Ticket, Flight>,
    /// Those flights that another watch may join.
    open: HashMap<(LaneId, Query), Ticket>,
    lanes: HashMap<LaneId, Lane>,
    lane_ids: HashMap<Endpoint, LaneId>,
    /// Lanes with something to send, in turn.
    ready: VecDeque<LaneId>,
    posts: HashMap<PostId, Post>,
    post_ids: HashMap<(Endpoint, DomainName), PostId>,
}

/// One of an engine's watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(u64);

/// Which question an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// A question to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// To be handed back with the answer.
    pub ticket: Ticket,
    /// Whom to ask.
    pub endpoint: Endpoint,
    /// What.
    pub query: Query,
}

/// What the driver must do or know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Something that the caller may want to see changed: [`report`](Engine::report) tells.
    Changed(WatchId),
    /// A watch is over, and forgotten.
    Done(WatchId, Outcome),
    /// Find out whom to ask, and hand it to [`handle_located`](Engine::handle_located).
    Locate(WatchId, Locate),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct LaneId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PostId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Post(PostId),
    Watch(WatchId),
}

#[derive(Debug)]
struct Entry {
    watch: Watch,
    /// When it began.
    start: Duration,
    alarm: Option<Duration>,
    /// Where it waits, or did.
    posts: Vec<PostId>,
    /// Whether a change is still to be told.
    changed: bool,
}

/// A question, from the moment when somebody wants it asked.
#[derive(Debug)]
struct Flight {
    lane: LaneId,
    query: Query,
    zone: Option<DomainName>,
    sent: bool,
    /// Whether it is asked on behalf of a crowd.
    lookout: bool,
    subscribers: Vec<(WatchId, super::Ticket)>,
}

impl Engine {
    /// An engine without watches. `seed` feeds the jitter of the schedules.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            next_id: 0,
            seed,
            watches: HashMap::new(),
            names: HashMap::new(),
            timers: BTreeSet::new(),
            events: VecDeque::new(),
            flights: HashMap::new(),
            open: HashMap::new(),
            lanes: HashMap::new(),
            lane_ids: HashMap::new(),
            ready: VecDeque::new(),
            posts: HashMap::new(),
            post_ids: HashMap::new(),
        }
    }

    /// Begins a watch; its times count from here.
    pub fn add(&mut self, now: Duration, wanted: Wanted, settings: Settings) -> WatchId {
        self.now = self.now.max(now);
        let number = self.next_number();
        let id = WatchId(number);
        self.names.entry(wanted.name().clone()).or_default().push(id);
        // Each watch needs another variation; that they follow from one another is of no consequence.
        let watch = Watch::new(wanted, settings, self.seed.wrapping_add(number));
        let entry = Entry { watch, start: self.now, alarm: None, posts: Vec::new(), changed: false };
        self.watches.insert(id, entry);
        self.look_at(id);
        id
    }

    /// Forgets a watch that nobody wants any more. Questions that were sent for it may still be answered, and
    /// mean nothing then.
    pub fn remove(&mut self, id: WatchId) {
        let Some(entry) = self.watches.remove(&id) else { return };
        if let Some(at) = entry.alarm {
            self.timers.remove(&(at, Alarm::Watch(id)));
        }
        let name = entry.watch.wanted.name();
        if let Some(watchers) = self.names.get_mut(name) {
            watchers.retain(|watcher| *watcher != id);
            if watchers.is_empty() {
                self.names.remove(name);
            }
        }
        for post in entry.posts {
            self.leave(post, id);
        }
    }

    /// Takes what was found for a [`Locate`], or why nothing was.
    pub fn handle_located(
        &mut self,
        now: Duration,
        id: WatchId,
        stage: StageId,
        located: Result<Located, String>,
    ) {
        self.now = self.now.max(now);
        if let Some(entry) = self.watches.get_mut(&id) {
            entry.watch.handle_located(self.now.saturating_sub(entry.start), stage, located);
            self.look_at(id);
        }
    }

    /// Takes the answer to a question of [`poll_question`](Self::poll_question), or why there is none.
    pub fn handle_answer(&mut self, now: Duration, ticket: Ticket, answer: &Result<Reply, TransportError>) {
        self.now = self.now.max(now);
        self.land(ticket, answer);
    }

    /// Tells that the moment of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while let Some((at, alarm)) = self.timers.first().copied()
            && at <= self.now
        {
            self.timers.remove(&(at, alarm));
            match alarm {
                Alarm::Post(id) => self.turn(id),
                Alarm::Watch(id) => {
                    if let Some(entry) = self.watches.get_mut(&id) {
                        entry.alarm = None;
                        entry.watch.handle_timeout(self.now.saturating_sub(entry.start));
                        self.look_at(id);
                    }
                }
            }
        }
    }

    /// The next question to send. There is none while as many are under way as their servers can be expected to
    /// bear.
    #[must_use]
    pub fn poll_question(&mut self) -> Option<Question> {
        while let Some(id) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.in_turn = false;
            let Some(ticket) = lane.queue.pop_front() else { continue };
            if let Some(error) = lane.trouble(self.now) {
                self.give_turn(id);
                self.fail(ticket, error);
                continue;
            }
            let endpoint = lane.endpoint.clone();
            let Some(flight) = self.flights.get_mut(&ticket) else { continue };
            let wanted =
                flight.lookout || flight.subscribers.iter().any(|(id, _)| self.watches.contains_key(id));
            if wanted {
                flight.sent = true;
                lane.under_way += 1;
                let query = flight.query.clone();
                self.give_turn(id);
                return Some(Question { ticket, endpoint, query });
            }
            self.give_turn(id);
            self.forget(ticket);
            self.close(id);
        }
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest; `None` when there is nothing to watch.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next thing that the driver must do or know.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            let event = self.events.pop_front()?;
            let known = match &event {
                Event::Changed(id) | Event::Locate(id, _) => self.watches.get_mut(id),
                Event::Done(..) => return Some(event),
            };
            // What concerns a watch that has ended since concerns nobody.
            let Some(entry) = known else { continue };
            if matches!(event, Event::Changed(_)) {
                entry.changed = false;
            }
            return Some(event);
        }
    }

    /// How things stand with one watch; `None` when it is over.
    #[must_use]
    pub fn report(&self, id: WatchId) -> Option<Report> {
        self.watches.get(&id).map(|entry| entry.watch.report())
    }

    /// Whether there is nothing to watch.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.watches.is_empty() && self.events.is_empty()
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether no alias or referral has led a watch anywhere yet.
    pub(crate) fn is_at_first_stage(&self, id: WatchId) -> bool {
        self.watches.get(&id).is_some_and(|entry| entry.watch.stages.len() <= 1)
    }

    const fn next_number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes from a watch what it has to say, to ask, and to wait for.
    fn look_at(&mut self, id: WatchId) {
        let Some(entry) = self.watches.get_mut(&id) else { return };
        while let Some(happening) = entry.watch.poll_event() {
            match happening {
                Happening::Changed => {
                    if !std::mem::replace(&mut entry.changed, true) {
                        self.events.push_back(Event::Changed(id));
                    }
                }
                Happening::Done(outcome) => {
                    self.remove(id);
                    self.events.push_back(Event::Done(id, outcome));
                    return;
                }
                Happening::Locate(locate) => self.events.push_back(Event::Locate(id, locate)),
            }
        }
        while let Some(question) = self.watches.get_mut(&id).and_then(|entry| entry.watch.poll_query()) {
            if !self.park(id, &question) {
                self.ask(Some(id), question, false);
            }
        }
        let Some(entry) = self.watches.get_mut(&id) else { return };
        let alarm = entry.watch.poll_timeout().map(|at| at.saturating_add(entry.start));
        if alarm != entry.alarm {
            let old = std::mem::replace(&mut entry.alarm, alarm);
            old.map(|at| self.timers.remove(&(at, Alarm::Watch(id))));
            alarm.map(|at| self.timers.insert((at, Alarm::Watch(id))));
        }
    }

    /// Puts a question in its address's queue, or joins the one that is there.
    fn ask(&mut self, id: Option<WatchId>, question: super::Question, lookout: bool) {
        let super::Question { ticket: place, endpoint, query, purpose, zone } = question;
        let lane = self.lane(endpoint);
        let key = (lane, query);
        let open = self.open.get(&key).copied();
        if let Some(flight) = open.and_then(|ticket| self.flights.get_mut(&ticket)) {
            // A first look and a confirmation must not be older than the wish for them.
            let own = matches!(purpose, Purpose::Confirm | Purpose::First);
            if !(flight.sent && own) {
                flight.lookout |= lookout;
                flight.subscribers.extend(id.map(|id| (id, place)));
                return;
            }
        }
        let ticket = Ticket(self.next_number());
        let subscribers = id.map(|id| (id, place)).into_iter().collect();
        let query = key.1.clone();
        self.open.insert(key, ticket);
        self.flights.insert(ticket, Flight { lane, query, zone, sent: false, lookout, subscribers });
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.queue.push_back(ticket);
        }
        self.give_turn(lane);
    }

    fn lane(&mut self, endpoint: Endpoint) -> LaneId {
        if let Some(id) = self.lane_ids.get(&endpoint) {
            return *id;
        }
        let id = LaneId(self.next_number());
        self.lanes.insert(id, Lane::new(endpoint.clone()));
        self.lane_ids.insert(endpoint, id);
        id
    }

    fn give_turn(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.has_something_to_send()
            && !std::mem::replace(&mut lane.in_turn, true)
        {
            self.ready.push_back(id);
        }
    }

    /// Forgets an address to which there is nothing to send, and nothing under way.
    fn close(&mut self, id: LaneId) {
        if self.lanes.get(&id).is_some_and(Lane::is_empty)
            && let Some(lane) = self.lanes.remove(&id)
        {
            self.lane_ids.remove(&lane.endpoint);
        }
    }

    fn forget(&mut self, ticket: Ticket) -> Option<Flight> {
        let flight = self.flights.remove(&ticket)?;
        let key = (flight.lane, flight.query.clone());
        if self.open.get(&key) == Some(&ticket) {
            self.open.remove(&key);
        }
        Some(flight)
    }

    /// Answers a question with the trouble that its address is in, without sending it.
    fn fail(&mut self, ticket: Ticket, error: TransportError) {
        if let Some(flight) = self.flights.get(&ticket) {
            for (id, place) in &flight.subscribers {
                if let Some(entry) = self.watches.get_mut(id) {
                    entry.watch.hold(*place);
                }
            }
        }
        self.land(ticket, &Err(error));
    }

    fn land(&mut self, ticket: Ticket, answer: &Result<Reply, TransportError>) {
        let Some(flight) = self.forget(ticket) else { return };
        let Some(lane) = self.lanes.get_mut(&flight.lane) else { return };
        if flight.sent {
            lane.landed(self.now, answer);
        }
        let endpoint = lane.endpoint.clone();
        self.give_turn(flight.lane);
        let post = match &flight.zone {
            Some(zone) if !self.post_ids.is_empty() => {
                self.post_ids.get(&(endpoint.clone(), zone.clone())).copied()
            }
            _ => None,
        };
        let mut moved = false;
        for (id, place) in &flight.subscribers {
            let Some(entry) = self.watches.get_mut(id) else { continue };
            let now = self.now.saturating_sub(entry.start);
            if let Some(heard) = entry.watch.hear(now, *place, answer) {
                moved |= heard.moved && !heard.awaited;
                self.heard(*id, heard, post);
            }
        }
        if flight.query.record_type == RecordType::Txt {
            self.tell_others(&flight, &endpoint, answer, post);
        }
        if let Some(post) = post {
            self.report_to(post, answer, flight.lookout, moved);
        }
        self.close(flight.lane);
    }

    /// Lets those who wait for the same name at the same address know.
    fn tell_others(
        &mut self,
        flight: &Flight,
        endpoint: &Endpoint,
        answer: &Result<Reply, TransportError>,
        post: Option<PostId>,
    ) {
        let watchers = self.names.get(&flight.query.name);
        let Some(watchers) = watchers.filter(|watchers| watchers.len() > 1).cloned() else { return };
        for id in watchers {
            let asked = flight.subscribers.iter().any(|(other, _)| *other == id);
            let Some(entry) = self.watches.get_mut(&id).filter(|_| !asked) else { continue };
            let now = self.now.saturating_sub(entry.start);
            if let Some(heard) = entry.watch.overhear(now, &flight.query, endpoint, answer) {
                self.heard(id, heard, post);
            }
        }
    }

    fn heard(&mut self, id: WatchId, heard: Heard, post: Option<PostId>) {
        if let Some(post) = post.filter(|_| !heard.pending) {
            self.leave(post, id);
        }
        self.look_at(id);
    }
}
