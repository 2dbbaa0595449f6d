//! Many watches in virtual time.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use super::*;
use crate::{
    Policy, Verdict,
    report::State,
    target::{Route, Target},
    transport::Transport,
    verdict::GRACE,
    watch::{Sweep, Verification},
    wire::{Answer, Data, Record, ResponseCode},
    zone::{ZoneServer, ZoneView},
};

const ROUND_TRIP: Duration = Duration::from_millis(20);

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings(sweep: Sweep, deadline: Duration) -> Settings {
    Settings { policy: Policy::All, sweep, deadline, grace: GRACE, settle: Duration::ZERO }
}

fn located(servers: &[u8]) -> Located {
    let mut view = ZoneView { apex: name("example.com"), servers: vec![], evidence: vec![] };
    let mut targets = vec![];
    for server in servers {
        let host = format!("ns{server}.example.com");
        let mut known = ZoneServer::new(name(&host));
        known.add([192, 0, 2, *server].into());
        view.servers.push(known);
        let endpoint = Endpoint::Udp(SocketAddr::from(([192, 0, 2, *server], 53)));
        targets.push(Target { servers: vec![host], endpoint, nat64: None, route: Route::Exists });
    }
    let servers = view.servers.iter().map(|server| server.name.to_string()).collect();
    Located { zone: Some(view), servers, targets, verification: Verification::Done }
}

fn answers(owner: &DomainName, code: ResponseCode, answers: Vec<Data>) -> Answer {
    let mut answer = Answer::new(code);
    answer.authoritative = true;
    let record = |data| Record { owner: Some(owner.clone()), ttl: 1, data };
    answer.answers = answers.into_iter().map(record).collect();
    answer
}

fn has_it(owner: &DomainName) -> Answer {
    answers(owner, ResponseCode::NOERROR, vec![Data::Txt(b"token".to_vec())])
}

fn has_it_not(owner: &DomainName, serial: u32) -> Answer {
    let mut answer = answers(owner, ResponseCode::NXDOMAIN, vec![]);
    let soa = Data::Soa { serial, minimum: 60 };
    answer.authorities = vec![Record { owner: Some(name("example.com")), ttl: 1, data: soa }];
    answer
}

type Said = Result<Answer, TransportError>;
type Script = Box<dyn Fn(u8, &Query, Duration) -> Said>;

enum Due {
    Answer(Ticket, Said),
    Zone(WatchId, StageId),
}

/// The zone `example.com` on some servers, and an engine that watches names in it.
struct World {
    engine: Engine,
    servers: Vec<u8>,
    script: Script,
    now: Duration,
    sequence: u64,
    due: BTreeMap<(Duration, u64), Due>,
    asked: Vec<(Duration, u8, Query)>,
    /// Which servers were asked for name servers.
    asked_for_cut: Vec<u8>,
    done: HashMap<WatchId, (Duration, Outcome)>,
}

impl World {
    fn new(servers: &[u8], script: impl Fn(u8, &Query, Duration) -> Said + 'static) -> Self {
        Self {
            engine: Engine::new(7),
            servers: servers.to_vec(),
            script: Box::new(script),
            now: Duration::ZERO,
            sequence: 0,
            due: BTreeMap::new(),
            asked: vec![],
            asked_for_cut: vec![],
            done: HashMap::new(),
        }
    }

    fn watch(&mut self, text: &str, sweep: Sweep, deadline: Duration) -> WatchId {
        let wanted = Wanted::new(name(text), ["token".to_owned()]);
        self.engine.add(self.now, wanted, settings(sweep, deadline))
    }

    fn watch_many(&mut self, count: usize) -> Vec<WatchId> {
        let one = |index| self.watch(&nth(index), Sweep::UntilReady, seconds(120));
        (0..count).map(one).collect()
    }

