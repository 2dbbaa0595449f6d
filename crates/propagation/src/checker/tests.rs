//! The driver against a scripted [`Exchange`], in paused time.

use std::{net::Ipv6Addr, sync::Mutex};

use async_trait::async_trait;

use super::*;
use crate::{
    Verdict,
    nat64::Prefix,
    report::{Advice, State},
    transport::{Endpoint, Reply, Transport, TransportError},
    wire::{Answer, Data, Query, Record, RecordType, ResponseCode},
    zone::Evidence,
};

const NAME: &str = "_acme-challenge.www.example.com";

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn wanted() -> Wanted {
    Wanted::new(name(NAME), ["token".to_owned()])
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

type Said = Result<Answer, TransportError>;
type Script = dyn Fn(&str, &Query) -> (Duration, Said) + Send + Sync;

/// Answers from a script and remembers who was asked what.
struct Scripted {
    script: Box<Script>,
    log: Mutex<Vec<String>>,
}

impl Scripted {
    fn new(script: impl Fn(&str, &Query) -> (Duration, Said) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), log: Mutex::default() })
    }

    /// Who was asked what, as `SERVER NAME TYPE`.
    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn asked(&self, part: &str) -> usize {
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

fn record(owner: &str, data: Data) -> Record {
    Record { owner: Some(name(owner)), ttl: 60, data }
}

fn says(authoritative: bool, answers: Vec<Record>, authorities: Vec<Record>) -> Said {
    let mut answer = Answer::new(ResponseCode::NOERROR);
    answer.authoritative = authoritative;
    answer.answers = answers;
    answer.authorities = authorities;
    Ok(answer)
}

fn code(code: ResponseCode) -> Said {
    Ok(Answer::new(code))
}

fn soa(zone: &str) -> Record {
    record(zone, Data::Soa { serial: 1, minimum: 60 })
}

fn ns(zone: &str, host: &str) -> Record {
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
        _ => says(true, vec![record(query.name.as_str(), Data::Txt(b"token".to_vec()))], vec![]),
    }
}

fn last_octet(server: &str) -> Option<u8> {
    server.strip_prefix("192.0.2.")?.strip_suffix(":53")?.parse().ok()
}

/// Everything in order, 10 ms away; the resolvers are 10.0.0.N.
fn healthy(server: &str, query: &Query) -> (Duration, Said) {
    (millis(10), last_octet(server).map_or_else(|| resolver(query), |last| authority(last, query)))
}

fn checker(exchange: &Arc<Scripted>, resolvers: &[&str]) -> CheckerBuilder {
    Checker::builder()
        .nameservers(resolvers.iter().map(|text| text.parse().unwrap()))
        .exchange(exchange.clone())
        .routable(|_| true)
}

#[tokio::test(start_paused = true)]
async fn the_resolver_hears_of_the_parents_only() {
    let exchange = Scripted::new(healthy);
    let report = checker(&exchange, &["10.0.0.1"]).build().unwrap().check(&wanted()).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert_eq!(exchange.asked("_acme-challenge"), 2);
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
         this port"
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
