//! The engine in virtual time: a scene says what each server answers when, the run takes no time at all.

use std::{collections::BTreeMap, net::SocketAddr};

use super::*;
use crate::{
    report::{Advice, State},
    target::{NoRoute, Route},
    transport::Transport,
    verdict::GRACE,
    wire::{Answer, Data, Record, RecordType, ResponseCode},
    zone::ZoneServer,
};

const NAME: &str = "_acme-challenge.example.com";
const ROUND_TRIP: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(120);

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

type Said = Result<Answer, TransportError>;
/// What the server at `192.0.2.N` says about a name at a moment.
type Script = Box<dyn Fn(u8, &DomainName, Duration) -> Said>;

/// Where the zone is at a moment.
type Registry = Box<dyn Fn(&Locate, Duration) -> Result<Located, String>>;

struct Scene {
    script: Script,
    locate: Registry,
    /// How long the server at `192.0.2.N` takes.
    latency: Box<dyn Fn(u8) -> Duration>,
}

struct Run {
    outcome: Outcome,
    end: Duration,
    /// When which server was asked about which name.
    asked: Vec<(Duration, u8, DomainName)>,
    /// Which servers were asked for the zone's serial number.
    asked_for_serial: Vec<u8>,
    located: Vec<(Duration, Locate)>,
    reports: Vec<Report>,
}

impl Run {
    fn report(&self) -> &Report {
        match &self.outcome {
            Outcome::Expired(report) | Outcome::Finished(report) => report,
            Outcome::Ready(propagated) => propagated.report(),
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self.outcome, Outcome::Ready(_))
    }

    fn questions_to(&self, server: u8) -> usize {
        self.asked.iter().filter(|(_, asked, _)| *asked == server).count()
    }
}

fn located(zone: &str, servers: &[u8]) -> Located {
    let mut view = ZoneView { apex: name(zone), servers: vec![], evidence: vec![] };
    let mut targets = vec![];
    for server in servers {
        let host = format!("ns{server}.{zone}");
        let mut known = ZoneServer::new(name(&host));
        known.add([192, 0, 2, *server].into());
        view.servers.push(known);
        let endpoint = Endpoint::Udp(SocketAddr::from(([192, 0, 2, *server], 53)));
        targets.push(Target { servers: vec![host], endpoint, nat64: None, route: Route::Exists });
    }
    let servers = view.servers.iter().map(|server| server.name.to_string()).collect();
    Located { zone: Some(view), servers, targets, verification: Verification::Done }
}

/// `example.com` on servers 1 to `count`.
fn scene(count: u8, script: impl Fn(u8, &DomainName, Duration) -> Said + 'static) -> Scene {
    let servers: Vec<u8> = (1..=count).collect();
    Scene {
        script: Box::new(script),
        locate: Box::new(move |_, _| Ok(located("example.com", &servers))),
        latency: Box::new(|_| ROUND_TRIP),
    }
}

fn answer(owner: &DomainName, data: Vec<Data>) -> Said {
    let mut answer = Answer::new(ResponseCode::NOERROR);
    answer.authoritative = true;
    let record = |data| Record { owner: Some(owner.clone()), ttl: 1, data };
    answer.answers = data.into_iter().map(record).collect();
    Ok(answer)
}

fn has_it(owner: &DomainName) -> Said {
    answer(owner, vec![Data::Txt(b"token".to_vec())])
}

fn has_it_not() -> Said {
    let mut answer = Answer::new(ResponseCode::NXDOMAIN);
    answer.authoritative = true;
    answer.authorities =
        vec![Record { owner: Some(name("example.com")), ttl: 1, data: Data::Soa { serial: 7, minimum: 60 } }];
    Ok(answer)
}

fn settings(policy: Policy, sweep: Sweep) -> Settings {
    Settings { policy, sweep, deadline: DEADLINE, grace: GRACE, settle: Duration::ZERO }
}

