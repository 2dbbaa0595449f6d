//! An ACME account from its registration to its end, at any CA: every verb that RFC 8555 has for accounts.
//!
//! Whatever it changes is in the account's file before the CA hears of it, so that neither a crash nor a lost
//! answer loses the account: see `roll-key` in `verb.rs`.
#![allow(clippy::print_stdout)] // It is a program.

use std::process::ExitCode;

use clap::Parser as _;

mod args;
mod failure;
mod kept;
mod key;
mod revocation;
mod said;
mod verb;

use args::Args;

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
    let json = args.json;
    match verb::run(args).await {
        Ok(said) => {
            said.print(json);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if json {
                said::say(&format!("{}\n", failure.to_json()));
            }
            eprintln!("account: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
