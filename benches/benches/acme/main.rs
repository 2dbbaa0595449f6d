//! What does an ACME client cost: a request, an answer, an issuance?
//!
//! - `acme/sign_serialize`: one signed request beside the bare signature of ring. At most 1.05; with `_text`
//!   behind, the same for a request whose payload is there as text.
//! - `acme/parse_…`: an answer read beside the same bytes read by serde alone.
//! - `acme/requests_…`: how many requests an issuance takes, beside the fewest that RFC 8555 allows.
//! - `acme/issuance_…`: the processor time and the memory of a whole issuance, beside `instant-acme`'s.
//!
//! Names say the case: `cold` is a process without an account, `known` one that kept its account, `daemon` one
//! that has issued before, and `ready` the same while all authorizations are still valid. The number behind is
//! that of names. See each file's head for what is counted, and what is not.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Builder;

mod authority;
mod issuance;
mod ours;
mod parse;
mod peer;
mod pki;
mod requests;
mod sign;

/// Counts what is allocated, in ours and in peers alike. It costs both a few nanoseconds an allocation.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A stopped clock: sleeps pass at once.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    sign::figures()?;
    parse::figures()?;
    requests::figures(&runtime)?;
    issuance::figures(&runtime)
}
