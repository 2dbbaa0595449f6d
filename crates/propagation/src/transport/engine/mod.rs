//! Questions over UDP, without the sockets: what to send from where, which answer to believe, when to give up.
//!
//! RFC 1035 §4.2.1 and RFC 5452 §9, with EDNS (RFC 6891), cookies (RFC 7873, RFC 9018) and letters of drawn
//! case (draft-vixie-dnsext-dns0x20). Time, octets and the seed of all randomness come in as values.
//!
//! ```text
//!            ask ──► held? ──► queued ──► in flight ──► landed: an answer, or "over TCP", or a failure
//!                    (pace)    (window)    │  ▲ │
//!                                          │  └─┘ lost once: again, waiting twice as long
//!                                          └► queued: put differently (no EDNS, plain letters, new cookie)
//! ```

use std::{
    collections::{HashSet, VecDeque},
    hash::Hasher as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use siphasher::sip::SipHasher24;
use slab::Slab;

use super::TransportError;
use crate::wire::{Likeness, Parsed, Query, ResponseCode, likeness, parse};

mod flight;
mod pace;
mod question;
mod server;
mod socket;
mod terms;
mod timer;

use flight::End;
use pace::Pace;
use question::{Question, State};
use server::{Credence, Servers};
use socket::Pool;
pub use terms::Counters;
pub(super) use terms::{Event, Outcome, Settings, Transmit};
use timer::Wheel;

/// Everything about questions over UDP but the sockets. `T` is whatever the caller wants back with the result.
pub(super) struct Engine<T> {
    settings: Settings,
    random: StdRng,
    /// Of the client cookies: RFC 9018 §3 wants them unpredictable and different for each server.
    secret: [u8; 16],
    questions: Slab<Question<T>>,
    serial: u32,
    in_flight: usize,
    servers: Servers,
    sockets: Pool,
    timers: Wheel,
    pace: Pace,
    /// Servers that have something to send and perhaps room for it.
    ready: VecDeque<u32>,
    /// Questions to be sent once more.
    again: VecDeque<Key>,
    events: VecDeque<Event<T>>,
    counters: Counters,
    /// Kept for their memory.
    expired: Vec<Key>,
    passed: Vec<Key>,
    scratch: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

/// A question, for as long as it has not landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    index: u32,
    serial: u32,
}

/// A socket, never the same again once it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SocketKey {
    pub(super) family: Family,
    number: u64,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn of(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }
}

impl<T> Engine<T> {
    pub(super) fn new(settings: Settings, seed: [u8; 32], secret: [u8; 16]) -> Self {
        Self {
            settings,
            random: StdRng::from_seed(seed),
            secret,
            questions: Slab::new(),
            serial: 0,
            in_flight: 0,
            servers: Servers::new(),
            sockets: Pool::new(settings.sockets),
            timers: Wheel::new(),
            pace: Pace::new(settings.repeats),
            ready: VecDeque::new(),
            again: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            expired: Vec::new(),
            passed: Vec::new(),
            scratch: Vec::new(),
            spare: Vec::new(),
        }
    }

    pub(super) const fn counters(&self) -> Counters {
        self.counters
    }

    /// How many questions have not landed.
    pub(super) fn len(&self) -> usize {
        self.questions.len()
    }

    /// Takes a question. It lands once, unless it is cancelled or abandoned before.
    pub(super) fn ask(&mut self, now: Duration, server: SocketAddr, query: Query, token: T) -> Key {
        let secret = self.secret;
        let server = self.servers.at(now, server, |address| client_cookie(&secret, now, address));
        self.serial = self.serial.wrapping_add(1);
        let index = self.questions.insert(Question::new(self.serial, token, query, server));
        let key = Key { index: u32::try_from(index).unwrap_or(u32::MAX), serial: self.serial };
        self.admit(now, key);
        key
    }

    /// Forgets a question. Its answer, should it come, is nobody's. Whether it had not landed, so that there is
    /// room now for others.
    pub(super) fn cancel(&mut self, key: Key) -> bool {
        self.remove(key).is_some()
    }

