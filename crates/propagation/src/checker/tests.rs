//! The driver against a scripted [`Exchange`], in paused time.

use std::{net::Ipv6Addr, sync::Mutex};

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::{
    Verdict,
    nat64::Prefix,
    report::{Advice, State},
    transport::{Endpoint, Reply, Transport, TransportError},
    wire::{Answer, Data, Query, Record, RecordType, ResponseCode},
    zone::Evidence,
};

pub(super) const NAME: &str = "_acme-challenge.www.example.com";

pub(super) fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

pub(super) fn wanted() -> Wanted {
    Wanted::new(name(NAME), ["token".to_owned()])
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) type Said = Result<Answer, TransportError>;
pub(super) type Script = dyn Fn(&str, &Query) -> (Duration, Said) + Send + Sync;

/// Answers from a script and remembers who was asked what.
pub(super) struct Scripted {
    script: Box<Script>,
    log: Mutex<Vec<String>>,
}

impl Scripted {
    pub(super) fn new(
        script: impl Fn(&str, &Query) -> (Duration, Said) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), log: Mutex::default() })
    }

    /// Who was asked what, as `SERVER NAME TYPE`.
    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn asked(&self, part: &str) -> usize {
        self.log().iter().filter(|line| line.contains(part)).count()
    }
}

#[async_trait]
impl Exchange for Scripted {
    async fn exchange(&self, server: &Endpoint, query: &Query) -> Result<Reply, TransportError> {
        let server = server.to_string();
        self.log.lock().unwrap().push(format!("{server} {query}"));
        let (delay, said) = (self.script)(&server, query);
        time::sleep(delay).await;
        said.map(|answer| Reply::new(answer, Transport::Udp, delay))
    }
}

pub(super) fn record(owner: &str, data: Data) -> Record {
    Record { owner: Some(name(owner)), ttl: 60, data }
}

pub(super) fn says(authoritative: bool, answers: Vec<Record>, authorities: Vec<Record>) -> Said {
    let mut answer = Answer::new(ResponseCode::NOERROR);
    answer.authoritative = authoritative;
    answer.answers = answers;
    answer.authorities = authorities;
    Ok(answer)
}

pub(super) fn code(code: ResponseCode) -> Said {
    Ok(Answer::new(code))
}

pub(super) fn soa(zone: &str) -> Record {
    record(zone, Data::Soa { serial: 1, minimum: 60 })
}

pub(super) fn ns(zone: &str, host: &str) -> Record {
    record(zone, Data::Ns(name(host)))
}

/// A resolver that knows `com` on 192.0.2.100 and `example.com` on 192.0.2.1 and .2.
fn resolver(query: &Query) -> Said {
    let a =
        |last: u8| says(false, vec![record(query.name.as_str(), Data::A([192, 0, 2, last].into()))], vec![]);
    match (query.name.as_str(), query.record_type) {
        ("www.example.com", RecordType::Soa) => says(false, vec![], vec![soa("example.com")]),
        ("example.com", RecordType::Soa) => says(false, vec![soa("example.com")], vec![]),
        ("com", RecordType::Soa) => says(false, vec![soa("com")], vec![]),
        ("example.com", RecordType::Ns) => {
            let servers = vec![ns("example.com", "ns1.example.com"), ns("example.com", "ns2.example.com")];
            says(false, servers, vec![])
        }
        ("www.example.com", RecordType::Ns) => says(false, vec![], vec![soa("example.com")]),
        ("com", RecordType::Ns) => says(false, vec![ns("com", "gtld.com")], vec![]),
        ("ns1.example.com", RecordType::A) => a(1),
        ("ns2.example.com", RecordType::A) => a(2),
        ("gtld.com", RecordType::A) => a(100),
        (_, RecordType::Aaaa) => says(false, vec![], vec![soa("example.com")]),
        (other, kind) => panic!("the resolver should not be asked for {other} {kind}"),
    }
}

