//! The command line.

use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand};
use perennial::{
    core::DomainName,
    propagation::{Dnssec, NameServer, Nat64, Policy},
};

use crate::duration;

/// Is this TXT record visible where the CA will look, and if not, why? And may the CA issue at all?
#[derive(Debug, Parser)]
#[command(name = "propagation", after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Look at the CAA records for a name: may this CA issue?
    Caa(Caa),
    /// Look once whether every name server that counts has the values
    Check(Check),
    /// Show all that leads to the record: the zone and how it was found, its servers, what each of them says,
    /// and what to do
    Explain(Explain),
    /// Look until the values are visible everywhere, or the time is over
    Watch(Watch),
}

impl Verb {
    pub(crate) const fn world(&self) -> &World {
        match self {
            Self::Caa(caa) => &caa.world,
            Self::Check(check) => &check.look.world,
            Self::Explain(explain) => &explain.look.world,
            Self::Watch(watch) => &watch.look.world,
        }
    }
}

/// `caa`
#[derive(Debug, Group)]
pub(crate) struct Caa {
    /// The name of the certificate, a wildcard too
    pub(crate) name: DomainName,

    /// A domain by which records allow the CA, as its documentation says: letsencrypt.org; repeat for more
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) issuer: Vec<String>,

    /// The URL of the account at the CA, for records that allow some accounts only
    #[arg(long, value_name = "URL")]
    pub(crate) account: Option<String>,

    /// How the name will be proven, for records that allow some methods only: dns-01; repeat for more
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Vec<String>,

    /// The certificate is for the wildcard below the name
    #[arg(long)]
    pub(crate) wildcard: bool,

    /// Ask the resolvers only, never the zone's own name servers
    #[arg(long)]
    pub(crate) recursive_only: bool,

    #[command(flatten)]
    pub(crate) world: World,
}

/// `check`
#[derive(Debug, Group)]
pub(crate) struct Check {
    /// A value that should be there; repeat for more
    #[arg(long, value_name = "TEXT", required = true)]
    pub(crate) value: Vec<String>,

    #[command(flatten)]
    pub(crate) look: Look,
}

/// `explain`
#[derive(Debug, Group)]
pub(crate) struct Explain {
    /// A value that should be there; repeat for more. Without, what any of the servers has should be at all
    #[arg(long, value_name = "TEXT")]
    pub(crate) value: Vec<String>,

    #[command(flatten)]
    pub(crate) look: Look,
}

/// `watch`
#[derive(Debug, Group)]
pub(crate) struct Watch {
    /// A value that should be there; repeat for more
    #[arg(long, value_name = "TEXT", required = true)]
    pub(crate) value: Vec<String>,

    /// How long to look at most: 90, 90s, 10m or 1h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    pub(crate) deadline: Duration,

    #[command(flatten)]
    pub(crate) look: Look,
}

/// What is looked at, and what is demanded of it.
#[derive(Debug, Group)]
pub(crate) struct Look {
    /// The name of the TXT record: _acme-challenge.example.com
    pub(crate) name: DomainName,

    /// How many name servers must have the values: all, any, quorum:2, strict; or recursive-only, to ask the
    /// resolvers instead; or wait:30s, to ask nobody
    #[arg(long, default_value = "all")]
    pub(crate) policy: Policy,

    /// How long a dead or lame name server may hold up the policy all: 5, 10s, 1m
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) grace: Option<Duration>,

    /// How long to wait before the last look, which confirms: 2, 10s, 1m. Default: not at all
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) settle: Option<Duration>,

    /// A recursive name server that is asked once the zone's own have the values, to see what the rest of the
    /// world sees: as --nameserver; repeat for more
    #[arg(long, value_name = "SPEC")]
    pub(crate) vantage: Vec<NameServer>,

    /// Every vantage point that answers must have the values, too
    #[arg(long, requires = "vantage")]
    pub(crate) vantage_must_agree: bool,

    /// Whether broken signatures of the zone are looked for, told, or make it a no: off, warn or require
    #[arg(long, value_name = "off|warn|require", default_value = "warn")]
    pub(crate) dnssec: Dnssec,

    #[command(flatten)]
    pub(crate) world: World,
}

/// Who is asked, and how.
#[derive(Debug, Group)]
pub(crate) struct World {
    /// A recursive name server: 8.8.8.8, [2001:db8::1]:53, udp://, tcp://, tls://, https://; repeat for more.
    /// Default: those of /etc/resolv.conf
    #[arg(long, value_name = "SPEC")]
    pub(crate) nameserver: Vec<NameServer>,

    /// A recursive name server for a zone and what lies below: example.com=10.0.0.1; repeat for more
    #[arg(long, value_name = "ZONE=SPEC", value_parser = for_zone)]
    pub(crate) nameserver_for: Vec<(DomainName, NameServer)>,

    /// Find zones by a walk from the root, without any recursive name server
    #[arg(long)]
    pub(crate) iterative: bool,

    /// Ask this name server, instead of those of the zone: an address, perhaps with a port; repeat for more
    #[arg(long, value_name = "SPEC")]
    pub(crate) authoritative: Vec<NameServer>,

    /// How IPv4 name servers are reached from an IPv6-only host: auto, off, or a prefix such as 64:ff9b::/96
    #[arg(long, value_name = "auto|off|PREFIX", default_value = "auto")]
    pub(crate) nat64: Nat64,

    /// The port of authoritative name servers, for laboratories
    #[arg(long, value_name = "PORT", default_value_t = 53)]
    pub(crate) port: u16,

    /// Look at a little internet that this program brings along, where example.com has a server that lags,
    /// one that is broken, and a resolver that answers wrongly
    #[arg(long, conflicts_with_all = ["authoritative", "iterative", "nameserver", "nameserver_for", "port"])]
    pub(crate) embedded: bool,

    /// Print the result as JSON on standard output; watch prints one object, on one line, for each change
    #[arg(long)]
    pub(crate) json: bool,
}

fn for_zone(text: &str) -> Result<(DomainName, NameServer), String> {
    let (zone, server) =
        text.split_once('=').ok_or_else(|| format!("{text:?} has no =: write example.com=10.0.0.1"))?;
    let zone = zone.parse::<DomainName>().map_err(|error| error.to_string())?;
    let server = server.parse::<NameServer>().map_err(|error| error.to_string())?;
    Ok((zone, server))
}

const AFTER_HELP: &str = "\
Exit codes: 0 propagated (caa: allowed) · 1 not yet (caa: forbidden) · 2 it cannot be told · 64 wrong usage";
