//! What does it cost to put an IPv4 address into an IPv6 one, and to take it out again (RFC 6052)?
//!
//! A few shifts, so nanoseconds: this guards against an allocation or a loop that creeps in.

use std::{hint::black_box, net::Ipv4Addr};

use perennial_benches::{Effort, measure, median};
use perennial_propagation::nat64::Prefix;

/// A million additions of nanoseconds are milliseconds, which the clocks can tell.
const EFFORT: Effort = Effort { rounds: 31, executions: 1_000_000 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let v4 = Ipv4Addr::new(8, 8, 8, 8);
    // Both layouts: the address in one piece, and split around the "u" octet.
    let prefixes: [Prefix; 2] = [black_box("64:ff9b::/96").parse()?, black_box("2001:db8:122::/48").parse()?];
    let synthesize = prefixes.map(|prefix| cost(|| _ = black_box(prefix.synthesize(black_box(v4)))));
    let extract = prefixes.map(|prefix| {
        let v6 = prefix.embed(v4);
        cost(|| _ = black_box(prefix.extract(black_box(v6))))
    });
    print("nat64/synthesize", slowest(synthesize));
    print("nat64/extract", slowest(extract));
    Ok(())
}

fn slowest(layouts: [f64; 2]) -> f64 {
    layouts.into_iter().fold(0.0, f64::max)
}

/// Nanoseconds of one execution: the median of the rounds.
fn cost(mut operation: impl FnMut()) -> f64 {
    median((0..EFFORT.rounds).map(|_| measure(EFFORT.executions, &mut operation).cpu).collect())
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print(name: &str, nanoseconds: f64) {
    println!("figure {name} {nanoseconds:.2} ns");
}
