//! How a benchmark measures and prints.
//!
//! A benchmark here answers one question: what does ours cost beside a peer that does the least that could be
//! done? Machines are noisy, so both are measured in turn, round by round, and a ratio is that of two
//! neighbours in time. Medians are taken over the rounds: a round that the machine spent elsewhere counts as
//! much as any other, which is little.
//!
//! Each result is one line, for people and for scripts:
//!
//! ```text
//! figure acme/sign_serialize 19800 ns peer=ring ratio=1.03
//! ```

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What an operation costs, in nanoseconds of one execution.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::exhaustive_structs)] // Two clocks are all that we look at.
pub struct Cost {
    /// By the clock on the wall.
    pub wall: f64,
    /// By the processor's time that this thread had.
    pub cpu: f64,
}

/// What ours costs beside the peer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::exhaustive_structs)] // The answer to one question, whole.
pub struct Comparison {
    /// Ours: the median of the rounds.
    pub ours: Cost,
    /// Ours over the peer's: the median of the rounds' ratios. Without a unit.
    pub ratio: Cost,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Plain numbers.
pub struct Effort {
    /// How many rounds count; one more comes first and does not.
    pub rounds: usize,
    /// How many executions a round has of each: enough for some milliseconds, so that reading the clocks does
    /// not count.
    pub executions: u32,
}

/// Measures ours and the peer in turn. Who goes first changes from round to round.
pub fn compare(effort: Effort, mut ours: impl FnMut(), mut peer: impl FnMut()) -> Comparison {
    let mut costs = Vec::with_capacity(effort.rounds);
    let mut ratios = Vec::with_capacity(effort.rounds);
    for round in 0..=effort.rounds {
        let (cost, other) = if round % 2 == 0 {
            let cost = measure(effort.executions, &mut ours);
            (cost, measure(effort.executions, &mut peer))
        } else {
            let other = measure(effort.executions, &mut peer);
            (measure(effort.executions, &mut ours), other)
        };
        if round > 0 {
            costs.push(cost);
            ratios.push(Cost { wall: cost.wall / other.wall, cpu: cost.cpu / other.cpu });
        }
    }
    Comparison { ours: medians(&costs), ratio: medians(&ratios) }
}

/// What one execution costs on average, over so many in a row.
pub fn measure(executions: u32, operation: &mut impl FnMut()) -> Cost {
    let (wall, cpu) = (read(ClockId::Monotonic), read(ClockId::ThreadCPUTime));
    for _ in 0..executions {
        operation();
    }
    let (wall, cpu) = (read(ClockId::Monotonic) - wall, read(ClockId::ThreadCPUTime) - cpu);
    Cost { wall: wall / f64::from(executions), cpu: cpu / f64::from(executions) }
}

/// What this process has used up to a moment, or between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Two clocks are all that we look at.
pub struct Usage {
    /// By the clock on the wall.
    pub wall: Duration,
    /// By the processor's time that all threads of the process had.
    pub cpu: Duration,
}

impl Usage {
    /// What was used from that moment to this one.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self { wall: self.wall.saturating_sub(before.wall), cpu: self.cpu.saturating_sub(before.cpu) }
    }
}

/// What this process has used by now.
#[must_use]
pub fn usage() -> Usage {
    let time = |clock| {
        let time = clock_gettime(clock);
        Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
    };
    Usage { wall: time(ClockId::Monotonic), cpu: time(ClockId::ProcessCPUTime) }
}

/// Prints a comparison as two figures: `NAME` by the wall clock and `NAME_cpu` by the processor's.
pub fn print_comparison(name: &str, peer: &str, comparison: &Comparison) {
    print_figure(name, comparison.ours.wall, peer, comparison.ratio.wall);
    print_figure(&format!("{name}_cpu"), comparison.ours.cpu, peer, comparison.ratio.cpu);
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_figure(name: &str, nanoseconds: f64, peer: &str, ratio: f64) {
    println!("figure {name} {nanoseconds:.0} ns peer={peer} ratio={ratio:.3}");
}

fn medians(costs: &[Cost]) -> Cost {
    Cost {
        wall: median(costs.iter().map(|cost| cost.wall).collect()),
        cpu: median(costs.iter().map(|cost| cost.cpu).collect()),
    }
}

/// The middle value; the mean of the two in the middle of an even count; zero of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 }
}

/// A clock, in nanoseconds. A day has fewer of them than `f64` has exact integers.
fn read(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    #[expect(clippy::cast_precision_loss, reason = "seconds since boot, and less than a milliard")]
    let (seconds, nanoseconds) = (time.tv_sec as f64, time.tv_nsec as f64);
    seconds * 1e9 + nanoseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wild_round_does_not_move_the_median() {
        assert!((median(vec![3.0, 1e9, 2.0]) - 3.0).abs() < f64::EPSILON);
        assert!((median(vec![1.0, 2.0, 3.0, 1e9]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }

    #[test]
    fn every_round_runs_both_and_the_first_does_not_count() {
        let (mut ours, mut peer) = (0, 0);
        let effort = Effort { rounds: 4, executions: 3 };
        compare(effort, || ours += 1, || peer += 1);
        assert_eq!((ours, peer), (15, 15));
    }
}
