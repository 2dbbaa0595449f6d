//! What does it cost to read an answer?
//!
//! Ours: every field into its own type, unknown ones kept, texts made fit to be shown, URLs checked. The peer:
//! serde alone, the same bytes into a `Value`. A megabyte a second is a thousand bytes a millisecond.

use std::{error::Error, hint::black_box};

use perennial_acme::{Directory, OrderState, Problem};
use perennial_benches::{Effort, compare, print_comparison};
use serde_json::Value;

use crate::authority;

pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    let names: Vec<_> = (0..100).map(|index| format!("host-{index}.example.com")).collect();
    let directory = authority::directory().to_string();
    let order = authority::order("pending", &names).to_string();
    let problem = authority::problem(names.get(..5).unwrap_or_default()).to_string();
    figure("acme/parse_directory", &directory, |bytes| _ = black_box(Directory::parse(bytes)));
    figure("acme/parse_order_100", &order, |bytes| _ = black_box(OrderState::parse(bytes)));
    figure("acme/parse_problem", &problem, |bytes| _ = black_box(Problem::parse(bytes)));
    Ok(())
}

fn figure(name: &str, text: &str, parse: impl Fn(&[u8])) {
    let bytes = text.as_bytes();
    // About a quarter of a megabyte a round: some milliseconds.
    let executions = u32::try_from(250_000 / bytes.len()).unwrap_or(1);
    let comparison = compare(
        Effort { rounds: 51, executions },
        || parse(black_box(bytes)),
        || _ = black_box(serde_json::from_slice::<Value>(black_box(bytes))),
    );
    print_comparison(name, "serde_json", &comparison);
    print_throughput(name, bytes.len(), comparison.ours.cpu);
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_throughput(name: &str, bytes: usize, nanoseconds: f64) {
    #[expect(clippy::cast_precision_loss, reason = "an answer has less than 2^53 bytes")]
    let megabytes = bytes as f64 * 1e3 / nanoseconds;
    println!("figure {name}_throughput {megabytes:.1} MB/s of {bytes} bytes");
}
