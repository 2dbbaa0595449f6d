//! `judge providers`: which DNS provider keeps the laws, agrees with its vendor's own document, and works with a
//! real server; one line a provider.
//!
//! The cases themselves are integration tests of `perennial-providers`, which anybody can run alone. Here they
//! are run in a network of their own, where the real servers are, and told as a table.

mod table;

use perennial_testkit::real::Tool;

use super::{Report, Running, Setting, Suite};
use crate::{Error, shell};
use table::Table;

pub(super) const SUITE: Suite = Suite {
    name: "providers",
    tools: &[Tool::Knotd, Tool::Moto, Tool::Named, Tool::Pdns],
    addresses: Vec::new,
    build,
    run,
};

const TESTS: [&str; 6] = ["test", "-p", "perennial-providers", "--all-features", "--test", "it"];

fn build() -> Result<(), Error> {
    shell::run(shell::cargo(TESTS.into_iter().chain(["--no-run"])))
}

fn run<'a>(_: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        let mut tests = shell::cargo(TESTS.into_iter().chain(["--no-fail-fast"]));
        // What is built cannot be built anew here: there is no network.
        tests.env("CARGO_NET_OFFLINE", "true").env("PERENNIAL_REQUIRE_COMPONENTS", "1");
        match shell::output(tests) {
            Ok(output) => {
                let said = shell::said(&output);
                let table = Table::read(&said);
                for (provider, outcome) in table.rows() {
                    report.case(provider, outcome);
                }
                // A row for each provider says nothing of tests that never ran.
                if !output.status.success() && table.failed() == 0 {
                    report.case("all", Err(said));
                }
            }
            Err(error) => report.case("all", Err(error.to_string())),
        }
    })
}
