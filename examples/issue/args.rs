//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use perennial::{
    KeyAlgorithm,
    propagation::{NameServer, Nat64},
};

use crate::duration;

/// Obtain one certificate by DNS-01, showing every stage.
///
/// Without --directory and --domain it needs no network: it starts a small internet of its own, with a CA, a
/// name server that lags and a resolver that answers wrongly, and gets a wildcard certificate there.
#[derive(Debug, Parser)]
#[command(name = "issue", after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The CA's directory URL, https only
    #[arg(long, value_name = "URL")]
    pub(crate) directory: Option<String>,

    /// PEM file with roots to trust beside the system's, for a private CA
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Where the CA can reach you
    #[arg(long)]
    pub(crate) email: Option<String>,

    /// Agree to the CA's terms of service
    #[arg(long)]
    pub(crate) agree_tos: bool,

    /// Keep the ACME account in this file (created with mode 0600); without it each run registers a new one
    #[arg(long, value_name = "FILE")]
    pub(crate) account: Option<PathBuf>,

    /// A name for the certificate, wildcards too; repeat for more
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Vec<String>,

    /// The DNS provider that writes the challenge records
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<String>,

    /// An option of the provider; a VALUE of @FILE is read from that file; repeat for more
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) provider_option: Vec<String>,

    /// A recursive name server: 8.8.8.8, [2001:db8::1]:53, udp://, tcp://, tls://, https://; repeat for more.
    /// Default: those of /etc/resolv.conf
    #[arg(long, value_name = "SPEC")]
    pub(crate) nameserver: Vec<NameServer>,

    /// Look for the record only through the recursive name servers, never at the authoritative ones
    #[arg(long)]
    pub(crate) nameservers_only: bool,

    /// How IPv4 name servers are reached from an IPv6-only host: auto, off, or a prefix such as 64:ff9b::/96
    #[arg(long, value_name = "auto|off|PREFIX", default_value = "auto")]
    pub(crate) nat64: Nat64,

    /// The port of authoritative name servers, for laboratories
    #[arg(long, value_name = "PORT", default_value_t = 53)]
    pub(crate) authoritative_port: u16,

    /// The kind of key: ec256, ec384, rsa2048, rsa3072, rsa4096 or ed25519
    #[arg(long, value_name = "KIND", default_value = "ec256")]
    pub(crate) key: KeyAlgorithm,

    /// The kind of certificate, where the CA offers several
    #[arg(long)]
    pub(crate) profile: Option<String>,

    /// Prefer the chain with an issuer of this common name
    #[arg(long, value_name = "NAME")]
    pub(crate) preferred_chain: Option<String>,

    /// How long it may take in all: 90, 90s, 10m or 1h
    #[arg(long, default_value = "10m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,

    /// The directory for cert.pem, chain.pem, fullchain.pem and privkey.pem
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,

    /// Print the result as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

const AFTER_HELP: &str = "\
Options of a provider may also come from the environment, secrets above all: the option key-name of rfc2136
is PERENNIAL_RFC2136_KEY_NAME, or the content of the file that PERENNIAL_RFC2136_KEY_NAME_FILE names.

Exit codes: 0 issued · 64 wrong usage · 65 the CA refuses · 66 the proof was not seen · 69 network or server
unavailable · 76 the CA broke the protocol · 77 wrong credentials or a missing permission · 78 this machine's
settings · 130 interrupted";

impl Args {
    /// Whether nothing of the real world is asked for.
    pub(crate) fn is_embedded(&self) -> bool {
        self.directory.is_none()
            && self.ca_file.is_none()
            && self.account.is_none()
            && self.domain.is_empty()
            && self.provider.is_none()
            && self.provider_option.is_empty()
            && self.nameserver.is_empty()
            && !self.nameservers_only
    }
}
