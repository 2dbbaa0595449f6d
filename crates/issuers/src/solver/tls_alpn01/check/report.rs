//! The diagnosis as people and programs read it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use perennial_core::DomainName;
use perennial_propagation::target::Embedded;
use serde::Serialize;

use super::Found;
use crate::{
    handshake::{NoHandshake, Sighting},
    solver::http01::Verdict,
};

/// What one look at one proof has found: a row for each address of the name, the verdict and the advice.
///
/// It prints as a small table, and serializes for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TlsAlpn01Report {
    /// The name that is to be proven.
    pub name: DomainName,
    /// Whether the CA will see the proof.
    pub verdict: Verdict,
    /// A row for each address of the name; none where they could not be looked up.
    pub rows: Vec<Observation>,
    /// What was found where this machine shows the proof itself, if that was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<Observation>,
    /// What to do.
    pub advice: Vec<String>,
}

/// What one look at one address has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Observation {
    /// Whose address: as everybody else knows it.
    pub address: IpAddr,
    /// Where it was asked.
    pub asked: SocketAddr,
    /// What lies in between, where it was asked through NAT64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat64: Option<Embedded>,
    /// What was found.
    pub found: Found,
}

impl Observation {
    pub(super) fn of(sighting: Sighting, name: &DomainName, digest: &[u8; 32]) -> Self {
        let Sighting { address, asked, nat64, seen } = sighting;
        Self { address, asked, nat64, found: Found::read(seen, name, digest) }
    }
}

impl TlsAlpn01Report {
    /// Weighs what was found at the addresses, or why there are none, and where this machine shows the proof.
    #[must_use]
    pub fn new(name: DomainName, rows: Result<Vec<Observation>, String>, local: Vec<Observation>) -> Self {
        let seen_locally = local.iter().any(|one| one.found.is_right());
        let (verdict, advice) = match &rows {
            Ok(rows) if rows.is_empty() => (
                Verdict::Fail,
                vec![format!("add an A or AAAA record for {name} that leads here, or prove it by dns-01")],
            ),
            Ok(rows) => (weigh(rows, seen_locally), advice(rows, seen_locally)),
            Err(reason) => (
                Verdict::Inconclusive,
                vec![format!(
                    "its addresses could not be looked up: {reason}; the CA asks the name's own servers"
                )],
            ),
        };
        Self { name, verdict, rows: rows.unwrap_or_default(), local, advice }
    }

    /// The verdict and the advice, on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let told =
            if self.advice.is_empty() { String::new() } else { format!(": {}", self.advice.join("; ")) };
        format!("{} {}{told}", self.name, text(self.verdict))
    }
}

/// As for http-01: who answers wrongly is evidence, and so is nobody where nobody listens; silence is none.
fn weigh(rows: &[Observation], seen_locally: bool) -> Verdict {
    if rows.iter().any(|row| row.found.is_wrong()) {
        return Verdict::Fail;
    }
    let is_right = |row: &&Observation| row.found.is_right();
    let (right, unseen): (Vec<_>, Vec<_>) = rows.iter().partition(is_right);
    if !right.is_empty() {
        // CAs that reach nobody by the one protocol try the other (RFC 8305); which of two addresses of the same they take
        // is theirs to choose.
        let of = |rows: &[&Observation], v6: bool| rows.iter().any(|row| row.address.is_ipv6() == v6);
        let torn = [true, false].into_iter().any(|v6| of(&right, v6) && of(&unseen, v6));
        return if torn { Verdict::Inconclusive } else { Verdict::Pass };
    }
    let told_otherwise = unseen.iter().any(|row| match &row.found {
        Found::NoHandshake(NoHandshake::Broken { .. }) => true,
        Found::NoHandshake(NoHandshake::Refused) => !seen_locally,
        _ => false,
    });
    if told_otherwise { Verdict::Fail } else { Verdict::Inconclusive }
}

/// What to do, each once: two addresses of one load balancer have one cause.
fn advice(rows: &[Observation], seen_locally: bool) -> Vec<String> {
    let mut advice = Vec::<(String, Vec<String>)>::new();
    for row in rows {
        let unseen =
            matches!(&row.found, Found::NoHandshake(NoHandshake::Refused | NoHandshake::Silent { .. }));
        let remedy = if unseen && seen_locally {
            Some(
                "this machine shows the proof, but cannot reach itself there: its router or load balancer has no NAT \
                 loopback (hairpin); the CA may see it all the same; give the self-check an address to connect to"
                    .to_owned(),
            )
        } else {
            row.found.remedy()
        };
        let Some(remedy) = remedy else { continue };
        match advice.iter_mut().find(|(known, _)| *known == remedy) {
            Some((_, at)) => at.push(row.address.to_string()),
            None => advice.push((remedy, vec![row.address.to_string()])),
        }
    }
    advice.into_iter().map(|(remedy, at)| format!("{}: {remedy}", at.join(", "))).collect()
}

