//! What does a whole issuance cost the client, beside `instant-acme`?
//!
//! Both walk from the same names to the same chain: the same account key, the same signing request made
//! beforehand, the same authorizations, the same server in memory, ring under both. Both have issued before
//! (the row `daemon`): directory and account are known. What each sends beyond the fewest requests is its own
//! doing and counts, signature and all.
//!
//! Counted is the time of the processor that the one thread had. The peer sleeps before it looks at its order;
//! here tokio's clock is stopped and its sleeps pass at once, so that neither the wait nor the operating
//! system's timers count. The server's part, which both pay for each request, is not subtracted; it stands in
//! `acme/issuance_server`. Ours reads the chain that it downloads and the peer returns it as text: that counts
//! too. Verifying it is one more step, which the peer does not have: it stands alone, in `acme/verify_chain`.
//!
//! Signatures are most of it. `acme/issuance_signatures` are ours alone beside the peer's whole issuance: the
//! ratio that no client of this protocol with this key can go below.

use std::{error::Error, hint::black_box, sync::Arc};

use perennial_acme::{AccountKey, CertificateChain, Expected, Identifier, Signer as _};
use perennial_benches::{Effort, compare, measure, median, print_comparison};
use stats_alloc::{Region, Stats};
use tokio::runtime::Runtime;

use crate::{
    ALLOCATOR,
    authority::{Authority, Born},
    ours, peer,
    pki::{Certificate, NOON},
};

/// A round has some milliseconds of each.
const EFFORT: Effort = Effort { rounds: 51, executions: 40 };

pub(crate) fn figures(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let key = Arc::new(AccountKey::generate()?);
    row(runtime, &key, "", 1, Born::Pending)?;
    row(runtime, &key, "_10", 10, Born::Pending)?;
    row(runtime, &key, "_ready", 1, Born::Ready)?;
    verify_chain()
}

fn row(
    runtime: &Runtime,
    key: &Arc<AccountKey>,
    suffix: &str,
    count: usize,
    born: Born,
) -> Result<(), Box<dyn Error>> {
    let certificate = Certificate::new(count)?;
    let authority = Authority::new(&certificate.texts(), born, certificate.chain_pem.clone());
    let account = ours::known(&ours::client(&authority)?, key.clone())?;
    let peers_account = runtime.block_on(peer::known(&authority, key))?;
    let ours = || runtime.block_on(ours::issue(&account, &certificate)).map(drop);
    let peers = || runtime.block_on(peer::issue(&peers_account, &certificate)).map(drop);

    // Once each: a failure shows, and from now on both have issued before.
    ours()?;
    peers()?;
    authority.asked();
    let (stats, requests) = (allocations(ours), authority.asked());
    let (peers_stats, peers_requests) = (allocations(peers), authority.asked());
    let name = |figure: &str| format!("acme/issuance{suffix}{figure}");
    print_count(&name("_requests"), "requests", requests, peers_requests);
    print_count(&name("_allocations"), "allocations", calls(&stats), calls(&peers_stats));
    print_count(&name("_memory"), "bytes", stats.bytes_allocated, peers_stats.bytes_allocated);

    let comparison = compare(EFFORT, || _ = black_box(ours()), || _ = black_box(peers()));
    print_comparison(&name(""), "instant-acme", &comparison);
    let message = [0; 400]; // About what a request has.
    let sign = || (0..requests).for_each(|_| _ = black_box(runtime.block_on(key.sign(&message))));
    let comparison = compare(EFFORT, sign, || _ = black_box(peers()));
    print_comparison(&name("_signatures"), "instant-acme", &comparison);
    print_cost(&name("_server"), || (0..requests).for_each(|_| _ = black_box(authority.answer(ORDER))));
    Ok(())
}

/// An answer of middle size.
const ORDER: &str = "/acme/order/123456789/987654321";

/// What a client that means it does with the chain: reads it, and holds it against names, key and clock.
fn verify_chain() -> Result<(), Box<dyn Error>> {
    let certificate = Certificate::new(1)?;
    let identifiers: Vec<Identifier> = certificate.names.iter().map(Identifier::from).collect();
    let expected = Expected { public_key: &certificate.public_key, identifiers: &identifiers, now: NOON };
    let pem = certificate.chain_pem.as_bytes();
    let chain = CertificateChain::parse(pem)?;
    chain.verify(&expected)?;
    print_cost("acme/parse_chain", || _ = black_box(CertificateChain::parse(black_box(pem))));
    print_cost("acme/verify_chain", || _ = black_box(chain.verify(black_box(&expected))));
    Ok(())
}

/// What one execution allocates.
fn allocations(operation: impl Fn() -> Result<(), Box<dyn Error>>) -> Stats {
    let region = Region::new(ALLOCATOR);
    let _ = black_box(operation());
    region.change()
}

const fn calls(stats: &Stats) -> usize {
    stats.allocations + stats.reallocations
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_count(name: &str, unit: &str, ours: usize, peers: usize) {
    #[expect(clippy::cast_precision_loss, reason = "far less than 2^53")]
    let ratio = ours as f64 / peers as f64;
    println!("figure {name} {ours} {unit} peer=instant-acme ratio={ratio:.3}");
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_cost(name: &str, mut operation: impl FnMut()) {
    let costs = (0..EFFORT.rounds).map(|_| measure(EFFORT.executions, &mut operation).cpu).collect();
    println!("figure {name} {:.0} ns", median(costs));
}
