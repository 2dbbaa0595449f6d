//! Finding zones against a scripted world, in paused time.

use futures_util::future;

use super::*;
use crate::{
    Checker, CheckerBuilder, NameServer, Policy, Verdict, Wanted,
    checker::tests::{Said, Scripted, code, millis, name, ns, record, says, soa},
    transport::TransportError,
    wire::{Answer, Data, Query, Record, RecordType, ResponseCode},
};

/// One way, and back.
const RTT: Duration = Duration::from_millis(10);

/// The zones, with their name servers; the last octet of an address is the number in the server's name.
const ZONES: [(&str, &[&str]); 4] = [
    ("sub.example.com", &["ns9.sub.example.com"]),
    ("example.com", &["ns1.example.com", "ns2.example.com"]),
    ("com", &["ns100.com"]),
    ("", &["ns200.root"]),
];

fn zone_of(name: &DomainName) -> (&'static str, &'static [&'static str]) {
    let holds = |apex: &&str| apex.is_empty() || name.is_at_or_below(&apex.parse().unwrap());
    *ZONES.iter().find(|(apex, _)| holds(apex)).unwrap()
}

fn address_of(host: &DomainName) -> Vec<Record> {
    let digits: String = host.labels().next().unwrap().chars().filter(char::is_ascii_digit).collect();
    digits.parse().map(|last| record(host.as_str(), Data::A([192, 0, 2, last].into()))).into_iter().collect()
}

/// What a resolver answers.
fn recursive(query: &Query) -> Said {
    assert!(!query.name.as_str().contains('_'), "a resolver is asked about {query}");
    let (apex, servers) = zone_of(&query.name);
    let here = apex == query.name.as_str();
    match query.record_type {
        RecordType::Soa if here => says(false, vec![soa(apex)], vec![]),
        RecordType::Ns if here => says(false, servers.iter().map(|host| ns(apex, host)).collect(), vec![]),
        RecordType::A => says(false, address_of(&query.name), vec![]),
        _ if apex.is_empty() => code(ResponseCode::NXDOMAIN),
        _ => says(false, vec![], vec![soa(apex)]),
    }
}

/// What the servers of a zone answer.
fn authoritative(last: u8, query: &Query) -> Said {
    let own = ZONES.iter().position(|(_, servers)| {
        servers.iter().any(|host| {
            address_of(&name(host)) == address_of(&name(&format!("ns{last}.x")))
                || host.starts_with(&format!("ns{last}."))
        })
    });
    let Some(own) = own else { return Err(TransportError::Refused) };
    let (apex, _) = ZONES[own];
    let below = |cut: &str| query.name.is_at_or_below(&cut.parse().unwrap());
    if let Some((cut, servers)) = ZONES[..own].iter().rev().find(|(cut, _)| below(cut)) {
        let mut answer = says(false, vec![], servers.iter().map(|host| ns(cut, host)).collect())?;
        answer.additionals = servers.iter().flat_map(|host| address_of(&name(host))).collect();
        return Ok(answer);
    }
    match query.record_type {
        RecordType::Txt => {
            says(true, vec![record(query.name.as_str(), Data::Txt(b"token".to_vec()))], vec![])
        }
        RecordType::Ns if apex == query.name.as_str() => {
            says(true, ZONES[own].1.iter().map(|host| ns(apex, host)).collect(), vec![])
        }
        RecordType::A => says(true, address_of(&query.name), vec![]),
        RecordType::Soa | RecordType::Ns | RecordType::Aaaa if !apex.is_empty() => {
            says(true, vec![], vec![soa(apex)])
        }
        _ => code(ResponseCode::NXDOMAIN).map(|answer| Answer { authoritative: true, ..answer }),
    }
}

fn last_octet(server: &str) -> Option<u8> {
    server.strip_prefix("192.0.2.")?.strip_suffix(":53")?.parse().ok()
}

/// Everybody honest; resolvers are 10.0.0.N.
fn honest(server: &str, query: &Query) -> (Duration, Said) {
    (RTT, last_octet(server).map_or_else(|| recursive(query), |last| authoritative(last, query)))
}

fn roots() -> Vec<ZoneServer> {
    let mut root = ZoneServer::new(name("ns200.root"));
    root.add([192, 0, 2, 200].into());
    vec![root]
}

fn builder(exchange: &Arc<Scripted>) -> CheckerBuilder {
    Checker::builder()
        .nameservers(["10.0.0.1".parse().unwrap()])
        .exchange(exchange.clone())
        .root_hints(roots())
        .routable(|_| true)
}

fn token(at: &str) -> Wanted {
    Wanted::new(name(&format!("_acme-challenge.{at}")), ["token".to_owned()])
}

/// Checks, and tells the zone at which it ended and how long it took.
async fn check(checker: &Checker, at: &str) -> (String, Duration) {
    let start = Instant::now();
    let report = checker.check(&token(at)).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    let last = report.stages.last().and_then(|stage| stage.zone.as_ref()).unwrap();
    (last.apex.to_string(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_first_check_takes_three_round_trips_and_the_next_takes_one() {
    for at in ["example.com", "www.example.com", "a.b.c.example.com", "x.sub.example.com"] {
        let exchange = Scripted::new(honest);
        let checker = builder(&exchange).build().unwrap();
        assert_eq!(check(&checker, at).await.1, RTT * 3, "{at}");
        assert_eq!(check(&checker, at).await.1, RTT, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_does_not_end_before_the_cut_is_verified() {
    // The servers of the zone above are much slower than everybody else.
    let exchange = Scripted::new(|server, query| match last_octet(server) {
        Some(100) => (millis(200), honest(server, query).1),
        _ => honest(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    let start = Instant::now();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    assert_eq!(start.elapsed(), millis(220));
    let evidence = &report.stages[0].zone.as_ref().unwrap().evidence;
    assert!(matches!(evidence[1], Evidence::Confirmed { .. }), "{report}");
    assert_eq!(exchange.asked("TXT"), 2, "what was asked meanwhile is not asked again");
}

#[tokio::test(start_paused = true)]
async fn another_name_of_a_known_zone_takes_one_round_trip_and_no_resolver() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).build().unwrap();
    check(&checker, "www.example.com").await;
    let asked = exchange.asked("10.0.0.1");
    assert_eq!(check(&checker, "mail.example.com").await, ("example.com".into(), RTT));
    assert_eq!(exchange.asked("10.0.0.1"), asked);
    assert_eq!(
        exchange.asked("mail.example.com SOA"),
        1,
        "one of the zone's servers says that no cut lies between"
    );
    assert_eq!(check(&checker, "mail.example.com").await, ("example.com".into(), RTT));
    assert_eq!(exchange.asked("mail.example.com SOA"), 1, "once");
    assert_eq!(check(&checker, "x.sub.example.com").await.0, "sub.example.com");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_its_parents_servers_serve_too_is_not_taken_for_the_parent() {
    // The servers of example.com answer for sub.example.com as well, which has one more server.
    let exchange = Scripted::new(|server, query| match last_octet(server) {
        Some(1 | 2) if query.name.as_str().ends_with("sub.example.com") => (RTT, authoritative(9, query)),
        _ => honest(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    check(&checker, "www.example.com").await;
    let report = checker.check(&token("x.sub.example.com")).await.unwrap();
    assert_eq!(report.stages[0].servers, ["ns9.sub.example.com"], "{report}");
}

#[tokio::test(start_paused = true)]
async fn many_names_of_one_zone_at_once_cost_one_search() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).build().unwrap();
    let names: Vec<String> = (0..50).map(|index| format!("a.host{index}.example.com")).collect();
    let start = Instant::now();
    let ends = future::join_all(names.iter().map(|at| check(&checker, at))).await;
    assert!(ends.iter().all(|(apex, _)| apex == "example.com"));
    assert_eq!(start.elapsed(), RTT * 3);
    assert_eq!(exchange.asked("10.0.0.1:53 com NS"), 1);
    assert_eq!(
        exchange.log().iter().filter(|line| line.starts_with("10.") && line.ends_with("SOA")).count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_looked_first_may_go_and_the_search_goes_on() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).build().unwrap();
    let (first, second) = (checker.clone(), checker.clone());
    let leader = tokio::spawn(async move { check(&first, "www.example.com").await });
    tokio::time::sleep(RTT / 2).await;
    let other = tokio::spawn(async move { check(&second, "mail.example.com").await });
    tokio::time::sleep(RTT).await;
    leader.abort();
    assert_eq!(other.await.unwrap().0, "example.com");
    assert_eq!(exchange.asked("10.0.0.1:53 com NS"), 1);
}

#[tokio::test(start_paused = true)]
async fn zones_are_looked_for_again_when_their_records_have_run_out() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).build().unwrap();
    check(&checker, "www.example.com").await;
    tokio::time::advance(Duration::from_secs(59)).await;
    check(&checker, "www.example.com").await;
    assert_eq!(exchange.asked("10.0.0.1:53 com NS"), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    check(&checker, "www.example.com").await;
    assert_eq!(exchange.asked("10.0.0.1:53 com NS"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_server_whose_addresses_were_not_found_is_looked_up_again_soon() {
    let since = Instant::now();
    let exchange = Scripted::new(move |server, query| match (server, query.name.as_str()) {
        ("10.0.0.1:53", "ns2.example.com") if since.elapsed() < Duration::from_secs(1) => {
            (RTT, code(ResponseCode::SERVFAIL))
        }
        // The registry has no glue.
        ("192.0.2.100:53", _) => {
            let servers = ["ns1.example.com", "ns2.example.com"];
            (RTT, says(false, vec![], servers.map(|host| ns("example.com", host)).to_vec()))
        }
        _ => honest(server, query),
    });
    let found = async |checker: &Checker| {
        let zone = checker.zone(&name("_acme-challenge.www.example.com")).await.unwrap();
        zone.servers.iter().map(|server| server.v4.len()).collect::<Vec<_>>()
    };
    let (looking, checking) = (builder(&exchange).build().unwrap(), builder(&exchange).build().unwrap());
    assert_eq!(found(&looking).await, [1, 0]);
    checking.check(&token("www.example.com")).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(found(&looking).await, [1, 0], "the same names are not looked up again at once");
    assert_eq!(found(&checking).await, [1, 1], "what gave trouble is forgotten");
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(found(&looking).await, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_a_moment() {
    let root = Record { owner: None, ttl: 60, data: Data::Soa { serial: 1, minimum: 60 } };
    let exchange = Scripted::new(move |_, _| (RTT, says(false, vec![], vec![root.clone()])));
    let checker = builder(&exchange).root_hints([]).build().unwrap();
    for _ in 0..3 {
        checker.check(&token("www.nope.test")).await.unwrap_err();
    }
    assert_eq!(exchange.asked("www.nope.test SOA"), 1);
    tokio::time::advance(Duration::from_secs(6)).await;
    checker.check(&token("www.nope.test")).await.unwrap_err();
    assert_eq!(exchange.asked("www.nope.test SOA"), 2);
}

/// The resolver 10.0.0.1 claims the zone `www.example.com` at 192.0.2.50, where everything is there.
fn split(server: &str, query: &Query) -> (Duration, Said) {
    let inside = query.name.as_str().ends_with("www.example.com");
    let said = match (server, query.record_type) {
        ("10.0.0.1:53", RecordType::Soa) if inside => says(false, vec![soa("www.example.com")], vec![]),
        ("10.0.0.1:53", RecordType::Ns) if inside => {
            says(false, vec![ns("www.example.com", "ns50.internal.test")], vec![])
        }
        ("10.0.0.1:53", RecordType::A) if query.name.as_str().starts_with("ns50") => {
            says(false, address_of(&query.name), vec![])
        }
        ("192.0.2.50:53", _) => {
            says(true, vec![record(query.name.as_str(), Data::Txt(b"token".to_vec()))], vec![])
        }
        // The real ones have not got it yet.
        ("192.0.2.1:53" | "192.0.2.2:53", RecordType::Txt) => says(true, vec![], vec![soa("example.com")]),
        _ => return honest(server, query),
    };
    (RTT, said)
}

#[tokio::test(start_paused = true)]
async fn what_a_split_horizon_shows_is_never_the_verdict() {
    let exchange = Scripted::new(split);
    let checker = builder(&exchange).build().unwrap();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    assert_eq!(report.verdict, Verdict::NotYet, "{report}");
    assert_eq!(report.stages[0].zone.as_ref().unwrap().apex.as_str(), "example.com");
    assert_eq!((report.split_horizons().count(), report.stages[0].rows.len()), (1, 2), "{report}");
    let late = checker.watch(&token("www.example.com"), millis(500), &mut |_| ()).await;
    assert!(matches!(late, Err(Error::NotPropagated(_))), "{late:?}");
    // What was refuted is kept for nobody.
    let zone = checker.zone(&name("_acme-challenge.x.www.example.com")).await.unwrap();
    assert_eq!(zone.apex.as_str(), "example.com");
}

#[tokio::test(start_paused = true)]
async fn a_second_look_does_not_fall_for_the_split_horizon_again() {
    let exchange = Scripted::new(split);
    let checker = builder(&exchange).build().unwrap();
    let late = checker.watch(&token("www.example.com"), Duration::from_secs(100), &mut |_| ()).await;
    let Err(Error::NotPropagated(report)) = late else { panic!("{late:?}") };
    let looked = exchange.asked("10.0.0.1:53 www.example.com SOA");
    assert!((3..=4).contains(&looked), "it was looked for again, as often as the jitter lets: {looked}");
    let log = exchange.log();
    let looks: Vec<usize> =
        (0..log.len()).filter(|at| log[*at] == "10.0.0.1:53 www.example.com SOA").collect();
    let shown = log.iter().rposition(|line| line.starts_with("192.0.2.50:53")).unwrap();
    assert!(
        shown < looks[1],
        "the servers of the false zone were asked while the first look was verified only"
    );
    assert!(report.stages[0].rows.iter().all(|row| row.since < Duration::from_secs(1)), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_calls_itself_the_server_of_a_zone_is_not_shown_the_name() {
    let exchange = Scripted::new(|server, query| match (server, query.name.as_str(), query.record_type) {
        // As the DNS of a cluster: its address is among the zone's own.
        ("10.0.0.1:53", "ns50.internal.test", RecordType::A) => {
            (RTT, says(false, vec![record("ns50.internal.test", Data::A([10, 0, 0, 1].into()))], vec![]))
        }
        _ => split(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    assert_eq!(checker.check(&token("www.example.com")).await.unwrap().verdict, Verdict::NotYet);
    assert_eq!(exchange.asked("10.0.0.1:53 _acme-challenge"), 0, "{:?}", exchange.log());
}

#[tokio::test(start_paused = true)]
async fn nor_is_it_where_nobody_above_can_be_asked() {
    let exchange = Scripted::new(|server, query| match (server, query.name.as_str(), query.record_type) {
        ("10.0.0.1:53", "ns50.internal.test", RecordType::A) => {
            let addresses = [[10, 0, 0, 1], [192, 0, 2, 50]];
            let a = |v4: [u8; 4]| record("ns50.internal.test", Data::A(v4.into()));
            (RTT, says(false, addresses.map(a).to_vec(), vec![]))
        }
        ("192.0.2.1:53" | "192.0.2.2:53", ..) => (RTT, Err(TransportError::Refused)),
        _ => split(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    assert!(report.verdict.is_ready(), "the other address may be asked: {report}");
    assert_eq!(exchange.asked("10.0.0.1:53 _acme-challenge"), 0, "{:?}", exchange.log());
    let evidence = &report.stages[0].zone.as_ref().unwrap().evidence;
    let Some(Evidence::Unverified { reason, .. }) = evidence.last() else { panic!("{evidence:?}") };
    assert!(reason.contains("at 10.0.0.1 are resolvers of ours"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn resolvers_for_a_zone_are_asked_about_it_and_nothing_else() {
    let exchange = Scripted::new(split);
    let servers: [NameServer; 1] = ["10.0.0.2".parse().unwrap()];
    let checker = builder(&exchange)
        .nameservers_for(name("com"), ["10.0.0.9".parse().unwrap()])
        .nameservers_for(name("www.example.com"), ["10.0.0.8".parse().unwrap()])
        .nameservers_for(name("www.example.com"), servers)
        .build()
        .unwrap();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    assert_eq!(report.split_horizons().count(), 0, "{report}");
    let asked = |server: &str| {
        let mut lines: Vec<_> =
            exchange.log().iter().filter_map(|line| Some(line.strip_prefix(server)?.to_owned())).collect();
        lines.sort();
        lines.dedup();
        lines
    };
    // The first is asked to explain why the values are not there.
    assert_eq!(asked("10.0.0.2:53 "), ["example.com SOA", "www.example.com NS", "www.example.com SOA"]);
    assert!(asked("10.0.0.9:53 ").contains(&"com NS".to_owned()), "{:?}", exchange.log());
    assert_eq!((asked("10.0.0.1:53 ").len(), asked("10.0.0.8:53 ").len()), (0, 0));
    // With resolvers alone, those for the name have to have the values.
    let recursive =
        builder(&exchange).nameservers_for(name("www.example.com"), ["10.0.0.2".parse().unwrap()]);
    let recursive = recursive.policy(Policy::RecursiveOnly).build().unwrap();
    let located = recursive.shared.locator.resolvers(&name("x.www.example.com")).await;
    assert_eq!(located.servers, ["10.0.0.2"]);
    assert_eq!(recursive.shared.locator.resolvers(&name("example.com")).await.servers, ["10.0.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn name_servers_below_the_challenge_name_are_shown_to_no_resolver() {
    const NAME: &str = "_acme-challenge.www.example.com";
    const INSIDE: &str = "ns8._acme-challenge.www.example.com";
    for (hosts, found) in [(vec!["ns9.sub.example.com", INSIDE], 2), (vec![INSIDE], 0)] {
        // The name is a zone of its own, delegated without glue. `recursive` refuses to hear of it.
        let exchange = Scripted::new(move |server, query| {
            let said = match (last_octet(server), query.name.as_str(), query.record_type) {
                (Some(1 | 2), NAME, _) => {
                    says(false, vec![], hosts.iter().map(|host| ns(NAME, host)).collect())
                }
                (Some(9), NAME, RecordType::Ns) => {
                    says(true, hosts.iter().map(|host| ns(NAME, host)).collect(), vec![])
                }
                (Some(9), INSIDE, RecordType::A) => says(true, address_of(&query.name), vec![]),
                (Some(9), INSIDE, _) => says(true, vec![], vec![soa(NAME)]),
                (Some(8 | 9), NAME, _) => {
                    says(true, vec![record(NAME, Data::Txt(b"token".to_vec()))], vec![])
                }
                _ => return honest(server, query),
            };
            (RTT, said)
        });
        let report = builder(&exchange).build().unwrap().check(&token("www.example.com")).await.unwrap();
        let zone = report.stages[1].zone.as_ref().unwrap();
        assert_eq!(zone.servers.iter().map(|server| server.v4.len()).sum::<usize>(), found, "{report}");
        assert_eq!(report.verdict.is_ready(), found > 0, "{report}");
        assert_eq!(exchange.asked("192.0.2.200:53 _"), 0, "nor to the root");
    }
}

#[tokio::test(start_paused = true)]
async fn on_request_zones_are_found_from_the_root_and_no_resolver_is_asked() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).iterative().build().unwrap();
    for (at, apex) in [("www.example.com", "example.com"), ("x.sub.example.com", "sub.example.com")] {
        assert_eq!(check(&checker, at).await.0, apex);
    }
    assert_eq!(exchange.asked("10.0.0.1"), 0, "{:?}", exchange.log());
    let zone = checker.zone(&name("_acme-challenge.www.example.com")).await.unwrap();
    let by = "192.0.2.100".to_owned();
    assert_eq!(
        zone.evidence,
        [Evidence::Walked { apex: name("example.com"), parent: Some(name("com")), by }]
    );
    let nowhere = checker.zone(&name("_acme-challenge.www.nope")).await.unwrap_err();
    assert!(matches!(nowhere, Error::NoZone { .. }), "{nowhere}");
    // What the servers of the root and of `com` are shown.
    let above = |line: &String| line.starts_with("192.0.2.200") || line.starts_with("192.0.2.100");
    assert!(
        exchange
            .log()
            .iter()
            .filter(|line| above(line))
            .all(|line| !line.contains("www.") && !line.contains('_'))
    );
}

#[tokio::test(start_paused = true)]
async fn resolvers_that_are_dead_or_refuse_are_walked_around_and_rested() {
    type Fault = fn() -> Said;
    let faults: [Fault; 4] = [
        || Err(TransportError::Timeout),
        || code(ResponseCode::REFUSED),
        || code(ResponseCode::SERVFAIL),
        || code(ResponseCode::NXDOMAIN),
    ];
    for fault in faults {
        let exchange = Scripted::new(move |server, query| match server {
            "10.0.0.1:53" => (millis(100), fault()),
            _ => honest(server, query),
        });
        let checker = builder(&exchange).build().unwrap();
        assert_eq!(check(&checker, "www.example.com").await.0, "example.com");
        assert!(exchange.asked("10.0.0.1:53 www.example.com") > 0);
        assert_eq!(check(&checker, "x.sub.example.com").await.0, "sub.example.com");
        // A diagnosis may ask what became of it; the search does not.
        assert_eq!(exchange.asked("10.0.0.1:53 x.sub.example.com"), 0, "it is not tried again at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_resolver_that_denies_everything_does_not_speak_for_the_second() {
    let exchange = Scripted::new(|server, query| match server {
        "10.0.0.1:53" => (RTT, code(ResponseCode::NXDOMAIN)),
        _ => honest(server, query),
    });
    let servers = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
    let checker = builder(&exchange).nameservers(servers).build().unwrap();
    assert_eq!(check(&checker, "www.example.com").await.0, "example.com");
    assert_eq!(exchange.asked("192.0.2.200"), 0, "nobody had to walk");
}

#[tokio::test(start_paused = true)]
async fn silence_about_one_name_is_no_silence_of_the_resolver() {
    // As a real resolver that waits for ever for the dead servers of a zone.
    let exchange = Scripted::new(|server, query| match (server, query.name.as_str()) {
        ("10.0.0.1:53", "x.sub.example.com" | "sub.example.com") => {
            (Duration::from_secs(5), Err(TransportError::Timeout))
        }
        _ => honest(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    let report = checker.check(&token("x.sub.example.com")).await.unwrap();
    assert_eq!(
        report.stages.last().unwrap().zone.as_ref().unwrap().apex.as_str(),
        "sub.example.com",
        "{report}"
    );
    assert_eq!(exchange.asked("192.0.2.200"), 0, "nobody had to walk");
}

#[tokio::test(start_paused = true)]
async fn the_network_is_asked_for_its_nat64_prefix_once_and_again_after_a_failure() {
    let exchange = Scripted::new(|server, query| {
        if query.name.as_str() == "ipv4only.arpa" {
            return (RTT, code(ResponseCode::SERVFAIL));
        }
        honest(server, query)
    });
    let checker = builder(&exchange)
        .nameservers(["2001:db8::53".parse().unwrap()])
        .routable(|address| address.is_ipv6())
        .build()
        .unwrap();
    let names = ["www.example.com", "mail.example.com", "x.sub.example.com"].map(token);
    future::join_all(names.iter().map(|wanted| checker.check(wanted))).await;
    assert_eq!(exchange.asked("ipv4only.arpa"), 1, "{:?}", exchange.log());
    tokio::time::advance(Duration::from_secs(2)).await;
    let _ = checker.check(&names[0]).await;
    assert_eq!(exchange.asked("ipv4only.arpa"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_serves_until_its_successor_is_there() {
    let exchange = Scripted::new(|server, query| {
        if query.name.as_str() == "ipv4only.arpa" {
            let v6 = record("ipv4only.arpa", Data::Aaaa("64:ff9b::c000:aa".parse().unwrap()));
            return (millis(500), says(false, vec![v6], vec![]));
        }
        honest(server, query)
    });
    let checker = builder(&exchange)
        .nameservers(["2001:db8::53".parse().unwrap()])
        .routable(|address| address.is_ipv6())
        .build()
        .unwrap();
    let prefixes = async || {
        let start = Instant::now();
        let v4 = std::iter::once([192, 0, 2, 1].into());
        (checker.shared.paths.prefixes_for(v4).await.len(), start.elapsed())
    };
    assert_eq!(prefixes().await, (1, millis(500)));
    // Ten seconds before the TTL ends.
    tokio::time::advance(Duration::from_secs(52)).await;
    for _ in 0..2 {
        assert_eq!(prefixes().await, (1, Duration::ZERO));
    }
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(prefixes().await, (1, Duration::ZERO), "the new one is there");
    let others = exchange.log().iter().filter(|line| line.contains("ipv4only.arpa")).count();
    assert!(others.is_multiple_of(2), "each was asked twice: {:?}", exchange.log());
}

#[tokio::test(start_paused = true)]
async fn what_a_dns64_with_a_prefix_of_its_own_makes_up_is_no_second_address() {
    let exchange = Scripted::new(|server, query| {
        let v6 = |text: &str| record(query.name.as_str(), Data::Aaaa(text.parse().unwrap()));
        match (server, query.name.as_str(), query.record_type) {
            ("10.0.0.1:53", "ipv4only.arpa", _) => {
                (RTT, says(false, vec![v6("2001:db8:64::c000:aa")], vec![]))
            }
            ("10.0.0.1:53", "ns1.example.com", RecordType::Aaaa) => {
                (RTT, says(false, vec![v6("2001:db8:64::c000:201")], vec![]))
            }
            _ => honest(server, query),
        }
    });
    let checker = builder(&exchange).build().unwrap();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    let asked: Vec<String> = report.stages[0].rows.iter().map(|row| row.endpoint.to_string()).collect();
    assert_eq!(asked, ["192.0.2.1:53", "192.0.2.2:53"]);
}

/// An IPv6-only host. The resolver shows a prefix as long as `shown` says which; the name servers answer through that
/// which `works` says, and have the values from then on when it says so.
fn behind_nat64(
    shown: impl Fn(Duration) -> Option<Option<&'static str>> + Send + Sync + 'static,
    works: impl Fn(Duration) -> (&'static str, bool) + Send + Sync + 'static,
) -> CheckerBuilder {
    let since = Instant::now();
    let exchange = Scripted::new(move |server, query| {
        if query.name.as_str() == "ipv4only.arpa" {
            let said = match shown(since.elapsed()) {
                None => code(ResponseCode::SERVFAIL),
                Some(prefix) => {
                    let v6 = prefix.map(|prefix| format!("{prefix}c000:aa").parse().unwrap());
                    let all = v6.map(|v6| record("ipv4only.arpa", Data::Aaaa(v6))).into_iter().collect();
                    says(false, all, vec![])
                }
            };
            return (RTT, said);
        }
        let (prefix, there) = works(since.elapsed());
        let Some(v6) = server.strip_prefix("[2001:db8:").filter(|rest| !rest.starts_with(":53]")) else {
            return honest(server, query);
        };
        let through = format!("2001:db8:{v6}");
        let Some(v4) = through.strip_prefix(prefix) else { return (RTT, Err(TransportError::Refused)) };
        let last = u8::from_str_radix(&v4["c000:2".len()..v4.find(']').unwrap()], 16).unwrap();
        match query.record_type {
            RecordType::Txt if !there => (RTT, says(true, vec![], vec![soa("example.com")])),
            _ => honest(&format!("192.0.2.{last}:53"), query),
        }
    });
    builder(&exchange).nameservers(["2001:db8::53".parse().unwrap()]).routable(|address| address.is_ipv6())
}

#[tokio::test(start_paused = true)]
async fn a_prefix_that_was_not_found_is_looked_for_again_while_its_servers_are_waited_for() {
    const PREFIX: &str = "2001:db8:64::";
    let seconds = Duration::from_secs;
    for (missing, least, most) in [(None, 3, 6), (Some(None), 3, 6)] {
        let shown = move |now| if now < seconds(3) { missing } else { Some(Some(PREFIX)) };
        let checker = behind_nat64(shown, |_| (PREFIX, true)).build().unwrap();
        let start = Instant::now();
        checker.watch(&token("www.example.com"), seconds(120), &mut |_| ()).await.unwrap();
        let elapsed = start.elapsed();
        assert!(elapsed >= seconds(least) && elapsed < seconds(most), "{missing:?}: {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_gets_another_prefix_is_noticed_while_its_servers_are_silent() {
    const PREFIXES: [&str; 2] = ["2001:db8:64::", "2001:db8:65::"];
    let seconds = Duration::from_secs;
    let now_it_is = move |now| if now < seconds(10) { PREFIXES[0] } else { PREFIXES[1] };
    let checker =
        behind_nat64(move |now| Some(Some(now_it_is(now))), move |now| (now_it_is(now), now > seconds(10)));
    let checker = checker.build().unwrap();
    let start = Instant::now();
    checker.watch(&token("www.example.com"), seconds(120), &mut |_| ()).await.unwrap();
    assert!(start.elapsed() < seconds(45), "the zone is looked for again after 30 s: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_is_given_by_name_is_looked_up_again_when_it_is_silent() {
    let since = Instant::now();
    let exchange = Scripted::new(move |server, query| {
        let moved = since.elapsed() > Duration::from_secs(5);
        match (server, query.name.as_str(), query.record_type) {
            (_, "dns.example", RecordType::A) => {
                let last = if moved { 8 } else { 9 };
                (RTT, says(false, vec![record("dns.example", Data::A([10, 0, 0, last].into()))], vec![]))
            }
            (_, "dns.example", _) => (RTT, says(false, vec![], vec![soa("example")])),
            ("10.0.0.9:53", ..) if moved => (RTT, Err(TransportError::Refused)),
            ("10.0.0.9:53", ..) => (RTT, says(false, vec![], vec![])),
            (_, about, RecordType::Txt) => {
                (RTT, says(false, vec![record(about, Data::Txt(b"token".to_vec()))], vec![]))
            }
            _ => honest(server, query),
        }
    });
    let servers = ["dns.example", "10.0.0.1"].map(|text| text.parse().unwrap());
    let checker = builder(&exchange).nameservers(servers).policy(Policy::RecursiveOnly).build().unwrap();
    let start = Instant::now();
    checker.watch(&token("www.example.com"), Duration::from_secs(120), &mut |_| ()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(45), "{:?}", start.elapsed());
}