    /// Does what there is to do now.
    fn settle(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Changed(id) => drop(self.engine.report(id).unwrap()),
                Event::Done(id, outcome) => drop(self.done.insert(id, (self.now, outcome))),
                Event::Locate(id, locate) => {
                    self.sequence += 1;
                    self.due.insert((self.now + ROUND_TRIP, self.sequence), Due::Zone(id, locate.stage));
                }
            }
        }
        while let Some(question) = self.engine.poll_question() {
            let SocketAddr::V4(address) = question.endpoint.address().unwrap() else { panic!("IPv6") };
            let server = address.ip().octets()[3];
            self.sequence += 1;
            let said = if question.query.record_type == RecordType::Ns {
                self.asked_for_cut.push(server);
                Ok(has_it_not(&question.query.name, 7))
            } else {
                self.asked.push((self.now, server, question.query.clone()));
                (self.script)(server, &question.query, self.now)
            };
            let latency = if said.is_err() { millis(2800) } else { ROUND_TRIP };
            self.due.insert((self.now + latency, self.sequence), Due::Answer(question.ticket, said));
        }
    }

    fn run_until(&mut self, end: Duration) {
        for _ in 0..10_000_000 {
            self.settle();
            let timeout = self.engine.poll_timeout();
            let landing = self.due.first_key_value().map(|(key, _)| *key);
            let next = [timeout, landing.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = self.now.max(end);
                return;
            };
            self.now = self.now.max(next);
            // What has arrived is taken in before anything else, as the driver does.
            match landing.filter(|(at, _)| *at <= self.now).and_then(|key| self.due.remove(&key)) {
                Some(Due::Answer(ticket, said)) => {
                    let reply = said.map(|answer| Reply::new(answer, Transport::Udp, ROUND_TRIP));
                    self.engine.handle_answer(self.now, ticket, &reply);
                }
                Some(Due::Zone(id, stage)) => {
                    self.engine.handle_located(self.now, id, stage, Ok(located(&self.servers)));
                }
                None => self.engine.handle_timeout(self.now),
            }
        }
        panic!("the engine turns in a circle");
    }

    fn run(&mut self) {
        while !self.engine.is_idle() {
            self.run_until(self.now + seconds(1));
            assert!(self.now < seconds(1000), "it never ends");
        }
        assert!(self.engine.is_empty(), "{:#?}", self.engine);
    }

    fn questions(&self, server: u8, within: std::ops::Range<Duration>) -> usize {
        let there = |(at, asked, _): &&(Duration, u8, Query)| *asked == server && within.contains(at);
        self.asked.iter().filter(there).count()
    }

    fn is_ready(&self, id: WatchId) -> bool {
        matches!(self.done.get(&id), Some((_, Outcome::Ready(_))))
    }

    fn end(&self, id: WatchId) -> Duration {
        self.done[&id].0
    }
}

impl Engine {
    /// Whether nothing is left of anything.
    fn is_empty(&self) -> bool {
        self.names.is_empty()
            && self.timers.is_empty()
            && self.posts.is_empty()
            && self.post_ids.is_empty()
            && self.open.len() == self.flights.len()
            && self.lanes.len() == self.lane_ids.len()
    }
}

fn nth(index: usize) -> String {
    format!("_acme-challenge.n{index}.example.com")
}

#[test]
fn what_is_there_already_costs_two_questions_a_name_and_address() {
    let mut world = World::new(&[1, 2, 3, 4], |_, query, _| Ok(has_it(&query.name)));
    let ids = world.watch_many(500);
    world.run();
    assert!(ids.iter().all(|id| world.is_ready(*id)));
    assert_eq!(world.asked.len(), 500 * 4 * 2);
    assert_eq!(world.asked_for_cut.len(), 500, "and one a name that tells its zone");
    let to = |server: u8| world.asked_for_cut.iter().filter(|asked| **asked == server).count();
    assert!((1..=4).all(|server| to(server) > 80), "shared among the servers");
    assert!(world.engine.flights.is_empty() && world.engine.lanes.is_empty());
}

#[test]
fn no_more_questions_are_under_way_to_one_address_than_it_can_be_expected_to_bear() {
    let mut world = World::new(&[1, 2], |_, query, _| Ok(has_it(&query.name)));
    world.watch_many(1000);
    world.run_until(ROUND_TRIP);
    assert_eq!(world.questions(1, ROUND_TRIP..millis(21)), 256);
    assert_eq!(world.questions(2, ROUND_TRIP..millis(21)), 256, "each address has a queue of its own");
    world.run();
}

#[test]
fn a_few_names_are_asked_about_each_by_itself() {
    let lag = seconds(4);
    let mut world = World::new(&[1, 2], move |server, query, now| {
        Ok(if server == 2 && now < lag { has_it_not(&query.name, 7) } else { has_it(&query.name) })
    });
    let ids = world.watch_many(5);
    world.run();
    assert!(ids.iter().all(|id| world.is_ready(*id) && world.end(*id) < lag + millis(400)));
    assert!((5 * 14..=5 * 21).contains(&world.questions(2, Duration::ZERO..lag)));
}

