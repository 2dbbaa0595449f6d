//! The command line.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};

use crate::key::KeyType;

/// Register, look after and give up an ACME account, at any CA.
#[derive(Debug, Parser)]
#[command(name = "account", after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The CA's directory URL, https only. Required to register; afterwards the account's file knows it
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) directory: Option<String>,

    /// The file that holds the account and its key (created with mode 0600)
    #[arg(long, global = true, value_name = "FILE", default_value = "account.json")]
    pub(crate) account: PathBuf,

    /// PEM file with roots to trust beside the system's, for a private CA
    #[arg(long, global = true, value_name = "PEM", alias = "ca-file")]
    pub(crate) ca_root: Option<PathBuf>,

    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make an account, or find the one that the key has
    Register(Register),
    /// Show what the CA says about the account
    Show,
    /// Change the contacts, or agree to new terms of service
    Update(Update),
    /// Give the account another key; a change that was interrupted is settled first
    RollKey(NewKey),
    /// Give the account up, for good
    Deactivate,
    /// Revoke a certificate
    Revoke(Revoke),
    /// List the account's orders, where the CA tells them
    Orders,
}

/// `register`
#[derive(Debug, Group)]
pub(crate) struct Register {
    /// Where the CA can reach you; repeat for more
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Vec<String>,

    /// Agree to the CA's terms of service
    #[arg(long)]
    pub(crate) agree_tos: bool,

    #[command(flatten)]
    pub(crate) key: NewKey,

    /// Bind the account to a customer of the CA: the key identifier that the CA gave
    #[arg(long, value_name = "ID", requires = "eab_key")]
    pub(crate) eab_kid: Option<String>,

    /// The MAC key that the CA gave with it, in base64: @FILE, or in the environment. Never the key itself,
    /// which every user of this machine could read in the list of processes
    #[arg(long, value_name = "@FILE", env = "ACME_EAB_KEY", hide_env_values = true)]
    pub(crate) eab_key: Option<String>,

    /// The MAC of the binding: hs256, hs384 or hs512
    #[arg(long, value_name = "MAC", default_value = "hs256", value_parser = crate::key::mac)]
    pub(crate) eab_mac: perennial::acme::MacAlgorithm,
}

/// The key of an account.
#[derive(Debug, Group)]
pub(crate) struct NewKey {
    /// The kind of the new account key: es256, es384, eddsa or rs256
    #[arg(long, value_name = "KIND", default_value = "es256", conflicts_with = "key")]
    pub(crate) key_type: KeyType,

    /// PEM file with a key to take instead of a new one
    #[arg(long, value_name = "PEM")]
    pub(crate) key: Option<PathBuf>,
}

/// `update`
#[derive(Debug, Group)]
#[group(required = true, multiple = true)]
pub(crate) struct Update {
    /// Where the CA can reach you from now on; repeat for more
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Vec<String>,

    /// Take all contacts back
    #[arg(long, conflicts_with = "email")]
    pub(crate) no_email: bool,

    /// Agree to the CA's terms of service
    #[arg(long)]
    pub(crate) agree_tos: bool,
}

/// `revoke`
#[derive(Debug, Group)]
pub(crate) struct Revoke {
    /// PEM file with the certificate; of a chain the first one counts
    pub(crate) certificate: PathBuf,

    /// Why, by the name or number of RFC 5280 §5.3.1: keyCompromise, affiliationChanged, superseded,
    /// cessationOfOperation, …
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<perennial::acme::RevocationReason>,

    /// PEM file with the certificate's own private key, to revoke by that instead of the account; needs no
    /// account
    #[arg(long, value_name = "PEM")]
    pub(crate) key: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done · 64 wrong usage · 65 the CA refuses · 69 network or server unavailable · 76 the CA broke the
protocol · 77 wrong credentials or a missing permission · 78 this machine's settings";
