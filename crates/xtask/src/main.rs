//! `cargo xtask …`: the one door for every check of perennial.
//!
//! Every check that continuous integration makes is a verb here, so that what passes on a desk passes there.

#![allow(clippy::print_stdout)] // a program speaks to its user

mod arrows;
mod bench;
mod check;
mod components;
mod error;
mod judge;
mod metadata;
mod shell;
mod simulate;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::Error;

/// The one door for every check of perennial.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Everything, in order, up to the first failure; what continuous integration runs
    Test {
        /// The edit loop: formatting and tests, no judges
        #[arg(long)]
        quick: bool,
    },
    /// Finds the real servers that judges need, and brings those that are not there
    Components {
        /// Only look
        #[arg(long)]
        check: bool,
    },
    /// Who knows whom among the crates, and what must never be in their trees
    Arrows,
    /// Formatting, lints and documentation of every package
    Check,
    /// One process of `judge fleet`, which starts it
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    FleetWorker(judge::fleet::worker::Arguments),
    /// Runs a suite against real servers
    Judge(judge::Arguments),
    /// One life of the process that `judge crash` kills
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    CrashWorker,
    /// Lives through years of a fleet in virtual time
    Simulate(simulate::Arguments),
    /// Runs benches and prints their figures
    Bench {
        /// Which ones; all without a name
        names: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Test { quick: true } => test::quick(),
        Verb::Test { quick: false } => test::everything(),
        Verb::Components { check: true } => components::check(),
        Verb::Components { check: false } => components::install().map(drop),
        Verb::Arrows => arrows::check(),
        Verb::Check => check::everything(),
        #[cfg(target_os = "linux")]
        Verb::FleetWorker(arguments) => judge::fleet::worker::run(&arguments),
        Verb::Judge(arguments) => judge::run(&arguments),
        #[cfg(target_os = "linux")]
        Verb::CrashWorker => judge::crash::worker::run(),
        Verb::Simulate(arguments) => simulate::run(&arguments),
        Verb::Bench { names } => bench::run(&names),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
