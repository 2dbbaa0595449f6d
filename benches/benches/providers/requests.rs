//! How many requests do two values at each of fifty names take?
//!
//! All of one zone, which is known. At Cloudflare one batch, at Route 53 one change, and one update by RFC 2136 are
//! the least that these interfaces allow. Asking whether the change has arrived is not counted: how often that is
//! done is the caller's.

use std::error::Error;

use perennial_core::DomainName;
use perennial_providers::{Change, DnsProvider, engine};
use tokio::runtime::Runtime;

use crate::{ZONE, cloudflare, rfc2136::Primary, route53};

pub(crate) fn figures(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let changes = changes()?;
    let apply = |provider: &dyn DnsProvider| runtime.block_on(engine::apply(provider, &changes)).map(drop);

    let tape = cloudflare::tape();
    apply(&cloudflare::provider(&tape)?)?;
    print("cloudflare", tape.answers());

    let primary = Primary::start()?;
    apply(&primary.provider()?)?;
    print("rfc2136", primary.server.queries().len());

    let tape = route53::tape();
    apply(&route53::provider(&tape)?)?;
    print("route53", tape.answers());
    Ok(())
}

fn changes() -> Result<Vec<Change>, Box<dyn Error>> {
    let mut changes = Vec::new();
    for number in 0..50 {
        let name: DomainName = format!("_acme-challenge.host{number:02}.{ZONE}").parse()?;
        // As long as a challenge's value is.
        changes.extend(["base", "wildcard"].map(|word| Change::add(name.clone(), format!("{word:-<43}"))));
    }
    Ok(changes)
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print(provider: &str, requests: usize) {
    println!("figure providers/requests_{provider}_50 {requests} requests minimum=1");
}
