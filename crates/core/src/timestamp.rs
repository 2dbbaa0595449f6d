//! A moment in whole seconds.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment in whole seconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX time).
///
/// Whole seconds, since X.509 validity (RFC 5280 §4.1.2.5) knows nothing finer: comparing a finer clock with
/// a certificate's dates is how renewals get lost between two truncations. Text and serde form are RFC 3339
/// in UTC; a fraction of a second is read and dropped.
///
/// ```
/// use perennial_core::Timestamp;
/// use std::time::Duration;
///
/// let issued: Timestamp = "2026-11-21T12:00:00Z".parse()?;
/// let expires = issued + Duration::from_secs(90 * 86_400);
/// assert_eq!(expires.to_string(), "2027-02-19T12:00:00Z");
/// assert_eq!(expires.since(issued), Duration::from_secs(90 * 86_400));
/// assert_eq!(issued.since(expires), Duration::ZERO); // never negative, never a panic
/// # Ok::<(), perennial_core::TimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the earliest moment that RFC 3339 can write without a negative year.
    pub const MIN: Self = Self(-62_135_596_800);
    /// 9999-12-31T23:59:59Z, which RFC 5280 §4.1.2.5 uses for "no end that anybody knows".
    pub const MAX: Self = Self(253_402_300_799);

    /// The moment so many seconds after 1970 began, brought into [`MIN`](Self::MIN)..=[`MAX`](Self::MAX).
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        if seconds < Self::MIN.0 {
            Self::MIN
        } else if seconds > Self::MAX.0 {
            Self::MAX
        } else {
            Self(seconds)
        }
    }

    /// Seconds since 1970 began; negative before it.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it at all.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// How long from this moment until `later`; zero when `later` has passed.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        later.since(self)
    }
}

/// Whole seconds of the duration count, and the result stops at [`Timestamp::MAX`].
impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::from_unix(self.0.saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
    }
}

/// Whole seconds of the duration count, and the result stops at [`Timestamp::MIN`].
impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self::from_unix(self.0.saturating_sub(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        f.write_str(&text)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| TimestampError { text: text.chars().take(64).collect() })?;
        Ok(Self::from_unix(moment.unix_timestamp()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that is no RFC 3339 moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a moment in RFC 3339 form: write it like 2026-11-21T12:00:00Z")]
#[non_exhaustive]
pub struct TimestampError {
    /// The text, cut at 64 characters.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fractions_and_offsets_are_read_and_normalised() {
        let moment: Timestamp = "2026-11-21T13:00:00.987654321+01:00".parse().unwrap();
        assert_eq!(moment.to_string(), "2026-11-21T12:00:00Z");
    }

    #[test]
    fn a_text_that_is_no_moment_is_named_in_the_error() {
        let error = "tomorrow".parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().contains("\"tomorrow\""), "{error}");
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_the_calendar() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(u64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::from_secs(1), Timestamp::MIN);
        assert_eq!(Timestamp::from_unix(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_unix(i64::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::MIN.to_string(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn serde_form_is_rfc_3339() {
        let moment = Timestamp::from_unix(1_795_262_400);
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-11-21T12:00:00Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>("\"2026-11-21T12:00:00Z\"").unwrap(), moment);
    }

    proptest! {
        #[test]
        fn text_round_trips(seconds in Timestamp::MIN.0..=Timestamp::MAX.0) {
            let moment = Timestamp::from_unix(seconds);
            prop_assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