    /// Whether a question has not landed yet.
    pub(super) fn waits(&self, key: Key) -> bool {
        let question = usize::try_from(key.index).ok().and_then(|index| self.questions.get(index));
        question.is_some_and(|question| question.serial == key.serial)
    }

    /// Forgets all questions and sockets, and keeps what was learned of the servers. Gives back the tokens, also
    /// of those that have landed and nobody was told yet.
    pub(super) fn abandon(&mut self) -> Vec<T> {
        let mut tokens: Vec<T> = self.questions.drain().map(|question| question.token).collect();
        tokens.extend(self.events.drain(..).filter_map(|event| match event {
            Event::Landed(token, _) => Some(token),
            Event::Close(_) => None,
        }));
        self.servers.hold();
        self.sockets.clear();
        self.ready.clear();
        self.again.clear();
        self.timers = Wheel::new();
        self.in_flight = 0;
        tokens
    }

    /// Takes a datagram that came to one of the sockets.
    pub(super) fn handle_datagram(
        &mut self,
        now: Duration,
        socket: SocketKey,
        from: SocketAddr,
        octets: &[u8],
    ) {
        let Some(server) = self.servers.find(from) else {
            self.counters.strangers += 1;
            return;
        };
        let id = octets.first_chunk::<2>().map(|id| u16::from_be_bytes(*id));
        let waiting = id.and_then(|id| self.sockets.waiting(socket, id));
        let found =
            waiting.and_then(|index| Some((index, self.questions.get(usize::try_from(index).ok()?)?)));
        let Some((index, question)) = found.filter(|(_, question)| question.server == server) else {
            return self.mismatch(now, server);
        };
        let key = Key { index, serial: question.serial };
        match likeness(octets, &question.octets, question.question) {
            Likeness::Other => self.mismatch(now, server),
            // Whoever guesses id and port must now guess both anew, so there is little to win by lying.
            Likeness::OtherCase if question.dress.case => {
                self.counters.other_case += 1;
                if let Some(server) = self.servers.get(server) {
                    server.folds_case(now);
                }
                self.put_differently(now, key);
            }
            Likeness::OtherCase | Likeness::Same => match parse(octets, Some(&question.query)) {
                Ok(parsed) => self.weigh(now, key, parsed),
                Err(_malformed) => {
                    self.counters.malformed += 1;
                    self.mismatch(now, server);
                }
            },
        }
    }

