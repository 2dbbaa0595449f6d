//! The walk through a little internet on paper, in virtual time.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::wire::{Data, Record, ResponseCode};

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

type Fault = fn(&Query) -> Option<Result<Answer, TransportError>>;

/// Zones and who serves them. An address is written as its last octet.
#[derive(Default)]
struct World {
    /// Apex (empty for the root), and the lines `OWNER NS HOST` and `OWNER A OCTET`.
    zones: Vec<(&'static str, Vec<&'static str>)>,
    servers: HashMap<u8, Vec<&'static str>>,
    faults: HashMap<u8, Fault>,
    log: Vec<String>,
}

/// What a fault does: an answer at once, or none for so long as any exchange waits.
const SILENCE: Duration = Duration::from_millis(2800);
const RTT: Duration = Duration::from_millis(20);

impl World {
    fn zone(mut self, apex: &'static str, servers: &[u8], lines: &[&'static str]) -> Self {
        self.zones.push((apex, lines.to_vec()));
        for server in servers {
            self.servers.entry(*server).or_default().push(apex);
        }
        self
    }

    fn fault(mut self, server: u8, fault: Fault) -> Self {
        self.faults.insert(server, fault);
        self
    }

    /// `example.com` in the usual place: root 1, `com` 2 and 3, the zone 4 and 5.
    fn usual() -> Self {
        Self::default()
            .zone("", &[1], &["com NS a.gtld.net", "com NS b.gtld.net", "a.gtld.net A 2", "b.gtld.net A 3"])
            .zone(
                "com",
                &[2, 3],
                &[
                    "com NS a.gtld.net",
                    "com NS b.gtld.net",
                    "example.com NS ns1.example.com",
                    "example.com NS ns2.example.com",
                    "ns1.example.com A 4",
                    "ns2.example.com A 5",
                ],
            )
            .zone(
                "example.com",
                &[4, 5],
                &[
                    "example.com NS ns1.example.com",
                    "example.com NS ns2.example.com",
                    "ns1.example.com A 4",
                    "ns2.example.com A 5",
                    "www.example.com A 80",
                ],
            )
    }

    fn records(&self, apex: &str) -> Vec<Record> {
        let (_, lines) = self.zones.iter().find(|(other, _)| *other == apex).unwrap();
        let read = |line: &&str| {
            let [owner, kind, data] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let data = match kind {
                "NS" => Data::Ns(name(data)),
                "A" => Data::A(Ipv4Addr::new(192, 0, 2, data.parse().unwrap())),
                other => panic!("{other}"),
            };
            Record { owner: Some(name(owner)), ttl: 300, data }
        };
        lines.iter().map(read).collect()
    }

    /// RFC 1034 §4.3.2, without aliases and wildcards.
    fn honest(&self, server: u8, query: &Query) -> Answer {
        let below =
            |apex: &str, name: &DomainName| apex.is_empty() || name.is_at_or_below(&apex.parse().unwrap());
        let zones = self.servers.get(&server).into_iter().flatten().filter(|apex| below(apex, &query.name));
        let Some(apex) = zones.max_by_key(|apex| apex.len()) else {
            return Answer::new(ResponseCode::REFUSED);
        };
        let records = self.records(apex);
        let mut answer = Answer::new(ResponseCode::NOERROR);
        let is_ns = |record: &&Record| matches!(record.data, Data::Ns(_));
        let cut = records
            .iter()
            .filter(is_ns)
            .map(|record| record.owner.as_ref().unwrap())
            .find(|owner| owner.as_str() != *apex && query.name.is_at_or_below(owner));
        if let Some(cut) = cut {
            answer.authorities =
                records.iter().filter(|one| is_ns(one) && one.owner.as_ref() == Some(cut)).cloned().collect();
        } else {
            answer.authoritative = true;
            let of_type = |record: &&Record| match query.record_type {
                RecordType::Ns => is_ns(record),
                RecordType::A => matches!(record.data, Data::A(_)),
                _ => false,
            };
            let here = |record: &&Record| record.owner.as_ref() == Some(&query.name);
            answer.answers = records.iter().filter(|one| here(one) && of_type(one)).cloned().collect();
            if !records.iter().any(|record| record.owner.as_ref().unwrap().is_at_or_below(&query.name)) {
                answer.code = ResponseCode::NXDOMAIN;
            }
        }
        for record in answer.answers.iter().chain(&answer.authorities) {
            if let Data::Ns(host) = &record.data {
                let glue = |one: &&Record| one.owner.as_ref() == Some(host) && matches!(one.data, Data::A(_));
                answer.additionals.extend(records.iter().filter(glue).cloned());
            }
        }
        answer
    }

    fn run(&mut self, mut walk: Walk) -> (Result<ZoneView, DeadEnd>, Duration) {
        let mut now = Duration::ZERO;
        let mut flights: Vec<(Duration, Ticket, Result<Answer, TransportError>)> = Vec::new();
        loop {
            while let Some(question) = walk.poll_question() {
                let IpAddr::V4(v4) = question.server else { panic!("{}", question.server) };
                let server = v4.octets()[3];
                self.log.push(format!("{server} {}", question.query));
                assert!(!question.query.recursion_desired);
                let faulty = self.faults.get(&server).and_then(|fault| fault(&question.query));
                let answer = faulty.unwrap_or_else(|| Ok(self.honest(server, &question.query)));
                let late = if answer == Err(TransportError::Timeout) { SILENCE } else { RTT };
                flights.push((now + late, question.ticket, answer));
            }
            if let Some(end) = walk.poll_end() {
                return (end.clone(), now);
            }
            let timeout = walk.poll_timeout().unwrap();
            assert!(timeout > now, "a timer that has run off");
            flights.sort_by_key(|(at, ..)| *at);
            if flights.first().is_some_and(|(at, ..)| *at <= timeout) {
                let (at, ticket, answer) = flights.remove(0);
                now = at;
                walk.handle_answer(now, ticket, &answer);
            } else {
                now = timeout;
                walk.handle_timeout(now);
            }
        }
    }

    fn walk(&mut self, to: &str) -> (Result<ZoneView, DeadEnd>, Duration) {
        self.run(Walk::to(name(to), &roots(), 0))
    }
}

