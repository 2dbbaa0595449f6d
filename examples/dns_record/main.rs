//! Looks at, adds and removes single TXT values with any DNS provider that perennial knows: what a DNS-01
//! challenge does, by hand. Siblings stay as they are, whatever the vendor's interface replaces.
//!
//! A receipt is in its file before the record is made, as every debt of perennial is: see `receipt.rs`.
#![allow(clippy::print_stdout)] // It is a program.

use std::process::ExitCode;

use clap::Parser as _;

mod args;
mod catalogue;
mod change;
#[path = "../shared/duration.rs"]
mod duration;
mod failure;
mod look;
#[path = "../shared/options.rs"]
mod options;
mod receipt;
mod said;
mod scene;

use args::{Args, Verb};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // That the terminal is gone is no reason to say more.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(failure::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let done = match &args.verb {
        Verb::Add(add) => change::add(&args, add).await,
        Verb::List(list) => look::run(&args, list).await,
        Verb::Providers(providers) => catalogue::providers(&args, providers),
        Verb::Remove(remove) => change::remove(&args, remove).await,
        Verb::Schema(schema) => catalogue::schema(schema),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if args.json {
                said::say(&format!("{}\n", failure.to_json()));
            }
            eprintln!("dns_record: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
