//! `cargo xtask judge`: suites against real servers, one line a case.
//!
//! A suite is a module: a [`Suite`] with what it needs, and a function that runs its cases. It runs in a network
//! namespace of its own (network_namespaces(7)), where every loopback address and every port is free, 53
//! among them, and from where nothing leaves the machine.

#[cfg(target_os = "linux")]
pub(crate) mod crash;
mod dns;
#[cfg(target_os = "linux")]
pub(crate) mod fleet;
mod issue;
#[cfg(target_os = "linux")]
mod issuers;
#[cfg(target_os = "linux")]
mod load_balancer;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
mod nat64;
mod pebble;
mod providers;
mod sandbox;
#[cfg(target_os = "linux")]
mod surroundings;

use std::{net::IpAddr, path::PathBuf, pin::Pin};

use perennial_testkit::real::{Components, Missing, Tool};

use crate::{Error, components, metadata::Metadata, shell::Stopwatch};

/// All of them.
const SUITES: &[Suite] = &[
    #[cfg(target_os = "linux")]
    crash::SUITE,
    dns::SUITE,
    #[cfg(target_os = "linux")]
    fleet::SUITE,
    issue::SUITE,
    #[cfg(target_os = "linux")]
    issuers::SUITE,
    #[cfg(target_os = "linux")]
    load_balancer::SUITE,
    #[cfg(target_os = "linux")]
    nat64::SUITE,
    pebble::SUITE,
    providers::SUITE,
];

/// A suite of cases against real servers.
pub(crate) struct Suite {
    name: &'static str,
    /// The programs that it needs.
    tools: &'static [Tool],
    /// The addresses, besides 127.0.0.1, that its servers listen on.
    addresses: fn() -> Vec<IpAddr>,
    /// What must be built before the network is gone.
    build: fn() -> Result<(), Error>,
    run: for<'a> fn(&'a Setting, &'a mut Report) -> Running<'a>,
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What a suite finds inside the sandbox.
pub(crate) struct Setting {
    pub(crate) components: Components,
    /// Where cargo has put what was built.
    pub(crate) target_directory: PathBuf,
}

/// `cargo xtask judge`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which suite
    suite: String,
    /// Only the cases whose name has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Set for the process in the sandbox
    #[arg(long, hide = true)]
    inside: bool,
}

/// Runs one suite; an error unless all its cases passed.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let suite = SUITES.iter().find(|suite| suite.name == arguments.suite).ok_or_else(|| Error::NoSuch {
        what: "suite",
        name: arguments.suite.clone(),
        known: SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", "),
    })?;
    if arguments.inside {
        return judge(suite, arguments.only.clone());
    }
    let only = arguments.only.iter().flat_map(|text| ["--only", text.as_str()]);
    let again = ["judge", suite.name, "--inside"].into_iter().chain(only);
    let judged = components::install().and_then(|_| (suite.build)()).and_then(|()| sandbox::enter(again));
    if let Err(Error::Missing(missing)) = &judged {
        missing.iter().for_each(|missing| say_missing(suite.name, missing));
    }
    judged
}

fn judge(suite: &Suite, only: Option<String>) -> Result<(), Error> {
    sandbox::furnish(&(suite.addresses)())?;
    let metadata = Metadata::read_members()?;
    let components = Components::read(&components::file(&metadata)).unwrap_or_default();
    let mut report = Report { suite: suite.name, only, watch: Stopwatch::start(), cases: 0, failed: 0 };
    for tool in suite.tools {
        if let Err(missing) = components.find(*tool) {
            report.missing(&missing);
        }
    }
    if report.cases == 0 {
        let setting = Setting { components, target_directory: metadata.target_directory };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|reason| Error::Start { program: "tokio".to_owned(), reason })?;
        runtime.block_on((suite.run)(&setting, &mut report));
    }
    report.close()
}

/// What a case found: a detail worth a line, or what is wrong.
pub(crate) type Outcome = Result<String, String>;

/// Prints a line a case and counts.
pub(crate) struct Report {
    suite: &'static str,
    only: Option<String>,
    watch: Stopwatch,
    cases: usize,
    failed: usize,
}

impl Report {
    /// Whether any of these cases is to run.
    pub(crate) fn wants_any(&self, cases: &[&str]) -> bool {
        self.only.as_ref().is_none_or(|only| cases.iter().any(|case| case.contains(only.as_str())))
    }

    /// Tells how one case went.
    pub(crate) fn case(&mut self, name: &str, outcome: Outcome) {
        if !self.wants_any(&[name]) {
            return;
        }
        self.cases += 1;
        let (word, detail) = match outcome {
            Ok(detail) => ("pass", detail),
            Err(detail) => {
                self.failed += 1;
                ("fail", detail)
            }
        };
        // One line a case, whatever a program has said.
        let detail = detail.trim().replace('\n', " | ");
        println!("judge {}/{name} {word} {detail}", self.suite);
    }

    fn missing(&mut self, missing: &Missing) {
        self.cases += 1;
        self.failed += 1;
        say_missing(self.suite, missing);
    }

    fn close(self) -> Result<(), Error> {
        let Self { suite, cases, failed, watch, .. } = self;
        let passed = cases - failed;
        println!("judge {suite}: {passed} of {cases} cases passed in {:.1} s", watch.read().as_secs_f32());
        // No case at all is no proof of anything.
        if failed == 0 && cases > 0 { Ok(()) } else { Err(Error::Judged { suite, failed, cases }) }
    }
}

fn say_missing(suite: &str, missing: &Missing) {
    println!("judge {suite}/* missing {}: {}", missing.what, missing.how);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(only: Option<&str>) -> Report {
        let only = only.map(str::to_owned);
        Report { suite: "test", only, watch: Stopwatch::start(), cases: 0, failed: 0 }
    }

    #[test]
    fn only_a_suite_whose_cases_all_passed_passes() {
        let mut good = report(None);
        good.case("one", Ok(String::new()));
        assert!(good.close().is_ok());
        let mut bad = report(None);
        bad.case("one", Ok(String::new()));
        bad.case("two", Err("no".to_owned()));
        assert!(matches!(bad.close(), Err(Error::Judged { failed: 1, cases: 2, .. })));
    }

    #[test]
    fn a_suite_that_ran_no_case_does_not_pass() {
        let mut filtered = report(Some("three"));
        filtered.case("one", Ok(String::new()));
        assert!(filtered.close().is_err());
        let mut missing = report(None);
        missing.missing(&Missing::new("named", "install it"));
        assert!(missing.close().is_err());
    }
}
