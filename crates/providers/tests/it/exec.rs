//! A program of one's own, with scripts that do, fail, hang and babble.
#![cfg(unix)]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use perennial_core::{DomainName, Retry};
use perennial_providers::{Change, DnsProvider, Error, Options, Registry, engine, exec::Exec};
use tempfile::TempDir;

const NAME: &str = "_acme-challenge.www.example.com";

fn name() -> DomainName {
    NAME.parse().unwrap()
}

/// A script beside a file `log`.
fn script(body: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hook");
    fs::write(&path, format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    (directory, path)
}

async fn failure(provider: &Exec) -> Error {
    engine::apply(provider, &[Change::add(name(), "v")]).await.unwrap_err()
}

#[tokio::test]
async fn each_change_is_one_call_with_the_words_as_they_are() {
    let (directory, path) = script("for word in \"$@\"; do echo \"[$word]\" >> log; done");
    let provider = Exec::builder(path).argument("--zone file").build();
    let value = "-$(touch owned) `touch owned`; touch owned";
    let applied = engine::apply(&provider, &[Change::add(name(), value)]).await.unwrap();
    let receipt = &applied.receipts[0];
    provider.apply(&receipt.zone, &[receipt.removal()]).await.unwrap();
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    let expected =
        ["present", "cleanup"].map(|verb| format!("[--zone file]\n[{verb}]\n[{NAME}.]\n[{value}]\n"));
    assert_eq!(log, expected.concat());
    assert!(!directory.path().join("owned").exists());
}

#[tokio::test]
async fn a_program_that_fails_is_quoted_without_control_characters_and_may_be_tried_again() {
    let (_directory, path) = script("printf 'so \\033[31mred\\n' >&2; exit 3");
    let error = failure(&Exec::builder(path).build()).await;
    assert!(error.to_string().ends_with("ended with exit status: 3 and said: so [31mred"), "{error}");
    assert_eq!(error.retry(), Retry::Backoff);
    let (_directory, path) = script("yes babble | head -c 3000000; exit 1");
    let error = failure(&Exec::builder(path).build()).await;
    assert!(error.to_string().len() < 1300, "{}", error.to_string().len());
    let error = failure(&Exec::builder("/nowhere/hook").build()).await;
    assert!(error.to_string().contains("correct the option `program`"), "{error}");
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_and_one_that_leaves_a_child_behind_is_done() {
    let (directory, path) = script("echo $$ > pid; exec sleep 600");
    let error = failure(&Exec::builder(path).timeout(Duration::from_millis(300)).build()).await;
    assert!(error.to_string().contains("had not ended after 0.3 seconds"), "{error}");
    let pid = fs::read_to_string(directory.path().join("pid")).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists());
    let (_directory, path) = script("sleep 3 & exit 0");
    let provider = Exec::builder(path).timeout(Duration::from_secs(2)).build();
    engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
}

#[tokio::test]
async fn calls_come_one_after_the_other() {
    let (directory, path) = script("mkdir busy || exit 1; sleep 0.05; rmdir busy");
    let provider = Exec::builder(path).build();
    let changes: Vec<_> =
        (0..5).map(|n| Change::add(format!("n{n}.example.com").parse().unwrap(), "v")).collect();
    let calls = changes.iter().map(|change| engine::apply(&provider, std::slice::from_ref(change)));
    for call in futures_util::future::join_all(calls).await {
        call.unwrap();
    }
    assert!(!directory.path().join("busy").exists());
}

#[tokio::test]
async fn it_is_made_from_options_and_kept_to_its_zones() {
    let (directory, path) = script("echo \"$@\" > log");
    let options: Options = [
        ("program", path.to_str().unwrap()),
        ("arguments", r#"["--verbose", "a b"]"#),
        ("zone", "example.com, example.org"),
        ("timeout", "5"),
    ]
    .into_iter()
    .collect();
    let provider = Registry::standard().create("exec", &options).unwrap();
    engine::apply(&*provider, &[Change::add(name(), "v")]).await.unwrap();
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    assert_eq!(log, format!("--verbose a b present {NAME}. v\n"));
    let error = provider.zone(&"a.example.net".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
    let (_directory, path) = script("exec sleep 600");
    let hanging = options.clone().with("program", path.to_str().unwrap()).with("timeout", "1");
    let provider = Registry::standard().create("exec", &hanging).unwrap();
    let error = engine::apply(&*provider, &[Change::add(name(), "v")]).await.unwrap_err();
    assert!(error.to_string().contains("had not ended after 1 seconds"), "{error}");
    let bad = options.with("arguments", "--verbose");
    let error = Registry::standard().create("exec", &bad).err().unwrap();
    assert!(error.to_string().contains("it is no JSON array of texts"), "{error}");
}

#[tokio::test]
async fn a_program_hears_nothing_and_its_last_words_are_the_ones_that_are_quoted() {
    let (directory, path) = script(
        "readlink /proc/$$/fd/0 > stdin; head -c 3000 /dev/zero | tr '\\0' a; echo; echo the end; exit 1",
    );
    let error = failure(&Exec::builder(path).build()).await;
    assert!(error.to_string().ends_with("aaa the end"), "{error}");
    assert_eq!(fs::read_to_string(directory.path().join("stdin")).unwrap(), "/dev/null\n");
}

#[tokio::test]
async fn whoever_stops_waiting_leaves_no_program_behind() {
    let (directory, path) = script("echo $$ > pid; exec sleep 600");
    let provider = Exec::builder(path).build();
    let changes = [Change::add(name(), "v")];
    let started = async {
        let pid = directory.path().join("pid");
        while !fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fs::read_to_string(pid).unwrap()
    };
    let pid = tokio::select! {
        pid = started => pid,
        applied = engine::apply(&provider, &changes) => panic!("{applied:?}"),
    };
    // Killed at once, and gone when it is reaped.
    let status = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let ended = async {
        while fs::read_to_string(&status).is_ok_and(|status| !status.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap();
}