/// The servers of `com` and `example.com`, by the last octet of their address.
fn authority(last: u8, query: &Query) -> Said {
    match last {
        100 => says(
            false,
            vec![],
            vec![ns("example.com", "ns1.example.com"), ns("example.com", "ns2.example.com")],
        ),
        _ if query.record_type == RecordType::Ns => says(true, vec![], vec![soa("example.com")]),
        _ => says(true, vec![record(query.name.as_str(), Data::Txt(b"token".to_vec()))], vec![]),
    }
}

pub(super) fn last_octet(server: &str) -> Option<u8> {
    server.strip_prefix("192.0.2.")?.strip_suffix(":53")?.parse().ok()
}

/// Everything in order, 10 ms away; the resolvers are 10.0.0.N.
pub(super) fn healthy(server: &str, query: &Query) -> (Duration, Said) {
    (millis(10), last_octet(server).map_or_else(|| resolver(query), |last| authority(last, query)))
}

pub(super) fn checker(exchange: &Arc<Scripted>, resolvers: &[&str]) -> CheckerBuilder {
    Checker::builder()
        .nameservers(resolvers.iter().map(|text| text.parse().unwrap()))
        .exchange(exchange.clone())
        .root_hints([])
        .routable(|_| true)
}

#[tokio::test(start_paused = true)]
async fn the_resolver_hears_of_the_parents_only() {
    let exchange = Scripted::new(healthy);
    let report = checker(&exchange, &["10.0.0.1"]).build().unwrap().check(&wanted()).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert_eq!(
        (exchange.asked("_acme-challenge"), exchange.asked("TXT")),
        (3, 2),
        "and for name servers, once"
    );
    assert!(exchange.log().iter().all(|line| !(line.starts_with("10.") && line.contains("_acme"))));
    let zone = report.stages[0].zone.as_ref().unwrap();
    let confirmed = Evidence::Confirmed {
        apex: name("example.com"),
        parent: name("com"),
        by: "192.0.2.100:53".to_owned(),
    };
    assert!(zone.evidence.contains(&confirmed), "{:?}", zone.evidence);
}

#[tokio::test(start_paused = true)]
async fn a_dead_name_server_does_not_hold_up_the_others() {
    let exchange = Scripted::new(|server, query| match last_octet(server) {
        Some(2) => (millis(2800), Err(TransportError::Timeout)),
        _ => healthy(server, query),
    });
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let mut first = None;
    let start = Instant::now();
    let propagated = checker
        .watch(&wanted(), Duration::from_secs(60), &mut |report| {
            let satisfied = report.stages[0].rows.iter().any(|row| row.state == State::Satisfied);
            if satisfied && first.is_none() {
                first = Some(start.elapsed());
            }
        })
        .await
        .unwrap();
    assert!(first.unwrap() < millis(200), "{first:?}");
    assert!(start.elapsed() < millis(5200), "{:?}", start.elapsed());
    assert_eq!(propagated.report().verdict, Verdict::ReadyWithWarnings);
}

