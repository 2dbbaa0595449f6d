//! `cargo xtask test`: everything, in the order in which a failure costs least.

use perennial_testkit::real::Components;

use crate::{
    Error, arrows, bench, check, components,
    metadata::Metadata,
    shell::{self, Stopwatch},
};

/// What continuous integration runs.
pub(crate) fn everything() -> Result<(), Error> {
    steps(&[
        ("components", || components::install().map(drop)),
        ("arrows", arrows::check),
        ("check", check::everything),
        ("tests", || tests(Judges::Required)),
        ("example", example),
        ("benches", || bench::smoke(&["acme", "issuers", "nat64", "providers"])),
        ("judge dns", || judge("dns")),
        ("judge nat64", || judge("nat64")),
        ("judge pebble", || judge("pebble")),
        ("judge issue", || judge("issue")),
        #[cfg(target_os = "linux")]
        ("judge issuers", || judge("issuers")),
        #[cfg(target_os = "linux")]
        ("judge load-balancer", || judge("load-balancer")),
        // The moments and the disks take half as long as all else together: `judge crash` whole.
        #[cfg(target_os = "linux")]
        ("judge crash", || judge_only("crash", "_steps")),
        #[cfg(target_os = "linux")]
        ("judge fleet", || judge("fleet")),
    ])
}

/// As a process of its own: the tests may just have put a new build of this program in its place.
fn judge(suite: &str) -> Result<(), Error> {
    shell::run(shell::cargo(["run", "--quiet", "--package", "xtask", "--", "judge", suite]))
}

/// The cases of a suite whose name has this in it.
#[cfg(target_os = "linux")]
fn judge_only(suite: &str, text: &str) -> Result<(), Error> {
    shell::run(shell::cargo(["run", "--quiet", "--package", "xtask", "--", "judge", suite, "--only", text]))
}

/// The edit loop.
pub(crate) fn quick() -> Result<(), Error> {
    steps(&[("formatting", check::formatting), ("tests", || tests(Judges::IfThere))])
}

type Step = (&'static str, fn() -> Result<(), Error>);

/// One step after the other, up to the first failure, and a table of how long each took.
fn steps(steps: &[Step]) -> Result<(), Error> {
    let whole = Stopwatch::start();
    let mut table = Vec::new();
    for (name, step) in steps {
        println!("\n== {name}");
        let watch = Stopwatch::start();
        let done = step();
        let outcome = if done.is_ok() { "ok" } else { "FAILED" };
        table.push(format!("{name:<13} {outcome:<7} {:>7.1} s", watch.read().as_secs_f32()));
        if let Err(reason) = done {
            summary(&table, steps, &whole);
            return Err(Error::Step { step: name, reason: Box::new(reason) });
        }
    }
    summary(&table, steps, &whole);
    Ok(())
}

fn summary(table: &[String], steps: &[Step], whole: &Stopwatch) {
    println!("\n== summary");
    for line in table {
        println!("{line}");
    }
    for (name, _) in steps.iter().skip(table.len()) {
        println!("{name:<13} not run");
    }
    println!("{} of {} steps in {:.1} s", table.len(), steps.len(), whole.read().as_secs_f32());
}

/// What a test does that needs a program which is not on this machine.
#[derive(PartialEq, Eq)]
enum Judges {
    /// It passes, and says so.
    IfThere,
    /// It fails.
    Required,
}

fn tests(judges: Judges) -> Result<(), Error> {
    let mut tests = shell::cargo(["test", "--workspace", "--all-features"]);
    tests.env(Components::VARIABLE, components::file(&Metadata::read_members()?));
    if judges == Judges::Required {
        tests.env("PERENNIAL_REQUIRE_COMPONENTS", "1");
    }
    shell::run(tests)
}

/// The example as a newcomer runs it: against the certificate authority and the DNS that it brings along.
fn example() -> Result<(), Error> {
    let there = Metadata::read_members()?;
    if !there.targets("example").contains(&"issue") {
        println!("skipped: there is no example `issue`");
        return Ok(());
    }
    shell::run(shell::cargo(["run", "--quiet", "--release", "--example", "issue"]))
}
