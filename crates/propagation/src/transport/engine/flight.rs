//! How questions leave, wait in flight and land.

use std::time::Duration;

use super::{
    Engine, Event, Family, Key, MAX_IN_FLIGHT, Outcome, Transmit, TransportError, live,
    question::{Dress, Question, State},
};

impl<T> Engine<T> {
    pub(super) fn enqueue(&mut self, key: Key, end: End) {
        let Some(question) = live(&mut self.questions, key) else { return };
        question.state = State::Queued;
        // Nobody forgets a server that is asked something; if somebody did, the question would wait for ever.
        let Some(server) = self.servers.get(question.server) else {
            return self.land(key, Outcome::Stream(Duration::ZERO));
        };
        match end {
            End::Back => server.queue.push_back(key),
            End::Front => server.queue.push_front(key),
        }
        if !server.ready {
            server.ready = true;
            self.ready.push_back(question.server);
        }
    }

    /// The second datagram of a question, from the same socket with the same id.
    pub(super) fn repeat(&mut self, now: Duration, key: Key, octets: &mut Vec<u8>) -> Option<Transmit> {
        let question = live(&mut self.questions, key)?;
        let State::InFlight { socket, id } = question.state else { return None };
        // A timer of an earlier style has run out beside this one's, and it was repeated for that already.
        if question.due > now {
            return None;
        }
        let server = self.servers.get(question.server)?;
        if question.dress.cookie && !server.gave_cookie() {
            question.drop_cookie().ok()?;
        }
        question.repeat(now, id);
        self.timers.set(now, question.due, key);
        octets.extend_from_slice(&question.octets);
        Some(Transmit { socket, server: server.address, segment: octets.len() })
    }

    /// As many questions to one server as it has room for, and as are of one length.
    pub(super) fn batch(
        &mut self,
        now: Duration,
        to: u32,
        segments: usize,
        octets: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let wish =
            Dress { edns: true, case: self.settings.case, cookie: self.settings.cookies, ..Dress::default() };
        let server = self.servers.get(to)?;
        let room = server.room(self.settings.in_flight).min(segments).min(MAX_IN_FLIGHT - self.in_flight);
        if room == 0 || server.queue.is_empty() {
            return None;
        }
        let socket = self.sockets.pick(now, Family::of(server.address), &mut self.random);
        let (mut segment, mut sent) = (0, 0);
        let mut unfit = Vec::new();
        while sent < room && self.passed.len() < LOOKED_AT {
            let Some(key) = server.queue.pop_front() else { break };
            // It may have been cancelled meanwhile.
            let Some(question) = live(&mut self.questions, key) else { continue };
            if question.octets.capacity() == 0 {
                question.octets = self.spare.pop().map(emptied).unwrap_or_default();
            }
            if question.octets.is_empty()
                && let Err(error) = question.dress(now, server, wish, &mut self.random, &mut self.scratch)
            {
                unfit.push((key, Outcome::Failed(TransportError::Malformed { reason: error.reason })));
                continue;
            }
            if sent > 0 && question.octets.len() != segment {
                self.passed.push(key);
                continue;
            }
            let Some(id) = self.sockets.draw_id(socket, key.index, &mut self.random) else {
                unfit.push((key, Outcome::Stream(question.elapsed(now))));
                continue;
            };
            server.awaits(now);
            question.depart(now, server, socket, id);
            self.timers.set(now, question.due, key);
            octets.extend_from_slice(&question.octets);
            segment = question.octets.len();
            server.in_flight += 1;
            sent += 1;
        }
        for key in self.passed.drain(..).rev() {
            server.queue.push_front(key);
        }
        let server = server.address;
        self.in_flight += sent;
        for (key, outcome) in unfit {
            self.land(key, outcome);
        }
        (sent > 0).then_some(Transmit { socket, server, segment })
    }

    pub(super) fn over_tcp(&mut self, now: Duration, key: Key) -> Outcome {
        Outcome::Stream(
            live(&mut self.questions, key).map_or(Duration::ZERO, |question| question.elapsed(now)),
        )
    }

    pub(super) fn land(&mut self, key: Key, outcome: Outcome) {
        if let Some(token) = self.remove(key) {
            self.events.push_back(Event::Landed(token, outcome));
        }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.leave(key);
        live(&mut self.questions, key)?;
        let question = self.questions.remove(usize::try_from(key.index).ok()?);
        if self.spare.len() < SPARE && question.octets.capacity() > 0 {
            self.spare.push(question.octets);
        }
        Some(question.token)
    }

    /// Takes a question out of flight, which makes room for another one, or from those that are held.
    pub(super) fn leave(&mut self, key: Key) {
        let Some(question) = live(&mut self.questions, key) else { return };
        let (socket, id) = match std::mem::replace(&mut question.state, State::Queued) {
            State::InFlight { socket, id } => (socket, id),
            State::Held => {
                if let Some(server) = self.servers.get(question.server) {
                    server.held -= 1;
                }
                return;
            }
            State::Queued => return,
        };
        self.sockets.release(socket, id);
        self.in_flight -= 1;
        let Some(server) = self.servers.get(question.server) else { return };
        server.in_flight -= 1;
        if !server.ready && !server.queue.is_empty() {
            server.ready = true;
            self.ready.push_back(question.server);
        }
    }

    /// The questions in flight at a server. It looks at all there are: for rare occasions.
    pub(super) fn in_flight_at(&self, server: u32, which: impl Fn(&Question<T>) -> bool) -> Vec<Key> {
        let here = |question: &Question<T>| {
            question.server == server && matches!(question.state, State::InFlight { .. }) && which(question)
        };
        let found = self.questions.iter().filter(|(_, question)| here(question));
        found
            .filter_map(|(index, question)| {
                Some(Key { index: u32::try_from(index).ok()?, serial: question.serial })
            })
            .collect()
    }
}

/// The end of a queue.
pub(super) enum End {
    Back,
    Front,
}

fn emptied(mut octets: Vec<u8>) -> Vec<u8> {
    octets.clear();
    octets
}

/// Messages whose memory is kept for the next ones.
const SPARE: usize = 1024;
/// How far down a queue is looked for questions of one length.
const LOOKED_AT: usize = 128;
