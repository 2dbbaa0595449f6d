//! Two lines before one bucket: while somebody waits in each, each has every second token.

use std::fmt;

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Bucket, BudgetKey, Limit};

/// In which of two lines a certificate stands that is due, where claims are handed out and where budgets are taken
/// from. A flood of one line leaves every second turn to the other: a million new certificates do not let a renewal
/// run out, nor the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // With a third one, each would have a third.
pub enum Line {
    /// Certificates for names that had none.
    First,
    /// Certificates that replace one.
    Renewal,
}

impl Line {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Renewal,
            Self::Renewal => Self::First,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first issuances",
            Self::Renewal => "renewals",
        })
    }
}

/// What is known of a bucket before which two lines wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) bucket: Bucket,
    /// What is left of the share of the line that asks.
    pub(crate) share: Bucket,
    /// Full when nobody of the other line waits any more.
    pub(crate) others_wait: Bucket,
}

impl Shared {
    /// The keys of what a line has to know, in the order of the fields.
    pub(crate) fn keys(key: &BudgetKey, line: Line) -> [BudgetKey; 3] {
        let of = || Box::new(key.clone());
        [key.clone(), BudgetKey::Share(line, of()), BudgetKey::Waiting(line.other(), of())]
    }

    /// Without one more token of the bucket and of the share, or the moment at which there is one. A share that is
    /// used up holds nobody back while the other line is empty: nothing is kept for those who do not come.
    pub(crate) fn take(self, limit: Limit, now: Timestamp) -> Result<(Bucket, Bucket), Timestamp> {
        let bucket = self.bucket.take(limit, now)?;
        match self.share.take(limit.half(), now) {
            Ok(share) => Ok((bucket, share)),
            Err(_) if self.others_wait.is_full(now) => Ok((bucket, self.share)),
            Err(until) => Err(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What two lines get in so many seconds, when each asks once a second; who is refused waits for a minute.
    fn rivals(limit: Limit, seconds: i64, comes: impl Fn(Line, i64) -> bool) -> [u32; 2] {
        let lines = [Line::First, Line::Renewal];
        let (mut bucket, mut shares, mut waiting) = (Bucket::FULL, [Bucket::FULL; 2], [i64::MIN; 2]);
        let mut taken = [0, 0];
        for second in 0..seconds {
            for (own, _) in lines.into_iter().enumerate().filter(|(_, line)| comes(*line, second)) {
                let now = Timestamp::from_unix(second);
                let pause = Limit::pace(Duration::from_secs(60));
                let others_wait = match waiting[1 - own] {
                    i64::MIN => Bucket::FULL,
                    since => Bucket::emptied(pause, Timestamp::from_unix(since)),
                };
                match (Shared { bucket, share: shares[own], others_wait }).take(limit, now) {
                    Ok((rest, share)) => {
                        (bucket, shares[own]) = (rest, share);
                        taken[own] += 1;
                        waiting[own] = i64::MIN;
                    }
                    Err(_) => waiting[own] = second,
                }
            }
        }
        taken
    }

    #[test]
    fn who_is_alone_has_all_and_two_have_half_each() {
        for limit in [Limit::pace(Duration::from_secs(10)), Limit::new(100, Duration::from_secs(1_000))] {
            let all = 1_000 / 10 + i64::from(limit.burst()) - 1;
            let [first, renewal] = rivals(limit, 1_000, |line, _| line == Line::First);
            assert!((all - 2..=all + 1).contains(&i64::from(first)) && renewal == 0, "{first} of {all}");
            // The flood comes first in each second, and would have every token.
            let both = rivals(limit, 3_000, |line, second| line == Line::First || second >= 1_000);
            assert!(both[1] >= 95 && both.iter().sum::<u32>() <= 401, "{both:?} of {limit:?}");
        }
    }

    #[test]
    fn the_bucket_itself_is_never_overdrawn() {
        let limit = Limit::new(4, Duration::from_secs(40));
        let [first, renewal] = rivals(limit, 400, |_, _| true);
        assert!(first + renewal <= 4 + 40, "{first} and {renewal}");
        assert!(first >= 15 && renewal >= 15, "{first} and {renewal}");
    }
}
