//! The examples are run, not only compiled.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod account;
mod dns_record;
mod http01_service;
mod https_server;
mod issue;
mod propagation;
mod readme;
mod tls_server;

/// Examples are built beside the tests: `target/debug/examples`.
fn example(name: &str) -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name)
}
