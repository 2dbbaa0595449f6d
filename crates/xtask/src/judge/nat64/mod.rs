//! `judge nat64`: the checker on a host without IPv4, and name servers without IPv6, behind a real translator
//! (RFC 6146 by tayga) for each length that a prefix can have (RFC 6052 §2.2).
//!
//! ```text
//!   the checker                    the gateway                            name servers
//!   2001:db8:6::2 --- near --- unbound: one without, and ---- far --- BIND 45.53.53.53, NSD 198.51.100.53,
//!   no IPv4                    seven with DNS64 (RFC 6147)            100.64.53.53, 10.53.53.53,
//!                              seven tayga, a prefix each             2001:db8:53::53; unbound 45.53.53.54
//! ```

mod lab;

use std::{collections::BTreeSet, net::SocketAddr};

use perennial_propagation::{Checker, NameServer, Nat64, Report as Diagnosis, Wanted};
use perennial_testkit::real::Tool;
use serde_json::Value;

use super::{Outcome, Report, Running, Setting, Suite};
use lab::{FAR_RESOLVER, Lab, PREFIXES};

pub(super) const SUITE: Suite = Suite {
    name: "nat64",
    tools: &[Tool::Ip, Tool::Named, Tool::Nsd, Tool::Tayga, Tool::Unbound],
    addresses: Vec::new,
    build: || Ok(()),
    run,
};

/// A question on the host without IPv4, and what should be said.
struct Case {
    name: &'static str,
    resolver: Resolver,
    /// As an operator writes it.
    nat64: &'static str,
    zone: &'static str,
    verdict: &'static str,
    advice: &'static [&'static str],
    /// How each address of the zone is reached: `native`, by a prefix, or not at all, and why.
    ways: &'static [&'static str],
}

enum Resolver {
    /// It makes addresses with this prefix.
    Dns64(&'static str),
    /// It makes none.
    Plain,
    /// It has no IPv6.
    Far,
}

const WELL_KNOWN: &str = PREFIXES[0];
const OWN: &str = PREFIXES[1];
const NOT_GLOBAL: &str = "is not a global IPv4 address";

#[rustfmt::skip] // A table.
const CASES: &[Case] = &[
    // Told by the operator.
    Case { name: "well_known_prefix", resolver: Resolver::Plain, nat64: WELL_KNOWN,
           zone: "global.test", verdict: "ready", advice: &[], ways: &[WELL_KNOWN] },
    Case { name: "own_prefix", resolver: Resolver::Plain, nat64: OWN,
           zone: "documentation.test", verdict: "ready", advice: &[], ways: &[OWN] },
    Case { name: "own_prefix_of_64_bits", resolver: Resolver::Plain, nat64: PREFIXES[2],
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[2]] },
    Case { name: "own_prefix_of_56_bits", resolver: Resolver::Plain, nat64: PREFIXES[3],
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[3]] },
    Case { name: "own_prefix_of_48_bits", resolver: Resolver::Plain, nat64: PREFIXES[4],
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[4]] },
    Case { name: "own_prefix_of_40_bits", resolver: Resolver::Plain, nat64: PREFIXES[5],
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[5]] },
    Case { name: "own_prefix_of_32_bits", resolver: Resolver::Plain, nat64: PREFIXES[6],
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[6]] },
    // Discovered (RFC 7050).
    Case { name: "discovered_well_known", resolver: Resolver::Dns64(WELL_KNOWN), nat64: "auto",
           zone: "global.test", verdict: "ready", advice: &[], ways: &[WELL_KNOWN] },
    Case { name: "discovered_own", resolver: Resolver::Dns64(OWN), nat64: "auto",
           zone: "documentation.test", verdict: "ready", advice: &[], ways: &[OWN] },
    Case { name: "discovered_64_bits", resolver: Resolver::Dns64(PREFIXES[2]), nat64: "auto",
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[2]] },
    Case { name: "discovered_56_bits", resolver: Resolver::Dns64(PREFIXES[3]), nat64: "auto",
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[3]] },
    Case { name: "discovered_48_bits", resolver: Resolver::Dns64(PREFIXES[4]), nat64: "auto",
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[4]] },
    Case { name: "discovered_40_bits", resolver: Resolver::Dns64(PREFIXES[5]), nat64: "auto",
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[5]] },
    Case { name: "discovered_32_bits", resolver: Resolver::Dns64(PREFIXES[6]), nat64: "auto",
           zone: "global.test", verdict: "ready", advice: &[], ways: &[PREFIXES[6]] },
    // The resolver has made an address of one prefix already: no other one is used besides.
    Case { name: "made_address_counts_once", resolver: Resolver::Dns64(WELL_KNOWN), nat64: OWN,
           zone: "global.test", verdict: "ready", advice: &[], ways: &[WELL_KNOWN] },
    // Addresses that the well-known prefix must not carry (RFC 6052 §3.1).
    Case { name: "private_address", resolver: Resolver::Plain, nat64: WELL_KNOWN,
           zone: "private.test", verdict: "not_yet", advice: &["nat64_missing"], ways: &[NOT_GLOBAL] },
    Case { name: "shared_address", resolver: Resolver::Plain, nat64: WELL_KNOWN,
           zone: "shared.test", verdict: "not_yet", advice: &["nat64_missing"], ways: &[NOT_GLOBAL] },
    Case { name: "documentation_address", resolver: Resolver::Plain, nat64: WELL_KNOWN,
           zone: "documentation.test", verdict: "not_yet", advice: &["nat64_missing"], ways: &[NOT_GLOBAL] },
    Case { name: "private_address_by_own_prefix", resolver: Resolver::Plain, nat64: OWN,
           zone: "private.test", verdict: "ready", advice: &[], ways: &[OWN] },
    Case { name: "shared_address_by_own_prefix", resolver: Resolver::Plain, nat64: OWN,
           zone: "shared.test", verdict: "ready", advice: &[], ways: &[OWN] },
    Case { name: "one_of_two_is_private", resolver: Resolver::Plain, nat64: WELL_KNOWN,
           zone: "mixed.test", verdict: "ready_with_warnings",
           advice: &["nat64_missing"], ways: &[WELL_KNOWN, NOT_GLOBAL] },
    // Of two prefixes the second one can.
    Case { name: "two_prefixes", resolver: Resolver::Plain, nat64: "64:ff9b::/96,2001:db8:64::/96",
           zone: "mixed.test", verdict: "ready", advice: &[], ways: &[WELL_KNOWN, OWN] },
    // IPv6 of its own goes first.
    Case { name: "native_ipv6", resolver: Resolver::Dns64(WELL_KNOWN), nat64: "auto",
           zone: "dual.test", verdict: "ready", advice: &[], ways: &["native", WELL_KNOWN] },
    // Without.
    Case { name: "off", resolver: Resolver::Plain, nat64: "off",
           zone: "global.test", verdict: "not_yet",
           advice: &["nat64_missing"], ways: &["knows no NAT64 prefix"] },
    Case { name: "nothing_to_discover", resolver: Resolver::Plain, nat64: "auto",
           zone: "global.test", verdict: "not_yet",
           advice: &["nat64_missing"], ways: &["knows no NAT64 prefix"] },
    // 50 values do not fit a datagram: the translator carries TCP as well.
    Case { name: "tcp", resolver: Resolver::Dns64(OWN), nat64: "auto",
           zone: "large.test", verdict: "ready", advice: &[], ways: &[OWN] },
    // The operator's resolver has IPv4 only.
    Case { name: "ipv4_resolver", resolver: Resolver::Far, nat64: OWN,
           zone: "global.test", verdict: "ready", advice: &[], ways: &[OWN] },
];

