//! What was asked about CAA records, who said what, and what to do about it.

use std::{fmt, time::Duration};

use perennial_core::DomainName;
use serde::Serialize;

use super::{Decision, Doubt, Heard, Outcome, Question, Record, Refusal, decide};
use crate::{
    ZoneView,
    probe::Lameness,
    report::{Origin, millis},
    target::{Embedded, NoRoute, Target},
    transport::{Endpoint, TransportError},
    zone::list,
};

/// What a look at CAA records found. `Display` prints text that a person can act on; serde writes it for
/// machines (durations in milliseconds).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was asked.
    pub question: Question,
    /// Whether the CA may issue.
    pub decision: Decision,
    /// How long it took.
    #[serde(serialize_with = "millis", rename = "elapsed_ms")]
    pub elapsed: Duration,
    /// The names that were asked about: the name itself, then its ancestors as far as it was needed.
    pub levels: Vec<Level>,
    /// What to do, where something is to be done.
    pub advice: Vec<String>,
}

/// One name of the climb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Level {
    /// The name.
    pub name: DomainName,
    /// What its servers say: one outcome where they agree.
    pub outcomes: Vec<Outcome>,
    /// Where it was asked: at the zone of the name, then where aliases and delegations led.
    pub steps: Vec<Step>,
}

/// One name in one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The name whose CAA records were asked for.
    pub name: DomainName,
    /// How we came here.
    pub origin: Origin,
    /// The zone and the evidence for it; `None` when resolvers are asked.
    pub zone: Option<ZoneView>,
    /// One row an address.
    pub rows: Vec<Row>,
}

/// What one address says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// Whose address it is.
    pub servers: Vec<String>,
    /// Where it was asked.
    pub endpoint: Endpoint,
    /// The IPv4 address behind it, when it is reached through NAT64.
    pub nat64: Option<Embedded>,
    /// What it said.
    pub said: Said,
}

/// What one address said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Said {
    /// That the name is an alias.
    Alias {
        /// Of what.
        target: DomainName,
    },
    /// More records than anybody has.
    Excess,
    /// Nothing of use.
    Lame {
        /// Why.
        reason: Lameness,
    },
    /// It cannot be asked from here.
    NotAsked {
        /// Why.
        reason: NoRoute,
    },
    /// These records, perhaps none.
    Records {
        /// All of them.
        records: Vec<Record>,
    },
    /// That the name lies in a zone further down.
    Referral {
        /// Where that zone begins.
        cut: DomainName,
    },
    /// Nothing yet, when others had answered or the time was over.
    Silent,
    /// Nothing.
    Unreachable {
        /// What happened.
        error: TransportError,
    },
}

impl Report {
    /// A report, with the decision and the advice that follow from it.
    pub(crate) fn new(question: Question, levels: Vec<Level>, elapsed: Duration) -> Self {
        let said: Vec<_> = levels.iter().map(|level| (level.name.clone(), level.outcomes.clone())).collect();
        let decision = decide(&question, &said);
        let advice = advise(&question, &decision).into_iter().collect();
        Self { question, decision, elapsed, levels, advice }
    }

    /// The name whose records decide (RFC 8659 §3), if any name that was asked about has some.
    #[must_use]
    pub fn relevant(&self) -> Option<&Level> {
        self.levels.iter().find(|level| level.records().next().is_some())
    }

    /// How many questions for CAA records were sent.
    #[must_use]
    pub fn queries(&self) -> usize {
        let rows = self.levels.iter().flat_map(|level| &level.steps).flat_map(|step| &step.rows);
        rows.filter(|row| !matches!(row.said, Said::NotAsked { .. })).count()
    }
}

impl Level {
    /// The name could not be looked at.
    pub(crate) fn failed(name: DomainName, reason: String) -> Self {
        Self { name, outcomes: vec![Outcome::Failed { reason }], steps: Vec::new() }
    }

    /// Whether the names above it do not matter any more.
    pub(crate) fn ends_the_climb(&self) -> bool {
        !self.outcomes.contains(&Outcome::Empty)
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.outcomes.iter().flat_map(|outcome| match outcome {
            Outcome::Records { records } => records.as_slice(),
            Outcome::Empty | Outcome::Failed { .. } => &[],
        })
    }
}

impl Row {
    pub(crate) fn new(target: &Target, said: Said) -> Self {
        Self { servers: target.servers.clone(), endpoint: target.endpoint.clone(), nat64: target.nat64, said }
    }
}

impl Said {
    /// Whether it says where the records are, or that there are none.
    pub(crate) const fn is_useful(&self) -> bool {
        matches!(self, Self::Alias { .. } | Self::Records { .. } | Self::Referral { .. })
    }

    pub(crate) fn from_heard(heard: &Heard) -> Self {
        match heard {
            Heard::Alias(target) => Self::Alias { target: target.clone() },
            Heard::Lame(reason) => Self::Lame { reason: *reason },
            Heard::Records(records) => Self::Records { records: records.clone() },
            Heard::Referral(delegation) => Self::Referral { cut: delegation.cut.clone() },
            Heard::TooMany => Self::Excess,
        }
    }
}

