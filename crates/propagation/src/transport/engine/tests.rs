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

#[test]
fn only_the_answer_to_our_question_from_whom_we_asked_lands() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let sent = world.one();
    let truth = answer(&sent.octets, |_| ());
    let forged = |amend: fn(&mut op::Message)| answer(&sent.octets, amend);
    let wrong_id = forged(|message| message.metadata.id ^= 1);
    let wrong_name = forged(|message| {
        message.queries[0].set_name(rr::Name::from_ascii("b.example.").unwrap());
    });
    let wrong_type = forged(|message| {
        message.queries[0].set_query_type(rr::RecordType::A);
    });
    let no_answer = forged(|message| message.metadata.message_type = op::MessageType::Query);
    let broken = truth[..truth.len() - 3].to_vec();
    for octets in [wrong_id, wrong_name, wrong_type, no_answer, broken, b"x".to_vec(), Vec::new()] {
        world.hear(&sent, &octets);
        assert!(world.landed().is_empty());
    }
    let mut elsewhere = sent.clone();
    elsewhere.server = "192.0.2.1:54".parse().unwrap();
    world.hear(&elsewhere, &truth);
    let mut other_port = sent.clone();
    other_port.socket.number += 1;
    world.hear(&other_port, &truth);
    assert!(world.landed().is_empty());
    world.now += Duration::from_millis(30);
    world.hear(&sent, &truth);
    let landed = world.landed();
    let [(1, Outcome::Answer(read, elapsed))] = &landed[..] else { panic!("{landed:?}") };
    assert_eq!((&read.answers[0].data, *elapsed), (&Data::Txt(b"true".to_vec()), Duration::from_millis(30)));
    world.hear(&sent, &truth);
    assert!(world.landed().is_empty(), "it has landed already");
    let counters = world.engine.counters();
    assert_eq!(
        (counters.accepted, counters.strangers, counters.mismatches, counters.malformed),
        (1, 1, 9, 1)
    );
}

#[test]
fn another_server_that_we_asked_cannot_answer_for_this_one() {
    let mut world = World::new();
    world.settle("b.example", |_| ());
    let other = "192.0.2.7:53".parse().unwrap();
    world.engine.ask(world.now, other, query("c.example"), 2);
    world.ask(LONG, 1);
    let sent = world.sent().into_iter().find(|sent| sent.server == server()).unwrap();
    let impostor = Sent { server: other, ..sent.clone() };
    world.hear(&impostor, &answer(&sent.octets, |_| ()));
    assert!(world.landed().is_empty());
    world.hear(&sent, &answer(&sent.octets, |_| ()));
    assert_eq!(world.landed().len(), 1);
}

#[test]
fn a_flood_of_guesses_costs_no_memory_and_drives_the_question_to_tcp() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let sent = world.one();
    let mut guess = answer(&sent.octets, |_| ());
    let id = u16::from_be_bytes([guess[0], guess[1]]);
    for wrong in 1..=50_000_u16 {
        guess[..2].copy_from_slice(&id.wrapping_add(wrong).to_be_bytes());
        world.hear(&sent, &guess);
    }
    assert!(matches!(world.landed()[..], [(1, Outcome::Stream(_))]));
    let counters = world.engine.counters();
    assert_eq!((counters.accepted, counters.mismatches, counters.storms), (0, 50_000, 1));
    assert_eq!((world.engine.len(), world.engine.in_flight), (0, 0));
    assert!(world.engine.timers.next().is_some() && world.engine.poll_timeout().is_none());
}

#[test]
fn late_repetitions_of_a_busy_server_are_no_storm() {
    let mut world = World::new();
    world.ask("patient.example", 9999);
    let patient = world.one();
    for round in 0..200 {
        world.ask(&format!("h{round}.example"), round);
        let sent = world.one();
        let truth = answer(&sent.octets, |_| ());
        world.hear(&sent, &truth);
        world.hear(&sent, &truth);
    }
    assert_eq!(world.landed().len(), 200);
    world.hear(&patient, &answer(&patient.octets, |_| ()));
    assert!(matches!(world.landed()[..], [(9999, Outcome::Answer(..))]));
}

