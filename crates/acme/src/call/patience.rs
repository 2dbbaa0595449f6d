//! When to look at an order again (RFC 8555 §7.4).

use std::time::Duration;

use perennial_core::Timestamp;

/// The next moment to look, after `looks` looks before this one.
///
/// A moment that the server named is kept exactly: earlier would be an offence. Otherwise the waits double
/// from one second, as validation takes seconds and a notary's signature hours, and the last look comes at
/// the deadline itself. When the deadline does not leave room for another look, the error is the moment at
/// which it would have come.
pub(super) fn next_look(
    now: Timestamp,
    looks: u32,
    named: Option<Timestamp>,
    deadline: Timestamp,
) -> Result<Timestamp, Timestamp> {
    if let Some(named) = named {
        return if named > deadline { Err(named) } else { Ok(named) };
    }
    let wait = FIRST_WAIT.saturating_mul(1_u32.checked_shl(looks).unwrap_or(u32::MAX)).min(LONGEST_WAIT);
    let next = now + wait;
    if now >= deadline { Err(next) } else { Ok(next.min(deadline)) }
}

const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Half a minute of needless waiting is nothing to an order that has taken a minute already.
const LONGEST_WAIT: Duration = Duration::from_secs(32);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn after(seconds: u64) -> Timestamp {
        NOON + Duration::from_secs(seconds)
    }

    #[test]
    fn waits_double_up_to_half_a_minute() {
        let waits: Vec<_> = (0..8)
            .map(|looks| next_look(NOON, looks, None, after(10_000)).unwrap().since(NOON).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 32, 32]);
    }

    #[test]
    fn the_last_look_comes_at_the_deadline_and_none_after_it() {
        assert_eq!(next_look(NOON, 5, None, after(7)), Ok(after(7)));
        assert_eq!(next_look(NOON, 5, None, NOON), Err(after(32)));
    }

    #[test]
    fn a_moment_that_the_server_named_is_neither_shortened_nor_passed() {
        assert_eq!(next_look(NOON, 0, Some(after(60)), after(60)), Ok(after(60)));
        assert_eq!(next_look(NOON, 0, Some(after(60)), after(59)), Err(after(60)));
    }

    proptest! {
        #[test]
        fn a_look_is_always_ahead_and_never_past_the_deadline(looks in 0_u32..100, left in 1_u64..10_000) {
            let next = next_look(NOON, looks, None, after(left)).unwrap();
            prop_assert!(next > NOON && next <= after(left));
        }
    }
}
