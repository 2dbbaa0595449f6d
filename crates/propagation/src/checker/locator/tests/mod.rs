//! Finding zones against a scripted world, in paused time.

use futures_util::future;

use super::*;
use crate::{
    Checker, CheckerBuilder, NameServer, Policy, Verdict, Wanted,
    checker::tests::{Said, Scripted, code, millis, name, ns, record, says, soa},
    transport::TransportError,
    wire::{Answer, Data, Query, Record, RecordType, ResponseCode},
};

mod horizons;
mod search;
mod walk;
mod ways;

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