#[test]
fn a_crowd_is_asked_about_through_one_of_its_names_and_a_sweep_now_and_then() {
    let lag = seconds(9);
    let mut world = World::new(&[1, 2], move |server, query, now| {
        Ok(if server == 2 && now < lag { has_it_not(&query.name, 7) } else { has_it(&query.name) })
    });
    let ids = world.watch_many(400);
    world.run();
    assert!(ids.iter().all(|id| world.is_ready(*id)));
    let last = ids.iter().map(|id| world.end(*id)).max().unwrap();
    // The look-out's gap, its round trip, the sweep's two turns, and the confirmation's.
    assert!(last < lag + millis(300) + ROUND_TRIP * 10, "{last:?}");
    // Once first, once at about five seconds, and four a second in between; beside them one SOA question each
    // address, for the report.
    let questions = world.questions(2, Duration::ZERO..lag);
    assert!((800..860).contains(&questions), "{questions}");
    let quiet = world.questions(2, seconds(2)..seconds(4));
    assert!((7..=11).contains(&quiet), "{quiet} in two seconds");
}

#[test]
fn a_serial_number_that_moves_has_everybody_asked_about() {
    // The look-out itself, which is the newest name, is never there.
    let newest = name(&nth(99));
    let mut world = World::new(&[1], move |_, query, now| {
        let there = now >= seconds(3) && query.name != newest;
        Ok(match (there, now >= seconds(3)) {
            (true, _) => has_it(&query.name),
            (false, moved) => has_it_not(&query.name, if moved { 8 } else { 7 }),
        })
    });
    let ids = world.watch_many(100);
    world.run_until(seconds(4));
    let ready = ids.iter().filter(|id| world.is_ready(**id)).count();
    assert_eq!(ready, 99);
}

#[test]
fn a_server_that_does_not_count_its_changes_is_swept_every_five_seconds() {
    // Old values everywhere, so that no answer brings a serial number; and half of the names come at once.
    let moment = millis(6500);
    let mut world = World::new(&[1], move |_, query, now| {
        let old = |name| answers(name, ResponseCode::NOERROR, vec![Data::Txt(b"old".to_vec())]);
        Ok(if query.record_type == RecordType::Soa {
            answers(&query.name, ResponseCode::NOERROR, vec![Data::Soa { serial: 1, minimum: 60 }])
        } else if now >= moment && query.name.as_str().contains(|c: char| c.is_ascii_digit() && c < '5') {
            has_it(&query.name)
        } else {
            old(&query.name)
        })
    });
    let ids = world.watch_many(10);
    // The newest is n9, which never comes.
    world.run_until(moment + seconds(5));
    let ready: Vec<bool> = ids.iter().map(|id| world.is_ready(*id)).collect();
    assert_eq!(ready, [true, true, true, true, true, false, false, false, false, false]);
    let soa = world.asked.iter().filter(|(.., query)| query.record_type == RecordType::Soa).count();
    assert!(soa > 10, "the serial number is asked for where answers do not bring it: {soa}");
}

#[test]
fn a_crowd_that_shrinks_goes_on_name_by_name() {
    // All but three are there soon; those come late.
    let mut world = World::new(&[1], |_, query, now| {
        let late = ["n0.", "n1.", "n2."].iter().any(|part| query.name.as_str().contains(part));
        let there = now >= if late { seconds(7) } else { seconds(1) };
        Ok(if there { has_it(&query.name) } else { has_it_not(&query.name, u32::from(now >= seconds(1))) })
    });
    let ids = world.watch_many(50);
    world.run();
    for (index, id) in ids.iter().enumerate() {
        assert!(world.is_ready(*id));
        let due = if index < 3 { seconds(7) } else { seconds(1) };
        let end = world.end(*id);
        assert!(end > due && end < due + millis(700), "{index}: {end:?}");
    }
}

#[test]
fn a_newcomer_finds_a_tired_look_out_awake() {
    let moment = seconds(42);
    let mut world = World::new(&[1], move |_, query, now| {
        let there = now >= moment && query.name.as_str().contains("late");
        Ok(if there { has_it(&query.name) } else { has_it_not(&query.name, 7) })
    });
    world.watch_many(20);
    world.run_until(seconds(40));
    assert!(world.questions(1, seconds(36)..seconds(40)) <= 22, "by now it is asked about every few seconds");
    let late = world.watch("_acme-challenge.late.example.com", Sweep::UntilReady, seconds(60));
    world.run_until(seconds(44));
    assert!(world.is_ready(late) && world.end(late) < moment + millis(400), "{:?}", world.done.get(&late));
}

