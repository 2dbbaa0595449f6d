//! The examples are run, not only compiled.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod account;
mod dns_record;
mod issue;
mod propagation;
mod readme;

/// Examples are built beside the tests: `target/debug/examples`.
fn example(name: &str) -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name)
}
