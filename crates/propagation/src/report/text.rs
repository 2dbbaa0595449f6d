//! A report as text that a person can act on.

use std::fmt;

use super::{LastAnswer, Origin, Report, Row, Stage, State};
use crate::zone::list;

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

pub(super) fn quoted(values: &[String]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
}
