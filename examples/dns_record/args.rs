//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args as Group, Parser, Subcommand};
use perennial::core::DomainName;

use crate::duration;

/// Look at, add and remove single TXT values with any DNS provider; what else is at the name stays as it is.
#[derive(Debug, Parser)]
#[command(name = "dns_record", after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The kind of provider: see `providers`
    #[arg(long, global = true, value_name = "KIND")]
    pub(crate) provider: Option<String>,

    /// An option of the provider; a VALUE of @FILE is read from that file; repeat for more
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) provider_option: Vec<String>,

    /// A zone that may be written to, and no other; repeat for more. Default: all that the credential may
    #[arg(long, global = true, value_name = "ZONE")]
    pub(crate) allow_zone: Vec<DomainName>,

    /// What the first label of a name must be to be written to: _acme-challenge; repeat for more
    #[arg(long, global = true, value_name = "LABEL")]
    pub(crate) allow_prefix: Vec<String>,

    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add a value; one that is there already stays as it is
    Add(Add),
    /// Show the TXT values at a name, as the provider's interface sees them
    List(List),
    /// List the kinds of providers, or the options of one
    Providers(Providers),
    /// Remove a value; one that is not there is no failure
    Remove(Remove),
    /// Print the options of a kind of provider as JSON Schema
    Schema(Schema),
}

/// `list`
#[derive(Debug, Group)]
pub(crate) struct List {
    /// The name of the TXT record: _acme-challenge.example.com
    pub(crate) name: DomainName,
}

/// `add`
#[derive(Debug, Group)]
pub(crate) struct Add {
    /// The name of the TXT record: _acme-challenge.example.com
    pub(crate) name: DomainName,

    /// The value itself, not quoted
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,

    /// How long a new record may be kept by whoever asks for it: 60, 60s, 10m. Where siblings are, theirs counts
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) ttl: Option<Duration>,

    /// Write the receipt to this file instead of standard output. It is there before the record is, so that
    /// nothing is forgotten whenever this program ends
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// `remove`
#[derive(Debug, Group)]
pub(crate) struct Remove {
    /// The name of the TXT record
    #[arg(required_unless_present = "receipt", requires = "value", conflicts_with = "receipt")]
    pub(crate) name: Option<DomainName>,

    /// The value itself, not quoted
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: Option<String>,

    /// Remove what this receipt of `add` is for, and the file with it
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Whether to wait.
#[derive(Debug, Group)]
pub(crate) struct Wait {
    /// Wait until the provider says that its own servers have the change, where it can tell
    #[arg(long)]
    pub(crate) wait: bool,

    /// How long to wait at most: 90, 90s, 10m or 1h. Default: what is usual for the provider
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
}

/// `providers`
#[derive(Debug, Group)]
pub(crate) struct Providers {
    /// The kind whose options are to be shown
    pub(crate) kind: Option<String>,
}

/// `schema`
#[derive(Debug, Group)]
pub(crate) struct Schema {
    /// The kind of provider
    pub(crate) kind: String,
}

const AFTER_HELP: &str = "\
Options of a provider may also come from the environment, secrets above all: the option key-name of rfc2136
is PERENNIAL_RFC2136_KEY_NAME, or the content of the file that PERENNIAL_RFC2136_KEY_NAME_FILE names.

Exit codes: 0 done · 64 wrong usage or options · 65 it cannot be done like this, or is not allowed here · 66 no
zone for the name · 69 network or provider unavailable · 75 not now: too many requests, another writer, not in
sync yet · 76 the provider broke its protocol · 77 wrong credentials or a missing permission · 78 this machine's
clock or files";
