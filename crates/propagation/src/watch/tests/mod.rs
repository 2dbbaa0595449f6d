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

mod confirming;
mod grace;
mod leads;
mod lower;
mod reports;
mod zones;

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
    /// What it says about name servers of that name.
    cut: Script,
    /// How long the server at `192.0.2.N` takes.
    latency: Box<dyn Fn(u8) -> Duration>,
}

struct Run {
    outcome: Outcome,
    end: Duration,
    /// When which server was asked about which name.
    asked: Vec<(Duration, u8, DomainName)>,
    /// Which servers were asked for name servers, likewise.
    asked_for_cut: Vec<(Duration, u8, DomainName)>,
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
        cut: Box::new(|_, name, _| has_none(name)),
        latency: Box::new(|_| ROUND_TRIP),
    }
}

/// No name servers, on behalf of the zone that is registered.
fn has_none(owner: &DomainName) -> Said {
    let mut answer = has_it_not()?;
    let zone = ["acme.example", "example.com"].map(name).into_iter().find(|zone| owner.is_at_or_below(zone));
    answer.authorities[0].owner = zone;
    Ok(answer)
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
    let (mut asked, mut asked_for_cut, mut asked_for_serial) = (vec![], vec![], vec![]);
    let (mut zones, mut reports) = (vec![], vec![]);
    for _ in 0..100_000 {
        while let Some(event) = watch.poll_event() {
            match event {
                Event::Changed => reports.push(watch.report()),
                Event::Done(outcome) => {
                    assert_eq!((watch.poll_query(), watch.poll_timeout()), (None, None));
                    let located = zones;
                    return Run {
                        outcome,
                        end: now,
                        asked,
                        asked_for_cut,
                        asked_for_serial,
                        located,
                        reports,
                    };
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
            let about = question.query.name.clone();
            let said = match question.purpose {
                Purpose::Serial => {
                    let apex = question.zone.clone().unwrap();
                    assert_eq!(question.query, Query::authoritative(apex, RecordType::Soa));
                    asked_for_serial.push(server);
                    answer(&about, vec![Data::Soa { serial: 9, minimum: 60 }])
                }
                Purpose::Cut => {
                    assert_eq!(question.query.record_type, RecordType::Ns);
                    asked_for_cut.push((now, server, about.clone()));
                    (scene.cut)(server, &about, arrival)
                }
                _ => {
                    asked.push((now, server, about.clone()));
                    (scene.script)(server, &about, arrival)
                }
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
