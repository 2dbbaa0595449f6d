//! Reports in all their misery, and the advice that is read out of them.

use std::time::Duration;

use super::*;
use crate::{
    Wanted,
    probe::Delegation,
    report::{Absence, Clue, LastAnswer, Mistake, Origin, Report, Row, Stage, State},
    transport::{Endpoint, Transport},
    vantage::{Security, View, Witness},
    verdict::Verdict,
    wire::{Answer, Data, Record},
    zone::{Evidence, ZoneServer, ZoneView},
};

pub(in crate::report) const NAME: &str = "_acme-challenge.www.example.com";

pub(in crate::report) fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn udp(address: &str) -> Endpoint {
    Endpoint::Udp(address.parse().unwrap())
}

pub(in crate::report) fn last(transport: Transport, values: &[&str]) -> LastAnswer {
    LastAnswer {
        transport,
        elapsed: Duration::from_millis(3),
        code: ResponseCode::NOERROR,
        authoritative: true,
        recursion_available: false,
        serial: None,
        absence: None,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        extended_error: None,
        instance: None,
    }
}

/// The address of a name server, in a state; whoever answers has said something.
fn row(server: &str, address: &str, state: State) -> Row {
    let silent = matches!(state, State::NotAsked { .. } | State::Unreachable { .. } | State::Waiting);
    Row {
        servers: vec![server.to_owned()],
        endpoint: udp(address),
        nat64: None,
        state,
        since: Duration::ZERO,
        asked: Some(Duration::ZERO),
        queries: 1,
        serial: None,
        last: (!silent).then(|| last(Transport::Udp, &[])),
    }
}

pub(in crate::report) fn one(state: State) -> Row {
    row("ns1.example.com", "192.0.2.1:53", state)
}

pub(in crate::report) fn two(state: State) -> Row {
    row("ns2.example.com", "192.0.2.2:53", state)
}

pub(in crate::report) fn with(mut row: Row, amend: impl FnOnce(&mut Row)) -> Row {
    amend(&mut row);
    row
}

pub(in crate::report) fn with_values(row: Row, values: &[&str]) -> Row {
    with(row, |row| row.last = Some(last(Transport::Udp, values)))
}

pub(in crate::report) fn with_serial(row: Row, serial: u32) -> Row {
    with(row, |row| row.serial = Some(serial))
}

fn stage(origin: Origin, apex: &str, rows: Vec<Row>) -> Stage {
    let mut servers: Vec<String> = Vec::new();
    for server in rows.iter().flat_map(|row| &row.servers) {
        if !servers.contains(server) {
            servers.push(server.clone());
        }
    }
    let zone = ZoneView {
        apex: name(apex),
        servers: servers.iter().filter_map(|server| server.parse().ok()).map(ZoneServer::new).collect(),
        evidence: vec![],
    };
    Stage { name: name(NAME), origin, zone: Some(zone), servers, rows, problem: None }
}

pub(in crate::report) fn report(rows: Vec<Row>) -> Report {
    let ready = rows.iter().all(|row| row.state == State::Satisfied);
    let verdict = if ready { Verdict::Ready } else { Verdict::NotYet };
    let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
    Report::new(wanted, verdict, Duration::ZERO, vec![stage(Origin::Wanted, "example.com", rows)])
}

pub(in crate::report) fn amended(mut report: Report, amend: impl FnOnce(&mut Report)) -> Report {
    amend(&mut report);
    report.advise();
    report
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.advice.iter().map(Advice::code).collect()
}

pub(in crate::report) fn timeout() -> State {
    State::Unreachable { error: TransportError::Timeout }
}

#[test]
fn all_is_well_and_nothing_is_said() {
    let report = report(vec![one(State::Satisfied), two(State::Satisfied)]);
    assert_eq!(report.advice, []);
}

#[test]
fn who_lacks_the_values_is_named_and_that_nobody_has_them() {
    let behind = report(vec![one(State::Satisfied), two(State::Lacking)]);
    let servers = vec!["ns2.example.com (192.0.2.2:53)".to_owned()];
    assert_eq!(behind.advice, [Advice::NotYet { servers, nowhere_in: None }]);
    let nowhere = report(vec![one(State::Lacking), two(State::Lacking)]);
    let nowhere_in = Some(name("example.com"));
    assert!(matches!(&nowhere.advice[..], [Advice::NotYet { nowhere_in: zone, .. }] if *zone == nowhere_in));
}

