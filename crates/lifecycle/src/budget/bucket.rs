//! One bucket: the generic cell rate algorithm (ITU-T I.371), which needs one moment and no timer.

use std::time::Duration;

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ClockJump;

/// How much may be taken: a burst at once, and refilled evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limit {
    burst: u32,
    /// How long one token takes to come back, in milliseconds: a provider may allow many a second.
    interval: u64,
}

impl Limit {
    /// So many at once, and so many again in each `per`. None at once counts as one, and more than a token a
    /// millisecond is no limit to us.
    #[must_use]
    pub fn new(burst: u32, per: Duration) -> Self {
        let burst = burst.max(1);
        let interval = per.as_millis().min(LONGEST) / u128::from(burst);
        Self { burst, interval: u64::try_from(interval).unwrap_or(u64::MAX).max(1) }
    }

    /// One in each `interval`, and no burst: a pace.
    #[must_use]
    pub fn pace(interval: Duration) -> Self {
        Self::new(1, interval)
    }

    /// The pace of a fleet that renews one certificate in each `every` on average
    /// ([`cycle`](crate::schedule::cycle) tells how long one serves): never more than twice the mean in any sixty
    /// seconds, or than three where that is more; and 1.8 times the mean for as long as an outage has to be made up for.
    ///
    /// A burst counts beside what comes back in the same minute, so it is a fifth of a minute's mean and no more:
    /// fleets that renew fewer than ten a minute renew one after the other. Since that is at whole seconds, and a
    /// minute has a whole number of them, theirs is 1.4 times the mean at the least. One a minute is always allowed: so
    /// few have no peak, and a small fleet would otherwise wait for days.
    ///
    /// ```
    /// use perennial_lifecycle::{RenewalPolicy, budget::Limit, schedule::cycle};
    /// use std::time::Duration;
    ///
    /// // A million certificates of ninety days: twelve a minute on average.
    /// let serves = cycle(Duration::from_secs(90 * 86_400), RenewalPolicy::Automatic).unwrap();
    /// let pace = Limit::twice_the_mean(serves / 1_000_000);
    /// assert_eq!((pace.burst(), pace.interval()), (2, Duration::from_millis(2_664)));
    /// ```
    #[must_use]
    pub fn twice_the_mean(every: Duration) -> Self {
        let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
        let mean = MINUTE / every;
        let most = (2 * MINUTE / every).max(3);
        let interval = (every / 9).saturating_mul(5).saturating_add((every % 9 * 5).div_ceil(9));
        let interval = interval.max(MINUTE.div_ceil(most)).min(MINUTE);
        Self { burst: u32::try_from(mean / 5).unwrap_or(u32::MAX).max(1), interval }
    }

    /// How many at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// How long one token takes to come back.
    #[must_use]
    pub const fn interval(self) -> Duration {
        Duration::from_millis(self.interval)
    }

    /// Half of it: half as many at once, and half as many again.
    pub(crate) fn half(self) -> Self {
        Self { burst: self.burst.div_ceil(2), interval: self.interval.saturating_mul(2) }
    }

    /// How long an empty bucket takes to be full.
    fn depth(self) -> i64 {
        self.tokens(self.burst)
    }

    fn tokens(self, count: u32) -> i64 {
        i64::try_from(self.interval.saturating_mul(count.into())).map_or(DEEPEST, |depth| depth.min(DEEPEST))
    }
}

/// In milliseconds.
const MINUTE: u64 = 60_000;
/// A hundred years; what refills more slowly is used up for good.
const LONGEST: u128 = 100 * 365 * 86_400 * 1_000;
/// Leaves room to add moments, which end in the year 9999.
const DEEPEST: i64 = i64::MAX / 4;

/// The state of a bucket: the moment at which it will be full. One that nobody has used is full.
///
/// Pure data: it says nothing without its [`Limit`], so that a limit can be changed while it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bucket {
    /// Milliseconds since 1970.
    full_at: i64,
}

impl Bucket {
    /// A full one.
    pub const FULL: Self = Self { full_at: i64::MIN };

    /// How many tokens are in it.
    #[must_use]
    pub fn level(self, limit: Limit, now: Timestamp) -> u32 {
        let missing = self.full_at(limit, now) - milliseconds(now);
        let interval = i64::try_from(limit.interval).unwrap_or(DEEPEST);
        u32::try_from((limit.depth() - missing) / interval).unwrap_or(limit.burst).min(limit.burst)
    }

    /// Whether nothing is missing, so that it need not be remembered.
    #[must_use]
    pub fn is_full(self, now: Timestamp) -> bool {
        self.full_at <= milliseconds(now)
    }