fn run<'a>(setting: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        if let Err(missing) = lab::tun_device() {
            return report.missing(&missing);
        }
        let mut lab = match Lab::start(setting).await {
            Ok(lab) => lab,
            Err(reason) => return report.case("lab", Err(reason)),
        };
        for case in CASES {
            if report.wants_any(&[case.name]) {
                let outcome = outcome(case).await;
                report.case(case.name, lab.dead_translator().map_or(outcome, Err));
            }
        }
        if report.wants_any(&["a_host_with_ipv4"]) {
            report.case("a_host_with_ipv4", native(&lab));
        }
        if report.wants_any(&["dead_translator"]) {
            lab.kill(OWN);
            report.case("dead_translator", dead().await);
        }
    })
}

async fn outcome(case: &Case) -> Outcome {
    let resolver = match case.resolver {
        Resolver::Dns64(prefix) => lab::resolver(Some(prefix)),
        Resolver::Plain => lab::resolver(None),
        Resolver::Far => SocketAddr::new(FAR_RESOLVER.into(), 53),
    };
    let report = check(resolver, case.nat64, case.zone).await?;
    let found = Found::read(&report)?;
    found.expect(case.verdict, case.advice, case.ways).map_err(|wrong| format!("{wrong}: {report}"))?;
    if case.zone == "large.test" && found.transports != ["tcp"] {
        return Err(format!("it came over {:?}: {report}", found.transports));
    }
    Ok(format!("{} by {}", found.verdict, found.ways.join(", ")))
}

/// A host with IPv4 asks nobody for a prefix: the gateway is one.
fn native(lab: &Lab) -> Outcome {
    lab.gateway.block_on(async || {
        let report = check(lab::resolver(Some(WELL_KNOWN)), "auto", "global.test").await?;
        let found = Found::read(&report)?;
        found.expect("ready", &[], &["native"]).map_err(|wrong| format!("{wrong}: {report}"))?;
        Ok("the address itself is asked".to_owned())
    })
}

