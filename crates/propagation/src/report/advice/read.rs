//! Reads the advice out of a report: pure, and in order of use to whoever reads it.

use perennial_core::DomainName;

use super::{Advice, resolvers, servers};
use crate::{
    report::{Clue, Mistake, Origin, Report, Row, Stage, State},
    verdict::Verdict,
    zone::{Evidence, ZoneView},
};

/// The advice that follows from everything else in a report: what explains most first, what asks for nothing
/// last.
pub(crate) fn advise(report: &Report) -> Vec<Advice> {
    let mut found = Vec::new();
    for (index, stage) in report.stages.iter().enumerate() {
        let above = index.checked_sub(1).and_then(|above| report.stages.get(above));
        found.extend(from_problem(stage));
        found.extend(stage.zone.as_ref().into_iter().flat_map(from_zone));
        found.extend(from_cut(report, above, stage));
        if stage.zone.is_some() {
            found.extend(servers::read(report, stage));
        } else {
            found.extend(stage.rows.iter().filter_map(resolvers::from_row));
        }
    }
    found.extend(report.clues.iter().filter_map(from_clue));
    found.extend(report.vantage.iter().filter_map(|witness| resolvers::from_witness(report, witness)));
    found.extend(not_yet(report, &found));
    let mut distinct: Vec<Advice> = Vec::new();
    for advice in found {
        if !distinct.contains(&advice) {
            distinct.push(advice);
        }
    }
    distinct.sort_by_key(rank);
    distinct
}

const fn rank(advice: &Advice) -> u8 {
    match advice {
        // Nothing else can be right while this is wrong.
        Advice::AliasChain { .. }
        | Advice::EgressBlocked { .. }
        | Advice::Intercepted { .. }
        | Advice::PrivateZone { .. }
        | Advice::SplitHorizon { believed: true, .. }
        | Advice::ZoneUnknown { .. } => 0,
        // The record is not where it should be.
        Advice::BelowZoneCut { .. }
        | Advice::DoubledName { .. }
        | Advice::MisplacedName { .. }
        | Advice::WildcardAlias { .. }
        | Advice::WildcardText { .. } => 1,
        // Some servers do not show it.
        Advice::Nat64Missing { .. } | Advice::SerialLag { .. } | Advice::StaleValue { .. } => 2,
        Advice::DnssecBogus { .. } | Advice::DnssecIndeterminate { .. } => 3,
        // Some servers do not answer as they should.
        Advice::Ipv6Unreachable { .. }
        | Advice::LameServer { .. }
        | Advice::LocalhostServer { .. }
        | Advice::NoAddress { .. }
        | Advice::RateLimited { .. }
        | Advice::TcpBlocked { .. }
        | Advice::Unreachable { .. } => 4,
        Advice::NotAsked { .. } | Advice::NotYet { .. } | Advice::Unconfirmed => 5,
        Advice::NegativelyCached { .. }
        | Advice::ResolverDead { .. }
        | Advice::ResolverFails { .. }
        | Advice::StaleCache { .. } => 6,
        Advice::NameServersDiffer { .. } | Advice::TcpOnly { .. } => 7,
        // What asks for nothing comes after what does.
        Advice::SplitHorizon { believed: false, .. } => 8,
    }
}

fn from_problem(stage: &Stage) -> Option<Advice> {
    let problem = stage.problem.clone()?;
    Some(match stage.zone {
        Some(_) => Advice::AliasChain { problem },
        None => Advice::ZoneUnknown { name: stage.name.clone(), reason: problem },
    })
}

fn from_zone(zone: &ZoneView) -> Vec<Advice> {
    let mut found = Vec::new();
    let mut named: Vec<&DomainName> = zone.servers.iter().map(|server| &server.name).collect();
    let mut differing = None;
    for evidence in &zone.evidence {
        match evidence {
            Evidence::SplitHorizon { claimed, resolver, .. } => found.push(Advice::SplitHorizon {
                claimed: claimed.clone(),
                resolver: resolver.clone(),
                believed: false,
            }),
            Evidence::NameServersDiffer { apex, parent_only, resolver_only } => {
                named.extend(resolver_only);
                differing = Some(Advice::NameServersDiffer {
                    zone: apex.clone(),
                    parent_only: parent_only.clone(),
                    child_only: resolver_only.clone(),
                });
            }
            _ => {}
        }
    }
    // That a private zone has other name servers than the public one goes without saying.
    match named.into_iter().find(|name| is_placeholder(name)) {
        Some(server) => {
            found.push(Advice::PrivateZone { zone: zone.apex.clone(), server: server.clone() });
        }
        None => found.extend(differing),
    }
    found
}