#[test]
fn a_lost_datagram_is_repeated_and_two_lead_to_tcp() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    world.pass(Duration::from_millis(399));
    assert!(world.sent().is_empty());
    world.pass(Duration::from_millis(20));
    let second = world.one();
    assert_eq!(second.socket, first.socket);
    let question = 12 + LONG.len() + 2 + 4;
    assert_eq!(second.octets[..10], first.octets[..10]);
    assert_eq!(second.octets[12..question], first.octets[12..question], "so that a late answer counts");
    assert!(cookie_of(&first.octets).is_some() && cookie_of(&second.octets).is_none());
    world.pass(MILLIS_400);
    assert!(world.landed().is_empty(), "it waits twice as long");
    world.pass(MILLIS_400);
    let landed = world.landed();
    let [(1, Outcome::Stream(elapsed))] = landed[..] else { panic!("{landed:?}") };
    assert!(elapsed >= Duration::from_millis(1200));
    world.hear(&first, &answer(&first.octets, |_| ()));
    assert!(world.landed().is_empty(), "too late");
}

#[test]
fn a_truncated_answer_leads_to_tcp() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let sent = world.one();
    world.hear(&sent, &answer(&sent.octets, |message| message.metadata.truncation = true));
    assert!(matches!(world.landed()[..], [(1, Outcome::Stream(_))]));
}

#[test]
fn a_server_from_before_edns_is_asked_without_and_that_is_remembered() {
    for code in [op::ResponseCode::FormErr, op::ResponseCode::NotImp, op::ResponseCode::BADVERS] {
        let mut world = World::new();
        world.ask(LONG, 1);
        let first = world.one();
        world.hear(&first, &answer(&first.octets, with_code(code)));
        let second = world.one();
        assert!(op::Message::from_vec(&second.octets).unwrap().edns.is_none());
        assert_ne!(second.octets[..2], first.octets[..2], "with an id of its own");
        world.hear(&second, &answer(&second.octets, |_| ()));
        assert!(matches!(world.landed()[..], [(1, Outcome::Answer(..))]));
        world.ask("next.example", 2);
        let third = world.one();
        assert!(op::Message::from_vec(&third.octets).unwrap().edns.is_none());
        world.hear(&third, &answer(&third.octets, with_code(op::ResponseCode::FormErr)));
        assert!(matches!(world.landed()[..], [(2, Outcome::Answer(..))]), "nothing is left to take off");
        world.now += Duration::from_secs(601);
        world.ask("later.example", 3);
        assert!(op::Message::from_vec(&world.one().octets).unwrap().edns.is_some());
    }
}

#[test]
fn a_server_that_changes_letters_is_asked_in_plain_ones_and_that_is_remembered() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    assert!(is_mixed(&first.octets));
    let lower = |octets: &[u8]| {
        let end = 12 + octets[12..].iter().position(|octet| *octet == 0).unwrap();
        let mut folded = octets.to_vec();
        folded[12..end].make_ascii_lowercase();
        folded
    };
    let folded = lower(&answer(&first.octets, |_| ()));
    world.hear(&first, &folded);
    assert!(world.landed().is_empty());
    let second = world.one();
    assert!(!is_mixed(&second.octets));
    assert_ne!(second.octets[..2], first.octets[..2], "a forger must guess anew");
    world.hear(&first, &folded);
    assert!(world.landed().is_empty());
    world.hear(&second, &answer(&second.octets, |_| ()));
    assert!(matches!(world.landed()[..], [(1, Outcome::Answer(..))]));
    world.ask("another-name-with-many-letters.example", 2);
    assert!(!is_mixed(&world.one().octets));
    assert_eq!(world.engine.counters().other_case, 1);
}

#[test]
fn cookies_are_kept_and_an_answer_without_ours_is_not_believed() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    let ours = cookie_of(&first.octets).unwrap();
    assert_eq!(ours.len(), 8);
    let given = [&ours[..], b"the-server"].concat();
    world.hear(&first, &answer(&first.octets, with_cookie(b"somebody-elses-x".to_vec())));
    assert!(world.landed().is_empty());
    world.hear(&first, &answer(&first.octets, with_cookie(given.clone())));
    assert!(matches!(world.landed()[..], [(1, Outcome::Answer(..))]));
    world.ask("next.example", 2);
    let second = world.one();
    assert_eq!(cookie_of(&second.octets), Some(given));
    world.pass(MILLIS_400);
    assert!(cookie_of(&world.one().octets).is_some(), "this server is known to take them");
    world.hear(&second, &answer(&second.octets, |_| ()));
    assert!(matches!(world.landed()[..], [(2, Outcome::Stream(_))]), "without a cookie it may be anybody's");
    let counters = world.engine.counters();
    assert_eq!((counters.other_cookie, counters.accepted), (1, 1));
}