fn roots() -> Vec<ZoneServer> {
    let mut root = ZoneServer::new(name("a.root.net"));
    root.add(address(1));
    vec![root]
}

/// The apex, and the servers with the last octets of their addresses.
fn shown(found: &Result<ZoneView, DeadEnd>) -> String {
    let zone = match found {
        Ok(zone) => zone,
        Err(end) => return end.to_string(),
    };
    let server = |server: &ZoneServer| {
        let octets: Vec<String> = server.v4.iter().map(|v4| v4.octets()[3].to_string()).collect();
        format!(" {}={}", server.name, octets.join(","))
    };
    format!("{}{}", zone.apex, zone.servers.iter().map(server).collect::<String>())
}

const USUAL: &str = "example.com ns1.example.com=4 ns2.example.com=5";

#[test]
fn the_way_leads_from_the_root_down_and_says_how() {
    let mut world = World::usual();
    let (found, took) = world.walk("www.example.com");
    assert_eq!(shown(&found), USUAL);
    let by = address(2).to_string();
    assert_eq!(
        found.unwrap().evidence,
        [Evidence::Walked { apex: name("example.com"), parent: Some(name("com")), by }]
    );
    // Root, com, whether www is a cut, then what the zone says of itself and of its servers.
    assert_eq!(took, RTT * 4);
    assert_eq!(world.log[..3], ["1 com NS", "2 example.com NS", "4 www.example.com NS"]);
}

#[test]
fn nobody_is_shown_more_of_the_name_than_it_needs() {
    let mut world = World::usual();
    world.walk("a.b.www.example.com").0.unwrap();
    let shown_to = |servers: &[&str]| {
        let lines =
            world.log.iter().filter(|line| servers.iter().any(|one| line.starts_with(&format!("{one} "))));
        lines.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown_to(&["1"]), ["com"]);
    assert_eq!(shown_to(&["2", "3"]), ["example.com"]);
}

