//! `Retry-After` (RFC 9110 §10.2.3): seconds or an HTTP-date, on any answer.
//!
//! A server uses it to say when an order is worth another look (RFC 8555 §7.4), and when a refused request
//! may come again (§6.6). Whatever it says is bounded here: zero would make us spin, and a year would make
//! us sleep through an expiry.

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header::RETRY_AFTER};
use perennial_core::Timestamp;

/// How far away the next look at an order may be: RFC 8555 leaves it open; a second spares the server, an
/// hour is more than any CA takes to sign.
pub const POLL_BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// How far away a refused request may be put off: the longest window of a public CA's rate limits is a week.
pub const REFUSAL_BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// The moment that the header names, brought within `bounds` from `now`; `None` without a readable header.
pub(crate) fn read(
    headers: &HeaderMap,
    now: Timestamp,
    bounds: RangeInclusive<Duration>,
) -> Option<Timestamp> {
    parse(headers.get(RETRY_AFTER)?.to_str().ok()?, now, bounds)
}

/// Reads the text of a `Retry-After` header: the moment it names, brought within `bounds` from `now`.
///
/// ```
/// use perennial_acme::retry_after;
/// use perennial_core::Timestamp;
///
/// let now: Timestamp = "2026-11-21T12:00:00Z".parse()?;
/// let at = |text| retry_after::parse(text, now, retry_after::POLL_BOUNDS).map(|at| at.to_string());
/// assert_eq!(at("3").as_deref(), Some("2026-11-21T12:00:03Z"));
/// assert_eq!(at("Sat, 21 Nov 2026 12:05:00 GMT").as_deref(), Some("2026-11-21T12:05:00Z"));
/// assert_eq!(at("0").as_deref(), Some("2026-11-21T12:00:01Z")); // never a busy loop
/// assert_eq!(at("soon"), None);
/// # Ok::<(), perennial_core::TimestampError>(())
/// ```
#[must_use]
pub fn parse(text: &str, now: Timestamp, bounds: RangeInclusive<Duration>) -> Option<Timestamp> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits alone fail to parse only by being too many.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        now.until(from_http_date(text)?)
    };
    Some(now + wait.clamp(*bounds.start(), *bounds.end()))
}

/// The moment of an HTTP-date (RFC 9110 §5.6.7).
pub(crate) fn from_http_date(text: &str) -> Option<Timestamp> {
    let moment = httpdate::parse_http_date(text).ok()?;
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix(i64::try_from(since.as_secs()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: Timestamp = Timestamp::from_unix(1_795_262_400); // 2026-11-21T12:00:00Z

    fn seconds(text: &str) -> Option<u64> {
        parse(text, NOON, POLL_BOUNDS).map(|at| at.since(NOON).as_secs())
    }

    #[test]
    fn seconds_and_all_three_date_forms_are_read() {
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Sat, 21 Nov 2026 12:02:00 GMT"), Some(120));
        assert_eq!(seconds("Saturday, 21-Nov-26 12:02:00 GMT"), Some(120));
        assert_eq!(seconds("Sat Nov 21 12:02:00 2026"), Some(120));
    }

    #[test]
    fn zero_the_past_and_the_far_future_are_bounded() {
        assert_eq!(seconds("0"), Some(1));
        assert_eq!(seconds("Sat, 21 Nov 2020 12:02:00 GMT"), Some(1));
        assert_eq!(seconds("86400"), Some(3600));
        assert_eq!(seconds("99999999999999999999999999"), Some(3600));
        assert_eq!(seconds("Fri, 31 Dec 9999 23:59:59 GMT"), Some(3600));
    }

    #[test]
    fn what_is_neither_is_ignored() {
        for text in ["", "-5", "1.5", "soon", "Sat, 99 Nov 2026 12:02:00 GMT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_leaves_the_bounds(text in ".{0,40}") {
            if let Some(wait) = seconds(&text) {
                prop_assert!((1..=3600).contains(&wait));
            }
        }
    }
}