#[test]
fn a_server_that_wants_its_cookie_gets_it_once() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    let given = [&cookie_of(&first.octets).unwrap()[..], b"the-server"].concat();
    let refuse = |sent: &Sent| {
        answer(&sent.octets, |message| {
            with_cookie(given.clone())(message);
            with_code(op::ResponseCode::BADCOOKIE)(message);
        })
    };
    world.hear(&first, &refuse(&first));
    let second = world.one();
    assert_eq!(cookie_of(&second.octets), Some(given.clone()));
    world.hear(&second, &refuse(&second));
    assert!(matches!(world.landed()[..], [(1, Outcome::Stream(_))]));
}

#[test]
fn cookies_that_walls_drop_are_left_away_after_a_while() {
    let mut world = World::new();
    for round in 0..2 {
        world.ask(&format!("h{round}.example"), round);
        assert!(cookie_of(&world.one().octets).is_some());
        world.pass(MILLIS_400);
        let second = world.one();
        world.hear(&second, &answer(&second.octets, |_| ()));
        assert_eq!(world.landed().len(), 1);
    }
    world.ask("next.example", 3);
    assert!(cookie_of(&world.one().octets).is_none());
}

#[test]
fn a_server_is_sent_as_much_as_it_takes() {
    let mut world = World::new();
    for token in 0..1_000 {
        world.ask(&format!("h{token}.example"), token);
    }
    let first = world.sent();
    assert_eq!(first.len(), 64);
    for sent in &first {
        world.hear(sent, &answer(&sent.octets, |_| ()));
    }
    assert_eq!(world.sent().len(), 128, "one more for each answer");
    world.pass(MILLIS_400);
    assert_eq!(world.sent().len(), 128, "once more");
    world.pass(MILLIS_800);
    assert_eq!(world.landed().len(), 64 + 128 + (1_000 - 64 - 128), "a silent server's queue is no queue");
}

#[test]
fn the_ids_and_ports_of_many_questions_are_drawn() {
    let mut world = World::new();
    for token in 0..1_000 {
        let address = SocketAddr::from(([192, 0, 2, 1], u16::try_from(1_000 + token).unwrap()));
        world.engine.ask(world.now, address, query("a.example"), token);
    }
    let sent = world.sent();
    let sockets: HashSet<SocketKey> = sent.iter().map(|sent| sent.socket).collect();
    let ids: HashSet<&[u8]> = sent.iter().map(|sent| &sent.octets[..2]).collect();
    let pairs: HashSet<_> = sent.iter().map(|sent| (sent.socket, &sent.octets[..2])).collect();
    let questions: HashSet<&[u8]> = sent.iter().map(|sent| &sent.octets[12..25]).collect();
    assert_eq!((sent.len(), sockets.len(), pairs.len()), (1_000, 4, 1_000));
    assert!(ids.len() > 950 && questions.len() > 100, "{} {}", ids.len(), questions.len());
}

