//! What the rows of a zone's name servers say together.

use std::net::IpAddr;

use super::{Advice, Reach, Sign};
use crate::{
    probe::Lameness,
    report::{Clue, Report, Row, Stage, State},
    target::NoRoute,
    transport::{Endpoint, Transport, TransportError},
    verdict::Verdict,
};

/// The advice about the servers of one zone.
pub(super) fn read(report: &Report, stage: &Stage) -> Vec<Advice> {
    let mut found: Vec<Advice> = interception(report, stage).into_iter().collect();
    match silence(stage) {
        Some(blocked) => found.push(blocked),
        None => found.extend(stage.rows.iter().filter_map(|row| from_row(report, stage, row))),
    }
    found.extend(stage.rows.iter().filter_map(|row| stale(report, stage, row)));
    found.extend(tcp_only(stage));
    let addressless = |server: &&String| !stage.rows.iter().any(|row| row.servers.contains(server));
    let without = stage.servers.iter().filter(addressless);
    found.extend(without.map(|server| Advice::NoAddress { server: server.clone() }));
    found
}

fn from_row(report: &Report, stage: &Stage, row: &Row) -> Option<Advice> {
    let server = label(row);
    match &row.state {
        // Read for all of them at once.
        State::Lame { reason: Lameness::Resolver } => None,
        State::Lame { reason } => {
            let extended_error = row.last.as_ref().and_then(|last| last.extended_error.clone());
            Some(Advice::LameServer { server, reason: *reason, extended_error })
        }
        State::Unreachable { error } => Some(unreachable(report, stage, row, error)),
        // A host without IPv6 asks over IPv4 instead: nothing to do about it.
        State::NotAsked { reason: NoRoute::NoIpv6 } => None,
        State::NotAsked { reason: NoRoute::Localhost } => Some(Advice::LocalhostServer { server }),
        State::NotAsked { reason } => Some(Advice::Nat64Missing { server, reason: reason.clone() }),
        State::Lacking => lag(stage, row),
        State::Alias { .. } | State::Referral { .. } | State::Satisfied | State::Waiting => None,
    }
}

fn stale(report: &Report, stage: &Stage, row: &Row) -> Option<Advice> {
    let made_up =
        |clue: &Clue| matches!(clue, Clue::Wildcard { name, target: None, .. } if *name == stage.name);
    if row.state != State::Lacking || !has_other_values(row) || report.clues.iter().any(made_up) {
        return None;
    }
    let values = row.last.as_ref().map(|last| last.values.clone()).unwrap_or_default();
    Some(Advice::StaleValue { server: label(row), values })
}

/// How far a server is behind, by the serial numbers of all (RFC 1982).
pub(super) fn lag(stage: &Stage, row: &Row) -> Option<Advice> {
    let serial = row.serial?;
    let newest = stage.rows.iter().filter_map(|row| row.serial).reduce(newer)?;
    let server = label(row);
    (newest != serial).then_some(Advice::SerialLag { server, serial, newest })
}

/// The newer of two serial numbers: RFC 1982 §3.2, where two that are half the circle apart compare as nothing.
pub(crate) const fn newer(one: u32, two: u32) -> u32 {
    let ahead = two.wrapping_sub(one);
    if ahead != 0 && ahead < 1 << 31 { two } else { one }
}

/// Everybody is silent: that says more about us than about them.
fn silence(stage: &Stage) -> Option<Advice> {
    let mut servers: Vec<String> = Vec::new();
    for row in stage.rows.iter().filter(|row| !matches!(row.state, State::NotAsked { .. })) {
        // A host that says "nothing listens here" has been reached.
        let lost = matches!(
            &row.state,
            State::Unreachable { error: TransportError::Timeout | TransportError::Unreachable { .. } }
        );
        if !lost || row.last.is_some() {
            return None;
        }
        servers.push(label(row));
    }
    let hosts = stage.servers.iter().filter(|host| stage.rows.iter().any(|row| row.servers.contains(host)));
    (hosts.count() > 1 && servers.len() > 1).then_some(Advice::EgressBlocked { servers })
}

