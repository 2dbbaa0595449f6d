//! What does a change of a DNS record cost, apart from the network?
//!
//! - `providers/change_…`: one value added or removed, on average, beside the same requests made by hand;
//!   `providers/change_cpu` is the processor time of the dearest, at most 50 µs.
//! - `providers/requests_…_50`: the requests that add two values at fifty names of one zone, beside the fewest
//!   that the vendor's way of writing allows.
//!
//! See each file's head for what is counted, and what is not.

use tokio::runtime::Builder;

mod change;
mod cloudflare;
mod requests;
mod rfc2136;
mod route53;
mod tape;

/// Where all of it happens.
const ZONE: &str = "example.com";

/// A name, and a value as long as a challenge's is (RFC 8555 §8.4).
const NAME: &str = "_acme-challenge.www.example.com";
const VALUE: &str = "gfj9Xq_Rg85nM-gfj9Xq_Rg85nM-gfj9Xq_Rg85nM-0";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    change::figures(&runtime)?;
    requests::figures(&runtime)
}
