//! What goes wrong in the world, and when.

use std::time::Duration;

use super::{fleet::Ca, random::Random};

pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 24 * HOUR;

/// When the simulated years begin: before the first decree that shortens lifetimes.
pub(super) const BEGIN: i64 = 1_796_083_200; // 2026-12-01

/// A stretch of true time.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: i64,
    to: i64,
}

impl Stretch {
    const fn has(&self, at: i64) -> bool {
        at >= self.from && at < self.to
    }
}

/// Everything that will go wrong.
pub(super) struct Troubles {
    /// For each CA.
    outages: [Vec<Stretch>; 4],
    /// When the CAs answer 429 to everybody.
    crowded: [Vec<Stretch>; 4],
    /// The DNS provider with this number.
    providers: Vec<(u8, Stretch)>,
    /// By how much the engine's clock is wrong.
    clock: Vec<(Stretch, i64)>,
    /// When the process dies, and is there again.
    deaths: Vec<Stretch>,
}

impl Troubles {
    pub(super) fn new(span: Duration, seed: u64) -> Self {
        let end = BEGIN + i64::try_from(span.as_secs()).unwrap_or(0);
        let stretches = |purpose, pause: (i64, i64), length: (i64, i64)| {
            let mut random = Random::new(seed, purpose);
            let (mut at, mut stretches) = (BEGIN, Vec::new());
            loop {
                let from = at + random.between(pause.0, pause.1);
                let to = from + random.between(length.0, length.1);
                if to >= end {
                    return stretches;
                }
                stretches.push(Stretch { from, to });
                at = to;
            }
        };
        let mut outages = [1, 2, 3, 4].map(|ca| stretches(ca, (40 * DAY, 90 * DAY), (12 * HOUR, 6 * DAY)));
        // Twice a year everybody is cut off.
        for dark in stretches(5, (120 * DAY, 200 * DAY), (4 * HOUR, 20 * HOUR)) {
            outages.iter_mut().for_each(|outages| outages.push(dark));
        }
        let mut random = Random::new(seed, 6);
        let wrong = stretches(7, (20 * DAY, 60 * DAY), (HOUR, 8 * HOUR)).into_iter();
        let clock = wrong.map(|stretch| {
            let by = random.between(10 * 60, 26 * HOUR);
            (stretch, if random.per_mille(500) { by } else { -by })
        });
        let mut random = Random::new(seed, 8);
        let weeks = stretches(9, (100 * DAY, 150 * DAY), (7 * DAY, 7 * DAY + 1)).into_iter();
        Self {
            crowded: [11, 12, 13, 14].map(|ca| stretches(ca, (20 * DAY, 40 * DAY), (HOUR, 5 * HOUR))),
            providers: weeks.map(|week| (u8::try_from(random.between(1, 8)).unwrap_or(1), week)).collect(),
            clock: clock.collect(),
            deaths: stretches(10, (2 * DAY, 16 * DAY), (60, 2 * HOUR)),
            outages,
        }
    }

    pub(super) fn is_down(&self, ca: Ca, at: i64) -> bool {
        self.outages[ca as usize].iter().any(|outage| outage.has(at))
    }

    pub(super) fn is_crowded(&self, ca: Ca, at: i64) -> bool {
        self.crowded[ca as usize].iter().any(|crowd| crowd.has(at))
    }

    pub(super) fn is_provider_down(&self, provider: u8, at: i64) -> bool {
        self.providers.iter().any(|(down, week)| *down == provider && week.has(at))
    }

    /// What the engine's clock shows.
    pub(super) fn wall(&self, at: i64) -> i64 {
        at + self.clock.iter().find(|(stretch, _)| stretch.has(at)).map_or(0, |(_, by)| *by)
    }

    pub(super) fn is_dead(&self, at: i64) -> bool {
        self.deaths.iter().any(|death| death.has(at))
    }

    /// For how much of a stretch one of the CAs could be reached, and the provider.
    pub(super) fn reachable(&self, cas: [Ca; 2], provider: u8, from: i64, to: i64) -> i64 {
        let step = 10 * 60;
        let usable = |at: &i64| {
            let there = |ca| !self.is_down(ca, *at) && !self.is_crowded(ca, *at);
            !self.is_provider_down(provider, *at) && !self.is_dead(*at) && cas.into_iter().any(there)
        };
        let moments = (0..).map(|n| from + n * step).take_while(|at| *at < to).filter(usable).count();
        i64::try_from(moments).unwrap_or(0) * step
    }
}
