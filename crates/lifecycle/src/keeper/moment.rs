//! A moment from which time is measured.

use std::time::Duration;

use perennial_core::{Clock, Timestamp};

/// A moment by the wall clock and, where there is one, by a clock that only goes on.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    runs: Option<Duration>,
    wall: Timestamp,
}

impl Moment {
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self { runs: clock.monotonic(), wall: clock.now() }
    }

    /// How long ago it was. A wall clock that was set back says nothing, and one that only goes on may stop while the
    /// machine sleeps: whichever saw more is right, unless the wall clock was set ahead.
    pub(super) fn passed(self, clock: &dyn Clock) -> Duration {
        let ran = clock.monotonic().zip(self.runs).map(|(runs, before)| runs.saturating_sub(before));
        clock.now().since(self.wall).max(ran.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_testkit::ManualClock;

    #[test]
    fn what_passes_is_seen_whichever_clock_stood_still() {
        let (from, minute) = (Timestamp::from_unix(1_800_000_000), Duration::from_secs(60));
        let clock = ManualClock::new(from);
        let moment = Moment::now(&clock);
        clock.advance(minute);
        assert_eq!(moment.passed(&clock), minute);
        clock.set(Timestamp::from_unix(0));
        assert_eq!(moment.passed(&clock), minute, "it was set back");
        clock.set(from + minute * 10);
        assert_eq!(moment.passed(&clock), minute * 10, "the machine slept");
    }
}
