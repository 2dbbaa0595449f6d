//! What a person can do about it: pure reading of a report.

use std::{fmt, time::Duration};

use perennial_core::DomainName;
use serde::Serialize;

use super::{Report, Row, State};
use crate::{
    probe::Lameness,
    target::NoRoute,
    transport::TransportError,
    verdict::Verdict,
    zone::{Evidence, ZoneView},
};

/// A fact that holds propagation up, or may, with its remedy. `Display` is a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "advice")]
#[non_exhaustive]
pub enum Advice {
    /// The aliases lead in a circle, or too far.
    AliasChain {
        /// What is wrong with them.
        problem: String,
    },
    /// Something between us and the name server answers in its place.
    Intercepted {
        /// Who seems to answer.
        server: String,
    },
    /// A name server does not do its office.
    LameServer {
        /// Which.
        server: String,
        /// Why.
        reason: Lameness,
    },
    /// IPv4 servers cannot be reached, and NAT64 is not set up.
    Nat64Missing {
        /// Which.
        server: String,
        /// Why.
        reason: NoRoute,
    },
    /// A name server has no address.
    NoAddress {
        /// Which.
        server: String,
    },
    /// Nobody was asked, because the policy is to wait.
    NotAsked {
        /// For how long.
        #[serde(serialize_with = "super::millis", rename = "wait_ms")]
        wait: Duration,
    },
    /// Some servers do not have the values yet, and nothing else is wrong with them.
    NotYet {
        /// Which.
        servers: Vec<String>,
    },
    /// The name servers of the zone are a cloud's placeholders for a private zone.
    PrivateZone {
        /// The zone.
        zone: DomainName,
        /// One of the placeholders.
        server: DomainName,
    },
    /// A resolver claims a zone that the rest of the world does not know.
    SplitHorizon {
        /// The zone that is claimed.
        claimed: DomainName,
        /// By whom.
        resolver: String,
    },
    /// A server has other values at this name, and not all of the wanted ones.
    StaleValue {
        /// Which.
        server: String,
        /// What it has.
        values: Vec<String>,
    },
    /// The servers had the values, and the deadline came before they were seen to have them still.
    Unconfirmed,
    /// A name server does not answer.
    Unreachable {
        /// Which.
        server: String,
        /// What happened.
        error: TransportError,
    },
    /// The zone could not be found.
    ZoneUnknown {
        /// Of which name.
        name: DomainName,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AliasChain { problem } => write!(f, "{problem}: mend the CNAME records"),
            Self::Intercepted { server } => write!(
                f,
                "{server} is answered for by a resolver: something on the way intercepts port 53 (a router, a \
                 service mesh, a firewall); exempt this host, or ask resolvers over TLS or HTTPS only"
            ),
            Self::LameServer { server, reason } => write!(
                f,
                "{server} is named as a name server of the zone and does not serve it ({reason}): remove it from \
                 the delegation, or load the zone there"
            ),
            Self::Nat64Missing { server, reason } => write!(
                f,
                "{server} cannot be asked: {reason}; give the network's NAT64 prefix (for instance 64:ff9b::/96), \
                 or a resolver that does DNS64"
            ),
            Self::NoAddress { server } => write!(
                f,
                "{server} is named as a name server and has no address: give it A or AAAA records, or remove it"
            ),
            Self::NotAsked { wait } => write!(
                f,
                "nobody was asked whether the values are there: the policy is to wait for {} and hope; choose \
                 another where name servers or resolvers can be asked",
                crate::duration::text(*wait)
            ),
            Self::NotYet { servers } => write!(
                f,
                "not yet at {}: secondaries take from seconds to minutes; if it stays so, look at the zone \
                 transfer (NOTIFY, SOA serial)",
                servers.join(", ")
            ),
            Self::PrivateZone { zone, server } => write!(
                f,
                "{server} is a placeholder: the resolver shows a private zone {zone}; give a public resolver"
            ),
            Self::SplitHorizon { claimed, resolver } => write!(
                f,
                "resolver {resolver} has a zone {claimed} of its own; it is not believed, nothing need be done \
                 unless the CA uses that resolver too"
            ),
            Self::StaleValue { server, values } => write!(
                f,
                "{server} has other values ({}): an old record is cached or was never removed, or the new one was \
                 written to another zone or provider account",
                super::quoted(values)
            ),
            Self::Unconfirmed => f.write_str(
                "the values were there at last, and the deadline came before that was confirmed: give more time",
            ),
            Self::Unreachable { server, error } => write!(
                f,
                "{server} does not answer ({error}): the CA may not reach it either; mend it, or remove it from \
                 the delegation; if others reach it, let UDP and TCP port 53 out of this host's network"
            ),
            Self::ZoneUnknown { name, reason } => write!(
                f,
                "the zone of {name} was not found ({reason}): check the name, and that the resolvers answer"
            ),
        }
    }
}

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
