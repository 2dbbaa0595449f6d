//! When which question has waited long enough: a wheel, since many thousands of timers are set and few expire.

use std::time::Duration;

use super::Key;

/// Timers by the tick in which they expire. One that is no longer wanted is left in, and found stale.
pub(super) struct Wheel {
    slots: Vec<Vec<Key>>,
    /// The first tick that has not been expired yet.
    tick: u64,
    set: usize,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), tick: 0, set: 0 }
    }

    /// Sets a timer. What lies further ahead than the wheel reaches expires too early; whoever set it looks
    /// at the time, and sets it anew.
    pub(super) fn set(&mut self, now: Duration, due: Duration, key: Key) {
        if self.set == 0 {
            self.tick = ticks(now);
        }
        let due = ticks(due).saturating_add(1).clamp(self.tick, self.tick + SLOTS - 1);
        if let Some(slot) = self.slot(due) {
            slot.push(key);
            self.set += 1;
        }
    }

    /// When to look again; too early rather than too late.
    pub(super) fn next(&self) -> Option<Duration> {
        if self.set == 0 {
            return None;
        }
        let filled = |tick: &u64| self.slots.get(index(*tick)).is_some_and(|slot| !slot.is_empty());
        (self.tick..self.tick + SLOTS)
            .find(filled)
            .map(|tick| Duration::from_millis(TICK.saturating_mul(tick)))
    }

    /// Moves to `expired` what was due by now.
    pub(super) fn expire(&mut self, now: Duration, expired: &mut Vec<Key>) {
        let reached = ticks(now);
        while self.set > 0 && self.tick <= reached {
            if let Some(slot) = self.slot(self.tick) {
                let before = expired.len();
                expired.append(slot);
                self.set -= expired.len() - before;
            }
            self.tick += 1;
        }
    }

    fn slot(&mut self, tick: u64) -> Option<&mut Vec<Key>> {
        self.slots.get_mut(index(tick))
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / u128::from(TICK)).unwrap_or(u64::MAX / 2)
}

fn index(tick: u64) -> usize {
    usize::try_from(tick % SLOTS).unwrap_or_default()
}

/// In milliseconds. A question waits for tens of them at least; so much more does not matter.
const TICK: u64 = 8;
/// Two seconds of ticks, longer than a try of an authoritative server lasts.
const SLOTS: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn expired(wheel: &mut Wheel, now: Duration) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.expire(now, &mut keys);
        keys.iter().map(|key| key.index).collect()
    }

    #[test]
    fn timers_expire_in_their_tick_and_none_before_its_time() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(), None);
        let key = |index| Key { index, serial: 0 };
        let start = Duration::from_secs(3_600);
        wheel.set(start, start + millis(400), key(1));
        wheel.set(start, start + millis(100), key(2));
        wheel.set(start, start + millis(99), key(3));
        assert!(expired(&mut wheel, start + millis(99)).is_empty());
        let next = wheel.next().unwrap();
        assert!((millis(100)..millis(117)).contains(&(next - start)), "{next:?}");
        assert_eq!(expired(&mut wheel, start + millis(117)), [2, 3]);
        assert_eq!(expired(&mut wheel, start + Duration::from_secs(9_999)), [1]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_program_that_runs_for_years_has_timers_still() {
        let mut wheel = Wheel::new();
        let start = Duration::from_secs(10 * 365 * 86_400);
        wheel.set(start, start + millis(100), Key { index: 7, serial: 0 });
        let next = wheel.next().unwrap();
        assert!((millis(100)..millis(117)).contains(&(next - start)), "{next:?}");
    }

    #[test]
    fn what_is_far_away_is_looked_at_on_the_way() {
        let mut wheel = Wheel::new();
        wheel.set(Duration::ZERO, Duration::from_secs(60), Key { index: 7, serial: 0 });
        assert!(expired(&mut wheel, millis(1_900)).is_empty());
        assert_eq!(expired(&mut wheel, millis(2_100)), [7]);
    }
}
