//! The engine in a world of values: no socket, no clock, and every draw repeatable.

use hickory_proto::{
    op,
    rr::{
        self, RData, rdata,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};
use proptest::prelude::*;

use super::*;
use crate::wire::{Data, RecordType};

mod forgeries;
mod habits;
mod loss;
mod pace;
mod sequences;

const SERVER: &str = "192.0.2.1:53";

struct World {
    engine: Engine<u32>,
    now: Duration,
}

/// A datagram that left.
#[derive(Clone)]
struct Sent {
    socket: SocketKey,
    server: SocketAddr,
    octets: Vec<u8>,
}

fn settings() -> Settings {
    Settings { sockets: 4, in_flight: 256, repeats: 5, case: true, cookies: true }
}

fn server() -> SocketAddr {
    SERVER.parse().unwrap()
}

fn query(name: &str) -> Query {
    Query::authoritative(name.parse().unwrap(), RecordType::Txt)
}

impl World {
    fn new() -> Self {
        Self { engine: Engine::new(settings(), [7; 32], [9; 16]), now: Duration::from_secs(1_000) }
    }

    fn ask(&mut self, name: &str, token: u32) -> Key {
        self.engine.ask(self.now, server(), query(name), token)
    }

    /// Everything that leaves now, one datagram after the other.
    fn sent(&mut self) -> Vec<Sent> {
        let (mut sent, mut octets) = (Vec::new(), Vec::new());
        while let Some(Transmit { socket, server, segment }) =
            self.engine.poll_transmit(self.now, 16, &mut octets)
        {
            assert!(octets.len() % segment == 0 && octets.len() / segment <= 16);
            sent.extend(octets.chunks(segment).map(|one| Sent { socket, server, octets: one.to_vec() }));
        }
        sent
    }

    fn one(&mut self) -> Sent {
        let sent = self.sent();
        assert_eq!(sent.len(), 1);
        sent[0].clone()
    }

    fn hear(&mut self, to: &Sent, octets: &[u8]) {
        self.engine.handle_datagram(self.now, to.socket, to.server, octets);
    }

    fn landed(&mut self) -> Vec<(u32, Outcome)> {
        let events = std::iter::from_fn(|| self.engine.poll_event());
        let landed = events.filter_map(|event| match event {
            Event::Landed(token, outcome) => Some((token, outcome)),
            Event::Close(_) => None,
        });
        landed.collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.engine.handle_timeout(self.now);
    }

    /// Lets a question be answered honestly: for what comes before the story.
    fn settle(&mut self, name: &str, amend: impl FnOnce(&mut op::Message)) {
        self.ask(name, 0);
        let sent = self.one();
        self.hear(&sent, &answer(&sent.octets, amend));
        assert!(matches!(self.landed()[..], [(0, Outcome::Answer(..))]));
    }
}

/// The true answer to a question.
fn answer(question: &[u8], amend: impl FnOnce(&mut op::Message)) -> Vec<u8> {
    let asked = op::Message::from_vec(question).unwrap();
    let mut message = op::Message::response(asked.metadata.id, op::OpCode::Query);
    message.metadata.authoritative = true;
    message.add_queries(asked.queries.clone());
    let txt = RData::TXT(rdata::TXT::new(vec!["true".to_owned()]));
    message.add_answer(rr::Record::from_rdata(asked.queries[0].name().clone(), 1, txt));
    amend(&mut message);
    message.to_vec().unwrap()
}

fn with_code(code: op::ResponseCode) -> impl Fn(&mut op::Message) {
    move |message| {
        message.metadata.response_code = code;
        message.answers.clear();
        if code.high() > 0 {
            let mut edns = message.edns.take().unwrap_or_default();
            edns.set_rcode_high(code.high());
            message.set_edns(edns);
        }
    }
}

/// The COOKIE option of a question.
fn cookie_of(question: &[u8]) -> Option<Vec<u8>> {
    match op::Message::from_vec(question).unwrap().edns?.option(EdnsCode::Cookie) {
        Some(EdnsOption::Unknown(_, cookie)) => Some(cookie.clone()),
        _ => None,
    }
}

fn with_cookie(cookie: Vec<u8>) -> impl Fn(&mut op::Message) {
    move |message| {
        let mut edns = message.edns.take().unwrap_or_default();
        edns.options_mut().insert(EdnsOption::Unknown(10, cookie.clone()));
        message.set_edns(edns);
    }
}

/// Whether letters of the question are in upper case.
fn is_mixed(question: &[u8]) -> bool {
    question[12..].iter().take_while(|octet| **octet != 0).any(u8::is_ascii_uppercase)
}

const LONG: &str = "_acme-challenge.a-name-with-so-many-letters-that-some-are-upper-case.example";
const MILLIS_400: Duration = Duration::from_millis(420);
const MILLIS_800: Duration = Duration::from_millis(820);
