//! What else to ask when the values are not seen, and what the answers mean: the questions that a person with
//! `dig` would ask next. Pure; who sends them is in [`Checker`](crate::Checker).
//!
//! The zone's own servers are asked, and resolvers about the zone's own name only: the values may still come,
//! and no negative answer must be in anybody's way then (RFC 2308).

use perennial_core::DomainName;

use crate::{
    report::{Clue, Mistake, Report, Row, Stage, State},
    target::Target,
    transport::{Endpoint, Reply, Transport, TransportError},
    vantage::{self, Said, Security},
    wire::{Answer, Data, Query, RecordType},
    zone::{Evidence, ZoneView, cut},
};

mod names;

/// One more question, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inquiry {
    pub(crate) endpoint: Endpoint,
    pub(crate) query: Query,
    purpose: Purpose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// Does a server that is silent about the record answer a small question?
    Alive,
    /// Is the value at this other name?
    Elsewhere(Mistake),
    /// Does a configured resolver work, and what does it make of the zone?
    Resolver(String),
    /// Which version of the zone does the server have?
    Serial,
    /// Does this wildcard make what stands at the name?
    Wildcard { stage: usize },
}

impl Inquiry {
    /// Whether a configured resolver is asked, and not a server of the zone.
    pub(crate) const fn is_to_resolver(&self) -> bool {
        matches!(self.purpose, Purpose::Resolver(_))
    }
}

/// What came of an inquiry.
pub(crate) type Heard<'a> = (&'a Inquiry, &'a Result<Reply, TransportError>);

/// The most questions after one check: a few for each server of a zone, and no flood however long the chain is.
const MAX_INQUIRIES: usize = 64;

/// The questions that may explain a report.
pub(crate) fn questions(report: &Report, resolvers: &[Target]) -> Vec<Inquiry> {
    let mut asked = Vec::new();
    let only_resolvers = report.stages.iter().any(|stage| stage.zone.is_none() && !stage.rows.is_empty());
    if !only_resolvers && let Some(zone) = zone_to_show(report) {
        asked.extend(resolvers.iter().map(|resolver| zone_at(resolver, &zone)));
    }
    for (index, stage) in report.stages.iter().enumerate() {
        if let Some(zone) = &stage.zone {
            asked.extend(of_servers(stage, zone));
            asked.extend(of_wildcards(index, stage, zone));
            asked.extend(of_other_names(stage, zone));
        }
    }
    asked.truncate(MAX_INQUIRIES);
    asked
}

/// The zone about which resolvers are asked: the last one whose name may be shown to them and whose servers
/// answer. A resolver that is silent about a zone whose servers are all dead is not dead itself, so then it is
/// asked about the name above.
fn zone_to_show(report: &Report) -> Option<DomainName> {
    let safe = |stage: &Stage, zone: &DomainName| {
        cut::start(&stage.name).is_some_and(|start| start.is_at_or_below(zone))
    };
    let mut zones = report.stages.iter().rev().filter_map(|stage| Some((stage, &stage.zone.as_ref()?.apex)));
    match zones.find(|(stage, zone)| safe(stage, zone)) {
        Some((stage, zone)) if stage.rows.iter().any(Row::is_heard) => Some(zone.clone()),
        Some((_, zone)) => zone.parent(),
        None => cut::start(report.wanted.name())?.parent(),
    }
}

/// The question to a resolver about a zone's own name, which shows no name that is waited for.
pub(crate) fn zone_at(resolver: &Target, zone: &DomainName) -> Inquiry {
    let label = resolver.servers.first().cloned().unwrap_or_else(|| resolver.endpoint.to_string());
    Inquiry {
        endpoint: resolver.endpoint.clone(),
        query: Query::recursive(zone.clone(), RecordType::Soa).with_dnssec_ok(),
        purpose: Purpose::Resolver(label),
    }
}

/// The second question to a resolver that fails: is it the signatures?
pub(crate) fn unchecked((inquiry, outcome): Heard<'_>) -> Option<Query> {
    let Ok(reply) = outcome else { return None };
    let fails = vantage::FollowUp::to(&reply.answer) == Some(vantage::FollowUp::Unchecked);
    (inquiry.is_to_resolver() && fails).then(|| inquiry.query.clone().with_checking_disabled())
}

/// Where a resolver stumbled: a zone to which a referral led us although a resolver should have known it. A
/// resolver that validates fails so on a zone whose signatures are broken.
pub(crate) fn stumbled_over(report: &Report) -> Option<&DomainName> {
    let referred =
        report.stages.iter().skip(1).filter(|stage| stage.origin == crate::report::Origin::Referral);
    let mut zones = referred.filter_map(|stage| Some((&stage.name, &stage.zone.as_ref()?.apex)));
    zones.find_map(|(name, apex)| cut::start(name)?.is_at_or_below(apex).then_some(apex))
}