#[test]
fn a_server_that_stays_silent_keeps_nobody_waiting() {
    let mut world = World::new();
    for token in 0..10_000 {
        world.ask(&format!("h{token}.example"), token);
    }
    world.sent();
    world.pass(MILLIS_400);
    world.sent();
    world.pass(MILLIS_800);
    assert_eq!(world.landed().len(), 10_000);
    // The next one looks whether it is back, and whoever comes meanwhile does not wait for that.
    world.ask("probe.example", 1);
    let probe = world.one();
    world.ask("beside.example", 2);
    assert_eq!(world.landed(), [(2, Outcome::Stream(Duration::ZERO))]);
    world.hear(&probe, &answer(&probe.octets, |_| ()));
    assert_eq!(world.landed().len(), 1);
    world.ask("beside.example", 3);
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn the_same_question_waits_for_the_next_second_when_it_is_asked_too_often() {
    let mut world = World::new();
    for token in 0..8 {
        world.ask("a.example", token);
    }
    assert_eq!(world.sent().len(), 5);
    assert!(world.engine.poll_timeout().is_some());
    world.pass(Duration::from_millis(300));
    assert!(world.sent().is_empty());
    world.pass(Duration::from_millis(720));
    // Those of the first second, repeated, and the three that waited.
    assert_eq!(world.sent().len(), 5 + 3);
}

#[test]
fn what_the_network_says_cannot_be_reached_is_told_at_once() {
    let mut world = World::new();
    let error = TransportError::Unreachable { reason: "no route".to_owned() };
    for token in 0..100 {
        world.ask(&format!("h{token}.example"), token);
    }
    world.sent();
    world.engine.handle_unreachable(world.now, "192.0.2.9:53".parse().unwrap(), &error);
    assert!(world.landed().is_empty(), "that was another server");
    world.engine.handle_unreachable(world.now, server(), &error);
    let landed = world.landed();
    assert_eq!(landed.len(), 100);
    assert!(landed.iter().all(|(_, outcome)| *outcome == Outcome::Failed(error.clone())));
    world.ask("a.example", 1);
    world.sent();
    world.engine.handle_unreachable(world.now, server(), &TransportError::Refused);
    assert!(matches!(world.landed()[..], [(1, Outcome::Stream(_))]), "TCP is another port");
    world.ask("b.example", 2);
    let sent = world.one();
    world.engine.handle_refusal(world.now, sent.socket, "192.0.2.9".parse().unwrap());
    assert!(world.landed().is_empty());
    world.engine.handle_refusal(world.now, sent.socket, server().ip());
    assert!(matches!(world.landed()[..], [(2, Outcome::Stream(_))]));
}

#[test]
fn a_socket_that_cannot_be_had_fails_its_questions() {
    let mut world = World::new();
    world.ask("a.example", 1);
    let sent = world.one();
    world.engine.handle_socket_failure(world.now, sent.socket, &TransportError::Timeout);
    assert_eq!(world.landed(), [(1, Outcome::Failed(TransportError::Timeout))]);
    world.settle("b.example", |_| ());
}

#[test]
fn a_question_that_is_cancelled_makes_room_and_never_lands() {
    let mut world = World::new();
    let keys: Vec<Key> = (0..200).map(|token| world.ask(&format!("h{token}.example"), token)).collect();
    let first = world.sent();
    assert_eq!(first.len(), 64);
    for key in &keys {
        assert!(world.engine.waits(*key) && world.engine.cancel(*key));
        assert!(!world.engine.waits(*key) && !world.engine.cancel(*key));
    }
    for sent in &first {
        world.hear(sent, &answer(&sent.octets, |_| ()));
    }
    world.pass(Duration::from_secs(9));
    assert!(world.landed().is_empty() && world.sent().is_empty());
    world.settle("after.example", |_| ());
}

#[test]
fn what_was_learned_of_a_server_survives_its_sockets() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    world.hear(&first, &answer(&first.octets, with_code(op::ResponseCode::FormErr)));
    let second = world.one();
    world.hear(&second, &answer(&second.octets, |_| ()));
    assert_eq!(world.landed().len(), 1);
    world.ask("b.example", 2);
    assert_eq!(world.engine.abandon(), [2]);
    assert_eq!((world.engine.len(), world.engine.in_flight), (0, 0));
    assert!(world.sent().is_empty() && world.engine.poll_timeout().is_none());
    world.ask("c.example", 3);
    assert!(op::Message::from_vec(&world.one().octets).unwrap().edns.is_none());
}

#[test]
fn a_server_is_not_forgotten_while_a_question_to_it_is_held() {
    let mut world = World::new();
    for token in 0..6 {
        world.ask("a.example", token);
    }
    for sent in world.sent() {
        world.hear(&sent, &answer(&sent.octets, |_| ()));
    }
    assert_eq!(world.landed().len(), 5);
    for port in 1..=5_000 {
        let other = SocketAddr::from(([192, 0, 2, 9], port));
        let key = world.engine.ask(world.now, other, query("b.example"), 99);
        world.sent();
        world.engine.cancel(key);
    }
    world.pass(Duration::from_millis(1_020));
    let held = world.one();
    assert_eq!(held.server, server());
    world.hear(&held, &answer(&held.octets, |_| ()));
    assert!(matches!(world.landed()[..], [(5, Outcome::Answer(..))]));
    // One that is cancelled while it is held is not counted for ever.
    let keys: Vec<Key> = (0..6).map(|token| world.ask("c.example", token)).collect();
    for key in keys {
        world.engine.cancel(key);
    }
    let server = world.engine.servers.find(server()).unwrap();
    assert_eq!(world.engine.servers.get(server).unwrap().held, 0);
}

