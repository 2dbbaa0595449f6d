//! One name of the climb: which servers to ask next, and what their answers amount to (RFC 8659 §3 with
//! RFC 1034 §4.3.2: aliases and delegations are followed, an alias's target is not climbed from).

use std::collections::VecDeque;

use perennial_core::DomainName;

use super::{Level, Outcome, Record, Row, Step};
use crate::{
    ZoneView,
    probe::{self, Asked, Delegation, Finding, Lameness, MAX_CHAIN, Role},
    report::Origin,
    wire::{Answer, Data},
};

/// What one answer to a CAA question means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Alias(DomainName),
    Lame(Lameness),
    Records(Vec<Record>),
    Referral(Delegation),
    TooMany,
}

/// The most CAA records of one name that are looked at. Nobody has more than a dozen.
const MAX_RECORDS: usize = 256;

/// Reads an answer; what is no matter of CAA records is read as for every other type.
pub(crate) fn hear(name: &DomainName, role: Role<'_>, answer: &Answer) -> Heard {
    match probe::interpret(&Asked { name, values: &[], role }, answer) {
        Finding::Alias { target } => Heard::Alias(target),
        Finding::Lame(why) => Heard::Lame(why),
        Finding::Referral(delegation) => Heard::Referral(delegation),
        Finding::Lacking { .. } | Finding::Satisfied { .. } => {
            let at = match role {
                Role::Authority(_) => name,
                Role::Resolver => probe::end_of_chain(name, &answer.answers),
            };
            records(at, answer)
        }
    }
}

fn records(at: &DomainName, answer: &Answer) -> Heard {
    let own = answer.answers.iter().filter(|record| record.owner.as_ref() == Some(at));
    let read = |record: &crate::wire::Record| match &record.data {
        Data::Caa { critical, tag, value } => Some(Record::read(at.clone(), *critical, tag, value)),
        _ => None,
    };
    let mut records: Vec<Record> = own.filter_map(read).take(MAX_RECORDS + 1).collect();
    if records.len() > MAX_RECORDS {
        return Heard::TooMany;
    }
    // Servers give the records of a set in any order.
    records.sort_by(|one, other| (&one.tag, &one.value).cmp(&(&other.tag, &other.value)));
    Heard::Records(records)
}

/// The search at one name.
#[derive(Debug)]
pub(crate) struct Search {
    level: Level,
    leads: VecDeque<Lead>,
    seen: Vec<Lead>,
}

/// Where to look next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) name: DomainName,
    pub(crate) origin: Origin,
    /// The zone further down that holds it, where a server has sent us there.
    pub(crate) delegation: Option<Delegation>,
}

impl Search {
    /// A search at this name; the first lead is the name itself.
    pub(crate) fn new(name: DomainName) -> Self {
        let lead = Lead { name: name.clone(), origin: Origin::Wanted, delegation: None };
        let level = Level { name, outcomes: Vec::new(), steps: Vec::new() };
        Self { level, leads: VecDeque::from([lead.clone()]), seen: vec![lead] }
    }

    /// The next place to ask at, until there is none.
    pub(crate) fn poll_lead(&mut self) -> Option<Lead> {
        self.leads.pop_front()
    }

    /// Takes in that the zone of a lead was not found.
    pub(crate) fn handle_failure(&mut self, lead: &Lead, reason: String) {
        self.conclude(Outcome::Failed { reason: format!("the zone of {}: {reason}", lead.name) });
    }

    /// Takes in what the servers of a lead said; each row with what was heard there, if anything was.
    pub(crate) fn handle_answers(
        &mut self,
        lead: &Lead,
        zone: Option<ZoneView>,
        heard: Vec<(Row, Option<Heard>)>,
    ) {
        let mut useful = false;
        let mut rows = Vec::new();
        for (row, heard) in heard {
            useful |= row.said.is_useful();
            rows.push(row);
            match heard {
                Some(Heard::Alias(name)) => {
                    self.follow(Lead { name, origin: Origin::Alias, delegation: None });
                }
                Some(Heard::Records(records)) if records.is_empty() => self.conclude(Outcome::Empty),
                Some(Heard::Records(records)) => self.conclude(Outcome::Records { records }),
                Some(Heard::Referral(delegation)) => {
                    let name = lead.name.clone();
                    self.follow(Lead { name, origin: Origin::Referral, delegation: Some(delegation) });
                }
                Some(Heard::Lame(_) | Heard::TooMany) | None => {}
            }
        }
        if !useful {
            let whose = zone.as_ref().map_or_else(String::new, |zone| format!(" of {}", zone.apex));
            let reason = format!("no name server{whose} gives a usable answer for {}", lead.name);
            self.conclude(Outcome::Failed { reason });
        }
        self.level.steps.push(Step { name: lead.name.clone(), origin: lead.origin, zone, rows });
    }

    /// What it came to.
    pub(crate) fn finish(self) -> Level {
        self.level
    }

    fn follow(&mut self, lead: Lead) {
        // Servers of one zone may describe the same cut with other glue.
        let same = |other: &Lead| {
            let cut = |lead: &Lead| lead.delegation.as_ref().map(|delegation| delegation.cut.clone());
            other.name == lead.name && cut(other) == cut(&lead)
        };
        if self.leads.iter().any(same) {
            return;
        }
        if self.seen.iter().any(same) {
            if lead.origin == Origin::Alias {
                let reason = format!("the aliases of {} lead in a circle", self.level.name);
                self.conclude(Outcome::Failed { reason });
            }
        } else if self.seen.len() > MAX_CHAIN {
            let reason =
                format!("more than {MAX_CHAIN} aliases and zone cuts lie behind {}", self.level.name);
            self.conclude(Outcome::Failed { reason });
        } else {
            self.seen.push(lead.clone());
            self.leads.push_back(lead);
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        if !self.level.outcomes.contains(&outcome) {
            self.level.outcomes.push(outcome);
        }
    }
}

#[cfg(test)]
mod tests;
