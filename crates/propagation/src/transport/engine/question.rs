//! One question on its way.

use std::time::Duration;

use rand::Rng;

use super::{SocketKey, server::Server};
use crate::wire::{Edns, Malformed, Query, Style};

pub(super) struct Question<T> {
    pub(super) serial: u32,
    pub(super) token: T,
    pub(super) query: Query,
    pub(super) server: u32,
    pub(super) state: State,
    /// The message; empty until it is first sent in this style.
    pub(super) octets: Vec<u8>,
    /// Where the question in it ends.
    pub(super) question: usize,
    pub(super) dress: Dress,
    /// Since when it is held back.
    pub(super) held: Option<Duration>,
    /// When its first datagram left.
    pub(super) since: Option<Duration>,
    /// When its last one left, and until when an answer is waited for.
    pub(super) sent: Duration,
    pub(super) due: Duration,
    /// How long the first try waits.
    pub(super) patience: Duration,
    /// Datagrams in this style.
    pub(super) tries: u8,
    /// How often it was put in another style.
    pub(super) retold: u8,
    /// It is asked without EDNS, since the server has not understood it with.
    pub(super) plain: bool,
    /// The server has asked for another cookie already: RFC 7873 §5.3, once.
    pub(super) cookie_refused: bool,
    /// The server's counts when it was sent.
    pub(super) right: u64,
    pub(super) wrong: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Until the server may hear it again.
    Held,
    /// Until the server has room.
    Queued,
    /// Until an answer comes to this socket with this id.
    InFlight { socket: SocketKey, id: u16 },
}

/// What the message has on beside the bare question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dress {
    pub(super) edns: bool,
    pub(super) case: bool,
    pub(super) cookie: bool,
    /// A cookie was in the first try, and is not in this one.
    pub(super) cookie_dropped: bool,
}

impl<T> Question<T> {
    pub(super) const fn new(serial: u32, token: T, query: Query, server: u32) -> Self {
        Self {
            serial,
            token,
            query,
            server,
            state: State::Queued,
            octets: Vec::new(),
            question: 0,
            dress: Dress { edns: false, case: false, cookie: false, cookie_dropped: false },
            held: None,
            since: None,
            sent: Duration::ZERO,
            due: Duration::ZERO,
            patience: Duration::ZERO,
            tries: 0,
            retold: 0,
            plain: false,
            cookie_refused: false,
            right: 0,
            wrong: 0,
        }
    }

    /// Writes the message as this server is believed to understand it.
    pub(super) fn dress(
        &mut self,
        now: Duration,
        server: &Server,
        wish: Dress,
        random: &mut impl Rng,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let edns = wish.edns && !self.plain && server.takes_edns(now);
        let case = wish.case && server.keeps_case(now);
        scratch.clear();
        if edns && wish.cookie {
            server.cookie(now, scratch);
        }
        self.dress = Dress { edns, case, cookie: !scratch.is_empty(), cookie_dropped: false };
        let letters = std::array::from_fn(|_| if case { random.next_u64() } else { 0 });
        let edns = if edns { Edns::On } else { Edns::Off };
        let style = Style { edns, case: letters, cookie: scratch };
        self.question = self.query.write(&mut self.octets, 0, &style)?;
        Ok(())
    }

    /// Takes the cookie off for the second try: some walls drop what they have never seen. The id and the
    /// question stay to the octet, so that a late answer to the first try still counts.
    pub(super) fn drop_cookie(&mut self) -> Result<(), Malformed> {
        let Some(kept) = self.octets.get(..self.question).map(<[u8]>::to_vec) else { return Ok(()) };
        self.query.write(&mut self.octets, 0, &Style::default())?;
        if let Some(place) = self.octets.get_mut(..self.question) {
            place.copy_from_slice(&kept);
        }
        self.dress = Dress { cookie: false, cookie_dropped: true, ..self.dress };
        Ok(())
    }

    /// It leaves from this socket, with this id.
    pub(super) fn depart(&mut self, now: Duration, server: &Server, socket: SocketKey, id: u16) {
        self.state = State::InFlight { socket, id };
        (self.right, self.wrong) = (server.right, server.wrong);
        self.since.get_or_insert(now);
        self.patience = server.patience(&self.query);
        self.repeat(now, id);
    }

    /// A datagram of it leaves. Each waits twice as long as the one before.
    pub(super) fn repeat(&mut self, now: Duration, id: u16) {
        if let Some(place) = self.octets.get_mut(..2) {
            place.copy_from_slice(&id.to_be_bytes());
        }
        self.sent = now;
        self.due = now.saturating_add(self.patience * (1 << u32::from(self.tries.min(8))));
        self.tries += 1;
    }

    /// Whether since it was sent more wrong answers came from its server's address than right ones, and many:
    /// somebody is guessing.
    pub(super) const fn is_stormed(&self, (right, wrong): (u64, u64)) -> bool {
        let wrong = wrong - self.wrong;
        wrong >= STORM && wrong > right - self.right
    }

    /// How long ago its first datagram left.
    pub(super) fn elapsed(&self, now: Duration) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

/// So many wrong answers are no accident. A forger who sends them all has guessed one in two thousand ids of
/// one port, and the letters of the name not at all. They are weighed in lots of so many, some hundred times a
/// second at most, so a question may see some more before it leaves.
pub(super) const STORM: u64 = 32;
