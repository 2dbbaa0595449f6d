//! A report as text that a person can act on.

use std::{fmt, time::Duration};

use super::{Absence, LastAnswer, Origin, Report, Row, Stage, State};
use crate::{
    vantage::{Security, View, Witness},
    zone::list,
};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let queries = match self.queries() {
            1 => "1 question".to_owned(),
            queries => format!("{queries} questions"),
        };
        writeln!(f, "{} TXT: {} ({queries} in {seconds:.1} s)", self.wanted.name(), self.verdict)?;
        writeln!(f, "  wanted: {}", quoted(self.wanted.values()))?;
        for stage in &self.stages {
            write_stage(f, stage, Some(self.elapsed))?;
        }
        if let Some(security) = self.security.filter(|security| *security != Security::Indeterminate) {
            writeln!(f, "  DNSSEC: {security}")?;
        }
        for (index, witness) in self.vantage.iter().enumerate() {
            if index == 0 {
                writeln!(f, "  vantage points")?;
            }
            writeln!(f, "    {witness}")?;
        }
        for advice in &self.advice {
            writeln!(f, "  -> {advice}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_stage(f, self, None)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_row(f, self, None)
    }
}

fn write_stage(f: &mut fmt::Formatter<'_>, stage: &Stage, now: Option<Duration>) -> fmt::Result {
    match stage.origin {
        Origin::Alias => writeln!(f, "  it is an alias of {}", stage.name)?,
        Origin::Referral => writeln!(f, "  {} lies in a zone further down", stage.name)?,
        Origin::Wanted => {}
    }
    if let Some(zone) = &stage.zone {
        writeln!(f, "  zone {}, name servers {}", zone.apex, list(&stage.servers))?;
        for evidence in &zone.evidence {
            writeln!(f, "    {evidence}")?;
        }
    }
    if let Some(problem) = &stage.problem {
        writeln!(f, "    cannot look there: {problem}")?;
    }
    for row in &stage.rows {
        f.write_str("    ")?;
        write_row(f, row, now)?;
        writeln!(f)?;
    }
    Ok(())
}

/// `now` is the age of the check, which turns moments into times; alone a row can tell moments only.
fn write_row(f: &mut fmt::Formatter<'_>, row: &Row, now: Option<Duration>) -> fmt::Result {
    write!(f, "{:<11} {}", row.state.word(), row.endpoint)?;
    let endpoint = row.endpoint.to_string();
    if row.servers.iter().any(|server| *server != endpoint) {
        write!(f, " ({})", list(&row.servers))?;
    }
    if let Some(nat64) = &row.nat64 {
        write!(f, ", NAT64 of {} in {}", nat64.v4, nat64.prefix)?;
    }
    match &row.state {
        State::Alias { target } => write!(f, ": an alias of {target}")?,
        State::Lame { reason } => write!(f, ": {reason}")?,
        State::NotAsked { reason } => write!(f, ": {reason}")?,
        State::Referral { cut } => write!(f, ": the zone {cut} begins below")?,
        State::Unreachable { error } => write!(f, ": {error}")?,
        State::Lacking | State::Satisfied | State::Waiting => {}
    }
    if let Some(last) = &row.last {
        write!(f, " [{last}]")?;
    }
    // What the last answer says already is not said twice.
    let known = row.last.as_ref().and_then(|last| last.serial);
    if let Some(serial) = row.serial.filter(|serial| known != Some(*serial)) {
        write!(f, " serial {serial}")?;
    }
    match now {
        Some(now) => write!(f, " for {:.1} s", now.saturating_sub(row.since).as_secs_f64())?,
        None => write!(f, " since {:.1} s", row.since.as_secs_f64())?,
    }
    match (row.asked.filter(|_| row.queries > 1), now) {
        (Some(asked), Some(now)) => {
            let ago = now.saturating_sub(asked).as_secs_f64();
            write!(f, ", asked {} times, last {ago:.1} s ago", row.queries)
        }
        (Some(_), None) | (None, _) => Ok(()),
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.view {
            View::Failing { .. } => "failing",
            View::Has => "ok",
            View::Lacking { .. } => "missing",
            View::NotAsked { .. } => "not asked",
            View::Stale { .. } => "other",
            View::Unreachable { .. } => "unreachable",
        };
        write!(f, "{word:<11} {}", self.label())?;
        if let Some(nat64) = &self.nat64 {
            write!(f, ", NAT64 of {} in {}", nat64.v4, nat64.prefix)?;
        }
        match &self.view {
            View::Failing { code } => write!(f, ": {code}")?,
            View::Lacking { absence: Some(Absence { ttl, .. }) } => write!(f, ": for {ttl} s more")?,
            View::NotAsked { reason } => write!(f, ": {reason}")?,
            View::Stale { values, ttl } => write!(f, ": {} for {ttl} s more", quoted(values))?,
            View::Unreachable { error } => write!(f, ": {error}")?,
            View::Has | View::Lacking { absence: None } => {}
        }
        if matches!(self.security, Security::Secure | Security::Bogus) {
            write!(f, ", {}", self.security)?;
        }
        match &self.extended_error {
            Some(error) => write!(f, ", {error}"),
            None => Ok(()),
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
        if let Some(absence) = self.absence.as_ref().filter(|_| self.recursion_available) {
            write!(f, " for {} s more", absence.ttl)?;
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

pub(super) fn quoted(values: &[String]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
}