#[test]
fn an_older_version_of_the_zone_is_measured_across_the_end_of_the_numbers() {
    let lagging = |serial, newest| {
        let rows = vec![with_serial(one(State::Satisfied), newest), with_serial(two(State::Lacking), serial)];
        report(rows)
    };
    let behind = lagging(7, 9);
    assert_eq!(codes(&behind), ["serial_lag"]);
    assert!(behind.advice[0].to_string().contains("it is 2 behind"), "{}", behind.advice[0]);
    let wrapped = lagging(u32::MAX, 3);
    assert!(wrapped.advice[0].to_string().contains("it is 4 behind"), "{}", wrapped.advice[0]);
    assert_eq!(codes(&lagging(9, 9)), ["not_yet"]);
    assert_eq!(codes(&lagging(10, 9)), ["not_yet"], "ahead of those who have it");
}

#[test]
fn other_values_are_shown_unless_a_wildcard_makes_them() {
    let stale = report(vec![with_values(one(State::Lacking), &["yesterday"]), two(State::Satisfied)]);
    assert_eq!(codes(&stale), ["stale_value"]);
    assert!(stale.advice[0].to_string().contains("\"yesterday\""));
    let made_up = amended(stale, |report| {
        report.clues.push(Clue::Wildcard { name: name(NAME), wildcard: name("*.example.com"), target: None });
    });
    assert_eq!(codes(&made_up), ["wildcard_text"]);
}

#[test]
fn a_record_that_was_found_elsewhere_explains_why_nobody_has_it() {
    for (clue, code) in [
        (Clue::Elsewhere { name: name("a.example"), mistake: Mistake::Doubled }, "doubled_name"),
        (Clue::Elsewhere { name: name("a.example"), mistake: Mistake::Misplaced }, "misplaced_name"),
        (
            Clue::Wildcard {
                name: name(NAME),
                wildcard: name("*.example.com"),
                target: Some(name("a.example")),
            },
            "wildcard_alias",
        ),
    ] {
        let report = amended(report(vec![one(State::Lacking)]), |report| report.clues.push(clue));
        assert_eq!(codes(&report), [code]);
        assert!(report.advice[0].to_string().contains("a.example"), "{}", report.advice[0]);
    }
}

#[test]
fn a_zone_of_its_own_that_lacks_the_record_is_told_apart_from_one_that_has_it() {
    let cut = State::Referral { cut: name(NAME) };
    let below = |state| {
        let mut report = report(vec![one(cut.clone())]);
        report.stages.push(stage(
            Origin::Referral,
            NAME,
            vec![row("ns9.example.com", "192.0.2.9:53", state)],
        ));
        amended(report, |_| ())
    };
    let missing = below(State::Lacking);
    assert_eq!(codes(&missing), ["below_zone_cut"]);
    let (own, above) = (name(NAME), name("example.com"));
    let expected = Advice::BelowZoneCut { name: own.clone(), cut: own, parent: above };
    assert_eq!(missing.advice, [expected]);
    assert_eq!(codes(&below(State::Satisfied)), Vec::<&str>::new());
    assert_eq!(Delegation::read(&[], &[], &name(NAME), Some(&name("example.com"))), None);
}

#[test]
fn a_zone_below_ones_own_is_suspected_and_one_below_a_registry_is_not() {
    let below = |apex: &str, parent: &str, rows: Vec<Row>| {
        amended(report(rows), |report| {
            let zone = report.stages[0].zone.as_mut().unwrap();
            zone.apex = name(apex);
            let (apex, parent) = (zone.apex.clone(), name(parent));
            zone.evidence = vec![Evidence::Confirmed { apex, parent, by: "192.0.2.100:53".into() }];
        })
    };
    let nowhere = || vec![one(State::Lacking)];
    for (apex, parent, code) in [
        ("www.example.com", "example.com", "below_zone_cut"),
        ("www.example.co.uk", "example.co.uk", "below_zone_cut"),
        ("example.com", "com", "not_yet"),
        ("example.co.uk", "co.uk", "not_yet"),
        ("example.com.au", "com.au", "not_yet"),
    ] {
        assert_eq!(codes(&below(apex, parent, nowhere())), [code], "{apex}");
    }
    let walked = amended(report(nowhere()), |report| {
        let zone = report.stages[0].zone.as_mut().unwrap();
        zone.apex = name("www.example.com");
        let (apex, parent) = (zone.apex.clone(), Some(name("example.com")));
        zone.evidence = vec![Evidence::Walked { apex, parent, by: "192.0.2.1:53".into() }];
    });
    assert_eq!(codes(&walked), ["below_zone_cut"]);
    let elsewhere = vec![with_values(one(State::Lacking), &["yesterday"])];
    let (apex, parent) = ("www.example.com", "example.com");
    assert_eq!(codes(&below(apex, parent, elsewhere)), ["stale_value"], "somebody writes to it already");
    let partly = vec![one(State::Satisfied), two(State::Lacking)];
    assert_eq!(codes(&below(apex, parent, partly)), ["not_yet"]);
}