    /// Gives up waiting for what was due by now. Datagrams that have come before must be handed in before.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        let mut expired = std::mem::take(&mut self.expired);
        self.timers.expire(now, &mut expired);
        for key in expired.drain(..) {
            self.expire(now, key);
        }
        self.expired = expired;
    }

    /// Takes the word of the host at this address that nothing listens at the port to which something was sent
    /// from this socket. It does not say which port.
    pub(super) fn handle_refusal(&mut self, now: Duration, socket: SocketKey, host: IpAddr) {
        let mut addresses = HashSet::new();
        for (_, question) in &self.questions {
            if matches!(question.state, State::InFlight { socket: from, .. } if from == socket)
                && let Some(server) = self.servers.get(question.server)
                && server.address.ip() == host
            {
                addresses.insert(server.address);
            }
        }
        for address in addresses {
            self.handle_unreachable(now, address, &TransportError::Refused);
        }
    }

    /// Takes the system's word that this server cannot be reached.
    pub(super) fn handle_unreachable(&mut self, now: Duration, server: SocketAddr, error: &TransportError) {
        let Some(server) = self.servers.find(server) else { return };
        let mut keys = self.in_flight_at(server, |_| true);
        keys.extend(self.servers.get(server).into_iter().flat_map(|server| server.queue.drain(..)));
        for key in keys {
            // Nothing listens on UDP; TCP is another port, and its refusal is nobody's guess.
            let refused = matches!(error, TransportError::Refused);
            let outcome = if refused { self.over_tcp(now, key) } else { Outcome::Failed(error.clone()) };
            self.land(key, outcome);
        }
    }

    /// Takes the system's word that this socket cannot be had. Its questions leave from another one, if there is
    /// any of this family.
    pub(super) fn handle_socket_failure(&mut self, now: Duration, socket: SocketKey, error: &TransportError) {
        for index in self.sockets.remove(now, socket) {
            let question = usize::try_from(index).ok().and_then(|index| self.questions.get_mut(index));
            let Some(question) = question else { continue };
            question.tries = 0;
            let key = Key { index, serial: question.serial };
            if self.sockets.serves(socket.family) {
                self.leave(key);
                self.enqueue(key, End::Front);
            } else {
                self.land(key, Outcome::Failed(error.clone()));
            }
        }
    }

    /// What to send next, written to `octets`; several datagrams at most where the system splits them itself.
    #[must_use]
    pub(super) fn poll_transmit(
        &mut self,
        now: Duration,
        segments: usize,
        octets: &mut Vec<u8>,
    ) -> Option<Transmit> {
        octets.clear();
        while let Some(key) = self.again.pop_front() {
            if let Some(transmit) = self.repeat(now, key, octets) {
                return Some(transmit);
            }
        }
        while self.in_flight < MAX_IN_FLIGHT
            && let Some(server) = self.ready.pop_front()
        {
            match self.batch(now, server, segments, octets) {
                // The others come first now.
                Some(transmit) => {
                    self.ready.push_back(server);
                    return Some(transmit);
                }
                None => {
                    if let Some(server) = self.servers.get(server) {
                        server.ready = false;
                    }
                }
            }
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        if self.questions.is_empty() { None } else { self.timers.next() }
    }

    #[must_use]
    pub(super) fn poll_event(&mut self) -> Option<Event<T>> {
        self.events.pop_front().or_else(|| self.sockets.drained().map(Event::Close))
    }

    /// Weighs an answer that fits: whether to believe it, and whether it is one.
    fn weigh(&mut self, now: Duration, key: Key, parsed: Parsed<'_>) {
        let Parsed { answer, cookie } = parsed;
        let Some(question) = live(&mut self.questions, key) else { return };
        let Some(server) = self.servers.get(question.server) else { return };
        if question.dress.cookie {
            match server.check_cookie(cookie) {
                Credence::Good => {}
                Credence::None => {
                    self.counters.other_cookie += 1;
                    let server = question.server;
                    return self.mismatch(now, server);
                }
                Credence::Doubtful => {
                    server.forget_cookie();
                    let outcome = self.over_tcp(now, key);
                    return self.land(key, outcome);
                }
            }
        }
        let unread = [ResponseCode::FORMERR, ResponseCode::NOTIMP, ResponseCode::BADVERS];
        let unread = unread.contains(&answer.code);
        if question.dress.edns && unread {
            // A server from before EDNS (RFC 6891 §7) gets the question once more in the words of RFC 1035.
            question.plain = true;
            return self.put_differently(now, key);
        }
        // Had it not liked the question itself, it would have said so again.
        if question.plain && !unread {
            server.knows_no_edns(now);
        }
        if question.dress.cookie && answer.code == ResponseCode::BADCOOKIE && !question.cookie_refused {
            question.cookie_refused = true;
            return self.put_differently(now, key);
        }
        let trip = (question.tries == 1).then(|| now.saturating_sub(question.sent));
        server.heard(now, trip, self.settings.in_flight);
        server.weigh_cookies(now, question.dress.cookie, question.dress.cookie_dropped);
        let outcome = if answer.truncated || answer.code == ResponseCode::BADCOOKIE {
            self.over_tcp(now, key)
        } else {
            self.counters.accepted += 1;
            Outcome::Answer(answer, question.elapsed(now))
        };
        self.land(key, outcome);
    }

    /// A datagram from this server that nobody waits for.
    fn mismatch(&mut self, now: Duration, key: u32) {
        self.counters.mismatches += 1;
        let Some(server) = self.servers.get(key) else { return };
        if !server.doubts(now) {
            return;
        }
        let counts = (server.right, server.wrong);
        for key in self.in_flight_at(key, |question| question.is_stormed(counts)) {
            self.counters.storms += 1;
            let outcome = self.over_tcp(now, key);
            self.land(key, outcome);
        }
    }

    fn expire(&mut self, now: Duration, key: Key) {
        let Some(question) = live(&mut self.questions, key) else { return };
        if question.state == State::Queued {
            return;
        }
        if question.due > now {
            let due = question.due;
            return self.timers.set(now, due, key);
        }
        if question.state == State::Held {
            self.leave(key);
            return self.admit(now, key);
        }
        let Some(server) = self.servers.get(question.server) else { return };
        server.lost(now);
        if question.tries < TRIES {
            return self.again.push_back(key);
        }
        // Once it is known to be silent, nobody waits for it to be silent again.
        let queued = if server.gave_up(now) { server.queue.drain(..).collect() } else { Vec::new() };
        for key in std::iter::once(key).chain(queued) {
            let outcome = self.over_tcp(now, key);
            self.land(key, outcome);
        }
    }

    /// Queues a question, or holds it back while its server has heard it too often.
    fn admit(&mut self, now: Duration, key: Key) {
        let Some(question) = live(&mut self.questions, key) else { return };
        let silent = self.servers.get(question.server).is_some_and(|server| server.is_silent(now));
        match self.pace.admit(now, question.server, &question.query) {
            Ok(()) if silent => {
                let outcome = self.over_tcp(now, key);
                self.land(key, outcome);
            }
            Ok(()) => self.enqueue(key, End::Back),
            // Response-rate limiting is for datagrams.
            Err(_) if now.saturating_sub(*question.held.get_or_insert(now)) >= MOST_HELD => {
                self.land(key, Outcome::Stream(Duration::ZERO));
            }
            Err(until) => {
                (question.state, question.due) = (State::Held, until);
                self.timers.set(now, until, key);
                if let Some(server) = self.servers.get(question.server) {
                    server.held += 1;
                }
            }
        }
    }

    /// Asks the same once more in another style, as the server's state now has it.
    fn put_differently(&mut self, now: Duration, key: Key) {
        self.leave(key);
        let Some(question) = live(&mut self.questions, key) else { return };
        question.retold += 1;
        if question.retold > MAX_RETOLD {
            let outcome = self.over_tcp(now, key);
            return self.land(key, outcome);
        }
        question.octets.clear();
        question.tries = 0;
        self.enqueue(key, End::Front);
    }
}

/// The question, unless it has landed and its place is another's.
fn live<T>(questions: &mut Slab<Question<T>>, key: Key) -> Option<&mut Question<T>> {
    questions.get_mut(usize::try_from(key.index).ok()?).filter(|question| question.serial == key.serial)
}

/// Ours for this server, for as long as it is remembered; one that is met again on another day gets another.
fn client_cookie(secret: &[u8; 16], now: Duration, server: SocketAddr) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write_u64(now.as_secs() / 86_400);
    match server {
        SocketAddr::V4(v4) => hasher.write(&v4.ip().octets()),
        SocketAddr::V6(v6) => hasher.write(&v6.ip().octets()),
    }
    hasher.finish().to_be_bytes()
}

/// Datagrams for one question in one style; then TCP is the better try.
const TRIES: u8 = 2;
/// A question is put differently for want of EDNS, of letters and of a cookie, each once.
const MAX_RETOLD: u8 = 3;
/// For how long a question is held back; then it is asked over TCP.
const MOST_HELD: Duration = Duration::from_secs(4);
/// Questions that wait for an answer, of all servers: so that the ids of a port stay hard to guess.
const MAX_IN_FLIGHT: usize = 8192;

#[cfg(test)]
mod tests;
