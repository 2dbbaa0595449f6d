//! Looks at a challenge record as a CA will: once, until it is visible everywhere, or with all that led
//! there; and at the CAA records that say who may issue.
//!
//! With `--embedded` it needs no network: it starts name servers of which one lags and one is broken, and a
//! resolver that answers wrongly, as the DNS of a cluster does whose own domain is the certificate's.
#![allow(clippy::print_stdout)] // It is a program.

use std::process::ExitCode;

use clap::Parser as _;

mod answer;
mod args;
mod caa;
mod check;
#[path = "../shared/duration.rs"]
mod duration;
mod explain;
mod failure;
mod scene;
mod table;
mod watch;
#[path = "../shared/world.rs"]
mod world;

use args::{Args, Verb};

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // That the terminal is gone is no reason to say more.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(failure::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let said = match &args.verb {
        Verb::Caa(caa) => caa::run(caa).await,
        Verb::Check(check) => check::run(check).await,
        Verb::Explain(explain) => explain::run(explain).await,
        Verb::Watch(watch) => watch::run(watch).await,
    };
    match said {
        Ok(answer) => ExitCode::from(answer.exit_code()),
        Err(failure) => {
            if args.verb.world().json {
                answer::say(&format!("{}\n", failure.to_json()));
            }
            eprintln!("propagation: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
