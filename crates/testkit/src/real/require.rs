//! What a test does when a program is missing.

use std::io::Write;

use super::{Components, Missing, Tool};

/// The programs that a test needs, or `None` when it cannot run here.
///
/// What is missing is said aloud, past the test harness, which swallows the output of a test that passes.
/// With `CI=true` or `PERENNIAL_REQUIRE_COMPONENTS=1` in the environment a missing program fails the test
/// instead: there a check that did not run counts as one that failed.
///
/// # Panics
/// When a program is missing where it must not be.
#[must_use]
pub fn require(tools: &[Tool]) -> Option<Components> {
    required(tools, |components, tool| components.find(tool).err())
}

/// The same, with all parts that the programs may load when they run
/// ([`find_whole`](Components::find_whole)).
///
/// # Panics
/// As [`require`].
#[must_use]
pub fn require_whole(tools: &[Tool]) -> Option<Components> {
    required(tools, |components, tool| components.find_whole(tool).err())
}

fn required(tools: &[Tool], lacks: impl Fn(&Components, Tool) -> Option<Missing>) -> Option<Components> {
    let components = Components::locate();
    let missing: Vec<Missing> = tools.iter().filter_map(|tool| lacks(&components, *tool)).collect();
    if missing.is_empty() {
        return Some(components);
    }
    let said = missing.iter().map(Missing::to_string).collect::<Vec<_>>().join("\n");
    assert!(!must_run(|variable| std::env::var(variable).ok()), "{said}");
    // Nothing is lost where standard error is closed.
    let _ = writeln!(std::io::stderr(), "{said}");
    None
}

fn must_run(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("CI").as_deref() == Some("true")
        || variable("PERENNIAL_REQUIRE_COMPONENTS").as_deref() == Some("1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_a_failure_only_where_checks_must_run() {
        assert!(must_run(|variable| (variable == "CI").then(|| "true".to_owned())));
        assert!(must_run(|variable| (variable == "PERENNIAL_REQUIRE_COMPONENTS").then(|| "1".to_owned())));
        assert!(!must_run(|_| None));
        assert!(!must_run(|_| Some("0".to_owned())));
    }
}