    /// Without one more token, or the moment at which there is one.
    ///
    /// # Errors
    /// The moment.
    pub fn take(self, limit: Limit, now: Timestamp) -> Result<Self, Timestamp> {
        let full_at = self.full_at(limit, now) + limit.tokens(1);
        let early = full_at - milliseconds(now) - limit.depth();
        if early <= 0 {
            return Ok(Self { full_at });
        }
        // Up to the next whole second: nobody is sent back too early.
        let seconds = early / 1_000 + i64::from(early % 1_000 != 0);
        Err(now + Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
    }

    /// With a token given back that was taken and not used.
    #[must_use]
    pub fn give_back(self, limit: Limit) -> Self {
        Self { full_at: self.full_at.saturating_sub(limit.tokens(1)) }
    }

    /// Empty: the other side has refused, so it has counted more than we have.
    #[must_use]
    pub fn emptied(limit: Limit, now: Timestamp) -> Self {
        Self { full_at: milliseconds(now).saturating_add(limit.depth()) }
    }

    /// The one of two that is full later.
    pub(crate) fn emptier(self, other: Self) -> Self {
        Self { full_at: self.full_at.max(other.full_at) }
    }

    /// As it is by a clock that has jumped: the other side's did not.
    #[must_use]
    pub fn after(self, jump: ClockJump) -> Self {
        let by = |by: Duration| i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self {
            full_at: match jump {
                ClockJump::Ahead(ahead) => self.full_at.saturating_add(by(ahead)),
                ClockJump::Back(back) => self.full_at.saturating_sub(by(back)),
            },
        }
    }

    /// Not before now, and not later than an empty bucket would be: what is later was written by a clock that
    /// was ahead, and would hold us back for as long as it was.
    fn full_at(self, limit: Limit, now: Timestamp) -> i64 {
        let now = milliseconds(now);
        self.full_at.clamp(now, now.saturating_add(limit.depth()))
    }
}

/// A bucket that is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Which and until when.
pub struct Shortage {
    /// The index of the one that is refilled last.
    pub which: usize,
    /// When all of them have a token again.
    pub until: Timestamp,
}

/// Takes a token from each bucket, or from none.
///
/// # Errors
/// [`Shortage`] when one is empty; then nothing was taken.
pub fn take(from: &[(Limit, Bucket)], now: Timestamp) -> Result<Vec<Bucket>, Shortage> {
    let mut taken = Vec::with_capacity(from.len());
    let mut shortage: Option<Shortage> = None;
    for (which, (limit, bucket)) in from.iter().enumerate() {
        match bucket.take(*limit, now) {
            Ok(bucket) => taken.push(bucket),
            Err(until) if shortage.is_none_or(|shortage| until > shortage.until) => {
                shortage = Some(Shortage { which, until });
            }
            Err(_) => {}
        }
    }
    shortage.map_or(Ok(taken), Err)
}

fn milliseconds(at: Timestamp) -> i64 {
    at.unix().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn a_burst_at_once_and_then_one_an_interval() {
        let limit = Limit::new(3, Duration::from_secs(30));
        let mut bucket = Bucket::default();
        for level in [3, 2, 1] {
            assert_eq!(bucket.level(limit, at(100)), level);
            bucket = bucket.take(limit, at(100)).unwrap();
        }
        assert_eq!(bucket.take(limit, at(100)), Err(at(110)));
        assert_eq!(bucket.take(limit, at(109)), Err(at(110)));
        assert!(bucket.take(limit, at(110)).is_ok());
        assert!(bucket.give_back(limit).take(limit, at(100)).is_ok());
        assert!(!bucket.is_full(at(129)) && bucket.is_full(at(130)));
    }

    #[test]
    fn all_or_none_is_taken_and_the_last_to_refill_is_named() {
        let (fast, slow) = (Limit::pace(Duration::from_secs(1)), Limit::pace(Duration::from_secs(60)));
        let taken = take(&[(fast, Bucket::FULL), (slow, Bucket::FULL)], at(0)).unwrap();
        let again = take(&[(fast, taken[0]), (slow, taken[1]), (fast, Bucket::FULL)], at(0));
        assert_eq!(again, Err(Shortage { which: 1, until: at(60) }));
    }

    #[test]
    fn a_clock_that_was_ahead_holds_back_no_longer_than_an_empty_bucket() {
        let limit = Limit::new(2, Duration::from_secs(20));
        let written_ahead = Bucket::FULL.take(limit, at(1_000_000)).unwrap();
        assert_eq!(written_ahead.take(limit, at(0)), Err(at(10)));
        // Who knows of the jump loses nothing.
        let told = written_ahead.after(ClockJump::Back(Duration::from_secs(1_000_000)));
        assert!(told.take(limit, at(0)).is_ok());
    }

    #[test]
    fn a_jump_ahead_that_was_told_refills_nothing() {
        let limit = Limit::pace(Duration::from_secs(100));
        let bucket =
            Bucket::FULL.take(limit, at(0)).unwrap().after(ClockJump::Ahead(Duration::from_secs(5_000)));
        assert_eq!(bucket.take(limit, at(5_010)), Err(at(5_100)));
        assert_eq!(Bucket::emptied(limit, at(7)).take(limit, at(7)), Err(at(107)));
    }

    #[test]
    fn many_a_second_are_counted_too() {
        let limit = Limit::new(1_200, Duration::from_secs(300)); // four a second
        let mut bucket = Bucket::emptied(limit, at(0));
        for _ in 0..4 {
            bucket = bucket.take(limit, at(1)).unwrap();
        }
        assert_eq!(bucket.take(limit, at(1)), Err(at(2)));
    }

    /// How many are begun in the busiest sixty seconds of an hour by a fleet that always has more to do.
    fn busiest(pace: Limit) -> (u32, u32) {
        let (mut bucket, mut begun) = (Bucket::FULL, Vec::new());
        for second in 0..3_600 {
            while let Ok(next) = bucket.take(pace, at(second)) {
                bucket = next;
                begun.push(second);
            }
        }
        // The busiest sixty seconds begin with one of them.
        let counted =
            |(first, from): (usize, &i64)| begun.partition_point(|second| *second < from + 60) - first;
        let most = begun.iter().enumerate().map(counted).max().unwrap();
        (u32::try_from(most).unwrap(), u32::try_from(begun.len()).unwrap())
    }

    #[test]
    fn a_fleet_never_begins_twice_its_mean_in_any_minute_and_makes_up_for_an_outage() {
        for mean in [1, 2, 3, 7, 9, 10, 14, 23, 60, 230, 5_000] {
            let (most, in_an_hour) = busiest(Limit::twice_the_mean(Duration::from_secs(60) / mean));
            assert!(most <= 2 * mean, "{most} in a minute, {mean} on average");
            assert!(in_an_hour * 10 >= 60 * mean * 15, "{in_an_hour} in an hour, {mean} a minute on average");
        }
        // Too few to have a peak, and too many to count.
        assert_eq!(busiest(Limit::twice_the_mean(Duration::from_secs(86_400))), (1, 60));
        assert_eq!(Limit::twice_the_mean(Duration::ZERO).interval(), Duration::from_millis(1));
        assert_eq!(Limit::twice_the_mean(Duration::MAX).interval(), Duration::from_secs(60));
    }

    #[test]
    fn so_does_one_whose_mean_is_no_whole_number_but_for_three_a_minute() {
        for every in (1_000..90_000).step_by(487) {
            let (most, in_an_hour) = busiest(Limit::twice_the_mean(Duration::from_millis(every)));
            let of_two_means = u32::try_from(2 * MINUTE / every).unwrap();
            assert!(most <= of_two_means.max(3), "{most} in a minute, one in {every} ms on average");
            let made_up = u64::from(in_an_hour) * every * 10 >= 3_600_000 * 14;
            assert!(made_up, "{in_an_hour} in an hour, one in {every} ms on average");
        }
    }

    proptest! {
        /// What a CA that keeps every moment in a list would count.
        #[test]
        fn in_no_stretch_of_time_is_more_taken_than_the_burst_and_what_came_back(
            burst in 1u32..6, interval in 1u64..50, steps in proptest::collection::vec(0i64..40, 1..120),
        ) {
            let limit = Limit::new(burst, Duration::from_secs(interval * u64::from(burst)));
            let (mut bucket, mut now, mut taken) = (Bucket::default(), 0, Vec::new());
            for step in steps {
                now += step;
                match bucket.take(limit, at(now)) {
                    Ok(next) => {
                        bucket = next;
                        taken.push(now);
                    }
                    Err(until) => {
                        prop_assert!(until > at(now));
                        prop_assert!(bucket.take(limit, until).is_ok());
                        prop_assert!(bucket.take(limit, Timestamp::from_unix(until.unix() - 1)).is_err());
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let allowed = i64::from(burst) + (to - from) / i64::try_from(interval).unwrap();
                    prop_assert!(i64::try_from(last - first + 1).unwrap() <= allowed);
                }
            }
        }

        #[test]
        fn no_values_panic(
            burst in any::<u32>(), per in any::<u64>(), full_at in any::<i64>(), now in any::<i64>(), by in any::<u64>(),
        ) {
            let (limit, bucket) = (Limit::new(burst, Duration::from_secs(per)), Bucket { full_at });
            let jumps = [ClockJump::Ahead(Duration::from_secs(by)), ClockJump::Back(Duration::from_secs(by))];
            for bucket in [bucket, bucket.give_back(limit), bucket.after(jumps[0]), bucket.after(jumps[1])] {
                let _ = (bucket.take(limit, at(now)), bucket.level(limit, at(now)), bucket.is_full(at(now)));
            }
            let _ = Bucket::emptied(limit, at(now)).take(limit, at(now));
        }
    }
}