#[test]
fn a_question_that_was_put_differently_is_repeated_once() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    world.now += Duration::from_millis(10);
    world.hear(&first, &answer(&first.octets, with_code(op::ResponseCode::FormErr)));
    let second = world.one();
    // The timer of the first has run out, and that of the second soon after it.
    world.pass(Duration::from_millis(399));
    assert!(world.sent().is_empty());
    world.pass(Duration::from_millis(20));
    assert_eq!(world.one().octets[12..], second.octets[12..]);
    world.pass(MILLIS_800);
    let landed = world.landed();
    let [(1, Outcome::Stream(elapsed))] = landed[..] else { panic!("{landed:?}") };
    assert!(elapsed < Duration::from_millis(1300), "{elapsed:?}");
}

#[test]
fn a_server_that_does_not_like_the_question_itself_is_asked_the_next_with_edns() {
    let mut world = World::new();
    world.ask("strange-type.example", 1);
    for _ in 0..2 {
        let sent = world.one();
        world.hear(&sent, &answer(&sent.octets, with_code(op::ResponseCode::NotImp)));
    }
    let landed = world.landed();
    let [(1, Outcome::Answer(answer, _))] = &landed[..] else { panic!("{landed:?}") };
    assert_eq!(answer.code, ResponseCode::NOTIMP);
    world.ask("a.example", 2);
    assert!(op::Message::from_vec(&world.one().octets).unwrap().edns.is_some());
}

#[test]
fn no_server_is_sent_more_at_once_than_was_chosen() {
    let mut world = World::new();
    world.engine = Engine::new(Settings { in_flight: 4, ..settings() }, [7; 32], [9; 16]);
    for token in 0..20 {
        world.ask(&format!("h{token}.example"), token);
    }
    let sent = world.sent();
    assert_eq!(sent.len(), 4);
    world.hear(&sent[0], &answer(&sent[0].octets, |_| ()));
    assert_eq!(world.sent().len(), 1);
    world.pass(MILLIS_400);
    world.sent();
    world.pass(MILLIS_800);
    assert!(world.sent().len() <= 4, "nor after losses");
}

#[test]
fn what_has_landed_and_nobody_was_told_is_given_back_when_all_is_abandoned() {
    let mut world = World::new();
    world.ask("a.example", 1);
    let sent = world.one();
    world.hear(&sent, &answer(&sent.octets, |_| ()));
    world.ask("b.example", 2);
    assert_eq!(world.engine.abandon(), [2, 1]);
    assert!(world.landed().is_empty());
}

#[test]
fn where_the_system_has_no_more_sockets_those_that_are_open_serve() {
    let mut world = World::new();
    world.settle("a.example", |_| ());
    let open = world.engine.sockets.pick(world.now, Family::V4, &mut world.engine.random);
    // Later, when that one would be replaced.
    world.now += Duration::from_secs(61);
    for token in 0..50 {
        world.ask(&format!("h{token}.example"), token);
    }
    let mut sent = Vec::new();
    for _ in 0..9 {
        for one in world.sent() {
            if one.socket == open {
                sent.push(one);
            } else {
                world.engine.handle_socket_failure(world.now, one.socket, &TransportError::Timeout);
            }
        }
    }
    assert!(world.landed().is_empty());
    assert_eq!(sent.len(), 50);
    for one in &sent {
        world.hear(one, &answer(&one.octets, |_| ()));
    }
    assert_eq!(world.landed().len(), 50);
}

#[test]
fn a_question_is_not_held_back_for_ever() {
    let mut world = World::new();
    for token in 0..100 {
        world.ask("a.example", token);
    }
    let mut streamed = 0;
    for _ in 0..60 {
        for sent in world.sent() {
            world.hear(&sent, &answer(&sent.octets, |_| ()));
        }
        streamed += world.landed().iter().filter(|(_, end)| matches!(end, Outcome::Stream(_))).count();
        world.pass(Duration::from_millis(100));
    }
    assert_eq!((world.engine.len(), streamed), (0, 100 - 5 * 5));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, u8),
    Cancel(prop::sample::Index),
    Answer(prop::sample::Index, u8),
    Junk(prop::sample::Index, Vec<u8>),
    Pass(u16),
    Send,
    Unreachable(u8),
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), 0_u8..4).prop_map(|(name, server)| Step::Ask(name, server)),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        6 => (any::<prop::sample::Index>(), 0_u8..12).prop_map(|(at, kind)| Step::Answer(at, kind)),
        2 => (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(at, octets)| Step::Junk(at, octets)),
        3 => (0_u16..2_000).prop_map(Step::Pass),
        6 => Just(Step::Send),
        1 => (0_u8..4).prop_map(Step::Unreachable),
        1 => Just(Step::Abandon),
    ]
}