fn unreachable(report: &Report, stage: &Stage, row: &Row, error: &TransportError) -> Advice {
    let server = label(row);
    let endpoint = row.endpoint.to_string();
    let small = |clue: &Clue| matches!(clue, Clue::AnswersSmall { endpoint: other } if *other == endpoint);
    if report.clues.iter().any(small) {
        return Advice::TcpBlocked { server };
    }
    let same_server = |other: &&Row| other.servers.iter().any(|name| row.servers.contains(name));
    let over_v4 = stage.rows.iter().filter(same_server).any(|other| !is_v6(other) && other.is_heard());
    if is_v6(row) && over_v4 {
        return Advice::Ipv6Unreachable { server, reach: reach(report, error) };
    }
    let silent_now = row.last.is_some() && *error == TransportError::Timeout;
    if silent_now && row.queries >= MANY_QUERIES {
        return Advice::RateLimited { server, queries: row.queries };
    }
    Advice::Unreachable { server, error: error.clone() }
}

/// After so many questions a server that falls silent may do so on purpose. Rate limits of name servers begin
/// at about 5 equal answers a second.
const MANY_QUERIES: u32 = 10;

fn reach(report: &Report, error: &TransportError) -> Reach {
    let rows = || report.stages.iter().flat_map(|stage| &stage.rows).filter(|row| is_v6(row));
    let dead = rows().filter(|row| matches!(row.state, State::Unreachable { .. }));
    if rows().any(Row::is_heard) {
        Reach::Everybody
    } else if matches!(error, TransportError::Unreachable { .. }) || dead.count() > 1 {
        Reach::ThisHost
    } else {
        Reach::Unknown
    }
}

/// An address of the server's own, not one that a translator lends it.
fn is_v6(row: &Row) -> bool {
    row.nat64.is_none() && row.endpoint.address().is_some_and(|address| matches!(address.ip(), IpAddr::V6(_)))
}

fn interception(report: &Report, stage: &Stage) -> Option<Advice> {
    let as_resolver = |row: &&Row| row.state == State::Lame { reason: Lameness::Resolver };
    let servers: Vec<String> = stage.rows.iter().filter(as_resolver).map(label).collect();
    if !servers.is_empty() {
        return Some(Advice::Intercepted { servers, sign: Sign::Recursion });
    }
    if report.verdict != Verdict::NotYet {
        return None;
    }
    let (one, two) = stage.rows.iter().enumerate().find_map(|(index, one)| {
        let later = stage.rows.iter().skip(index + 1);
        later.map(|two| (one, two)).find(|(one, two)| is_strangely_alike(one, two))
    })?;
    let instance = one.last.as_ref()?.instance.clone()?;
    Some(Advice::Intercepted { servers: vec![label(one), label(two)], sign: Sign::SameInstance(instance) })
}

/// Whether two servers of different operators claim to be one instance.
fn is_strangely_alike(one: &Row, two: &Row) -> bool {
    fn instance(row: &Row) -> Option<&String> {
        row.last.as_ref()?.instance.as_ref()
    }
    /// The last two labels: enough to tell operators apart, and where it is not (`co.uk`), we are silent.
    fn operator(name: &str) -> &str {
        let dot = name.rmatch_indices('.').nth(1);
        dot.and_then(|(at, _)| name.get(at + 1..)).unwrap_or(name)
    }
    let shared = |name: &String| two.servers.iter().any(|other| operator(other) == operator(name));
    let unrelated = !one.servers.iter().any(shared);
    unrelated && instance(one).is_some() && instance(one) == instance(two)
}

fn tcp_only(stage: &Stage) -> Option<Advice> {
    let fits = |values: &[String]| values.iter().map(|value| value.len() + RECORD).sum::<usize>() < SMALL;
    let lost = |row: &&Row| {
        let last = row.last.as_ref().filter(|_| row.is_heard());
        matches!(row.endpoint, Endpoint::Udp(_))
            && last.is_some_and(|last| last.transport == Transport::Tcp && fits(&last.values))
    };
    let servers: Vec<String> = stage.rows.iter().filter(lost).map(label).collect();
    (!servers.is_empty()).then_some(Advice::TcpOnly { servers })
}

/// Octets around a value in an answer.
const RECORD: usize = 13;
/// Octets of texts that fit a datagram with plenty of room for the rest.
const SMALL: usize = 900;

pub(super) fn has_other_values(row: &Row) -> bool {
    row.last.as_ref().is_some_and(|last| !last.values.is_empty())
}

/// A server by name and address.
pub(super) fn label(row: &Row) -> String {
    let endpoint = row.endpoint.to_string();
    match row.servers.first() {
        Some(server) if *server != endpoint => format!("{server} ({endpoint})"),
        _ => endpoint,
    }
}
