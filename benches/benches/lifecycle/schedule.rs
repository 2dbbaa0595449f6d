//! What does a timer for each of ten million certificates cost?
//!
//! The moments lie at random in sixty days, as those of a fleet of ninety-day certificates do; the indexes are
//! dense. Each structure is filled, a tenth of its entries is moved to other random moments, and a tenth is
//! taken out in the order of time. Bytes are what is allocated afterwards, counted by the allocator; times are
//! the processor's.
//!
//! The `BTreeMap` has a vector beside it that knows each index's moment, and the queue one with each index's key:
//! without them nothing could be moved.

use std::{
    collections::BTreeMap,
    error::Error,
    hint::black_box,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use perennial_benches::{Cost, measure};
use perennial_core::Timestamp;
use perennial_lifecycle::schedule::Schedule;
use stats_alloc::Region;
use tokio::runtime::Builder;
use tokio_util::time::{DelayQueue, delay_queue::Key};

pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    for (entries, suffix) in [(1_000_000, "_1m"), (10_000_000, "")] {
        let ours = costs(entries, || Schedule::with_capacity(entries as usize));
        let map = costs(entries, Sorted::default);
        // A stopped clock, which the queue needs to be told that time has passed.
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let queue = {
            let _inside = runtime.enter();
            costs(entries, || Delayed::new(&runtime, entries as usize))
        };
        let build = if suffix.is_empty() { "schedule_build_10m" } else { "schedule_build_1m" };
        print(&format!("schedule_bytes{suffix}"), "bytes", 2, [ours.bytes, queue.bytes, map.bytes]);
        print(build, "ms", 1, [ours.build, queue.build, map.build].map(|nanoseconds| nanoseconds / 1e6));
        print(&format!("schedule_move{suffix}"), "ns", 0, [ours.change, queue.change, map.change]);
        print(&format!("schedule_pop{suffix}"), "ns", 0, [ours.pop, queue.pop, map.pop]);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print(name: &str, unit: &str, digits: usize, [ours, queue, map]: [f64; 3]) {
    println!(
        "figure lifecycle/{name} {ours:.digits$} {unit} DelayQueue={queue:.digits$} BTreeMap={map:.digits$}"
    );
}

struct Costs {
    bytes: f64,
    build: f64,
    change: f64,
    pop: f64,
}

/// What can be asked of a set of timers.
trait Timers {
    fn set(&mut self, index: u32, second: u32);
    /// The next one of all: everything is due.
    fn pop(&mut self) -> Option<u32>;
}

fn costs<T: Timers>(entries: u32, empty: impl FnOnce() -> T) -> Costs {
    let nothing = Region::new(crate::ALLOCATOR);
    let mut timers = empty();
    let build = measure(1, &mut || {
        for index in 0..entries {
            timers.set(index, moment(index.into()));
        }
    });
    let filled = nothing.change();
    let (tenth, mut index) = (entries / 10, 0);
    let change = measure(tenth, &mut || {
        index += 1;
        let which = scatter(u64::from(index)) % u64::from(entries);
        timers.set(u32::try_from(which).unwrap_or(0), moment(u64::from(entries + index)));
    });
    let pop = measure(tenth, &mut || {
        black_box(timers.pop());
    });
    #[expect(clippy::cast_precision_loss, reason = "fewer bytes than an `f64` has exact integers")]
    let bytes = (filled.bytes_allocated - filled.bytes_deallocated) as f64 / f64::from(entries);
    Costs { bytes, build: cpu(build), change: cpu(change), pop: cpu(pop) }
}

const fn cpu(cost: Cost) -> f64 {
    cost.cpu
}

/// Sixty days, in seconds.
const SPAN: u64 = 60 * 86_400;
/// When the sixty days begin.
const EPOCH: u32 = 1_800_000_000;

pub(crate) fn moment(number: u64) -> u32 {
    EPOCH + u32::try_from(scatter(number) % SPAN).unwrap_or(0)
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers in every run.
pub(crate) const fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Timers for Schedule {
    fn set(&mut self, index: u32, second: u32) {
        self.set(index, Timestamp::from_unix(second.into()));
    }

    fn pop(&mut self) -> Option<u32> {
        self.pop(Timestamp::MAX)
    }
}

/// The standard library's answer.
#[derive(Default)]
struct Sorted {
    order: BTreeMap<(u32, u32), ()>,
    moments: Vec<u32>,
}

impl Timers for Sorted {
    fn set(&mut self, index: u32, second: u32) {
        match self.moments.get_mut(index as usize) {
            Some(known) => {
                self.order.remove(&(*known, index));
                *known = second;
            }
            None => self.moments.push(second),
        }
        self.order.insert((second, index), ());
    }

    fn pop(&mut self) -> Option<u32> {
        self.order.pop_first().map(|((_, index), ())| index)
    }
}

/// What a program over tokio would take.
struct Delayed<'a> {
    runtime: &'a tokio::runtime::Runtime,
    queue: DelayQueue<u32>,
    keys: Vec<Key>,
    advanced: bool,
}

impl<'a> Delayed<'a> {
    fn new(runtime: &'a tokio::runtime::Runtime, entries: usize) -> Self {
        let (queue, keys) = (DelayQueue::with_capacity(entries), Vec::with_capacity(entries));
        Self { runtime, queue, keys, advanced: false }
    }
}

impl Timers for Delayed<'_> {
    fn set(&mut self, index: u32, second: u32) {
        let after = Duration::from_secs(u64::from(second - EPOCH));
        match self.keys.get(index as usize) {
            Some(key) => self.queue.reset(key, after),
            None => self.keys.push(self.queue.insert(index, after)),
        }
    }

    fn pop(&mut self) -> Option<u32> {
        if !self.advanced {
            self.runtime.block_on(tokio::time::advance(Duration::from_secs(SPAN)));
            self.advanced = true;
        }
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.queue).poll_expired(&mut context) {
            Poll::Ready(Some(expired)) => Some(expired.into_inner()),
            _ => None,
        }
    }
}
