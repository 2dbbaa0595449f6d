//! The diagnosis: what was asked, who said what, and what to do about it.

use std::{fmt, time::Duration};

use perennial_core::DomainName;
use serde::{Serialize, Serializer};

use crate::{
    probe::Lameness,
    target::{Embedded, NoRoute},
    transport::{Endpoint, Transport, TransportError},
    verdict::Verdict,
    wanted::Wanted,
    wire::{ExtendedError, ResponseCode},
    zone::{Evidence, ZoneView, list},
};

mod advice;
pub use advice::Advice;

/// What a check found. `Display` prints text that a person can act on; serde writes it for machines
/// (durations in milliseconds).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What should be visible.
    pub wanted: Wanted,
    /// What the answers amount to.
    pub verdict: Verdict,
    /// Since the check or watch began.
    #[serde(serialize_with = "millis", rename = "elapsed_ms")]
    pub elapsed: Duration,
    /// Where we looked: first at the name itself, then where aliases and delegations led.
    pub stages: Vec<Stage>,
    /// What to do, or to know: most helpful first.
    pub advice: Vec<Advice>,
}

/// One name in one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stage {
    /// The name whose TXT records were asked for.
    pub name: DomainName,
    /// How we came here.
    pub origin: Origin,
    /// The zone and the evidence for it; `None` while it is being looked for, and when resolvers are asked.
    pub zone: Option<ZoneView>,
    /// Who has to have the values: name servers by host name, or resolvers.
    pub servers: Vec<String>,
    /// One row an address.
    pub rows: Vec<Row>,
    /// Why this stage cannot be looked at, if so.
    pub problem: Option<String>,
}

/// How a stage was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The stage before is an alias of this name (CNAME, RFC 1034 §3.6.2).
    Alias,
    /// The stage before refers to a zone further down (RFC 1034 §4.2.1).
    Referral,
    /// The name that was asked for.
    Wanted,
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
    /// What it amounts to.
    pub state: State,
    /// When that began, counted from the beginning of the check.
    #[serde(serialize_with = "millis", rename = "since_ms")]
    pub since: Duration,
    /// How many times it was asked.
    pub queries: u32,
    /// The last answer, if any came.
    pub last: Option<LastAnswer>,
}

/// The particulars of a server's last answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastAnswer {
    /// What carried it.
    pub transport: Transport,
    /// How long it took.
    #[serde(serialize_with = "millis", rename = "elapsed_ms")]
    pub elapsed: Duration,
    /// The response code.
    pub code: ResponseCode,
    /// The AA bit.
    pub authoritative: bool,
    /// The RA bit.
    pub recursion_available: bool,
    /// The zone's serial number, which servers tell in negative answers only.
    pub serial: Option<u32>,
    /// The TXT values that are there, at most 50, made printable.
    pub values: Vec<String>,
    /// The server's own explanation (RFC 8914).
    pub extended_error: Option<ExtendedError>,
    /// Which instance of an anycast server it was (RFC 5001).
    pub instance: Option<String>,
}

/// What one address amounts to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It says that the name is an alias.
    Alias {
        /// Of what.
        target: DomainName,
    },
    /// It answers with authority and a value is missing.
    Lacking,
    /// It is of no use.
    Lame {
        /// Why.
        reason: Lameness,
    },
    /// It cannot be asked from here.
    NotAsked {
        /// Why.
        reason: NoRoute,
    },
    /// It refers to a zone further down.
    Referral {
        /// Where that zone begins.
        cut: DomainName,
    },
    /// It has every value.
    Satisfied,
    /// It does not answer.
    Unreachable {
        /// What happened.
        error: TransportError,
    },
    /// Its first answer is awaited.
    Waiting,
}

impl Report {
    /// A report, with the advice that follows from it.
    pub(crate) fn new(wanted: Wanted, verdict: Verdict, elapsed: Duration, stages: Vec<Stage>) -> Self {
        let mut report = Self { wanted, verdict, elapsed, stages, advice: Vec::new() };
        report.advice = advice::advise(&report);
        report
    }

