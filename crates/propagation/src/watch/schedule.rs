//! How long to wait between two sweeps.

use std::time::Duration;

/// Gaps between sweeps: 250 ms for the first 10 s, then each 1.3 times the last, up to 5 s; every gap is
/// varied by up to a fifth either way.
///
/// The flat beginning finds a change within 125 ms on average at the price of 40 questions, in the time in
/// which most zones change; at the cap a slow zone costs 12 questions a minute and address. The variation
/// keeps many watches from asking in step. It moves each sweep about its place on an even grid and does not add
/// up, so that 10 s never hold more than 42 of them.
#[derive(Clone, Debug)]
pub struct Schedule {
    base: Duration,
    state: u64,
    /// Where the last sweep lay beside its place, in parts of the gap.
    beside: f64,
}

const FIRST: Duration = Duration::from_millis(250);
/// How long sweeps follow each other evenly.
pub(super) const FLAT: Duration = Duration::from_secs(10);
const CAP: Duration = Duration::from_secs(5);
const GROWTH: f64 = 1.3;
const JITTER: f64 = 0.2;

impl Schedule {
    /// A schedule whose variation is drawn from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { base: FIRST, state: seed, beside: 0.0 }
    }

    /// The wait after a sweep at `now`.
    #[must_use]
    pub fn gap(&mut self, now: Duration) -> Duration {
        if now >= FLAT {
            self.base = self.base.mul_f64(GROWTH).min(CAP);
        }
        let beside = JITTER * (self.random() - 0.5);
        let gap = self.base.mul_f64(1.0 + beside - self.beside);
        self.beside = beside;
        gap
    }

    /// The longest that the last gap could have been.
    pub(super) fn longest_gap(&self) -> Duration {
        self.base.mul_f64(1.0 + JITTER)
    }

    /// Begins again with the short gaps.
    pub(super) const fn restart(&mut self) {
        self.base = FIRST;
    }

    /// From 0 to 1: SplitMix64 (Steele, Lea, Flood, 2014). Jitter needs no secrecy, only to be repeatable.
    fn random(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // 53 bits are what a double holds exactly.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn within(gap: Duration, base: Duration) -> bool {
        gap >= base.mul_f64(0.79) && gap <= base.mul_f64(1.21)
    }

    proptest! {
        #[test]
        fn gaps_are_flat_then_grow_to_the_cap(seed: u64) {
            let mut schedule = Schedule::new(seed);
            let (mut now, mut sweeps) = (Duration::ZERO, 0);
            while now < FLAT {
                let gap = schedule.gap(now);
                prop_assert!(within(gap, FIRST), "{gap:?}");
                now += gap;
                sweeps += 1;
            }
            prop_assert!((39..=42).contains(&sweeps), "{sweeps} sweeps in the flat part");
            let mut base = FIRST;
            for _ in 0..40 {
                base = base.mul_f64(GROWTH).min(CAP);
                let gap = schedule.gap(now);
                prop_assert!(within(gap, base), "{gap:?} is not near {base:?}");
                now += gap;
            }
            prop_assert_eq!(base, CAP);
        }
    }

    #[test]
    fn equal_seeds_make_equal_schedules() {
        let (mut one, mut same, mut other) = (Schedule::new(1), Schedule::new(1), Schedule::new(2));
        let first = one.gap(Duration::ZERO);
        assert_eq!(first, same.gap(Duration::ZERO));
        assert_ne!(first, other.gap(Duration::ZERO));
    }
}