fn run(scene: &Scene, settings: Settings) -> Run {
    enum Due {
        Answer(Ticket, Said),
        Zone(StageId, Result<Located, String>),
    }
    let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
    let mut watch = Watch::new(wanted, settings, 7);
    let (mut now, mut sequence) = (Duration::ZERO, 0);
    let mut due: BTreeMap<(Duration, u64), Due> = BTreeMap::new();
    let (mut asked, mut asked_for_serial, mut zones, mut reports) = (vec![], vec![], vec![], vec![]);
    for _ in 0..100_000 {
        while let Some(event) = watch.poll_event() {
            match event {
                Event::Changed => reports.push(watch.report()),
                Event::Done(outcome) => {
                    assert_eq!((watch.poll_query(), watch.poll_timeout()), (None, None));
                    return Run { outcome, end: now, asked, asked_for_serial, located: zones, reports };
                }
                Event::Locate(locate) => {
                    sequence += 1;
                    let found = (scene.locate)(&locate, now);
                    due.insert((now + ROUND_TRIP, sequence), Due::Zone(locate.stage, found));
                    zones.push((now, locate));
                }
            }
        }
        while let Some(question) = watch.poll_query() {
            let SocketAddr::V4(address) = question.endpoint.address().unwrap() else { panic!("IPv6") };
            let server = address.ip().octets()[3];
            sequence += 1;
            // A server answers with what it has when the question arrives.
            let arrival = now + (scene.latency)(server);
            let said = if question.purpose == Purpose::Serial {
                assert_eq!(question.query, Query::authoritative(name("example.com"), RecordType::Soa));
                asked_for_serial.push(server);
                answer(&question.query.name, vec![Data::Soa { serial: 9, minimum: 60 }])
            } else {
                asked.push((now, server, question.query.name.clone()));
                (scene.script)(server, &question.query.name, arrival)
            };
            due.insert((arrival, sequence), Due::Answer(question.ticket, said));
        }
        let timeout = watch.poll_timeout().expect("a running watch has a timeout");
        match due.first_key_value().map(|(key, _)| *key) {
            Some(key) if key.0 <= timeout => {
                now = now.max(key.0);
                match due.remove(&key).unwrap() {
                    Due::Zone(stage, found) => watch.handle_located(now, stage, found),
                    Due::Answer(ticket, said) => {
                        let reply = |answer| Reply::new(answer, Transport::Udp, ROUND_TRIP);
                        watch.handle_answer(now, ticket, said.map(reply));
                    }
                }
            }
            _ => {
                now = now.max(timeout);
                watch.handle_timeout(now);
            }
        }
    }
    panic!("the watch turns in a circle");
}