#[test]
fn one_silent_server_is_unreachable_and_all_of_them_are_an_egress_that_is_blocked() {
    assert_eq!(codes(&report(vec![one(State::Satisfied), two(timeout())])), ["unreachable"]);
    assert_eq!(codes(&report(vec![one(timeout())])), ["unreachable"], "one is too few to tell");
    let all = report(vec![one(timeout()), two(timeout())]);
    assert_eq!(codes(&all), ["egress_blocked"]);
    assert!(all.advice[0].to_string().contains("ns1.example.com (192.0.2.1:53), ns2.example.com"));
    let refusing = State::Unreachable { error: TransportError::Refused };
    let reached = report(vec![one(timeout()), two(refusing)]);
    assert_eq!(codes(&reached), ["unreachable", "unreachable"], "a refusal has come from there");
}

#[test]
fn ipv6_that_leads_nowhere_is_told_apart_by_whom_it_hits() {
    let v6 = |server: &str, state| row(server, "[2001:db8::1]:53", state);
    let other = |state| row("ns2.example.com", "[2001:db8::2]:53", state);
    let found = |rows| match &report(rows).advice[..] {
        [Advice::Ipv6Unreachable { reach, .. }, ..] => *reach,
        other => panic!("{other:?}"),
    };
    let mine = || [one(State::Satisfied), v6("ns1.example.com", timeout()), two(State::Satisfied)].to_vec();
    assert_eq!(found(mine()), Reach::Unknown);
    assert_eq!(found([mine(), vec![other(State::Satisfied)]].concat()), Reach::Everybody);
    assert_eq!(found([mine(), vec![other(timeout())]].concat()), Reach::ThisHost);
    let no_route = State::Unreachable { error: TransportError::Unreachable { reason: "no route".into() } };
    let rows = vec![one(State::Satisfied), v6("ns1.example.com", no_route)];
    assert_eq!(found(rows), Reach::ThisHost);
    let only_v6 = vec![one(State::Satisfied), v6("ns6.example.com", timeout())];
    assert_eq!(codes(&report(only_v6)), ["unreachable"], "nothing of that server answers");
}

#[test]
fn a_server_that_answers_small_questions_has_its_tcp_blocked() {
    let report = amended(report(vec![one(State::Satisfied), two(timeout())]), |report| {
        report.clues.push(Clue::AnswersSmall { endpoint: "192.0.2.2:53".into() });
    });
    assert_eq!(codes(&report), ["tcp_blocked"]);
}

#[test]
fn a_small_answer_over_tcp_says_that_datagrams_are_lost() {
    let over_tcp =
        |values: &[&str]| with(one(State::Satisfied), |row| row.last = Some(last(Transport::Tcp, values)));
    assert_eq!(codes(&report(vec![over_tcp(&["token"])])), ["tcp_only"]);
    let large = "x".repeat(200);
    assert_eq!(codes(&report(vec![over_tcp(&[large.as_str(); 5])])), Vec::<&str>::new());
    let on_purpose = with(over_tcp(&["token"]), |row| {
        row.endpoint = Endpoint::Tcp("192.0.2.1:53".parse().unwrap());
    });
    assert_eq!(codes(&report(vec![on_purpose])), Vec::<&str>::new());
}

#[test]
fn a_server_that_falls_silent_after_many_questions_may_limit_them() {
    let silent = |queries| with(with_values(two(timeout()), &[]), |row| row.queries = queries);
    assert_eq!(codes(&report(vec![one(State::Satisfied), silent(40)])), ["rate_limited"]);
    assert_eq!(codes(&report(vec![one(State::Satisfied), silent(3)])), ["unreachable"]);
}