/// Whether a zone was found from the root down.
pub(crate) fn is_walked(report: &Report) -> bool {
    let mut evidence =
        report.stages.iter().filter_map(|stage| stage.zone.as_ref()).flat_map(|zone| &zone.evidence);
    evidence.any(|evidence| matches!(evidence, Evidence::Walked { .. }))
}

fn of_servers(stage: &Stage, zone: &ZoneView) -> Vec<Inquiry> {
    let soa = |row: &Row, purpose| Inquiry {
        endpoint: row.endpoint.clone(),
        query: Query::authoritative(zone.apex.clone(), RecordType::Soa),
        purpose,
    };
    let behind = stage.rows.iter().any(|row| row.state == State::Lacking);
    let of = |row: &Row| match row.state {
        State::Unreachable { .. } if matches!(row.endpoint, Endpoint::Udp(_)) => {
            Some(soa(row, Purpose::Alive))
        }
        // Also of those who told one before: it may have been the number of what they had then.
        State::Lacking | State::Satisfied if behind => Some(soa(row, Purpose::Serial)),
        _ => None,
    };
    stage.rows.iter().filter_map(of).collect()
}

fn of_wildcards(index: usize, stage: &Stage, zone: &ZoneView) -> Vec<Inquiry> {
    let made = stage.rows.iter().find(|row| match &row.state {
        State::Alias { .. } => true,
        State::Lacking => row.last.as_ref().is_some_and(|last| !last.values.is_empty()),
        _ => false,
    });
    let Some(row) = made.or_else(|| most_recent(stage)) else { return Vec::new() };
    let ask = |wildcard| Inquiry {
        endpoint: row.endpoint.clone(),
        query: Query::authoritative(wildcard, RecordType::Txt),
        purpose: Purpose::Wildcard { stage: index },
    };
    names::wildcards(&stage.name, &zone.apex).into_iter().map(ask).collect()
}

fn of_other_names(stage: &Stage, zone: &ZoneView) -> Vec<Inquiry> {
    let Some(row) = most_recent(stage) else { return Vec::new() };
    let ask = |(name, mistake)| Inquiry {
        endpoint: row.endpoint.clone(),
        query: Query::authoritative(name, RecordType::Txt),
        purpose: Purpose::Elsewhere(mistake),
    };
    names::mistaken(&stage.name, &zone.apex).into_iter().map(ask).collect()
}

/// The server that is likeliest to have what was written last.
fn most_recent(stage: &Stage) -> Option<&Row> {
    let rank = |row: &&Row| match row.state {
        State::Satisfied => 2,
        State::Alias { .. } | State::Lacking | State::Referral { .. } => 1,
        _ => 0,
    };
    let newer = |best: &'_ Row, row: &'_ Row| match rank(&row).cmp(&rank(&best)) {
        std::cmp::Ordering::Equal => match (best.serial, row.serial) {
            (Some(one), Some(two)) => one != two && crate::report::newer_serial(one, two) == two,
            (None, Some(_)) => true,
            (_, None) => false,
        },
        order => order.is_gt(),
    };
    let heard = stage.rows.iter().filter(|row| rank(row) > 0);
    heard.reduce(|best, row| if newer(best, row) { row } else { best })
}