    /// Whether a person would read the same in both: times and counts apart.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        fn row(row: &Row) -> (&Endpoint, &State, Option<&Vec<String>>) {
            (&row.endpoint, &row.state, row.last.as_ref().map(|last| &last.values))
        }
        let stage = |(one, two): (&Stage, &Stage)| {
            (&one.name, &one.zone, &one.problem) == (&two.name, &two.zone, &two.problem)
                && one.rows.iter().map(row).eq(two.rows.iter().map(row))
        };
        self.verdict == other.verdict
            && self.stages.len() == other.stages.len()
            && self.stages.iter().zip(&other.stages).all(stage)
    }

    /// The aliases that were followed, as owner and target.
    pub fn aliases(&self) -> impl Iterator<Item = (&DomainName, &DomainName)> {
        let pairs = self.stages.iter().zip(self.stages.iter().skip(1));
        pairs.filter(|(_, to)| to.origin == Origin::Alias).map(|(from, to)| (&from.name, &to.name))
    }

    /// How many questions were sent for the TXT records; those for the zone are not counted.
    #[must_use]
    pub fn queries(&self) -> u32 {
        self.stages.iter().flat_map(|stage| &stage.rows).map(|row| row.queries).sum()
    }

    /// Where a resolver claims a zone that the rest of the world does not know.
    pub fn split_horizons(&self) -> impl Iterator<Item = &Evidence> {
        let views = self.stages.iter().filter_map(|stage| stage.zone.as_ref());
        views
            .flat_map(|zone| &zone.evidence)
            .filter(|evidence| matches!(evidence, Evidence::SplitHorizon { .. }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let queries = self.queries();
        writeln!(f, "{} TXT: {} ({queries} questions in {seconds:.1} s)", self.wanted.name(), self.verdict)?;
        writeln!(f, "  wanted: {}", quoted(self.wanted.values()))?;
        for stage in &self.stages {
            write!(f, "{stage}")?;
        }
        for advice in &self.advice {
            writeln!(f, "  -> {advice}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Alias => writeln!(f, "  it is an alias of {}", self.name)?,
            Origin::Referral => writeln!(f, "  {} lies in a zone further down", self.name)?,
            Origin::Wanted => {}
        }
        if let Some(zone) = &self.zone {
            writeln!(f, "  zone {}, name servers {}", zone.apex, list(&self.servers))?;
            for evidence in &zone.evidence {
                writeln!(f, "    {evidence}")?;
            }
        }
        if let Some(problem) = &self.problem {
            writeln!(f, "    cannot look there: {problem}")?;
        }
        for row in &self.rows {
            writeln!(f, "    {row}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<11} {}", self.state.word(), self.endpoint)?;
        let endpoint = self.endpoint.to_string();
        if self.servers.iter().any(|server| *server != endpoint) {
            write!(f, " ({})", list(&self.servers))?;
        }
        if let Some(nat64) = &self.nat64 {
            write!(f, ", NAT64 of {} in {}", nat64.v4, nat64.prefix)?;
        }
        match &self.state {
            State::Alias { target } => write!(f, ": an alias of {target}")?,
            State::Lame { reason } => write!(f, ": {reason}")?,
            State::NotAsked { reason } => write!(f, ": {reason}")?,
            State::Referral { cut } => write!(f, ": the zone {cut} begins below")?,
            State::Unreachable { error } => write!(f, ": {error}")?,
            State::Lacking | State::Satisfied | State::Waiting => {}
        }
        if let Some(last) = &self.last {
            write!(f, " [{last}]")?;
        }
        write!(f, " since {:.1} s", self.since.as_secs_f64())
    }
}

impl State {
    const fn word(&self) -> &'static str {
        match self {
            Self::Alias { .. } => "alias",
            Self::Lacking => "missing",
            Self::Lame { .. } => "lame",
            Self::NotAsked { .. } => "not asked",
            Self::Referral { .. } => "referral",
            Self::Satisfied => "ok",
            Self::Unreachable { .. } => "unreachable",
            Self::Waiting => "waiting",
        }
    }
}

impl fmt::Display for LastAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = if self.authoritative { " AA" } else { "" };
        write!(f, "{} {}{authority}", self.transport, self.code)?;
        if let Some(serial) = self.serial {
            write!(f, " serial {serial}")?;
        }
        if !self.values.is_empty() {
            write!(f, " {}", quoted(&self.values))?;
        }
        if let Some(error) = &self.extended_error {
            write!(f, " {error}")?;
        }
        match &self.instance {
            Some(instance) => write!(f, " instance {instance:?}"),
            None => Ok(()),
        }
    }
}

fn quoted(values: &[String]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
}

pub(crate) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_millis().try_into().unwrap_or(u64::MAX))
}
