//! `issue` in its own little internet, and what it says when it cannot.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::example;

fn issue(directory: &Path, arguments: &[&str]) -> Output {
    let program = Command::new(example("issue")).args(arguments).current_dir(directory).output();
    program.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn without_arguments_it_obtains_a_certificate_and_leaves_four_files() {
    let directory = tempfile::tempdir().unwrap();
    let output = issue(directory.path(), &["--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["names"], serde_json::json!(["*.app.site.example.com", "app.site.example.com"]));
    for (_, path) in document["files"].as_object().unwrap() {
        assert!(directory.path().join(path.as_str().unwrap()).exists(), "{path}");
    }
}

#[test]
fn when_time_is_up_it_names_the_server_that_lags_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = issue(directory.path(), &["--timeout", "1s"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(66), "{said}");
    assert!(said.contains("ns2.example.com") && said.contains("removed what was presented at"), "{said}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_it_cannot_use_is_refused_before_anything_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    for (arguments, named) in [
        (["--out", "file/out"].as_slice(), "--out file/out"),
        (&["--account", "account.json"], "--directory is missing"),
        (&["--nameserver", "64:ff9b::8.8.8.8:53"], "add brackets"),
        (&["--timeout", "0"], "one second to a week"),
    ] {
        let output = issue(directory.path(), arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(named) && !said.contains("account https"), "{said}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(example("issue"))
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(directory.path().join("out/privkey.pem").exists());
}
