//! What resolvers and vantage points say, and what it means.

use perennial_core::DomainName;

use super::{Advice, servers};
use crate::{
    probe::Lameness,
    report::{Absence, Report, Row, State},
    target::NoRoute,
    vantage::{Security, View, Witness},
};

/// A resolver that is asked instead of the authoritative servers.
pub(super) fn from_row(row: &Row) -> Option<Advice> {
    let resolver = servers::label(row);
    let last = row.last.as_ref();
    match &row.state {
        State::Lacking if servers::has_other_values(row) => {
            let values = last.map(|last| last.values.clone()).unwrap_or_default();
            Some(Advice::StaleValue { server: resolver, values })
        }
        State::Lacking => {
            let absence = last?.absence.as_ref()?;
            // A resolver has authority (AA=1) over what it has from nobody but itself.
            match &absence.zone {
                Some(claimed) if last?.authoritative => {
                    Some(Advice::SplitHorizon { claimed: claimed.clone(), resolver, believed: true })
                }
                _ => Some(Advice::NegativelyCached { resolver, ttl: Some(absence.ttl) }),
            }
        }
        State::Lame { reason: Lameness::Code(code) } => {
            let extended_error = last.and_then(|last| last.extended_error.clone());
            Some(Advice::ResolverFails { resolver, code: *code, extended_error })
        }
        State::Lame { reason } => {
            Some(Advice::LameServer { server: resolver, reason: *reason, extended_error: None })
        }
        State::NotAsked { reason: NoRoute::NoIpv6 } => None,
        State::NotAsked { reason } => Some(Advice::Nat64Missing { server: resolver, reason: reason.clone() }),
        State::Unreachable { error } => Some(Advice::ResolverDead { resolver, error: error.clone() }),
        State::Alias { .. } | State::Referral { .. } | State::Satisfied | State::Waiting => None,
    }
}

/// A vantage point.
pub(super) fn from_witness(report: &Report, witness: &Witness) -> Option<Advice> {
    let resolver = witness.label();
    let extended_error = witness.extended_error.clone();
    if witness.security == Security::Bogus {
        return Some(Advice::DnssecBogus { resolver, extended_error });
    }
    match &witness.view {
        View::Failing { code } => Some(Advice::ResolverFails { resolver, code: *code, extended_error }),
        View::Has => None,
        View::Lacking { absence } => Some(match absence.as_ref().and_then(|no| invented(report, no)) {
            Some(claimed) => Advice::SplitHorizon { claimed, resolver, believed: false },
            None => Advice::NegativelyCached { resolver, ttl: absence.as_ref().map(|absence| absence.ttl) },
        }),
        View::NotAsked { reason: NoRoute::NoIpv6 } => None,
        View::NotAsked { reason } => Some(Advice::Nat64Missing { server: resolver, reason: reason.clone() }),
        View::Stale { values, ttl } => {
            Some(Advice::StaleCache { resolver, values: values.clone(), ttl: *ttl })
        }
        View::Unreachable { error } => Some(Advice::ResolverDead { resolver, error: error.clone() }),
    }
}

/// The zone that says no, if it cannot be: it lies between one that we know and a name in it.
fn invented(report: &Report, absence: &Absence) -> Option<DomainName> {
    let zone = absence.zone.as_ref()?;
    let zones = || report.stages.iter().filter_map(|stage| Some((&stage.name, &stage.zone.as_ref()?.apex)));
    let known = zones().any(|(_, apex)| apex == zone);
    let between =
        |(name, apex): (&DomainName, &DomainName)| zone.is_at_or_below(apex) && name.is_at_or_below(zone);
    (!known && zones().any(between)).then(|| zone.clone())
}