/// What to do about a decision.
fn advise(question: &Question, decision: &Decision) -> Option<String> {
    match decision {
        Decision::Allowed { .. } => None,
        Decision::Forbidden { record, refusal } => Some(match refusal {
            Refusal::Account { .. } | Refusal::AccountRepeated => format!(
                "use the account that is allowed, or {}",
                add(question, &record.domain, "to allow this one")
            ),
            Refusal::Method { .. } | Refusal::MethodsMalformed | Refusal::MethodsRepeated => format!(
                "use a method that is allowed, or {}",
                add(question, &record.domain, "to allow this one")
            ),
            Refusal::Malformed { .. } => format!(
                "mend or remove that record, or {}",
                add(question, &record.domain, "to allow this CA")
            ),
            Refusal::Issuer { .. } | Refusal::Nobody => {
                format!("{}, or use a CA that is allowed", add(question, &record.domain, "to allow this CA"))
            }
        }),
        Decision::Inconclusive { doubt } => Some(match doubt {
            Doubt::AccountUndecided { .. } => "say which account will be used".to_owned(),
            Doubt::Critical { record } => format!(
                "ask the CA whether it knows the tag {}; most know only issue, issuewild and iodef: if it is \
                 not meant to stop them, remove the record, or its flag",
                record.tag
            ),
            Doubt::Disagreement { name } => format!(
                "look at the zone transfer to the name servers of {name}: until they agree, it is chance \
                 which one the CA asks"
            ),
            Doubt::IssuerUnknown { .. } => {
                "say by which name records allow the CA: its documentation has it, and so may its directory \
                 (caaIdentities)"
                    .to_owned()
            }
            Doubt::LookupFailed { name, .. } => format!(
                "make the name servers of {name} answer questions for CAA records: a CA that gets no answer \
                 may not issue either"
            ),
            Doubt::MethodUndecided { .. } => "say which method will be used".to_owned(),
        }),
    }
}

/// The record that would allow what is asked.
fn add(question: &Question, domain: &DomainName, what_for: &str) -> String {
    let tag = if question.wildcard { "issuewild" } else { "issue" };
    match question.issuers.first() {
        Some(issuer) => format!("add {domain} CAA 0 {tag} \"{issuer}\" {what_for}"),
        None => format!("add an {tag} record at {domain} {what_for}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Question { issuers, account, methods, .. } = &self.question;
        let (subject, queries) = (self.question.subject(), self.queries());
        let seconds = self.elapsed.as_secs_f64();
        writeln!(f, "{subject} CAA: {} ({queries} questions in {seconds:.1} s)", self.decision)?;
        write!(f, "  issuer: {}", if issuers.is_empty() { "not known".to_owned() } else { list(issuers) })?;
        if let Some(account) = account {
            write!(f, ", account {account}")?;
        }
        if !methods.is_empty() {
            write!(f, ", by {}", list(methods))?;
        }
        writeln!(f)?;
        let mut zone = None;
        for level in &self.levels {
            writeln!(f, "  {}", level.name)?;
            for outcome in &level.outcomes {
                write!(f, "{outcome}")?;
            }
            for step in &level.steps {
                step.show(f, &mut zone)?;
            }
        }
        self.advice.iter().try_for_each(|advice| writeln!(f, "  -> {advice}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => writeln!(f, "    no CAA records"),
            Self::Failed { reason } => writeln!(f, "    cannot tell: {reason}"),
            Self::Records { records } => {
                records.iter().try_for_each(|record| writeln!(f, "    {} CAA {record}", record.domain))
            }
        }
    }
}

impl Step {
    /// The rows, and the zone where it is another than the one before.
    fn show<'a>(&'a self, f: &mut fmt::Formatter<'_>, shown: &mut Option<&'a ZoneView>) -> fmt::Result {
        match self.origin {
            Origin::Alias => writeln!(f, "    it is an alias of {}", self.name)?,
            Origin::Referral => writeln!(f, "    {} lies in a zone further down", self.name)?,
            _ => {}
        }
        if self.zone.as_ref() != *shown
            && let Some(zone) = &self.zone
        {
            let servers: Vec<_> = zone.servers.iter().map(|server| &server.name).collect();
            writeln!(f, "    zone {}, name servers {}", zone.apex, list(&servers))?;
            zone.evidence.iter().try_for_each(|evidence| writeln!(f, "      {evidence}"))?;
        }
        *shown = self.zone.as_ref();
        self.rows.iter().try_for_each(|row| writeln!(f, "      {row}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.endpoint)?;
        let endpoint = self.endpoint.to_string();
        if self.servers.iter().any(|server| *server != endpoint) {
            write!(f, " ({})", list(&self.servers))?;
        }
        if let Some(nat64) = &self.nat64 {
            write!(f, ", NAT64 of {} in {}", nat64.v4, nat64.prefix)?;
        }
        write!(f, ": {}", self.said)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias { target } => write!(f, "an alias of {target}"),
            Self::Excess => f.write_str("more CAA records than are looked at"),
            Self::Lame { reason } => write!(f, "{reason}"),
            Self::NotAsked { reason } => write!(f, "{reason}"),
            Self::Records { records } if records.is_empty() => f.write_str("none"),
            Self::Records { records } => write!(f, "{}", list(records)),
            Self::Referral { cut } => write!(f, "the zone {cut} begins below"),
            Self::Silent => f.write_str("no answer yet"),
            Self::Unreachable { error } => write!(f, "{error}"),
        }
    }
}
