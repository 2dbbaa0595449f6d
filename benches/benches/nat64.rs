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
    let prefixes: [Prefix; 2] = ["64:ff9b::/96".parse()?, "2001:db8:122::/48".parse()?];
    let slowest = |operation: &mut dyn FnMut(Prefix)| {
        prefixes.map(|prefix| cost(|| operation(prefix))).into_iter().fold(0.0, f64::max)
    };
    print(
        "nat64/synthesize",
        slowest(&mut |prefix| _ = black_box(black_box(prefix).synthesize(black_box(v4)))),
    );
    print(
        "nat64/extract",
        slowest(&mut |prefix| {
            let v6 = black_box(prefix.embed(v4));
            _ = black_box(black_box(prefix).extract(v6));
        }),
    );
    Ok(())
}

/// Nanoseconds of one execution: the median of the rounds.
fn cost(mut operation: impl FnMut()) -> f64 {
    median((0..EFFORT.rounds).map(|_| measure(EFFORT.executions, &mut operation).cpu).collect())
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print(name: &str, nanoseconds: f64) {
    println!("figure {name} {nanoseconds:.2} ns");
}
