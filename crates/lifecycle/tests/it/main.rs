//! The keeper against a small issuer of the test's own, with time that the test holds.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod adoption;
mod budgets;
mod engine;
mod faulty_store;
mod health;
mod hooks;
mod issuer;
mod keeper;
mod mended;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "metrics")]
mod openmetrics;
mod outputs;
#[cfg(feature = "metrics")]
mod promtool;
mod readiness;
mod removal;
mod shared;
mod store;
mod wishes;