/// Writes into a report what the answers tell.
pub(crate) fn learn(report: &mut Report, heard: &[Heard<'_>], unchecked: &[(Endpoint, Answer)]) {
    for (inquiry, outcome) in heard {
        match &inquiry.purpose {
            Purpose::Alive => alive(report, inquiry, outcome),
            Purpose::Elsewhere(mistake) => elsewhere(report, inquiry, outcome, *mistake),
            Purpose::Resolver(label) => resolver(report, label, inquiry, outcome, unchecked),
            Purpose::Serial => serial(report, inquiry, outcome),
            // Read together, below.
            Purpose::Wildcard { .. } => {}
        }
    }
    for index in 0..report.stages.len() {
        wildcard(report, index, heard);
    }
    wildcard_value(report, heard);
}

/// A wildcard with the very value makes it up at every other name, those included at which it was sought. It
/// stands at the wildcard, and not at the name, which exists or is hidden by one that does (RFC 4592 §2.2.2).
fn wildcard_value(report: &mut Report, heard: &[Heard<'_>]) {
    let holds = |(inquiry, outcome): &&Heard<'_>| {
        matches!(inquiry.purpose, Purpose::Wildcard { .. })
            && outcome.as_ref().is_ok_and(|reply| {
                reply.answer.authoritative && has_wanted(report, &reply.answer, &inquiry.query.name)
            })
    };
    // The last is the highest, which makes up those below it.
    let Some((inquiry, _)) = heard.iter().rfind(holds) else { return };
    report.clues.retain(|clue| !matches!(clue, Clue::Elsewhere { .. }));
    push(report, Clue::Elsewhere { name: inquiry.query.name.clone(), mistake: Mistake::Misplaced });
}

fn has_wanted(report: &Report, answer: &Answer, name: &DomainName) -> bool {
    let is_wanted = |text: &[u8]| report.wanted.values().iter().any(|value| value.as_bytes() == text);
    texts(answer, name).into_iter().any(is_wanted)
}

fn push(report: &mut Report, clue: Clue) {
    if !report.clues.contains(&clue) {
        report.clues.push(clue);
    }
}

fn alive(report: &mut Report, inquiry: &Inquiry, outcome: &Result<Reply, TransportError>) {
    if outcome.as_ref().is_ok_and(|reply| reply.transport == Transport::Udp) {
        push(report, Clue::AnswersSmall { endpoint: inquiry.endpoint.to_string() });
    }
}

fn elsewhere(
    report: &mut Report,
    inquiry: &Inquiry,
    outcome: &Result<Reply, TransportError>,
    mistake: Mistake,
) {
    let Ok(reply) = outcome else { return };
    if reply.answer.authoritative && has_wanted(report, &reply.answer, &inquiry.query.name) {
        push(report, Clue::Elsewhere { name: inquiry.query.name.clone(), mistake });
    }
}

fn resolver(
    report: &mut Report,
    label: &str,
    inquiry: &Inquiry,
    outcome: &Result<Reply, TransportError>,
    unchecked: &[(Endpoint, Answer)],
) {
    let resolver = label.to_owned();
    match outcome {
        Err(error) => push(report, Clue::ResolverDead { resolver, error: error.clone() }),
        Ok(reply) => {
            let again = unchecked.iter().find(|(endpoint, _)| *endpoint == inquiry.endpoint);
            let unchecked = again.map(|(_, answer)| answer);
            let said = Said { answer: &reply.answer, unchecked, delegation: None };
            if vantage::security(&said) == Security::Bogus {
                let zone = inquiry.query.name.clone();
                let extended_error = reply.answer.extended_error.clone();
                push(report, Clue::ZoneBogus { zone, resolver, extended_error });
            }
        }
    }
}

fn serial(report: &mut Report, inquiry: &Inquiry, outcome: &Result<Reply, TransportError>) {
    let Ok(reply) = outcome else { return };
    let told = reply.answer.answers.iter().find_map(|record| match record.data {
        Data::Soa { serial, .. } if record.owner.as_ref() == Some(&inquiry.query.name) => Some(serial),
        _ => None,
    });
    let Some(told) = told.filter(|_| reply.answer.authoritative) else { return };
    let of_zone =
        |stage: &&mut Stage| stage.zone.as_ref().is_some_and(|zone| zone.apex == inquiry.query.name);
    for stage in report.stages.iter_mut().filter(of_zone) {
        for row in stage.rows.iter_mut().filter(|row| row.endpoint == inquiry.endpoint) {
            row.serial = Some(told);
        }
    }
}

/// The highest of the wildcards that give what stands at the name, all of them up to it. Below the true one
/// the server makes the same up for any name, also for one that looks like a wildcard (RFC 4592 §3.3.1).
fn wildcard(report: &mut Report, index: usize, heard: &[Heard<'_>]) {
    let Some(stage) = report.stages.get(index) else { return };
    let mut found = None;
    for (inquiry, outcome) in heard {
        if inquiry.purpose != (Purpose::Wildcard { stage: index }) {
            continue;
        }
        let row = stage.rows.iter().find(|row| row.endpoint == inquiry.endpoint);
        let (Some(row), Ok(reply)) = (row, outcome) else { break };
        match made_alike(row, &reply.answer, &inquiry.query.name) {
            Some(target) => found = Some((inquiry.query.name.clone(), target)),
            None => break,
        }
    }
    if let Some((wildcard, target)) = found {
        let name = stage.name.clone();
        push(report, Clue::Wildcard { name, wildcard, target });
    }
}

/// Whether a wildcard gives what a server shows at the name; and where the alias leads, if it is one.
fn made_alike(row: &Row, answer: &Answer, wildcard: &DomainName) -> Option<Option<DomainName>> {
    match &row.state {
        State::Alias { target } => {
            let same = |record: &crate::wire::Record| {
                record.owner.as_ref() == Some(wildcard) && record.data == Data::Cname(target.clone())
            };
            answer.answers.iter().any(same).then(|| Some(target.clone()))
        }
        _ => {
            let mut shown = row.last.as_ref()?.values.clone();
            let mut made: Vec<String> =
                texts(answer, wildcard).into_iter().map(crate::wire::printable).collect();
            shown.sort_unstable();
            made.sort_unstable();
            (!made.is_empty() && shown == made).then_some(None)
        }
    }
}

fn texts<'a>(answer: &'a Answer, name: &DomainName) -> Vec<&'a [u8]> {
    let of = |record: &'a crate::wire::Record| match &record.data {
        Data::Txt(text) if record.owner.as_ref() == Some(name) => Some(text.as_slice()),
        _ => None,
    };
    answer.answers.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests;