#[test]
fn a_lame_server_is_quoted_with_its_own_reason() {
    let reason = Lameness::Code(ResponseCode::REFUSED);
    let lame = with(one(State::Lame { reason }), |row| {
        let extended_error = Some(ExtendedError { code: 20, text: "not mine".into() });
        row.last = Some(LastAnswer { extended_error, ..last(Transport::Udp, &[]) });
    });
    let report = report(vec![lame, two(State::Satisfied)]);
    assert_eq!(codes(&report), ["lame_server"]);
    assert!(report.advice[0].to_string().contains("EDE 20 (not mine)"), "{}", report.advice[0]);
}

#[test]
fn a_way_that_is_missing_is_told_by_its_reason() {
    for (reason, expected) in [
        (NoRoute::Localhost, vec!["localhost_server"]),
        (NoRoute::NoIpv6, vec![]),
        (NoRoute::NoNat64Prefix, vec!["nat64_missing"]),
        (NoRoute::NotTranslatable("it is private".into()), vec!["nat64_missing"]),
    ] {
        let report = report(vec![one(State::Satisfied), two(State::NotAsked { reason })]);
        assert_eq!(codes(&report), expected);
    }
}

#[test]
fn an_interception_is_told_once_for_all_servers() {
    let caught = || State::Lame { reason: Lameness::Resolver };
    let report = report(vec![one(caught()), two(caught())]);
    assert_eq!(codes(&report), ["intercepted"]);
    assert!(matches!(&report.advice[0], Advice::Intercepted { servers, .. } if servers.len() == 2));
}

#[test]
fn strangers_that_are_one_machine_are_suspicious_and_siblings_are_not() {
    let instance = |row: Row, instance: &str| {
        with(row, |row| {
            let instance = Some(instance.to_owned());
            row.last = Some(LastAnswer { instance, ..last(Transport::Udp, &[]) });
        })
    };
    let stranger = || row("ns.other.example", "198.51.100.1:53", State::Lacking);
    let one_box = report(vec![instance(one(State::Lacking), "box"), instance(stranger(), "box")]);
    assert_eq!(codes(&one_box), ["intercepted", "not_yet"][..1]);
    let siblings = report(vec![instance(one(State::Lacking), "box"), instance(two(State::Lacking), "box")]);
    assert_eq!(codes(&siblings), ["not_yet"]);
    let apart = report(vec![instance(one(State::Lacking), "box"), instance(stranger(), "other")]);
    assert_eq!(codes(&apart), ["not_yet"]);
}

#[test]
fn zones_tell_of_split_horizons_placeholders_and_differences() {
    let with_evidence = |evidence: Vec<Evidence>| {
        amended(report(vec![one(State::Satisfied)]), |report| {
            report.stages[0].zone.as_mut().unwrap().evidence = evidence;
        })
    };
    let differ = |child_only: &str| Evidence::NameServersDiffer {
        apex: name("example.com"),
        parent_only: vec![name("ns1.example.com")],
        resolver_only: vec![name(child_only)],
    };
    let split = Evidence::SplitHorizon {
        claimed: name("www.example.com"),
        resolver: "10.0.0.1:53".into(),
        parent: name("example.com"),
        by: "192.0.2.1:53".into(),
        code: ResponseCode::NXDOMAIN,
    };
    let report = with_evidence(vec![split, differ("ns3.example.com")]);
    assert_eq!(codes(&report), ["name_servers_differ", "split_horizon"], "what asks for nothing comes last");
    assert_eq!(codes(&with_evidence(vec![differ("ns-0.awsdns-00.com")])), ["private_zone"]);
}

pub(in crate::report) fn witness(view: View, security: Security) -> Witness {
    let (server, endpoint) = ("9.9.9.9".to_owned(), udp("9.9.9.9:53"));
    Witness { server, endpoint, nat64: None, view, security, extended_error: None }
}

fn seen(view: View, security: Security) -> Report {
    amended(report(vec![one(State::Satisfied)]), |report| report.vantage = vec![witness(view, security)])
}

