//! Whether the clock on the wall has jumped: it and a clock that only goes on, looked at together.

use std::time::Duration;

use perennial_core::Timestamp;
use serde::Serialize;

/// What the wall clock did between two looks that a monotonic clock did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // A clock goes on or back.
pub enum ClockJump {
    /// It went on by so much more: it was set, or the machine slept, for a monotonic clock may stop meanwhile.
    /// What became due is due; all else stands.
    Ahead(Duration),
    /// It was set back by so much. Nothing was lost, but moments written down since may lie in the future.
    Back(Duration),
}

/// Looks at a wall clock and a monotonic one together and tells when the first has jumped.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_lifecycle::{ClockJump, ClockWatch};
/// use std::time::Duration;
///
/// let (at, seconds) = (Timestamp::from_unix, Duration::from_secs);
/// let mut watch = ClockWatch::new(at(1_800_000_000), seconds(50));
/// assert_eq!(watch.look(at(1_800_000_060), seconds(110)), None);
/// assert_eq!(watch.look(at(1_800_003_720), seconds(170)), Some(ClockJump::Ahead(seconds(3_600))));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ClockWatch {
    wall: Timestamp,
    monotonic: Duration,
}

impl ClockWatch {
    /// The first look. `monotonic` counts from any moment, such as the start of the program. A program that
    /// starts takes the wall clock's last reading from its store, and zero: then a clock that was set back
    /// meanwhile is told as well.
    #[must_use]
    pub const fn new(wall: Timestamp, monotonic: Duration) -> Self {
        Self { wall, monotonic }
    }

    /// Looks again. Differences of up to five seconds and a thousandth of the time between the looks are no
    /// jump: both clocks are read in turn and in whole seconds, and a wall clock that is being corrected
    /// runs up to a two-thousandth faster or slower (adjtime(3)).
    pub fn look(&mut self, wall: Timestamp, monotonic: Duration) -> Option<ClockJump> {
        let passed = monotonic.saturating_sub(self.monotonic);
        let expected = self.wall + passed;
        *self = Self { wall, monotonic };
        let tolerated = TOLERANCE + passed / 1_000;
        let (ahead, back) = (wall.since(expected), expected.since(wall));
        if ahead > tolerated {
            Some(ClockJump::Ahead(ahead))
        } else if back > tolerated {
            Some(ClockJump::Back(back))
        } else {
            None
        }
    }
}

const TOLERANCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_jump_is_told_once_and_in_its_direction() {
        let (at, seconds) = (Timestamp::from_unix, Duration::from_secs);
        let mut watch = ClockWatch::new(at(1_000), seconds(0));
        assert_eq!(watch.look(at(500), seconds(100)), Some(ClockJump::Back(seconds(600))));
        assert_eq!(watch.look(at(600), seconds(200)), None);
        assert_eq!(watch.look(at(5_000), seconds(300)), Some(ClockJump::Ahead(seconds(4_300))));
    }

    #[test]
    fn a_clock_that_is_corrected_slowly_does_not_jump() {
        let (at, seconds) = (Timestamp::from_unix, Duration::from_secs);
        let mut watch = ClockWatch::new(at(0), seconds(0));
        assert_eq!(watch.look(at(5), seconds(0)), None);
        assert_eq!(watch.look(at(100_055), seconds(100_000)), None);
        assert_eq!(watch.look(at(100_055 + 6), seconds(100_000)), Some(ClockJump::Ahead(seconds(6))));
    }

    proptest! {
        #[test]
        fn no_readings_panic(wall in any::<(i64, i64)>(), monotonic in any::<(u64, u64)>()) {
            let at = Timestamp::from_unix;
            let mut watch = ClockWatch::new(at(wall.0), Duration::from_secs(monotonic.0));
            let _ = watch.look(at(wall.1), Duration::from_secs(monotonic.1));
        }
    }
}