#[test]
fn what_is_there_already_is_confirmed_in_two_round_trips() {
    let run = run(&scene(2, |_, owner, _| has_it(owner)), settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert_eq!(run.end, ROUND_TRIP * 3, "zone, first answers, confirmation");
    assert_eq!((run.questions_to(1), run.questions_to(2)), (2, 2));
    assert_eq!(run.report().verdict, Verdict::Ready);
    assert_eq!(run.report().advice, []);
}

#[test]
fn a_lagging_server_is_polled_and_the_satisfied_one_left_alone() {
    let lag = millis(3000);
    let lagging = scene(2, move |server, owner, now| match server {
        2 if now < lag => has_it_not(),
        _ => has_it(owner),
    });
    let run = run(&lagging, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!(run.end >= lag && run.end <= lag + millis(300) + ROUND_TRIP * 2, "detected at {:?}", run.end);
    assert_eq!(run.questions_to(1), 2, "asked at the beginning and for the confirmation");
    assert!((11..=16).contains(&run.questions_to(2)), "{} questions", run.questions_to(2));
    let first = &run.reports.last().unwrap().stages[0].rows[1];
    assert!(first.since >= lag);
    let waiting = run.reports.iter().find(|report| report.stages[0].rows.len() == 2).unwrap();
    assert_eq!(waiting.verdict, Verdict::NotYet);
}

#[test]
fn a_dead_server_delays_until_the_grace_is_over_and_is_named() {
    let mut dead = scene(3, |server, owner, _| match server {
        3 => Err(TransportError::Timeout),
        _ => has_it(owner),
    });
    dead.latency = Box::new(|server| if server == 3 { millis(2800) } else { ROUND_TRIP });
    let run = run(&dead, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    let found = ROUND_TRIP;
    assert_eq!(
        run.end,
        found + GRACE + ROUND_TRIP,
        "the others are confirmed, the dead one is not waited for"
    );
    assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
    assert!(
        matches!(run.report().advice.as_slice(), [Advice::Unreachable { server, .. }] if server.starts_with("ns3."))
    );
}

#[test]
fn strict_never_forgives_a_dead_server() {
    let dead =
        scene(2, |server, owner, _| if server == 2 { Err(TransportError::Refused) } else { has_it(owner) });
    let run = run(&dead, settings(Policy::Strict, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert_eq!(run.end, DEADLINE);
}

#[test]
fn a_denial_is_never_tolerated_however_long_it_lasts() {
    let lagging = scene(3, |server, owner, _| if server == 3 { has_it_not() } else { has_it(owner) });
    let run = run(&lagging, settings(Policy::All, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    let server = "ns3.example.com (192.0.2.3:53)".to_owned();
    assert_eq!(run.report().advice, [Advice::SerialLag { server, serial: 7, newest: 9 }]);
    let questions = run.questions_to(3);
    assert!((55..=90).contains(&questions), "40 in 10 s, then ever fewer: {questions}");
}

#[test]
fn a_server_that_takes_its_answer_back_is_not_confirmed() {
    let flapping =
        scene(
            1,
            |_, owner, now| {
                if (millis(100)..millis(5000)).contains(&now) { has_it_not() } else { has_it(owner) }
            },
        );
    let mut flapping = flapping;
    flapping.latency = Box::new(|_| millis(60));
    let run = run(&flapping, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!(run.end >= millis(5000), "the first answer said yes, the confirmation no: {:?}", run.end);
}

#[test]
fn once_asks_everybody_once_and_counts_the_silent_as_dead() {
    let mixed = scene(3, |server, owner, _| match server {
        1 => Err(TransportError::Timeout),
        _ => has_it(owner),
    });
    let run = run(&mixed, settings(Policy::All, Sweep::Once));
    assert!(matches!(run.outcome, Outcome::Finished(_)));
    assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
    assert_eq!(run.asked.len(), 3);
    assert_eq!(run.report().queries(), 3);
}

#[test]
fn an_alias_is_followed_and_both_ends_are_confirmed() {
    let mut aliased = scene(0, |server, owner, _| match server {
        1 | 2 => answer(owner, vec![Data::Cname(name("x.acme.example"))]),
        _ => has_it(owner),
    });
    aliased.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(sought) if *sought == name(NAME) => Ok(located("example.com", &[1, 2])),
        Place::Holding(_) => Ok(located("acme.example", &[8, 9])),
        Place::Delegated(_) => panic!("nothing is delegated"),
    });
    let run = run(&aliased, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert_eq!(run.end, ROUND_TRIP * 5);
    assert_eq!((run.questions_to(1), run.questions_to(9)), (2, 2));
    let aliases: Vec<_> = run.report().aliases().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    assert_eq!(aliases, [(NAME, "x.acme.example")]);
    assert!(run.asked.iter().all(|(_, server, name)| (*server > 7) == (name.as_str() == "x.acme.example")));
}

#[test]
fn a_referral_leads_to_the_zone_below() {
    let mut delegated = scene(0, |server, owner, _| {
        if server != 1 {
            return has_it(owner);
        }
        let mut answer = Answer::new(ResponseCode::NOERROR);
        let ns = Data::Ns(name("ns5._acme-challenge.example.com"));
        answer.authorities = vec![Record { owner: Some(owner.clone()), ttl: 1, data: ns }];
        Ok(answer)
    });
    delegated.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(_) => Ok(located("example.com", &[1])),
        Place::Delegated(delegation) => Ok(located(delegation.cut.as_str(), &[5])),
    });
    let run = run(&delegated, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    let stages = &run.report().stages;
    assert_eq!(stages[1].origin, Origin::Referral);
    assert_eq!(stages[1].zone.as_ref().unwrap().apex, name(NAME));
    assert_eq!(stages[0].rows[0].state, State::Referral { cut: name(NAME) });
}

#[test]
fn an_alias_that_is_replaced_by_the_record_is_noticed() {
    let mut replaced = scene(0, |server, owner, now| match server {
        1 if now < seconds(7) => answer(owner, vec![Data::Cname(name("dead.acme.example"))]),
        1 => has_it(owner),
        _ => has_it_not(),
    });
    replaced.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(sought) if *sought == name(NAME) => Ok(located("example.com", &[1])),
        _ => Ok(located("acme.example", &[9])),
    });
    let run = run(&replaced, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!(run.end < seconds(13), "{:?}", run.end);
    assert_eq!(run.report().stages.len(), 1);
}

#[test]
fn a_circle_of_aliases_is_named_and_not_followed() {
    let mut circle = scene(1, |_, owner, _| {
        let other = if *owner == name(NAME) { "b.example.com" } else { NAME };
        answer(owner, vec![Data::Cname(name(other))])
    });
    circle.latency = Box::new(|_| millis(1));
    let run = run(&circle, settings(Policy::Any, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert_eq!(run.report().stages.len(), 2);
    assert!(run.report().advice.iter().any(|advice| matches!(advice, Advice::AliasChain { .. })));
    assert!(run.report().to_string().contains("circle"));
}

#[test]
fn a_chain_without_end_is_cut_off() {
    let endless = scene(1, |_, owner, _| {
        answer(
            owner,
            vec![Data::Cname(name(&format!("n{}.example.com", owner.as_str().len())).child("a").unwrap())],
        )
    });
    let longer = scene(1, |_, owner, _| answer(owner, vec![Data::Cname(owner.child("a").unwrap())]));
    for scene in [endless, longer] {
        let run = run(&scene, settings(Policy::All, Sweep::Once));
        assert!(matches!(run.outcome, Outcome::Finished(_)));
        assert!(run.report().stages.len() <= MAX_CHAIN + 1);
        assert_eq!(run.report().verdict, Verdict::NotYet);
    }
}

#[test]
fn a_zone_that_is_not_found_is_looked_for_again() {
    let mut late = scene(1, |_, owner, _| has_it(owner));
    late.locate = Box::new(|_, now| {
        if now < seconds(6) { Err("no resolver answers".into()) } else { Ok(located("example.com", &[1])) }
    });
    let run = run(&late, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!((3..=5).contains(&run.located.len()), "every two seconds: {:?}", run.located);
    let first = &run.reports[0];
    assert!(
        matches!(&first.advice[0], Advice::ZoneUnknown { reason, .. } if reason == "no resolver answers")
    );
}

#[test]
fn a_zone_that_moves_while_it_keeps_us_waiting_is_found_again() {
    let mut moving =
        scene(
            0,
            |server, owner, _| {
                if server == 1 { Ok(Answer::new(ResponseCode::REFUSED)) } else { has_it(owner) }
            },
        );
    moving.locate = Box::new(|locate, now| {
        assert_eq!(locate.freshness, if now.is_zero() { Freshness::Cached } else { Freshness::Fresh });
        Ok(located("example.com", if now < seconds(20) { &[1] } else { &[1, 2, 3] }))
    });
    let run = run(&moving, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!(run.end > ZONE_REFRESH && run.end < ZONE_REFRESH + seconds(6), "{:?}", run.end);
    assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
}

#[test]
fn what_was_said_about_one_zone_is_not_taken_for_another() {
    let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
    let mut watch = Watch::new(wanted, settings(Policy::All, Sweep::Once), 1);
    let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
    let claimed =
        Located { verification: Verification::UnderWay, ..located("_acme-challenge.example.com", &[1]) };
    watch.handle_located(millis(1), locate.stage, Ok(claimed));
    let question = watch.poll_query().unwrap();
    let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
    watch.handle_answer(millis(2), question.ticket, Ok(reply));
    assert_eq!(watch.report().stages[0].rows[0].state, State::Satisfied);
    // The zone above knows nothing of that zone: its own servers happen to have the same addresses.
    watch.handle_located(millis(3), locate.stage, Ok(located("example.com", &[1])));
    assert_eq!(watch.report().stages[0].rows[0].state, State::Waiting);
    assert!(watch.poll_query().is_some(), "it is asked as a server of the other zone");
}

#[test]
fn a_server_without_a_way_to_it_is_not_asked_and_the_remedy_is_named() {
    let mut unreachable = scene(0, |_, owner, _| has_it(owner));
    unreachable.locate = Box::new(|_, _| {
        let mut located = located("example.com", &[1, 2]);
        located.targets[1].route = Route::None(NoRoute::NoNat64Prefix);
        Ok(located)
    });
    let run = run(&unreachable, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert_eq!((run.questions_to(2), run.end), (0, GRACE + ROUND_TRIP));
    assert!(matches!(run.report().advice.as_slice(), [Advice::Nat64Missing { .. }]));
}

#[test]
fn name_servers_without_an_address_are_named() {
    let mut nowhere = scene(0, |_, _, _| has_it_not());
    nowhere.locate = Box::new(|_, _| Ok(Located { targets: vec![], ..located("example.com", &[1]) }));
    let run = run(&nowhere, settings(Policy::All, Sweep::Once));
    assert_eq!(run.report().verdict, Verdict::NotYet);
    assert_eq!(run.report().advice, [Advice::NoAddress { server: "ns1.example.com".into() }]);
}

#[test]
fn other_values_are_told_from_no_values() {
    let stale = scene(2, |server, owner, _| match server {
        1 => answer(owner, vec![Data::Txt(b"yesterday".to_vec())]),
        _ => has_it_not(),
    });
    let run = run(&stale, settings(Policy::All, Sweep::Once));
    let advice = &run.report().advice;
    assert!(
        matches!(&advice[0], Advice::StaleValue { values, .. } if values == &["yesterday"]),
        "{advice:?}"
    );
    assert!(matches!(&advice[1], Advice::NotYet { servers, .. } if servers.len() == 1), "{advice:?}");
}

#[test]
fn answers_to_questions_that_no_longer_matter_are_ignored() {
    let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
    let mut watch = Watch::new(wanted, settings(Policy::All, Sweep::UntilReady), 1);
    let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
    watch.handle_located(millis(1), locate.stage, Ok(located("example.com", &[1])));
    let question = watch.poll_query().unwrap();
    // The zone moved: the old server is gone, and so is what it may say.
    watch.handle_located(millis(2), locate.stage, Ok(located("example.com", &[2])));
    let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
    watch.handle_answer(millis(3), question.ticket, Ok(reply));
    assert_eq!(watch.report().verdict, Verdict::NotYet);
    assert_eq!(watch.report().stages[0].rows[0].state, State::Waiting);
}

#[test]
fn the_deadline_ends_a_watch_whose_servers_never_answer() {
    let mut mute = scene(2, |_, _, _| Err(TransportError::Timeout));
    mute.latency = Box::new(|_| seconds(1_000_000));
    let run = run(&mute, settings(Policy::All, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert_eq!((run.end, run.asked.len()), (DEADLINE, 2));
}

#[test]
fn a_report_reads_well_to_people_and_machines() {
    let lagging = scene(2, |server, owner, _| if server == 2 { has_it_not() } else { has_it(owner) });
    let run = run(&lagging, settings(Policy::All, Sweep::Once));
    assert_eq!(
        run.report().to_string(),
        "_acme-challenge.example.com TXT: not yet propagated (2 questions in 0.1 s)\n\
         \x20 wanted: \"token\"\n\
         \x20 zone example.com, name servers ns1.example.com, ns2.example.com\n\
         \x20   ok          192.0.2.1:53 (ns1.example.com) [udp NOERROR AA \"token\"] serial 9 for 0.0 s\n\
         \x20   missing     192.0.2.2:53 (ns2.example.com) [udp NXDOMAIN AA serial 7] for 0.0 s\n\
         \x20 -> ns2.example.com (192.0.2.2:53) has version 7 of the zone and others 9, it is 2 behind: wait for \
         the zone transfer; if it stays so, look at NOTIFY and at who may transfer\n"
    );
    let json = serde_json::to_value(run.report()).unwrap();
    assert_eq!(json["verdict"], "not_yet");
    assert_eq!(json["stages"][0]["rows"][1]["state"], "lacking");
    assert_eq!(json["stages"][0]["rows"][1]["last"]["code"], "NXDOMAIN");
    assert_eq!(json["advice"][0]["advice"], "serial_lag");
    assert_eq!(json["elapsed_ms"], 60);
}

#[test]
fn where_some_have_it_and_some_do_not_each_tells_the_serial_number_once() {
    let lag = seconds(3);
    let lagging = scene(3, move |server, owner, now| match server {
        2 if now < lag => has_it_not(),
        3 => Err(TransportError::Timeout),
        _ => has_it(owner),
    });
    for sweep in [Sweep::Once, Sweep::UntilReady] {
        let run = run(&lagging, settings(Policy::All, sweep));
        assert_eq!(run.asked_for_serial, [1], "the second has told its own, the third does not answer");
        let serials =
            |report: &Report| report.stages[0].rows.iter().map(|row| row.serial).collect::<Vec<_>>();
        let while_it_lags = run.reports.iter().any(|report| serials(report) == [Some(9), Some(7), None]);
        assert!(while_it_lags || serials(run.report()) == [Some(9), Some(7), None], "{sweep:?}");
        // What the second told before it had the value is not held against it afterwards.
        assert_eq!(serials(run.report())[1], (sweep == Sweep::Once).then_some(7));
    }
    let nobody = scene(2, |_, _, _| has_it_not());
    assert!(run(&nobody, settings(Policy::All, Sweep::Once)).asked_for_serial.is_empty());
}

#[test]
fn a_good_verdict_settles_before_it_is_confirmed() {
    let healthy = scene(2, |_, owner, _| has_it(owner));
    let patient = Settings { settle: seconds(2), ..settings(Policy::All, Sweep::UntilReady) };
    let run = run(&healthy, patient);
    assert!(run.is_ready());
    assert_eq!((run.end, run.questions_to(1)), (ROUND_TRIP * 2 + seconds(2) + ROUND_TRIP, 2));
}

#[test]
fn settling_is_cut_short_by_the_deadline_and_by_a_bad_verdict() {
    let healthy = scene(2, |_, owner, _| has_it(owner));
    let hurried =
        Settings { settle: seconds(600), deadline: seconds(10), ..settings(Policy::All, Sweep::UntilReady) };
    let ended = run(&healthy, hurried);
    assert!(ended.is_ready());
    assert_eq!(ended.end, seconds(10) - TO_CONFIRM + ROUND_TRIP);
    // The alias is asked about again while the verdict settles, and leads elsewhere by then.
    let mut moving = scene(0, |server, owner, now| match server {
        1 if now < seconds(3) => answer(owner, vec![Data::Cname(name("x.acme.example"))]),
        1 if now < seconds(20) => has_it_not(),
        _ => has_it(owner),
    });
    moving.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(sought) if *sought == name(NAME) => Ok(located("example.com", &[1])),
        _ => Ok(located("acme.example", &[9])),
    });
    let patient = Settings { settle: seconds(15), ..settings(Policy::All, Sweep::UntilReady) };
    let moved = run(&moving, patient);
    assert!(moved.is_ready());
    assert!(moved.end > seconds(35), "it settles once more from 20 s on: {:?}", moved.end);
}

#[test]
fn the_grace_is_what_the_settings_say() {
    let dead = scene(3, |server, owner, _| match server {
        3 => Err(TransportError::Refused),
        _ => has_it(owner),
    });
    for grace in [Duration::ZERO, seconds(1), seconds(60)] {
        let run = run(&dead, Settings { grace, ..settings(Policy::All, Sweep::UntilReady) });
        assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
        assert!(run.end >= grace && run.end <= grace + ROUND_TRIP * 3, "{grace:?}: {:?}", run.end);
    }
}

#[test]
fn one_bad_answer_after_a_denial_is_not_death() {
    // The second loads the zone for two seconds, long after the watch began, and has the old copy again.
    let reloading = scene(2, |server, owner, now| match server {
        2 if (seconds(7)..seconds(9)).contains(&now) => Ok(Answer::new(ResponseCode::SERVFAIL)),
        2 => has_it_not(),
        _ => has_it(owner),
    });
    let denied = run(&reloading, settings(Policy::All, Sweep::UntilReady));
    assert!(matches!(denied.outcome, Outcome::Expired(_)), "{}", denied.report());
    // One that dies for good has its grace from then on.
    let dying = scene(2, |server, owner, now| match server {
        2 if now < seconds(7) => has_it_not(),
        2 => Err(TransportError::Timeout),
        _ => has_it(owner),
    });
    let died = run(&dying, settings(Policy::All, Sweep::UntilReady));
    assert_eq!(died.report().verdict, Verdict::ReadyWithWarnings);
    assert!(died.end >= seconds(7) + GRACE && died.end < seconds(8) + GRACE, "{:?}", died.end);
}

#[test]
fn a_server_that_was_found_late_has_its_grace_however_it_answers_first() {
    let mut late = scene(2, |server, owner, now| match server {
        2 if now < seconds(12) => Ok(Answer::new(ResponseCode::SERVFAIL)),
        2 => has_it_not(),
        _ => has_it(owner),
    });
    late.locate = Box::new(|_, now| {
        if now < seconds(9) { Err("no resolver answers".into()) } else { Ok(located("example.com", &[1, 2])) }
    });
    let run = run(&late, settings(Policy::All, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)), "{}", run.report());
}

#[test]
fn a_zone_whose_verification_fails_is_not_known() {
    for sweep in [Sweep::Once, Sweep::UntilReady] {
        let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
        let mut watch = Watch::new(wanted, settings(Policy::All, sweep), 1);
        let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
        let claimed = Located { verification: Verification::UnderWay, ..located("example.com", &[1]) };
        watch.handle_located(millis(1), locate.stage, Ok(claimed));
        while let Some(question) = watch.poll_query() {
            let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
            watch.handle_answer(millis(2), question.ticket, Ok(reply));
        }
        watch.handle_located(millis(3), locate.stage, Err("the zone above is mute".into()));
        let report = watch.report();
        assert_eq!((report.verdict, report.stages[0].rows.len()), (Verdict::NotYet, 0), "{sweep:?}");
        assert!(report.to_string().contains("the zone above is mute"), "{report}");
        if sweep == Sweep::Once {
            assert!(matches!(watch.poll_event(), Some(Event::Done(Outcome::Finished(_)))));
            continue;
        }
        watch.handle_timeout(millis(3) + LOCATE_AGAIN);
        assert!(matches!(watch.poll_event(), Some(Event::Locate(_))), "it is looked for again");
    }
}

#[test]
fn a_circle_of_aliases_is_seen_while_the_zone_is_looked_for_again() {
    let mut turning = scene(0, |server, owner, now| match server {
        1 if now < seconds(33) => answer(owner, vec![Data::Cname(name("x.acme.example"))]),
        1 => answer(owner, vec![Data::Cname(name(NAME))]),
        2 => Ok(Answer::new(ResponseCode::REFUSED)),
        _ => has_it_not(),
    });
    turning.locate = Box::new(|locate, now| match &locate.place {
        Place::Holding(sought) if *sought != name(NAME) => Ok(located("acme.example", &[9])),
        _ if now < seconds(29) => Ok(located("example.com", &[1, 2])),
        _ => Err("no resolver answers".into()),
    });
    let run = run(&turning, settings(Policy::Any, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)), "{}", run.report());
    assert!(run.report().to_string().contains("circle"), "{}", run.report());
}

#[test]
fn whom_there_was_no_way_to_ask_is_looked_for_again() {
    let locate = |once: fn(&mut Located)| -> Registry {
        Box::new(move |_, now| {
            let mut located = located("example.com", &[1, 2]);
            if now < seconds(1) {
                once(&mut located);
            }
            Ok(located)
        })
    };
    let cut_off: fn(&mut Located) = |located| located.targets[1].route = Route::None(NoRoute::NoNat64Prefix);
    let unknown: fn(&mut Located) = |located| located.targets.truncate(1);
    for (policy, once) in [(Policy::Strict, cut_off), (Policy::RecursiveOnly, unknown)] {
        let mended = Scene { locate: locate(once), ..scene(0, |_, owner, _| has_it(owner)) };
        let run = run(&mended, settings(policy, Sweep::UntilReady));
        assert!(run.is_ready(), "{policy:?}: {}", run.report());
        assert!(run.end < seconds(3), "{policy:?}: {:?}", run.end);
    }
}

#[test]
fn one_who_stays_out_of_reach_is_looked_for_ever_more_rarely() {
    let mut missing = scene(0, |_, owner, _| has_it(owner));
    missing.locate = Box::new(|_, _| {
        let mut located = located("example.com", &[1, 2]);
        located.targets.truncate(1);
        Ok(located)
    });
    let run = run(&missing, settings(Policy::Strict, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert!((6..=8).contains(&run.located.len()), "{:?}", run.located);
}

#[test]
fn an_answer_past_the_end_of_grace_does_not_hide_it() {
    let refused = || Ok(Reply::new(Answer::new(ResponseCode::REFUSED), Transport::Udp, ROUND_TRIP));
    let begin = |grace| {
        let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
        let mut watch = Watch::new(wanted, Settings { grace, ..settings(Policy::All, Sweep::UntilReady) }, 7);
        let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
        watch.handle_located(Duration::ZERO, locate.stage, Ok(located("example.com", &[1, 2])));
        let first = watch.poll_query().unwrap();
        let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
        watch.handle_answer(Duration::ZERO, first.ticket, Ok(reply));
        watch
    };
    let sweep_after_20_s = |watch: &mut Watch| {
        let mut now = Duration::ZERO;
        loop {
            if let Some(question) = watch.poll_query() {
                if now > seconds(20) {
                    return (now, question.ticket);
                }
                watch.handle_answer(now, question.ticket, refused());
            }
            now = watch.poll_timeout().unwrap();
            watch.handle_timeout(now);
        }
    };
    let (sweep, _) = sweep_after_20_s(&mut begin(seconds(60)));
    let mut watch = begin(sweep + millis(500));
    let (same, ticket) = sweep_after_20_s(&mut watch);
    assert_eq!(same, sweep);
    let late = sweep + seconds(1);
    watch.handle_answer(late, ticket, refused());
    let timeout = watch.poll_timeout().unwrap();
    assert!(timeout <= late, "nobody looks before {timeout:?}, and the grace was over before {late:?}");
}

#[test]
fn a_question_that_was_under_way_before_confirms_nothing() {
    let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
    let mut watch = Watch::new(wanted, settings(Policy::All, Sweep::UntilReady), 7);
    let elsewhere = || answer(&name(NAME), vec![Data::Cname(name("x.acme.example"))]);
    let has_it = || has_it(&name("x.acme.example"));
    let tell = |watch: &mut Watch, now, question: &Question, said: Said| {
        watch.handle_answer(now, question.ticket, Ok(Reply::new(said.unwrap(), Transport::Udp, ROUND_TRIP)));
    };
    let (mut now, mut refresh) = (Duration::ZERO, None);
    loop {
        while let Some(event) = watch.poll_event() {
            if let Event::Locate(Locate { stage, place, .. }) = event {
                let first = place == Place::Holding(name(NAME));
                let found = if first { located("example.com", &[1]) } else { located("acme.example", &[9]) };
                watch.handle_located(now, stage, Ok(found));
            }
        }
        while let Some(question) = watch.poll_query() {
            match question.purpose {
                Purpose::Refresh => refresh = Some(question),
                _ if question.query.name == name(NAME) => tell(&mut watch, now, &question, elsewhere()),
                _ if refresh.is_some() => tell(&mut watch, now, &question, has_it()),
                _ => tell(&mut watch, now, &question, has_it_not()),
            }
        }
        // The zone below has the values, and has been asked once more.
        if watch.report().verdict.is_ready() {
            break;
        }
        now = watch.poll_timeout().unwrap();
        watch.handle_timeout(now);
    }
    tell(&mut watch, now, &refresh.unwrap(), elsewhere());
    while let Some(event) = watch.poll_event() {
        assert_eq!(event, Event::Changed, "the alias was not confirmed");
    }
    let question = watch.poll_query().unwrap();
    assert_eq!((question.purpose, question.query.name.as_str()), (Purpose::Confirm, NAME));
    tell(&mut watch, now, &question, elsewhere());
    assert!(matches!(watch.poll_event(), Some(Event::Done(Outcome::Ready(_)))));
}

#[test]
fn who_only_waits_asks_nobody_and_says_so() {
    let silent = scene(0, |server, _, _| panic!("{server} is asked"));
    let wait = Policy::WaitOnly(seconds(30));
    let waited = run(&silent, settings(wait, Sweep::UntilReady));
    assert!(waited.is_ready() && waited.located.is_empty());
    assert_eq!((waited.end, waited.report().verdict), (seconds(30), Verdict::ReadyWithWarnings));
    assert_eq!(waited.report().advice, [Advice::NotAsked { wait: seconds(30) }]);
    let told = waited.report().to_string();
    assert!(told.contains("nobody was asked") && told.contains("wait for 30s"), "{told}");
    let once = run(&silent, settings(wait, Sweep::Once));
    assert_eq!((once.end, once.report().verdict), (Duration::ZERO, Verdict::NotYet));
    let late = run(&silent, settings(Policy::WaitOnly(DEADLINE * 2), Sweep::UntilReady));
    assert!(matches!(late.outcome, Outcome::Expired(_)));
    assert_eq!((late.end, late.report().verdict), (DEADLINE, Verdict::NotYet));
}

#[test]
fn what_could_not_be_confirmed_in_time_is_not_yet_and_the_reason_is_said() {
    let mut mute =
        scene(1, |_, owner, now| if now < seconds(1) { has_it(owner) } else { Err(TransportError::Timeout) });
    mute.latency = Box::new(|_| millis(600));
    let run = run(&mute, Settings { deadline: seconds(1), ..settings(Policy::All, Sweep::UntilReady) });
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert_eq!(
        (run.report().verdict, run.report().advice.last()),
        (Verdict::NotYet, Some(&Advice::Unconfirmed))
    );
}

#[test]
fn a_zone_that_is_being_verified_is_asked_and_the_watch_waits_for_the_last_word() {
    for sweep in [Sweep::Once, Sweep::UntilReady] {
        let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
        let mut watch = Watch::new(wanted, settings(Policy::All, sweep), 1);
        let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
        let claimed = Located { verification: Verification::UnderWay, ..located("example.com", &[1]) };
        let mut now = millis(1);
        watch.handle_located(now, locate.stage, Ok(claimed));
        let mut asked = 0;
        let mut answer_all = |watch: &mut Watch, now: Duration| {
            while let Some(question) = watch.poll_query() {
                asked += 1;
                let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
                watch.handle_answer(now, question.ticket, Ok(reply));
            }
        };
        for _ in 0..400 {
            now += millis(100);
            watch.handle_timeout(now);
            answer_all(&mut watch, now);
            while let Some(event) = watch.poll_event() {
                assert_eq!(event, Event::Changed, "it is neither over nor does it look for the zone again");
            }
        }
        // The zone above knows of one more server.
        watch.handle_located(now, locate.stage, Ok(located("example.com", &[1, 2])));
        assert!(!matches!(watch.poll_event(), Some(Event::Done(_))), "the second has not been asked");
        answer_all(&mut watch, now);
        let Some(Event::Done(outcome)) = watch.poll_event() else { panic!("nothing is left to wait for") };
        assert_eq!(matches!(outcome, Outcome::Ready(_)), sweep == Sweep::UntilReady);
        assert_eq!(
            asked,
            if sweep == Sweep::Once { 2 } else { 5 },
            "the first was confirmed before, and is again"
        );
    }
}
