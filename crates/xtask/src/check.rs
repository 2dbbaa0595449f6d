//! `cargo xtask check`: formatting, lints, documentation, licences and the fuzz corpora.

use crate::{Error, metadata::Metadata, shell};

/// Everything that can be said without running the code.
pub(crate) fn everything() -> Result<(), Error> {
    formatting()?;
    let metadata = Metadata::read_members()?;
    // One package at a time: together their features unify, and hide what one of them lacks alone.
    for package in metadata.members() {
        let lint = ["clippy", "-p", &package.name, "--all-targets", "--all-features", "--", "-D", "warnings"];
        shell::run(shell::cargo(lint))?;
    }
    let mut documentation = shell::cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    shell::run(documentation)?;
    supply()?;
    fuzz_targets(&metadata)
}

/// The part that takes no time.
pub(crate) fn formatting() -> Result<(), Error> {
    shell::run(shell::cargo(["fmt", "--all", "--check"]))
}

/// The fuzz targets are a workspace of their own. Their corpora are replayed, which needs no fuzzer; that they
/// compile with it is checked where there is a C++ compiler, since the fuzzer is written in C++. What both
/// workspaces depend on with the same features is built once.
fn fuzz_targets(metadata: &Metadata) -> Result<(), Error> {
    let fuzz = |command: &str, features: &[&str]| {
        let mut cargo = shell::cargo([command, "--manifest-path", FUZZ]);
        cargo.args(features).env("CARGO_TARGET_DIR", &metadata.target_directory);
        shell::run(cargo)
    };
    fuzz("test", &["--no-default-features"])?;
    if shell::output(shell::program("c++", ["--version"])).is_err() {
        println!("skipped: compiling the fuzz targets: there is no C++ compiler (c++) for libFuzzer");
        return Ok(());
    }
    fuzz("check", &[])
}

const FUZZ: &str = "fuzz/Cargo.toml";

/// Licences, sources and banned crates of everything that is built; advisories need the network.
fn supply() -> Result<(), Error> {
    if shell::output(shell::cargo(["deny", "--version"])).is_ok_and(|output| output.status.success()) {
        return shell::run(shell::cargo(["deny", "check", "bans", "licenses", "sources"]));
    }
    println!("skipped: cargo deny is not installed; `cargo install --locked cargo-deny` brings it");
    Ok(())
}