const fn text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fail => "does not show the proof that the CA wants",
        Verdict::Inconclusive => "cannot be judged from here",
        Verdict::Pass => "shows the right proof",
    }
}

impl fmt::Display for TlsAlpn01Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, text(self.verdict))?;
        for Observation { address, nat64, found, .. } in &self.rows {
            write!(f, "\n  {address}")?;
            if let Some(nat64) = nat64 {
                write!(f, " (through {})", nat64.prefix)?;
            }
            write!(f, ": {found}")?;
        }
        for Observation { asked, found, .. } in &self.local {
            write!(f, "\n  here, at {asked}: {found}")?;
        }
        self.advice.iter().try_for_each(|advice| write!(f, "\n  -> {advice}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solver::http01::Phase;

    const V4: &str = "192.0.2.7";
    const V6: &str = "2001:db8::7";

    fn at(address: &str, found: Found) -> Observation {
        let address: IpAddr = address.parse().unwrap();
        Observation { address, asked: (address, 443).into(), nat64: None, found }
    }

    fn report(rows: Vec<Observation>, local: Vec<Observation>) -> TlsAlpn01Report {
        TlsAlpn01Report::new("a.example".parse().unwrap(), Ok(rows), local)
    }

    fn ordinary() -> Found {
        Found::Ordinary { issuer: "CN=balancer".to_owned() }
    }

    const REFUSED: Found = Found::NoHandshake(NoHandshake::Refused);
    const SILENT: Found = Found::NoHandshake(NoHandshake::Silent { during: Phase::Connecting });

    #[test]
    fn evidence_fails_silence_is_none_and_the_right_proof_passes() {
        let broken = || Found::NoHandshake(NoHandshake::Broken { reason: "alert".to_owned() });
        let here = || vec![at("127.0.0.1", Found::Right)];
        let verdict = |rows, local| report(rows, local).verdict;
        assert_eq!(verdict(vec![at(V4, Found::Right)], vec![]), Verdict::Pass);
        assert_eq!(verdict(vec![at(V4, Found::Right), at(V6, SILENT)], vec![]), Verdict::Pass);
        let torn = vec![at(V4, Found::Right), at("192.0.2.8", SILENT)];
        assert_eq!(verdict(torn, vec![]), Verdict::Inconclusive);
        assert_eq!(verdict(vec![at(V4, Found::Right), at(V6, ordinary())], vec![]), Verdict::Fail);
        for wrong in [Found::OtherProof, Found::NoProtocol, broken(), REFUSED] {
            assert_eq!(verdict(vec![at(V4, wrong)], vec![]), Verdict::Fail);
        }
        assert_eq!(verdict(vec![at(V4, REFUSED)], here()), Verdict::Inconclusive);
        assert_eq!(verdict(vec![at(V4, SILENT)], vec![]), Verdict::Inconclusive);
        assert_eq!(verdict(vec![], vec![]), Verdict::Fail);
        let unresolved =
            TlsAlpn01Report::new("a.example".parse().unwrap(), Err("SERVFAIL".to_owned()), vec![]);
        assert_eq!(unresolved.verdict, Verdict::Inconclusive);
        assert!(unresolved.summary().contains("SERVFAIL"));
    }

    #[test]
    fn a_report_reads_as_a_table_and_serializes_for_programs() {
        let report =
            report(vec![at(V6, ordinary()), at(V4, ordinary())], vec![at("127.0.0.1", Found::Right)]);
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "a.example does not show the proof that the CA wants",
                "  2001:db8::7: a certificate without a proof, issued by CN=balancer",
                "  192.0.2.7: a certificate without a proof, issued by CN=balancer",
                "  here, at 127.0.0.1:443: the right proof",
            ]
        );
        assert!(
            lines[4].starts_with("  -> 2001:db8::7, 192.0.2.7: the certificate of an ordinary"),
            "{text}"
        );
        assert_eq!(lines.len(), 5, "one cause, said once");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["verdict"], "fail");
        assert_eq!(json["rows"][0]["found"]["ordinary"]["issuer"], "CN=balancer");
        assert_eq!(json["local"][0]["found"], "right");
    }

    #[test]
    fn a_machine_that_cannot_reach_itself_is_told_so() {
        let report = report(vec![at(V4, SILENT)], vec![at("127.0.0.1", Found::Right)]);
        assert!(report.advice[0].contains("NAT loopback (hairpin)"), "{report}");
    }
}