#[tokio::test(start_paused = true)]
async fn the_next_resolver_is_asked_when_the_first_is_slow_dead_or_unwilling() {
    type Fault = fn() -> (Duration, Said);
    let faults: [Fault; 3] = [
        || (Duration::from_secs(1000), Err(TransportError::Timeout)),
        || (millis(10), code(ResponseCode::SERVFAIL)),
        || (millis(10), code(ResponseCode::REFUSED)),
    ];
    for fault in faults {
        let exchange = Scripted::new(move |server, query| match server {
            "10.0.0.1:53" => fault(),
            _ => healthy(server, query),
        });
        let start = Instant::now();
        let zone =
            checker(&exchange, &["10.0.0.1", "10.0.0.2"]).build().unwrap().zone(&name(NAME)).await.unwrap();
        assert_eq!(zone.apex, name("example.com"));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_label_that_fails_does_not_stop_the_climb() {
    let exchange = Scripted::new(|server, query| match query.name.as_str() {
        "www.example.com" => (millis(10), code(ResponseCode::SERVFAIL)),
        _ => healthy(server, query),
    });
    let zone = checker(&exchange, &["10.0.0.1"]).build().unwrap().zone(&name(NAME)).await.unwrap();
    assert_eq!((zone.apex, zone.servers.len()), (name("example.com"), 2));
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_nobody_above_can_be_asked_about_is_kept_and_marked() {
    let exchange = Scripted::new(|server, query| match (server, query.name.as_str()) {
        ("192.0.2.100:53", _) => (millis(10), Err(TransportError::Refused)),
        _ => healthy(server, query),
    });
    let zone = checker(&exchange, &["10.0.0.1"]).build().unwrap().zone(&name(NAME)).await.unwrap();
    assert_eq!(zone.apex, name("example.com"));
    let Some(Evidence::Unverified { reason, .. }) = zone.evidence.last() else {
        panic!("{:?}", zone.evidence)
    };
    assert!(reason.contains("192.0.2.100:53") && reason.contains("refuses connections"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_zone_is_looked_for_once_while_its_servers_give_no_trouble() {
    let exchange = Scripted::new(healthy);
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    checker.check(&wanted()).await.unwrap();
    checker.clone().check(&wanted()).await.unwrap();
    assert_eq!(exchange.asked("www.example.com SOA"), 1);
    assert_eq!(exchange.asked("TXT"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_zone_whose_servers_give_trouble_is_looked_for_again() {
    let exchange = Scripted::new(|server, query| match last_octet(server) {
        Some(2) => (millis(10), code(ResponseCode::REFUSED)),
        _ => healthy(server, query),
    });
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let report = checker.check(&wanted()).await.unwrap();
    assert!(matches!(report.advice.as_slice(), [Advice::LameServer { .. }]), "{report}");
    checker.check(&wanted()).await.unwrap();
    assert_eq!(exchange.asked("www.example.com SOA"), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_longer_than_its_limit() {
    let exchange = Scripted::new(|_, _| (Duration::from_secs(1_000_000), Err(TransportError::Timeout)));
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let start = Instant::now();
    let error = checker.zone(&name(NAME)).await.unwrap_err();
    assert_eq!(error, Error::TooSlow { name: name(NAME), limit: LIMIT });
    assert_eq!(start.elapsed(), LIMIT);
    let report = checker.check(&wanted()).await.unwrap();
    assert_eq!((report.verdict, start.elapsed()), (Verdict::NotYet, LIMIT * 2));
    let error = checker.watch(&wanted(), millis(1500), &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::NotPropagated(_)));
    assert_eq!(start.elapsed(), LIMIT * 2 + millis(1500));
}

#[tokio::test(start_paused = true)]
async fn silent_resolvers_are_an_error_of_a_check_and_waited_for_by_a_watch() {
    let since = Instant::now();
    let exchange = Scripted::new(move |server, query| {
        if server.starts_with("10.") && since.elapsed() < Duration::from_secs(3) {
            return (millis(10), Err(TransportError::Refused));
        }
        healthy(server, query)
    });
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let error = checker.check(&wanted()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no resolver answers the question for www.example.com SOA: 10.0.0.1:53: the host refuses connections on \
         this port; nor does the way from the root lead there: no name server of the root can be asked"
    );
    checker.watch(&wanted(), Duration::from_secs(60), &mut |_| ()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_only_host_reaches_everything_through_nat64() {
    fn server(text: &str) -> Option<String> {
        let address: std::net::SocketAddr = text.parse().ok()?;
        let IpAddr::V6(v6) = address.ip() else { panic!("{text} has no route") };
        let inside = Prefix::WELL_KNOWN.extract(v6).or_else(|| local().extract(v6));
        Some(inside.map_or_else(|| v6.to_string(), |v4| format!("{v4}:53")))
    }
    fn local() -> Prefix {
        "2001:db8:64::/96".parse().unwrap()
    }
    let script = |text: &str, query: &Query| {
        if query.name.as_str() == "ipv4only.arpa" {
            let shown = ["2001:db8:64::c000:aa", "2001:db8:64::c000:ab"]
                .map(|v6| record("ipv4only.arpa", Data::Aaaa(v6.parse::<Ipv6Addr>().unwrap())));
            let dns64 = text.contains("2001:db8::53");
            return (millis(10), says(false, if dns64 { shown.to_vec() } else { vec![] }, vec![]));
        }
        healthy(&server(text).unwrap(), query)
    };
    // Discovered from the resolver that does DNS64; the IPv4 resolver before it is reached through NAT64 too.
    let exchange = Scripted::new(script);
    let nat64 = checker(&exchange, &["9.9.9.9", "2001:db8::53"]).routable(|address| address.is_ipv6());
    let report = nat64.build().unwrap().check(&wanted()).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    let row = &report.stages[0].rows[0];
    assert_eq!(row.nat64.map(|embedded| embedded.prefix), Some(local()));
    assert!(exchange.asked("[2001:db8:64::909:909]:53 www.example.com SOA") == 1, "{:?}", exchange.log());
    // Configured: nothing is asked.
    let exchange = Scripted::new(script);
    let given = checker(&exchange, &["2001:db8::53"])
        .routable(|address| address.is_ipv6())
        .nat64(Nat64::Prefixes(vec![local()]));
    assert!(given.build().unwrap().check(&wanted()).await.unwrap().verdict.is_ready());
    assert_eq!(exchange.asked("ipv4only.arpa"), 0);
    // Off: the remedy is named.
    let exchange = Scripted::new(script);
    let off = checker(&exchange, &["2001:db8::53"]).routable(|address| address.is_ipv6()).nat64(Nat64::Off);
    let report = off.build().unwrap().check(&wanted()).await.unwrap();
    assert!(matches!(report.advice.as_slice(), [Advice::Nat64Missing { .. }, ..]), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_by_name_is_found_through_those_by_address() {
    let exchange = Scripted::new(|server, query| match query.name.as_str() {
        "dns.example" => {
            let v4 = vec![record("dns.example", Data::A([10, 0, 0, 9].into()))];
            let wanted = query.record_type == RecordType::A;
            (millis(10), says(false, if wanted { v4 } else { vec![] }, vec![]))
        }
        _ => healthy(server, query),
    });
    let checker = checker(&exchange, &["tls://dns.example", "10.0.0.1"]).build().unwrap();
    checker.zone(&name(NAME)).await.unwrap();
    assert!(
        exchange.asked("tls://dns.example at 10.0.0.9:853 www.example.com SOA") == 1,
        "{:?}",
        exchange.log()
    );
}

#[tokio::test(start_paused = true)]
async fn misuse_is_refused_at_once() {
    let exchange = Scripted::new(healthy);
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let nothing = Wanted::new(name(NAME), []);
    assert_eq!(checker.check(&nothing).await, Err(Error::NothingWanted { name: name(NAME) }));
    let top = Wanted::new(name("_acme-challenge"), ["token".to_owned()]);
    let error = checker.watch(&top, Duration::from_secs(60), &mut |_| ()).await.unwrap_err();
    assert_eq!(error, Error::NoZone { name: name("_acme-challenge"), tried: vec![] });
    let https = Checker::builder().nameservers(["https://dns.example".parse().unwrap()]).build();
    assert!(matches!(https, Err(Error::NoHttpClient { .. })));
    let roots = Checker::builder()
        .nameservers(["tls://dns.example".parse().unwrap()])
        .root_certificates_pem("no certificate")
        .build();
    assert!(matches!(roots, Err(Error::TlsRoots { .. })));
}

/// Names in the zone, for which the resolver has no other words.
pub(super) fn many(count: usize) -> Vec<Wanted> {
    let wanted = |index| {
        let name = name(&format!("_acme-challenge.www{index}.example.com"));
        Wanted::new(name, ["token".to_owned()])
    };
    (0..count).map(wanted).collect()
}

pub(super) fn healthy_for_many(server: &str, query: &Query) -> (Duration, Said) {
    let resolver = server.starts_with("10.");
    if resolver && query.name.as_str().starts_with("www") {
        return (millis(10), says(false, vec![], vec![soa("example.com")]));
    }
    healthy(server, query)
}

#[tokio::test(start_paused = true)]
async fn many_names_are_watched_at_once_and_told_one_by_one() {
    let exchange = Scripted::new(|server, query| match (last_octet(server), query.name.as_str()) {
        (Some(1 | 2), "_acme-challenge.www7.example.com") => (millis(10), says(true, vec![], vec![])),
        _ => healthy_for_many(server, query),
    });
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let mut wanted = many(300);
    wanted.push(Wanted::new(name("_acme-challenge.nothing.example.com"), []));
    let start = Instant::now();
    let mut watches = checker.watch_all(wanted.clone(), Duration::from_secs(20));
    let mut results = std::collections::HashMap::new();
    while let Some((wanted, result)) = watches.next().await {
        if results.is_empty() {
            assert_eq!(start.elapsed(), Duration::ZERO, "what makes no sense is refused at once");
        }
        assert_eq!(results.insert(wanted.name().clone(), result), None);
    }
    assert_eq!((watches.left(), results.len()), (0, 301));
    let ended = start.elapsed();
    assert!(ended > Duration::from_secs(17) && ended <= Duration::from_secs(20), "{ended:?}");
    for wanted in &wanted {
        match (wanted.name().as_str(), &results[wanted.name()]) {
            ("_acme-challenge.nothing.example.com", Err(Error::NothingWanted { .. })) => {}
            ("_acme-challenge.www7.example.com", Err(Error::NotPropagated(_))) => {}
            (name, Ok(propagated)) => assert_eq!(propagated.name().as_str(), name),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_want_the_same_at_the_same_time_ask_once() {
    let exchange = Scripted::new(healthy);
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    checker.check(&wanted()).await.unwrap();
    let before = exchange.asked("TXT");
    let wanted = wanted();
    let calls = (0..20).map(|_| checker.check(&wanted));
    for report in futures_util::future::join_all(calls).await {
        assert_eq!(report.unwrap().verdict, Verdict::Ready);
    }
    assert_eq!(exchange.asked("TXT") - before, 2, "one question for each of the two servers");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_asks_no_more_and_disturbs_nobody() {
    let exchange = Scripted::new(|server, query| match last_octet(server) {
        Some(2) if query.record_type == RecordType::Txt => (millis(10), says(true, vec![], vec![])),
        _ => healthy_for_many(server, query),
    });
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let (dropped, kept) = (wanted(), many(1).remove(0));
    let mut reports = 0;
    let mut on_report = |_: &Report| reports += 1;
    let impatient = time::timeout(millis(1100), checker.watch(&dropped, LIMIT, &mut on_report));
    let mut ignore = |_: &Report| ();
    let other = checker.watch(&kept, Duration::from_secs(3), &mut ignore);
    let (impatient, other) = tokio::join!(impatient, other);
    assert!(impatient.is_err() && reports > 0);
    assert!(matches!(other, Err(Error::NotPropagated(_))));
    let lines = exchange.log();
    let about = |name: &DomainName| lines.iter().filter(|line| line.contains(name.as_str())).count();
    assert!((4..=7).contains(&about(dropped.name())), "{lines:#?}");
    assert!((12..=16).contains(&about(kept.name())), "{}", about(kept.name()));
    time::sleep(Duration::from_secs(10)).await;
    assert_eq!(exchange.log().len(), lines.len(), "nobody is left who asks");
}

#[test]
fn a_checker_outlives_the_runtimes_that_it_is_used_from() {
    let exchange = Scripted::new(healthy);
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    let is_ready = |runtime: &tokio::runtime::Runtime| {
        let report = runtime.block_on(async { checker.check(&wanted()).await.unwrap() });
        assert_eq!(report.verdict, Verdict::Ready);
    };
    let first = runtime();
    is_ready(&first);
    is_ready(&first);
    // Its task stops in the middle of a watch, and is still there, and nobody runs it.
    let (value, mut ignore) = (wanted(), |_: &Report| ());
    first.block_on(async {
        let watch = checker.watch(&value, LIMIT, &mut ignore);
        assert!(time::timeout(millis(5), watch).await.is_err());
    });
    let second = runtime();
    is_ready(&second);
    drop(first);
    is_ready(&second);
    drop(second);
    is_ready(&runtime());
}

#[test]
fn a_search_that_another_runtime_left_in_the_middle_holds_up_nobody() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    // In the middle of the questions to resolvers, and in the middle of the verification.
    for middle in [5, 15, 25] {
        let checker = checker(&Scripted::new(healthy), &["10.0.0.1"]).build().unwrap();
        let (value, mut ignore) = (wanted(), |_: &Report| ());
        let first = runtime();
        first.block_on(async {
            let watch = checker.watch(&value, LIMIT, &mut ignore);
            assert!(time::timeout(millis(middle), watch).await.is_err());
        });
        // The first stands still while the second begins, and is gone before that ends.
        let second = runtime();
        let task = checker.clone();
        let check = second.spawn(async move { task.check(&wanted()).await.unwrap() });
        second.block_on(async { time::sleep(millis(5)).await });
        drop(first);
        assert_eq!(second.block_on(check).unwrap().verdict, Verdict::Ready, "{middle} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn any_deadline_will_do() {
    let checker = checker(&Scripted::new(healthy), &["10.0.0.1"]).build().unwrap();
    let watch_all = async |deadline| checker.watch_all([wanted()], deadline).next().await.unwrap().1;
    checker.watch(&wanted(), Duration::MAX, &mut |_| ()).await.unwrap();
    watch_all(Duration::MAX).await.unwrap();
    let late = checker.watch(&wanted(), Duration::ZERO, &mut |_| ()).await.unwrap_err();
    assert!(matches!(late, Error::NotPropagated(_)), "{late}");
    let late = watch_all(Duration::ZERO).await.unwrap_err();
    assert!(matches!(late, Error::NotPropagated(_)), "{late}");
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_while_there_is_nothing_to_watch() {
    let exchange = Scripted::new(healthy);
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let before = Arc::strong_count(&checker.shared);
    checker.check(&wanted()).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&checker.shared), before, "the driver's task has let go");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the exchange that carries the questions has panicked")]
async fn an_exchange_that_panics_does_not_leave_its_callers_waiting() {
    let exchange = Scripted::new(|_, _| panic!("a bug in somebody's exchange"));
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let _ = checker.check(&wanted()).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_only_asks_nobody() {
    let exchange = Scripted::new(|server, query| panic!("{server} is asked for {query}"));
    let wait = Policy::WaitOnly(Duration::from_secs(30));
    let waiting = checker(&exchange, &["10.0.0.1"]).policy(wait).build().unwrap();
    let start = Instant::now();
    let propagated = waiting.watch(&wanted(), Duration::from_secs(60), &mut |_| ()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert_eq!(propagated.report().verdict, Verdict::ReadyWithWarnings);
    assert!(matches!(propagated.report().advice[..], [Advice::NotAsked { .. }]));
    // Nor is anybody else, whatever is demanded of them.
    let demanding = checker(&exchange, &["10.0.0.1"]).policy(wait).dnssec(crate::Dnssec::Require);
    let demanding = demanding.vantage_points(["203.0.113.9".parse().unwrap()]).build().unwrap();
    let propagated = demanding.watch(&wanted(), Duration::from_secs(60), &mut |_| ()).await.unwrap();
    assert_eq!(propagated.report().verdict, Verdict::ReadyWithWarnings);
    let late = demanding.watch(&wanted(), Duration::from_secs(10), &mut |_| ()).await.unwrap_err();
    assert!(matches!(late, Error::NotPropagated(_)), "{late}");
}
