//! `cargo xtask check`: formatting, lints and documentation.

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
    fuzz_targets()
}

/// The part that takes no time.
pub(crate) fn formatting() -> Result<(), Error> {
    shell::run(shell::cargo(["fmt", "--all", "--check"]))
}

/// The fuzz targets are a workspace of their own; they must at least compile.
fn fuzz_targets() -> Result<(), Error> {
    let manifest = "fuzz/Cargo.toml";
    if !shell::root().join(manifest).is_file() {
        return Ok(());
    }
    if let Err(reason) = shell::read(shell::cargo(["fetch", "--manifest-path", manifest])) {
        println!("skipped: the fuzz targets: {reason}");
        return Ok(());
    }
    shell::run(shell::cargo(["check", "--manifest-path", manifest]))
}