#[test]
fn no_name_is_asked_about_more_than_forty_five_times_in_ten_seconds_at_one_server() {
    for count in [1, 3, 30] {
        let mut world = World::new(&[1, 2], |server, query, _| {
            Ok(if server == 1 { has_it(&query.name) } else { has_it_not(&query.name, 7) })
        });
        world.watch_many(count);
        world.run_until(seconds(11));
        let mut each: HashMap<(&DomainName, u8), usize> = HashMap::new();
        for (_, server, query) in &world.asked {
            let begun = ROUND_TRIP..ROUND_TRIP + seconds(10);
            if query.record_type == RecordType::Txt && begun.contains(&world.now.min(seconds(10))) {
                *each.entry((&query.name, *server)).or_default() += 1;
            }
        }
        let most = each.values().max().unwrap();
        assert!(*most <= 45 + 4, "{most} in eleven seconds, of {count}");
    }
}

#[test]
fn two_who_wait_for_the_same_name_are_one_question() {
    let lag = seconds(5);
    let run = |callers: usize| {
        let mut world = World::new(&[1], move |_, query, now| {
            Ok(if now < lag { has_it_not(&query.name, 7) } else { has_it(&query.name) })
        });
        let ids: Vec<_> = (0..callers)
            .map(|index| {
                world.run_until(millis(70) * u32::try_from(index).unwrap());
                world.watch(&nth(0), Sweep::UntilReady, seconds(60))
            })
            .collect();
        world.run();
        assert!(ids.iter().all(|id| world.is_ready(*id) && world.end(*id) < lag + millis(400)));
        world.questions(1, seconds(1)..lag)
    };
    let (alone, three) = (run(1), run(3));
    assert!(three <= alone + 2, "{three} questions for three callers, {alone} for one");
}

#[test]
fn one_who_asks_once_is_not_answered_from_before_he_asked() {
    // The first caller's question is on its way when the record appears, and the second asks then.
    let mut world = World::new(&[1], |_, query, now| {
        Ok(if now < millis(25) { has_it_not(&query.name, 7) } else { has_it(&query.name) })
    });
    let early = world.watch(&nth(0), Sweep::Once, seconds(30));
    world.run_until(millis(21));
    world.now = millis(30);
    let late = world.watch(&nth(0), Sweep::Once, seconds(30));
    world.engine.poll_event().into_iter().for_each(|event| match event {
        Event::Locate(id, locate) => {
            world.engine.handle_located(world.now, id, locate.stage, Ok(located(&[1])));
        }
        other => panic!("{other:?}"),
    });
    world.run();
    let verdict = |id| match &world.done[&id].1 {
        Outcome::Finished(report) => report.verdict,
        other => panic!("{other:?}"),
    };
    assert_eq!((verdict(early), verdict(late)), (Verdict::NotYet, Verdict::Ready));
}

#[test]
fn a_dead_server_is_found_dead_by_a_few_and_not_by_everybody_in_turn() {
    let mut world = World::new(&[1, 2], |server, query, _| match server {
        2 => Err(TransportError::Timeout),
        _ => Ok(has_it(&query.name)),
    });
    let ids: Vec<_> = (0..600).map(|index| world.watch(&nth(index), Sweep::Once, seconds(30))).collect();
    world.run();
    for id in &ids {
        let Outcome::Finished(report) = &world.done[id].1 else { panic!("{:?}", world.done[id]) };
        assert_eq!(report.verdict, Verdict::ReadyWithWarnings);
        let dead = State::Unreachable { error: TransportError::Timeout };
        assert!(report.stages[0].rows.iter().any(|row| row.state == dead));
        // A question's time, and once more for those that were sent before the trouble was known.
        assert!(world.end(*id) < seconds(6), "{:?}", world.end(*id));
    }
    assert!(world.questions(2, Duration::ZERO..seconds(30)) <= 256 + 16);
}

#[test]
fn a_server_that_comes_back_is_noticed() {
    let mut world = World::new(&[1, 2], |server, query, now| match server {
        2 if now < seconds(20) => Err(TransportError::Timeout),
        _ => Ok(has_it(&query.name)),
    });
    let strict = Settings { policy: Policy::Strict, ..settings(Sweep::UntilReady, seconds(100)) };
    let ids: Vec<_> = (0..300)
        .map(|index| {
            let wanted = Wanted::new(name(&nth(index)), ["token".to_owned()]);
            world.engine.add(Duration::ZERO, wanted, strict)
        })
        .collect();
    world.run();
    for id in ids {
        assert!(world.is_ready(id) && world.end(id) < seconds(28), "{:?}", world.end(id));
    }
}

