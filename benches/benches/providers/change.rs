//! What does one change cost?
//!
//! Ours: [`engine::apply`] with one value that is added, and with the same value that is removed, in turn; the
//! zone is known, as it is after the first change. With it goes all that a provider does: planning, the vendor's
//! rate, signing, writing requests and reading answers. HTTP goes to a tape in this process that answers as the
//! fakes do ([`crate::tape`]), so there is neither network nor TLS in it. Dynamic updates have no such seam: they
//! go over UDP on loopback to a server in a thread of its own, and what is counted is our thread's, with the
//! system's share of sending and receiving.
//!
//! The peer: as many requests of the same sort by hand, in the fewest words. See each provider's file.

use std::{error::Error, future::Future, hint::black_box};

use perennial_benches::{Comparison, Effort, compare, print_comparison};
use perennial_core::DomainName;
use perennial_providers::{Change, DnsProvider, engine};
use tokio::runtime::Runtime;

use crate::{NAME, VALUE, cloudflare, rfc2136, route53, tape::Tape};

pub(crate) fn figures(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let rows = [
        ("cloudflare", cloudflare::compared(runtime)?),
        ("rfc2136", rfc2136::compared(runtime)?),
        ("route53", route53::compared(runtime)?),
    ];
    for (name, comparison) in &rows {
        print_comparison(&format!("providers/change_{name}"), "by_hand", comparison);
    }
    let dearest = rows.iter().max_by(|(_, a), (_, b)| a.ours.cpu.total_cmp(&b.ours.cpu));
    if let Some((name, comparison)) = dearest {
        print_largest(name, comparison.ours.cpu);
    }
    Ok(())
}

/// Half of the executions of a round add, the others remove: a round has some milliseconds of each.
const EFFORT: Effort = Effort { rounds: 51, executions: 200 };

/// Compares changes by a provider with what is done by hand, once for each change.
pub(crate) fn compared<F: Future>(
    runtime: &Runtime,
    provider: &dyn DnsProvider,
    by_hand: impl Fn(Step) -> F,
) -> Result<Comparison, Box<dyn Error>> {
    let name: DomainName = NAME.parse()?;
    let changes = [[Change::add(name.clone(), VALUE)], [Change::remove(name, VALUE)]];
    let (mut ours, mut peers) = (Step::default(), Step::default());
    Ok(compare(
        EFFORT,
        || {
            let [add, remove] = &changes;
            let change = if ours.next() == Step::Add { add } else { remove };
            let applied = runtime.block_on(engine::apply(provider, black_box(change)));
            assert!(applied.is_ok(), "{applied:?}");
        },
        || _ = black_box(runtime.block_on(by_hand(peers.next()))),
    ))
}

/// Lets a tape hear one value added and removed, and play that from now on.
pub(crate) fn record(
    runtime: &Runtime,
    provider: &dyn DnsProvider,
    tape: &Tape,
) -> Result<(), Box<dyn Error>> {
    let name: DomainName = NAME.parse()?;
    for change in [Change::add(name.clone(), VALUE), Change::remove(name, VALUE)] {
        runtime.block_on(engine::apply(provider, &[change]))?;
    }
    tape.rewind();
    Ok(())
}

/// What is done in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    #[default]
    Add,
    Remove,
}

impl Step {
    /// This one, and then the other.
    const fn next(&mut self) -> Self {
        let step = *self;
        *self = match step {
            Self::Add => Self::Remove,
            Self::Remove => Self::Add,
        };
        step
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_largest(name: &str, nanoseconds: f64) {
    println!("figure providers/change_cpu {:.1} us of {name} limit=50", nanoseconds / 1e3);
}
