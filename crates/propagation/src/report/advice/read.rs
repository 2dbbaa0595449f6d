//! Reads the advice out of a report.

use perennial_core::DomainName;

use super::Advice;
use crate::{
    probe::Lameness,
    report::{Report, Row, State},
    target::NoRoute,
    verdict::Verdict,
    zone::{Evidence, ZoneView},
};

/// Reads the advice out of a report's stages.
pub(crate) fn advise(report: &Report) -> Vec<Advice> {
    let mut found = Vec::new();
    for stage in &report.stages {
        if let Some(problem) = &stage.problem {
            found.push(match stage.zone {
                Some(_) => Advice::AliasChain { problem: problem.clone() },
                None => Advice::ZoneUnknown { name: stage.name.clone(), reason: problem.clone() },
            });
        }
        found.extend(stage.zone.as_ref().into_iter().flat_map(from_zone));
        found.extend(stage.rows.iter().filter_map(from_row));
        let addressless = |server: &&String| !stage.rows.iter().any(|row| row.servers.contains(server));
        if stage.zone.is_some() {
            let without = stage.servers.iter().filter(addressless);
            found.extend(without.map(|server| Advice::NoAddress { server: server.clone() }));
        }
    }
    let behind: Vec<String> = report
        .stages
        .iter()
        .flat_map(|stage| &stage.rows)
        .filter(|row| row.state == State::Lacking && !has_other_values(row))
        .map(label)
        .collect();
    if report.verdict == Verdict::NotYet && !behind.is_empty() {
        found.push(Advice::NotYet { servers: behind });
    }
    // What asks for nothing comes after what does.
    found.sort_by_key(|advice| matches!(advice, Advice::SplitHorizon { .. }));
    found
}

fn from_zone(zone: &ZoneView) -> Vec<Advice> {
    let split = zone.evidence.iter().filter_map(|evidence| match evidence {
        Evidence::SplitHorizon { claimed, resolver, .. } => {
            Some(Advice::SplitHorizon { claimed: claimed.clone(), resolver: resolver.clone() })
        }
        _ => None,
    });
    let placeholder = zone.servers.iter().map(|server| &server.name).find(|name| is_placeholder(name));
    let private =
        placeholder.map(|server| Advice::PrivateZone { zone: zone.apex.clone(), server: server.clone() });
    split.chain(private).collect()
}

/// Route 53 names these for every private hosted zone.
fn is_placeholder(name: &DomainName) -> bool {
    ["ns-0.awsdns-00.com", "ns-512.awsdns-00.net", "ns-1024.awsdns-00.org", "ns-1536.awsdns-00.co.uk"]
        .contains(&name.as_str())
}

fn from_row(row: &Row) -> Option<Advice> {
    let server = label(row);
    match &row.state {
        State::Lame { reason: Lameness::Resolver } => Some(Advice::Intercepted { server }),
        State::Lame { reason } => Some(Advice::LameServer { server, reason: *reason }),
        State::Unreachable { error } => Some(Advice::Unreachable { server, error: error.clone() }),
        // A host without IPv6 asks over IPv4 instead: nothing to do about it.
        State::NotAsked { reason: NoRoute::NoIpv6 } => None,
        State::NotAsked { reason } => Some(Advice::Nat64Missing { server, reason: reason.clone() }),
        State::Lacking if has_other_values(row) => {
            let values = row.last.as_ref().map(|last| last.values.clone()).unwrap_or_default();
            Some(Advice::StaleValue { server, values })
        }
        State::Alias { .. } | State::Lacking | State::Referral { .. } | State::Satisfied | State::Waiting => {
            None
        }
    }
}

fn has_other_values(row: &Row) -> bool {
    row.last.as_ref().is_some_and(|last| !last.values.is_empty())
}

fn label(row: &Row) -> String {
    let endpoint = row.endpoint.to_string();
    match row.servers.first() {
        Some(server) if *server != endpoint => format!("{server} ({endpoint})"),
        _ => endpoint,
    }
}
