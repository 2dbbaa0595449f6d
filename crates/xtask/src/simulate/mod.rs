//! `cargo xtask simulate`: years of a fleet in virtual time, with everything that goes wrong in years.
//!
//! The deciding code is the real one: `decide`, the ladder, budgets, the schedule and the queue of
//! `perennial-lifecycle`. The world is made up: CAs that are down for days or say 429, a DNS provider that is down
//! for a week, clocks that jump, processes that die, lifetimes that shrink by decree. The same seed gives the same
//! years, to the last event.

mod authority;
mod certificate;
mod engine;
mod fleet;
pub(crate) mod random;
mod tally;
mod trouble;

use std::time::Duration;

use crate::{Error, shell};

use engine::Engine;
use fleet::Fleet;
use tally::Tally;
use trouble::Troubles;

/// `cargo xtask simulate`
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Arguments {
    /// How many certificates
    #[arg(long, default_value_t = 100_000)]
    certificates: u32,
    /// How many years
    #[arg(long, default_value_t = 2)]
    years: u32,
    /// Which fate; the same one gives the same years
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Lives through the years and says what became of the fleet; an error when a promise was broken.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    if cfg!(debug_assertions) {
        return run_optimized(arguments);
    }
    let watch = shell::Stopwatch::start();
    let tally = live(arguments);
    let broken = tally.broken();
    let Arguments { certificates, years, seed } = arguments;
    println!("simulate: {certificates} certificates, {years} years, seed {seed}");
    tally.print();
    println!("simulate: took {:.1} s", watch.read().as_secs_f32());
    for promise in &broken {
        println!("simulate: BROKEN with seed {seed}: {promise}");
    }
    if broken.is_empty() { Ok(()) } else { Err(Error::Simulated { seed: *seed, broken: broken.len() }) }
}

/// The same in an optimized build: a year of a million certificates is an hour's work for any other.
fn run_optimized(Arguments { certificates, years, seed }: &Arguments) -> Result<(), Error> {
    let numbers = [certificates.to_string(), years.to_string(), seed.to_string()];
    let [certificates, years, seed] = numbers.each_ref().map(String::as_str);
    let program = ["run", "--quiet", "--release", "--package", "xtask", "--", "simulate"];
    let options = ["--certificates", certificates, "--years", years, "--seed", seed];
    shell::run(shell::cargo(program.into_iter().chain(options)))
}

fn live(arguments: &Arguments) -> Tally {
    let span = Duration::from_secs(u64::from(arguments.years) * 365 * 86_400);
    let fleet = Fleet::new(arguments.certificates, span, arguments.seed);
    let troubles = Troubles::new(span, arguments.seed);
    Engine::new(fleet, troubles, span).live()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_fleet_lives_for_a_year_and_the_same_seed_gives_the_same_years() {
        let arguments = Arguments { certificates: 300, years: 1, seed: 7 };
        let (first, second) = (live(&arguments), live(&arguments));
        assert_eq!(first.broken(), Vec::<String>::new());
        assert_eq!(first.digest(), second.digest());
        assert_ne!(first.digest(), live(&Arguments { seed: 8, ..arguments }).digest());
    }
}
