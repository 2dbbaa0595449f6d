//! Whether to try a request again, and when. Pure: the number of tries, the trouble and the dice come in.

use std::time::Duration;

/// What went wrong, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was refused for now, and surely not done: 429 and its likes.
    Busy { retry_after: Option<Duration> },
    /// The other side is in trouble: 502, 503, 504. It may have been done.
    Down { retry_after: Option<Duration> },
    /// It was sent, and no answer came. It may have been done.
    Lost,
    /// It was never sent.
    NotSent,
}

impl Trouble {
    /// How long the vendor wants to be left alone, if it says so.
    pub(super) const fn asked(self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Down { retry_after } => retry_after,
            Self::Lost | Self::NotSent => None,
        }
    }
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send it again after so long.
    Again(Duration),
    /// Give up.
    Fail,
    /// Give up, and say that it is worth trying after so long.
    Later(Duration),
}

/// Three more chances: what does not pass within seconds is for the caller's schedule.
const MOST_TRIES: u32 = 4;

/// The longest that a caller is made to wait in here.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The first wait, doubled from try to try.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// What to do after `tries` tries; `dice` is from 0 to 1, and spreads those who were refused together.
pub(super) fn after(trouble: Trouble, tries: u32, repeatable: bool, dice: f64) -> Next {
    let surely_undone = matches!(trouble, Trouble::Busy { .. } | Trouble::NotSent);
    let asked = trouble.asked();
    if let Some(asked) = asked.filter(|asked| *asked > LONGEST_WAIT) {
        return Next::Later(asked);
    }
    if !(surely_undone || repeatable) {
        return Next::Fail;
    }
    if tries >= MOST_TRIES {
        return asked.map_or(Next::Fail, Next::Later);
    }
    Next::Again(asked.unwrap_or(Duration::ZERO) + wait(tries, dice))
}

/// From a half of the doubled wait to the whole of it.
pub(super) fn wait(tries: u32, dice: f64) -> Duration {
    let whole = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(4)).min(LONGEST_WAIT);
    whole.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_may_have_been_done_is_sent_again_only_if_it_can_be_done_twice() {
        let down = Trouble::Down { retry_after: None };
        for trouble in [Trouble::Lost, down] {
            assert_eq!(after(trouble, 1, false, 0.0), Next::Fail);
            assert!(matches!(after(trouble, 1, true, 0.0), Next::Again(_)));
        }
        for trouble in [Trouble::NotSent, Trouble::Busy { retry_after: None }] {
            assert!(matches!(after(trouble, 1, false, 0.0), Next::Again(_)));
        }
    }

    #[test]
    fn a_short_wait_is_waited_and_a_long_one_is_told() {
        let busy = |seconds| Trouble::Busy { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(after(busy(10), 1, false, 1.0), Next::Again(Duration::from_millis(10_500)));
        assert_eq!(after(busy(60), 1, false, 1.0), Next::Later(MINUTE));
        assert_eq!(after(busy(10), 4, false, 1.0), Next::Later(Duration::from_secs(10)));
        // It may have been done: whoever asked has to look first, and will be made to wait.
        let down = Trouble::Down { retry_after: Some(Duration::from_secs(10)) };
        assert_eq!(after(down, 1, false, 1.0), Next::Fail);
    }

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<_> = (1..=4)
            .map(|tries| match after(Trouble::NotSent, tries, true, 1.0) {
                Next::Again(wait) => wait.as_millis(),
                _ => 0,
            })
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 0]);
        assert_eq!(wait(1, 0.0), FIRST_WAIT / 2);
        assert_eq!(wait(99, f64::INFINITY), Duration::from_secs(8));
    }
}