#[test]
fn vantage_points_tell_what_they_remember_and_for_how_long() {
    let absence = |zone: &str| Some(Absence { zone: Some(name(zone)), ttl: 840 });
    let lacking = |zone| seen(View::Lacking { absence: absence(zone) }, Security::Indeterminate);
    let cached = lacking("example.com");
    assert_eq!(cached.advice, [Advice::NegativelyCached { resolver: "9.9.9.9".into(), ttl: Some(840) }]);
    assert!(cached.advice[0].to_string().contains("for 840 s more"));
    assert_eq!(codes(&lacking("www.example.com")), ["split_horizon"], "a zone that the world does not know");
    let stale = View::Stale { values: vec!["old".into()], ttl: 30 };
    assert_eq!(codes(&seen(stale, Security::Indeterminate)), ["stale_cache"]);
    let dead = View::Unreachable { error: TransportError::Timeout };
    assert_eq!(codes(&seen(dead, Security::Indeterminate)), ["resolver_dead"]);
    let refusing = View::Failing { code: ResponseCode::REFUSED };
    assert_eq!(codes(&seen(refusing, Security::Indeterminate)), ["resolver_fails"]);
    assert_eq!(codes(&seen(View::Has, Security::Secure)), Vec::<&str>::new());
}

#[test]
fn broken_signatures_are_told_with_the_validators_reason() {
    let failing = View::Failing { code: ResponseCode::SERVFAIL };
    let report = amended(seen(failing, Security::Bogus), |report| {
        report.vantage[0].extended_error = Some(ExtendedError { code: 7, text: "expired".into() });
    });
    assert_eq!(codes(&report), ["dnssec_bogus"]);
    assert!(report.advice[0].to_string().contains("EDE 7 (expired)"), "{}", report.advice[0]);
    for (clue, code) in [
        (Clue::NobodyValidates, "dnssec_indeterminate"),
        (Clue::ZonesUnchecked { zones: vec![name("example.net")] }, "dnssec_indeterminate"),
        (
            Clue::ZoneBogus {
                zone: name("example.com"),
                resolver: "9.9.9.9:53".into(),
                extended_error: None,
            },
            "dnssec_bogus",
        ),
        (
            Clue::ResolverDead { resolver: "9.9.9.9:53".into(), error: TransportError::Timeout },
            "resolver_dead",
        ),
    ] {
        let report = amended(self::report(vec![one(State::Satisfied)]), |report| report.clues.push(clue));
        assert_eq!(codes(&report), [code]);
    }
}

/// A report of resolvers that are asked instead of authoritative servers.
fn resolvers(row: Row) -> Report {
    amended(report(vec![row]), |report| report.stages[0].zone = None)
}

#[test]
fn resolvers_that_are_asked_alone_tell_of_their_own_zones_and_memories() {
    let no = |authoritative: bool| {
        with(row("10.0.0.1", "10.0.0.1:53", State::Lacking), |row| {
            let mut answer = Answer::new(ResponseCode::NXDOMAIN);
            let soa = Data::Soa { serial: 1, minimum: 30 };
            answer.authorities = vec![Record { owner: Some(name("www.example.com")), ttl: 60, data: soa }];
            let absence = Absence::read(&answer);
            row.last = Some(LastAnswer { authoritative, absence, ..last(Transport::Udp, &[]) });
        })
    };
    let split = resolvers(no(true));
    assert_eq!(codes(&split), ["split_horizon"]);
    assert!(split.advice[0].to_string().contains("PERENNIAL_NAMESERVERS"), "{}", split.advice[0]);
    assert_eq!(codes(&resolvers(no(false))), ["negatively_cached"]);
    let plain = row("10.0.0.1", "10.0.0.1:53", State::Lacking);
    assert_eq!(codes(&resolvers(plain.clone())), ["not_yet"]);
    assert_eq!(codes(&resolvers(with_values(plain, &["old"]))), ["stale_value"]);
    assert_eq!(codes(&resolvers(row("10.0.0.1", "10.0.0.1:53", timeout()))), ["resolver_dead"]);
}

#[test]
fn every_code_is_the_tag_that_serde_writes_and_they_are_in_order() {
    assert!(Advice::CODES.is_sorted());
    let samples = [
        Advice::DnssecIndeterminate { unchecked: vec![name("example.net")] },
        Advice::AliasChain { problem: "a circle".into() },
        Advice::NegativelyCached { resolver: "9.9.9.9".into(), ttl: Some(3) },
        Advice::Ipv6Unreachable { server: "ns1".into(), reach: Reach::ThisHost },
        Advice::TcpOnly { servers: vec![] },
    ];
    for advice in samples {
        assert!(Advice::CODES.contains(&advice.code()));
        let json = serde_json::to_value(&advice).unwrap();
        assert_eq!(json["advice"], advice.code());
    }
}
