//! The diagnosis: what was asked, who said what, and what to do about it.

use std::time::Duration;

use perennial_core::DomainName;
use serde::{Serialize, Serializer};

use crate::{
    vantage::{Security, Witness},
    verdict::Verdict,
    wanted::Wanted,
    zone::{Evidence, ZoneView},
};

mod advice;
pub(crate) use advice::newer_serial;
pub use advice::{Advice, Reach, Sign};

mod clue;
pub use clue::{Clue, Mistake};

mod row;
pub use row::{Absence, LastAnswer, Row, State};

mod text;

/// What a check found. `Display` prints text that a person can act on; serde writes it for machines
/// (durations in milliseconds).
///
/// It is written and not read back: its enums grow, so a reader of this version would refuse reports of the
/// next. A program looks at [`Advice::code`], which stands in the JSON as `advice`.
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
    /// What more questions brought, where the values were not seen.
    pub clues: Vec<Clue>,
    /// What vantage points see, where the authoritative servers have the values.
    pub vantage: Vec<Witness>,
    /// What resolvers make of the zone's signatures; `None` when nobody was asked.
    pub security: Option<Security>,
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

impl Report {
    /// A report, with the advice that follows from it.
    pub(crate) fn new(wanted: Wanted, verdict: Verdict, elapsed: Duration, stages: Vec<Stage>) -> Self {
        let mut report = Self {
            wanted,
            verdict,
            elapsed,
            stages,
            clues: Vec::new(),
            vantage: Vec::new(),
            security: None,
            advice: Vec::new(),
        };
        report.advise();
        report
    }

    /// Reads the advice anew, after something was added.
    pub(crate) fn advise(&mut self) {
        self.advice = advice::advise(self);
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

pub(crate) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_millis().try_into().unwrap_or(u64::MAX))
}

fn option_millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;
