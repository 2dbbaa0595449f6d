//! Prometheus's own tool: it takes what a scrape shows, and the rules for alerts do what they say.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use perennial_testkit::real::{self, Tool};

use crate::metrics::everything;

fn monitoring() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring")
}

/// promtool beside the rules, or `None` where there is none.
fn promtool(arguments: &[&str]) -> Option<Command> {
    let components = real::require(&[Tool::Promtool])?;
    let mut command = components.find(Tool::Promtool).unwrap().command();
    command.args(arguments).current_dir(monitoring()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn the_rules_for_alerts_fire_and_keep_quiet_as_their_tests_say() {
    for arguments in [
        ["check", "rules", "certificates.yaml", "fleet.yaml"].as_slice(),
        &["test", "rules", "rules_test.yaml"],
    ] {
        let Some(mut command) = promtool(arguments) else { return };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

/// The same text as promtool reads it, in the format from before OpenMetrics: there the family of a counter is called
/// like its series, and what has no type is `untyped`.
fn classic(text: &str) -> String {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    let counters: BTreeSet<&str> = types.collect();
    let mut classic = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        let (kind, rest) =
            line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')).unwrap_or(("", line));
        let (name, what) = rest.split_once(' ').unwrap_or((rest, ""));
        let suffix = if counters.contains(name) { "_total" } else { "" };
        let what = if what == "unknown" { "untyped" } else { what };
        let line = if kind.is_empty() { line.to_owned() } else { format!("# {kind} {name}{suffix} {what}") };
        classic.push_str(&line);
        classic.push('\n');
    }
    classic
}

#[tokio::test]
async fn promtool_takes_a_scrape_of_an_engine_and_has_nothing_to_say_about_it() {
    let Some(mut command) = promtool(&["check", "metrics"]) else { return };
    let mut promtool = command.stdin(Stdio::piped()).spawn().unwrap();
    let scrape = classic(&everything().await.text());
    promtool.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

/// What follows a word at the beginning of a line, with what comes after it up to the next such line.
fn blocks<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.split(word).skip(1).map(|block| block.split_once('\n').unwrap_or((block, "")))
}

#[test]
fn every_rule_is_seen_to_fire_and_to_keep_quiet() {
    let read = |file: &str| std::fs::read_to_string(monitoring().join(file)).unwrap();
    let tests = read("rules_test.yaml");
    let mut seen = BTreeMap::<&str, BTreeSet<bool>>::new();
    for (alert, block) in blocks(&tests, "- alertname: ") {
        let fires = block.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts:");
        seen.entry(alert).or_default().insert(fires);
    }
    for file in ["certificates.yaml", "fleet.yaml"] {
        let rules = read(file);
        let alerts: Vec<&str> = blocks(&rules, "- alert: ").map(|(alert, _)| alert).collect();
        assert!(alerts.len() > 4, "{file}: {alerts:?}");
        for alert in alerts {
            let seen = seen.get(alert).cloned().unwrap_or_default();
            assert_eq!(seen, BTreeSet::from([false, true]), "{alert} of {file}");
        }
    }
}