/// Route 53 names these for every private hosted zone.
fn is_placeholder(name: &DomainName) -> bool {
    ["ns-0.awsdns-00.com", "ns-512.awsdns-00.net", "ns-1024.awsdns-00.org", "ns-1536.awsdns-00.co.uk"]
        .contains(&name.as_str())
}

/// A zone of its own that lacks the record, below one that cannot hold it and may have been given it.
fn from_cut(report: &Report, above: Option<&Stage>, stage: &Stage) -> Option<Advice> {
    let zone = stage.zone.as_ref()?;
    let parent = match stage.origin {
        Origin::Referral => &above?.zone.as_ref()?.apex,
        Origin::Wanted => parent_of_ones_own(zone)?,
        Origin::Alias => return None,
    };
    let lacking = stage.rows.iter().any(|row| row.state == State::Lacking);
    let served = |row: &Row| row.state == State::Satisfied || servers::has_other_values(row);
    let elsewhere = |clue: &Clue| matches!(clue, Clue::Elsewhere { .. });
    let cut = report.verdict == Verdict::NotYet
        && lacking
        && !stage.rows.iter().any(served)
        && !report.clues.iter().any(elsewhere);
    cut.then(|| Advice::BelowZoneCut {
        name: stage.name.clone(),
        cut: zone.apex.clone(),
        parent: parent.clone(),
    })
}

/// The zone above, where it may belong to whoever writes the record: no registry's, as far as one can tell by
/// its name. `com` has one label, and `co.uk` and `com.au` have two short ones.
fn parent_of_ones_own(zone: &ZoneView) -> Option<&DomainName> {
    let parent = zone.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Confirmed { apex, parent, .. } | Evidence::Walked { apex, parent: Some(parent), .. } => {
            (*apex == zone.apex).then_some(parent)
        }
        _ => None,
    })?;
    let labels: Vec<&str> = parent.labels().collect();
    match labels.as_slice() {
        [] | [_] => None,
        [second, top] if top.len() == 2 && second.len() <= 3 => None,
        _ => Some(parent),
    }
}

fn from_clue(clue: &Clue) -> Option<Advice> {
    match clue {
        // It says something about a row, and is read there.
        Clue::AnswersSmall { .. } => None,
        Clue::Elsewhere { name, mistake: Mistake::Doubled } => {
            Some(Advice::DoubledName { name: name.clone() })
        }
        Clue::Elsewhere { name, mistake: Mistake::Misplaced } => {
            Some(Advice::MisplacedName { name: name.clone() })
        }
        Clue::NobodyAsked { wait } => Some(Advice::NotAsked { wait: *wait }),
        Clue::NobodyValidates => Some(Advice::DnssecIndeterminate { unchecked: Vec::new() }),
        Clue::ResolverDead { resolver, error } => {
            Some(Advice::ResolverDead { resolver: resolver.clone(), error: error.clone() })
        }
        Clue::Unconfirmed => Some(Advice::Unconfirmed),
        Clue::Wildcard { name, wildcard, target } => Some(match target {
            Some(target) => Advice::WildcardAlias {
                name: name.clone(),
                wildcard: wildcard.clone(),
                target: target.clone(),
            },
            None => Advice::WildcardText { name: name.clone(), wildcard: wildcard.clone() },
        }),
        Clue::ZoneBogus { resolver, extended_error, .. } => {
            Some(Advice::DnssecBogus { resolver: resolver.clone(), extended_error: extended_error.clone() })
        }
        Clue::ZonesUnchecked { zones } => Some(Advice::DnssecIndeterminate { unchecked: zones.clone() }),
    }
}

/// Those who lack the values without any other reason, unless the record itself is known to be elsewhere.
fn not_yet(report: &Report, found: &[Advice]) -> Option<Advice> {
    let elsewhere = |advice: &Advice| rank(advice) <= 1 && !matches!(advice, Advice::PrivateZone { .. });
    if report.verdict != Verdict::NotYet || found.iter().any(elsewhere) {
        return None;
    }
    let mut servers = Vec::new();
    let mut nowhere_in = None;
    for stage in &report.stages {
        let explained = |row: &&Row| match &stage.zone {
            Some(_) => servers::has_other_values(row) || servers::lag(stage, row).is_some(),
            None => resolvers::from_row(row).is_some(),
        };
        let lacking = |row: &&Row| row.state == State::Lacking;
        let behind = stage.rows.iter().filter(lacking).filter(|row| !explained(row));
        let before = servers.len();
        servers.extend(behind.map(servers::label));
        let served = stage.rows.iter().any(|row| row.state == State::Satisfied);
        if servers.len() > before && !served {
            nowhere_in = stage.zone.as_ref().map(|zone| zone.apex.clone());
        }
    }
    (!servers.is_empty()).then_some(Advice::NotYet { servers, nowhere_in })
}