/// An answer of some kind: right, wrong in one respect, or unwilling.
fn some_answer(question: &[u8], kind: u8) -> Vec<u8> {
    let cookie = cookie_of(question).map(|ours| [&ours[..8], b"a-server"].concat());
    match kind {
        0 => answer(question, with_code(op::ResponseCode::FormErr)),
        1 => answer(question, with_code(op::ResponseCode::BADCOOKIE)),
        2 => answer(question, |message| message.metadata.truncation = true),
        3 => answer(question, |message| message.metadata.id ^= 0x55),
        4 => answer(question, with_cookie(b"forged-forged-forged".to_vec())),
        5 => answer(question, with_code(op::ResponseCode::NXDomain)),
        6 => answer(question, |_| ()).to_ascii_lowercase(),
        _ => answer(question, |message| cookie.into_iter().for_each(|cookie| with_cookie(cookie)(message))),
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_question_lands_once_and_in_time(
        steps in prop::collection::vec(step(), 1..200), seed: [u8; 32],
    ) {
        let mut world = World::new();
        world.engine = Engine::new(settings(), seed, [1; 16]);
        let address = |server: u8| SocketAddr::from(([192, 0, 2, server], 53));
        let (mut keys, mut sent, mut open) = (Vec::new(), Vec::new(), HashSet::new());
        let mut token = 0;
        let settle = |world: &mut World, open: &mut HashSet<u32>| {
            for (token, _) in world.landed() {
                assert!(open.remove(&token), "landed twice, or after it was cancelled");
            }
        };
        for step in steps {
            match step {
                Step::Ask(name, to) => {
                    token += 1;
                    let key = world.engine.ask(world.now, address(to), query(&format!("n{name}.example")), token);
                    keys.push((key, token));
                    open.insert(token);
                }
                Step::Cancel(at) if !keys.is_empty() => {
                    let (key, token) = keys[at.index(keys.len())];
                    world.engine.cancel(key);
                    settle(&mut world, &mut open);
                    open.remove(&token);
                }
                Step::Answer(at, kind) if !sent.is_empty() => {
                    let at = at.index(sent.len());
                    let to: Sent = sent.swap_remove(at);
                    world.hear(&to, &some_answer(&to.octets, kind));
                }
                Step::Junk(at, octets) if !sent.is_empty() => {
                    let to = sent[at.index(sent.len())].clone();
                    world.hear(&to, &[&to.octets[..2], &octets].concat());
                }
                Step::Pass(millis) => world.pass(Duration::from_millis(millis.into())),
                Step::Send => sent.extend(world.sent()),
                Step::Unreachable(server) => {
                    let error = TransportError::Refused;
                    world.engine.handle_unreachable(world.now, address(server), &error);
                }
                Step::Abandon => {
                    settle(&mut world, &mut open);
                    for token in world.engine.abandon() {
                        assert!(open.remove(&token));
                    }
                    assert!(open.is_empty());
                }
                _ => {}
            }
            settle(&mut world, &mut open);
            prop_assert!(world.engine.sockets.len() <= socket::MAX_SOCKETS);
            prop_assert_eq!(world.engine.len(), open.len());
            let in_flight = world.engine.questions.iter().filter(|(_, question)| {
                matches!(question.state, State::InFlight { .. })
            });
            prop_assert_eq!(in_flight.count(), world.engine.in_flight);
        }
        // Nobody answers any more: what is left lands by itself. Some hundred of the same question, at five a
        // second, take their time.
        for _ in 0..4_000 {
            world.sent();
            if world.engine.len() == 0 {
                break;
            }
            prop_assert!(world.engine.poll_timeout().is_some(), "a question without a timer waits for ever");
            world.pass(Duration::from_millis(50));
            settle(&mut world, &mut open);
        }
        settle(&mut world, &mut open);
        prop_assert!(open.is_empty());
        prop_assert_eq!(world.engine.in_flight, 0);
    }
}
