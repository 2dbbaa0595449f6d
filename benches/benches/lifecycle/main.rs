//! What does it cost to keep a million certificates in mind?
//!
//! - `lifecycle/schedule_…`: one timer a certificate, beside tokio-util's `DelayQueue` and a `BTreeMap`: bytes an
//!   entry, at most 16; the milliseconds that it takes to set all, at most 500 for ten million; nanoseconds to
//!   take the next one that is due and to move one, at most 500.
//! - `lifecycle/decide`: what to do about one certificate, at most 200 ns.
//! - `lifecycle/postgres_claims_per_second`: due certificates that four clients of one PostgreSQL claim, at least
//!   30 000, none of them twice.
//! - `lifecycle/resident_bytes`: what an open file store takes for each certificate, at most 160.
//! - `lifecycle/cold_start_1m`: the milliseconds from nothing to the first claims of a file store with a million
//!   certificates, at most 1500.
//! - `lifecycle/metrics_bytes`, `lifecycle/scrape_…`: what it costs to show them to Prometheus.
//!
//! See each file's head for what is counted, and what is not.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

mod decide;
mod metrics;
mod postgres;
mod schedule;
mod store;

/// Counts what is allocated, in ours and in peers alike. It costs both a few nanoseconds an allocation.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    decide::figures()?;
    metrics::figures(&decide::facts()?)?;
    schedule::figures()?;
    store::figures()?;
    postgres::figures()
}