#[test]
fn a_long_name_is_shown_in_a_few_steps() {
    let long = format!("{}example.com", "a.".repeat(100));
    let steps =
        std::iter::successors(next_name(&name(&long), 0), |at| next_name(&name(&long), at.labels().count()));
    let counts: Vec<usize> = steps.map(|step| step.labels().count()).collect();
    assert_eq!(counts, [1, 2, 3, 4, 21, 37, 53, 70, 86, 102]);
    let short = name("www.example.com");
    assert_eq!(next_name(&short, 2), Some(short.clone()));
    assert_eq!(next_name(&short, 3), None);
}

#[test]
fn a_broken_server_that_denies_an_empty_name_does_not_hide_what_lies_below() {
    let mut world = World::usual().zone(
        "sub.ent.example.com",
        &[6],
        &["sub.ent.example.com NS ns.sub.ent.example.com", "ns.sub.ent.example.com A 6"],
    );
    world.zones[2].1.extend(["sub.ent.example.com NS ns.sub.ent.example.com", "ns.sub.ent.example.com A 6"]);
    let denies: Fault = |query| {
        (query.name.as_str() == "ent.example.com").then(|| {
            let mut answer = Answer::new(ResponseCode::NXDOMAIN);
            answer.authoritative = true;
            Ok(answer)
        })
    };
    let mut world = world.fault(4, denies).fault(5, denies);
    assert_eq!(
        shown(&world.walk("www.sub.ent.example.com").0),
        "sub.ent.example.com ns.sub.ent.example.com=6"
    );
}

#[test]
fn a_server_of_both_zones_shows_the_cut_between_them() {
    let lines = ["sub.example.com NS ns1.example.com", "sub.example.com NS ns2.example.com"];
    let mut world = World::usual().zone("sub.example.com", &[4, 5], &lines);
    world.zones[2].1.extend(lines);
    let (found, _) = world.walk("www.sub.example.com");
    assert_eq!(shown(&found), "sub.example.com ns1.example.com=4 ns2.example.com=5");
}

#[test]
fn name_servers_without_glue_are_looked_for_in_the_same_manner() {
    let mut world = World::usual();
    world.zones[0].1.extend(["net NS a.gtld.net"]);
    world.zones.push(("net", vec!["net NS a.gtld.net", "hoster.net NS ns.hoster.net", "ns.hoster.net A 6"]));
    world.servers.get_mut(&2).unwrap().push("net");
    let mut world = world
        .zone("hoster.net", &[6], &["hoster.net NS ns.hoster.net", "ns.hoster.net A 6", "dns.hoster.net A 7"])
        .zone("shop.com", &[7], &["shop.com NS dns.hoster.net"]);
    world.zones[1].1.push("shop.com NS dns.hoster.net");
    assert_eq!(shown(&world.walk("www.shop.com").0), "shop.com dns.hoster.net=7");
}