#[test]
fn a_watch_that_nobody_wants_any_more_leaves_nothing_behind() {
    let mut world = World::new(&[1, 2], |_, query, _| Ok(has_it_not(&query.name, 7)));
    let ids = world.watch_many(40);
    world.run_until(seconds(3));
    for id in &ids {
        world.engine.remove(*id);
    }
    assert!(world.engine.is_idle() && world.engine.is_empty(), "{:#?}", world.engine);
    let before = world.asked.len();
    world.run_until(seconds(10));
    assert_eq!(world.asked.len(), before);
    assert!(world.engine.flights.is_empty() && world.engine.lanes.is_empty());
}

#[test]
fn one_of_a_crowd_can_leave_and_the_others_do_not_miss_it() {
    let mut world = World::new(&[1], |_, query, now| {
        Ok(if now < seconds(6) { has_it_not(&query.name, 7) } else { has_it(&query.name) })
    });
    let ids = world.watch_many(20);
    world.run_until(seconds(2));
    // The look-out of all people.
    let newest = *ids.last().unwrap();
    world.engine.remove(newest);
    assert_eq!(world.engine.report(newest), None);
    world.run();
    assert!(ids[..19].iter().all(|id| world.is_ready(*id) && world.end(*id) < millis(6500)));
}

#[test]
fn every_watch_ends_by_its_deadline_whatever_the_crowd_does() {
    let mut world = World::new(&[1, 2], |server, query, _| match server {
        1 => Ok(has_it_not(&query.name, 7)),
        _ => Err(TransportError::Timeout),
    });
    let ids: Vec<_> = (0..30)
        .map(|index| {
            let deadline = millis(500 * (u64::try_from(index).unwrap() + 1));
            (world.watch(&nth(index), Sweep::UntilReady, deadline), deadline)
        })
        .collect();
    world.run();
    for (id, deadline) in ids {
        assert_eq!(world.end(id), deadline);
    }
}

#[test]
fn a_crowd_whose_names_come_one_by_one_sees_each_of_them_soon() {
    // Each name comes at a moment of its own, and each moves the serial number.
    let due = |index: usize| millis(50 + 97 * u64::try_from((index * 37) % 100).unwrap());
    let mut world = World::new(&[1, 2], move |server, query, now| {
        let index = (0..100).find(|index| query.name.as_str() == nth(*index));
        let there = index.is_some_and(|index| server == 1 || now >= due(index));
        let serial = (0..100).filter(|index| now >= due(*index)).count();
        Ok(if there { has_it(&query.name) } else { has_it_not(&query.name, serial.try_into().unwrap()) })
    });
    let ids = world.watch_many(100);
    world.run();
    let mut delays: Vec<Duration> =
        ids.iter().enumerate().map(|(index, id)| world.end(*id).saturating_sub(due(index))).collect();
    delays.sort();
    assert!(delays[50] < millis(300) && delays[99] < millis(700), "{:?}", (delays[50], delays[99]));
    let each = world
        .asked
        .iter()
        .filter(|(at, server, query)| *server == 2 && query.name.as_str() == nth(27) && *at < seconds(10));
    assert!(each.count() <= 45);
}

#[test]
fn a_serial_number_that_moves_in_the_middle_of_a_sweep_is_not_forgotten() {
    // The server needs a millisecond for each question, so that a sweep of thirty names sees it at thirty moments;
    // and about five seconds after the beginning there is one.
    for step in 0..30 {
        let moment = millis(4900 + 20 * step);
        let busy = std::cell::Cell::new((Duration::ZERO, 0_u64));
        let mut world = World::new(&[1], move |_, query, now| {
            let place = if busy.get().0 == now { busy.get().1 + 1 } else { 0 };
            busy.set((now, place));
            let moved = now + millis(place) >= moment;
            let there = moved && query.name.as_str() == nth(0);
            Ok(if there { has_it(&query.name) } else { has_it_not(&query.name, u32::from(moved)) })
        });
        let ids = world.watch_many(30);
        world.run_until(moment + seconds(2));
        assert!(world.is_ready(ids[0]), "{moment:?}");
        assert!(world.end(ids[0]) < moment + millis(700), "{moment:?}: {:?}", world.end(ids[0]));
    }
}
