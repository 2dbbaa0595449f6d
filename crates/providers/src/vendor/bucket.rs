//! So many requests in so much time, and no more.

use std::time::Duration;

use crate::Rate;

/// A bucket that a request takes a token from, and that fills up again. Pure: the moment comes in.
#[derive(Debug)]
pub(super) struct Bucket {
    /// How long it takes until there is one more.
    interval: Duration,
    /// How many it holds.
    burst: u32,
    /// When it would be full, by the timer of whoever asks.
    full_at: Duration,
}

impl Bucket {
    /// Full. A vendor counts in windows that we do not see the edges of, so of its rate only half may come at
    /// once; the other half is spread.
    pub(super) fn new(rate: Rate) -> Self {
        let requests = rate.requests.get();
        Self { interval: rate.per / requests, burst: requests.div_ceil(2), full_at: Duration::ZERO }
    }

    /// Takes a token, and says how long to wait before it may be used: tokens are handed out in advance, so
    /// that whoever comes first goes first.
    pub(super) fn take(&mut self, now: Duration) -> Duration {
        self.full_at = self.full_at.max(now) + self.interval;
        let capacity = self.interval.saturating_mul(self.burst);
        self.full_at.saturating_sub(now).saturating_sub(capacity)
    }

    /// Gives a token back that was not used.
    pub(super) fn put_back(&mut self) {
        self.full_at = self.full_at.saturating_sub(self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn half_of_the_rate_may_come_at_once_and_the_rest_is_spread() {
        let mut bucket = Bucket::new(Rate::new(10, seconds(100)));
        let waits: Vec<_> = (0..8).map(|_| bucket.take(seconds(50)).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 10, 20, 30]);
        bucket.put_back();
        assert_eq!(bucket.take(seconds(50)), seconds(30));
        assert_eq!(bucket.take(seconds(500)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_rate_and_its_burst(
            pauses in proptest::collection::vec(0_u64..30, 1..80),
        ) {
            let rate = Rate::new(7, seconds(70));
            let mut bucket = Bucket::new(rate);
            let mut now = seconds(5);
            let mut sent = Vec::new();
            for pause in pauses {
                now += seconds(pause);
                sent.push(now + bucket.take(now));
            }
            for first in &sent {
                let within = sent.iter().filter(|it| *it >= first && **it < *first + rate.per).count();
                prop_assert!(within <= 7 + 4, "{within} in one window: {sent:?}");
            }
        }
    }
}