#[test]
fn name_servers_that_lie_in_each_others_zones_end_the_walk() {
    let mut world = World::usual().zone("a.com", &[6], &["a.com NS ns.b.com"]).zone(
        "b.com",
        &[6],
        &["b.com NS ns.a.com"],
    );
    world.zones[1].1.extend(["a.com NS ns.b.com", "b.com NS ns.a.com"]);
    let (found, took) = world.walk("www.a.com");
    assert!(shown(&found).contains("no name server of a.com can be asked"), "{}", shown(&found));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn lame_and_dead_servers_are_passed_over_and_the_next_gets_a_head_start_only() {
    let refuses: Fault = |_| Some(Ok(Answer::new(ResponseCode::REFUSED)));
    let recurses: Fault =
        |_| Some(Ok(Answer { recursion_available: true, ..Answer::new(ResponseCode::NOERROR) }));
    let silent: Fault = |_| Some(Err(TransportError::Timeout));
    for fault in [refuses, recurses] {
        let (found, took) = World::usual().fault(2, fault).fault(4, fault).walk("www.example.com");
        assert_eq!(shown(&found), USUAL);
        assert!(took <= RTT * 8, "{took:?}");
    }
    let (found, took) = World::usual().fault(2, silent).fault(4, silent).walk("www.example.com");
    assert_eq!(shown(&found), USUAL);
    assert!(took < HEAD_START * 4 + RTT * 6, "{took:?}");
    let (found, took) = World::usual().fault(4, refuses).fault(5, refuses).walk("www.example.com");
    assert!(shown(&found).contains("of example.com, is of no help: it answers REFUSED"), "{}", shown(&found));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn servers_that_fail_on_ns_questions_are_asked_for_addresses() {
    let fails: Fault =
        |query| (query.record_type == RecordType::Ns).then(|| Ok(Answer::new(ResponseCode::SERVFAIL)));
    let (found, _) = World::usual().fault(2, fails).fault(3, fails).walk("www.example.com");
    assert_eq!(shown(&found), USUAL);
}

#[test]
fn a_name_that_nobody_delegates_has_no_zone() {
    let mut world = World::usual();
    assert_eq!(world.walk("www.example.nope").0, Err(DeadEnd::NoZone));
    assert_eq!(world.log, ["1 nope NS"], "the root is believed");
}

#[test]
fn glue_for_names_that_a_server_has_no_say_about_is_not_believed() {
    let mut world = World::usual().zone("evil.example.com", &[2], &["evil.example.com NS a.gtld.net"]);
    // The zone below `com` claims an address for a server of `com`.
    world.zones[2].1.extend(["evil.example.com NS a.gtld.net", "a.gtld.net A 66"]);
    let (found, _) = world.walk("www.evil.example.com");
    assert!(world.log.iter().all(|line| !line.starts_with("66 ")), "{:?}", world.log);
    assert_eq!(shown(&found), "evil.example.com a.gtld.net=2");
}

#[test]
fn name_servers_of_the_zone_and_of_the_zone_above_are_united_and_the_mismatch_is_noted() {
    let mut world = World::usual();
    world.zones[2].1[1] = "example.com NS ns3.example.com";
    world.zones[2].1.push("ns3.example.com A 9");
    let (found, _) = world.walk("www.example.com");
    assert_eq!(shown(&found), "example.com ns1.example.com=4 ns2.example.com=5 ns3.example.com=9");
    let differ = Evidence::NameServersDiffer {
        apex: name("example.com"),
        parent_only: vec![name("ns2.example.com")],
        resolver_only: vec![name("ns3.example.com")],
    };
    assert_eq!(found.unwrap().evidence[1], differ);
}

#[test]
fn a_delegation_without_glue_is_completed() {
    let delegation = Delegation {
        cut: name("sub.example.org"),
        name_servers: vec![name("ns1.example.com"), name("ns.nowhere.test")],
        glue: vec![],
    };
    let mut world = World::usual().zone("sub.example.org", &[4], &["sub.example.org NS ns1.example.com"]);
    let (found, _) = world.run(Walk::from_delegation(&delegation, &roots(), 0));
    assert_eq!(shown(&found), "sub.example.org ns1.example.com=4 ns.nowhere.test=");
    assert_eq!(found.unwrap().evidence[0], Evidence::Referred { apex: name("sub.example.org") });
}

#[test]
fn a_server_that_sends_us_on_for_ever_ends_the_walk() {
    let forever: Fault = |query| {
        let mut answer = Answer::new(ResponseCode::NOERROR);
        let host = |index: usize| name(&format!("ns{index}.{}.more.com", query.name.as_str().len()));
        let ns = |index| Record { owner: Some(query.name.clone()), ttl: 1, data: Data::Ns(host(index)) };
        answer.authorities = (0..16).map(ns).collect();
        Some(Ok(answer))
    };
    let mut world = World::usual().fault(2, forever).fault(3, forever);
    let (found, took) = world.walk("a.b.c.d.e.f.g.h.example.com");
    assert!(found.is_err(), "{}", shown(&found));
    assert!(world.log.len() <= 200 && took <= LIMIT, "{} questions, {took:?}", world.log.len());
}

proptest! {
    #[test]
    fn the_order_of_servers_does_not_change_what_is_found(seed: u64, dead in 2_u8..=3, lame in 4_u8..=5) {
        let silent: Fault = |_| Some(Err(TransportError::Timeout));
        let refuses: Fault = |_| Some(Ok(Answer::new(ResponseCode::REFUSED)));
        let mut world = World::usual().fault(dead, silent).fault(lame, refuses);
        let (found, took) = world.run(Walk::to(name("www.example.com"), &roots(), seed));
        prop_assert_eq!(shown(&found), USUAL);
        prop_assert!(took < millis(1500), "{:?}", took);
    }
}
