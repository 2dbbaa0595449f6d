//! What was seen, as people and programs read it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use perennial_core::{DomainName, Timestamp};
use perennial_lifecycle::Facts;
use perennial_propagation::target::Embedded;
use serde::Serialize;

use super::{Served, compare::Expected};
use crate::handshake::{NoHandshake, Sighting};

/// What one look at what serves a name has found: a row for each address, the verdict and the advice.
///
/// It prints as a small table, and serializes for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServedReport {
    /// The name.
    pub name: DomainName,
    /// The serial number of the certificate that should be served, in lower-case hex.
    pub serial: String,
    /// The last moment that one is valid.
    pub not_after: Timestamp,
    /// The worst of what was seen; an address that could not be reached counts where no other could.
    pub verdict: Served,
    /// A row for each address of the name; none where they could not be looked up.
    pub rows: Vec<Glance>,
    /// What to do.
    pub advice: Vec<String>,
}

/// What was seen at one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Glance {
    /// Whose address: as everybody else knows it.
    pub address: IpAddr,
    /// Where it was asked.
    pub asked: SocketAddr,
    /// What lies in between, where it was asked through NAT64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat64: Option<Embedded>,
    /// What serves there.
    pub served: Served,
}

impl Glance {
    pub(super) fn of(sighting: Sighting, name: &DomainName, expected: &Expected) -> Self {
        let Sighting { address, asked, nat64, seen } = sighting;
        Self { address, asked, nat64, served: Served::read(seen, name, expected) }
    }
}

impl ServedReport {
    /// Weighs what was seen at the addresses, or why there are none.
    #[must_use]
    pub fn new(name: DomainName, current: &Facts, rows: Result<Vec<Glance>, String>) -> Self {
        let (rows, nowhere) = match rows {
            Ok(rows) => (rows, "the name has no address".to_owned()),
            Err(reason) => (Vec::new(), format!("its addresses could not be looked up: {reason}")),
        };
        let worst = rows.iter().map(|row| &row.served).max_by_key(|served| served.rank()).cloned();
        let verdict = worst.unwrap_or(Served::Unreachable(NoHandshake::NoRoute { reason: nowhere }));
        let advice = advice(&rows);
        Self { name, serial: current.serial.clone(), not_after: current.not_after, verdict, rows, advice }
    }

    /// Whether the current certificate is served, at every address that could be reached, and at one at least.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.verdict.is_current()
    }
}

/// What to do, each once: two addresses of one server have one cause.
fn advice(rows: &[Glance]) -> Vec<String> {
    let mut advice = Vec::<(&'static str, Vec<String>)>::new();
    for Glance { address, served, .. } in rows {
        let Some(remedy) = served.remedy() else { continue };
        match advice.iter_mut().find(|(known, _)| *known == remedy) {
            Some((_, at)) => at.push(address.to_string()),
            None => advice.push((remedy, vec![address.to_string()])),
        }
    }
    advice.into_iter().map(|(remedy, at)| format!("{}: {remedy}", at.join(", "))).collect()
}

impl fmt::Display for ServedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, serial, not_after, verdict, rows, advice } = self;
        let does = if verdict.is_current() { "serves" } else { "does not serve" };
        write!(f, "{name} {does} the current certificate, serial {serial}, until {not_after}")?;
        if rows.is_empty() {
            write!(f, "\n  {verdict}")?;
        }
        for Glance { address, nat64, served, .. } in rows {
            write!(f, "\n  {address}")?;
            if let Some(nat64) = nat64 {
                write!(f, " (through {})", nat64.prefix)?;
            }
            write!(f, ": {served}")?;
        }
        advice.iter().try_for_each(|advice| write!(f, "\n  -> {advice}"))
    }
}
