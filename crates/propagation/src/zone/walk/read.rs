//! What one answer says on the way down.

use std::net::IpAddr;

use perennial_core::DomainName;

use crate::{
    probe::Delegation,
    wire::{Answer, Data, Record, RecordType, ResponseCode},
};

/// What a server of a zone says about a name at or below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The root knows neither the name nor anything below it.
    Absent,
    /// The host's addresses of this type; none is an answer too.
    Addresses(Vec<IpAddr>),
    /// A zone begins at the name or on the way to it.
    Cut(Delegation),
    /// The zone's own name servers.
    Own(Delegation),
    /// No zone begins there: it is a name of this zone, or none at all.
    Plain,
    /// Nothing that counts, and why.
    Useless(String),
}

/// Reads the answer of a server of `zone` (`None` is the root) about `name`.
pub(super) fn read(
    zone: Option<&DomainName>,
    name: &DomainName,
    kind: RecordType,
    answer: &Answer,
) -> Reading {
    if !answer.code.is_answer() {
        return Reading::Useless(format!("it answers {}", answer.code));
    }
    let delegation = |section, cut| Delegation::read(section, &answer.additionals, cut, zone);
    let own = answer.answers.iter().any(|record| record.owner.as_ref() == Some(name));
    // Some servers set AA on a referral; the empty answer gives it away.
    if !own
        && let Some(cut) = cut_below(zone, name, &answer.authorities)
        && let Some(referral) = delegation(&answer.authorities, cut)
    {
        return Reading::Cut(referral);
    }
    if !answer.authoritative {
        return Reading::Useless("it answers without authority (AA=0)".to_owned());
    }
    // The root's own servers are not among the broken ones.
    if zone.is_none() && answer.code == ResponseCode::NXDOMAIN {
        return Reading::Absent;
    }
    if kind != RecordType::Ns {
        return Reading::Addresses(addresses(name, &answer.answers));
    }
    match delegation(&answer.answers, name) {
        Some(own) if zone == Some(name) => Reading::Own(own),
        // A server of both zones answers for the one below.
        Some(cut) => Reading::Cut(cut),
        // NXDOMAIN is no reason to stop: broken servers say it of names that have others below them
        // (RFC 8020 §2 forbids it, RFC 9156 §3 has met it).
        None => Reading::Plain,
    }
}

/// The cut strictly below `zone`, at or above `name`, that a section shows.
fn cut_below<'a>(
    zone: Option<&DomainName>,
    name: &DomainName,
    section: &'a [Record],
) -> Option<&'a DomainName> {
    section.iter().find_map(|record| match (&record.data, &record.owner) {
        (Data::Ns(_), Some(owner)) => {
            let below = zone.is_none_or(|zone| owner != zone && owner.is_at_or_below(zone));
            (below && name.is_at_or_below(owner)).then_some(owner)
        }
        _ => None,
    })
}

fn addresses(host: &DomainName, answers: &[Record]) -> Vec<IpAddr> {
    let of = |record: &Record| match record.data {
        Data::A(v4) if record.owner.as_ref() == Some(host) => Some(IpAddr::V4(v4)),
        Data::Aaaa(v6) if record.owner.as_ref() == Some(host) => Some(IpAddr::V6(v6)),
        _ => None,
    };
    answers.iter().filter_map(of).collect()
}