/// Nobody translates any more.
async fn dead() -> Outcome {
    let report = check(lab::resolver(None), OWN, "global.test").await?;
    let found = Found::read(&report)?;
    let told = found.advice.iter().any(|code| matches!(code.as_str(), "unreachable" | "egress_blocked"));
    if found.verdict != "not_yet" || !told || found.ways != [OWN] {
        return Err(format!("the dead translator is not told: {report}"));
    }
    Ok(found.advice.into_iter().collect::<Vec<_>>().join(" "))
}

async fn check(resolver: SocketAddr, nat64: &str, zone: &str) -> Result<Diagnosis, String> {
    let checker = Checker::builder()
        .nameservers([NameServer::at(resolver)])
        .nat64(text(nat64.parse::<Nat64>())?)
        .build();
    let name = text(format!("_acme-challenge.{zone}").parse())?;
    text(text(checker)?.check(&Wanted::new(name, ["token".to_owned()])).await)
}

/// What a report says, as a program reads it.
struct Found {
    verdict: String,
    advice: BTreeSet<String>,
    ways: Vec<String>,
    transports: Vec<String>,
}

impl Found {
    fn read(report: &Diagnosis) -> Result<Self, String> {
        let json = text(serde_json::to_value(report))?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut rows = list(&json["stages"]).last().map(|stage| list(&stage["rows"])).unwrap_or_default();
        rows.sort_by_key(|row| word(&row["servers"][0]));
        let transports = rows.iter().map(|row| word(&row["last"]["transport"])).collect();
        // The text has the reasons.
        let texts = report.stages.last().into_iter().flat_map(|stage| &stage.rows);
        let mut texts: Vec<_> = texts.map(|row| (row.servers.first().cloned(), row.to_string())).collect();
        texts.sort_by(|one, other| one.0.cmp(&other.0));
        let way = |(row, (_, text)): (&Value, &(Option<String>, String))| match &row["nat64"]["prefix"] {
            _ if row["state"]["not_asked"].is_object() => text.clone(),
            Value::String(prefix) => prefix.clone(),
            _ => "native".to_owned(),
        };
        Ok(Self {
            verdict: word(&json["verdict"]),
            advice: list(&json["advice"]).iter().map(|advice| word(&advice["advice"])).collect(),
            ways: rows.iter().zip(&texts).map(way).collect(),
            transports,
        })
    }

    fn expect(&self, verdict: &str, advice: &[&str], ways: &[&str]) -> Result<(), String> {
        let same_advice = self.advice.iter().map(String::as_str).eq(advice.iter().copied());
        let same_ways = self.ways.len() == ways.len()
            && self.ways.iter().zip(ways).all(|(found, expected)| found.contains(expected));
        if self.verdict == verdict && same_advice && same_ways {
            return Ok(());
        }
        Err(format!(
            "expected {verdict} {advice:?} by {ways:?}, found {} {:?} by {:?}",
            self.verdict, self.advice, self.ways
        ))
    }
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(advice: &[&str], ways: &[&str]) -> Found {
        Found {
            verdict: "not_yet".to_owned(),
            advice: advice.iter().map(|code| (*code).to_owned()).collect(),
            ways: ways.iter().map(|way| (*way).to_owned()).collect(),
            transports: Vec::new(),
        }
    }

    #[test]
    fn every_way_must_be_the_expected_one_and_there_must_be_no_other() {
        let found =
            found(&["nat64_missing"], &["64:ff9b::/96", "not asked: it is not a global IPv4 address"]);
        assert!(found.expect("not_yet", &["nat64_missing"], &[WELL_KNOWN, NOT_GLOBAL]).is_ok());
        assert!(found.expect("ready", &["nat64_missing"], &[WELL_KNOWN, NOT_GLOBAL]).is_err());
        assert!(found.expect("not_yet", &[], &[WELL_KNOWN, NOT_GLOBAL]).is_err());
        assert!(found.expect("not_yet", &["nat64_missing"], &[WELL_KNOWN]).is_err());
        assert!(found.expect("not_yet", &["nat64_missing"], &[OWN, NOT_GLOBAL]).is_err());
    }

    #[test]
    fn each_prefix_is_one_and_has_a_resolver_of_its_own() {
        let prefixes: Result<Vec<perennial_propagation::nat64::Prefix>, _> =
            PREFIXES.iter().map(|prefix| prefix.parse()).collect();
        let lengths: BTreeSet<u8> = prefixes.unwrap().iter().map(|prefix| prefix.len()).collect();
        assert_eq!(lengths, BTreeSet::from([32, 40, 48, 56, 64, 96]));
        let resolvers = [None].into_iter().chain(PREFIXES.map(Some)).map(lab::resolver);
        assert_eq!(resolvers.collect::<BTreeSet<_>>().len(), PREFIXES.len() + 1);
    }
}
