//! When a vendor wants to be asked again (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};
use perennial_core::Timestamp;

/// How long to wait, from now on: a number of seconds, or the distance of a date from the vendor's own
/// `Date`, since its clock and ours may differ. `now` is the second best.
pub(super) fn read(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let until = moment(value)?;
    Some(date(headers).unwrap_or(now).until(until).min(LONGEST))
}

/// What the vendor's clock shows (RFC 9110 §6.6.1).
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    moment(headers.get(header::DATE)?.to_str().ok()?)
}

fn moment(text: &str) -> Option<Timestamp> {
    let moment: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    let since = moment.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix(i64::try_from(since.as_secs()).ok()?))
}

/// Nobody means more than a month: the longest period that quotas are counted in.
pub(super) const LONGEST: Duration = Duration::from_secs(31 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn seconds_and_dates_are_read_and_capped() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let read = |value: &str| read(&headers(&[(header::RETRY_AFTER, value)]), now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read(" 0 "), Some(Duration::ZERO));
        assert_eq!(read("18446744073709551615"), Some(LONGEST));
        assert_eq!(read("Sat, 21 Nov 2026 12:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(read("Sat, 21 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        for nonsense in ["", "soon", "-5", "1.5", "Sat, 99 Nov 2026 12:01:30 GMT"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_date_counts_from_the_vendors_clock_and_not_from_ours() {
        let ours: Timestamp = "2026-11-21T13:00:00Z".parse().unwrap();
        let headers = headers(&[
            (header::DATE, "Sat, 21 Nov 2026 12:00:00 GMT"),
            (header::RETRY_AFTER, "Sat, 21 Nov 2026 12:00:10 GMT"),
        ]);
        assert_eq!(read(&headers, ours), Some(Duration::from_secs(10)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~]{0,60}") {
            let _ = read(&headers(&[(header::RETRY_AFTER, &text)]), Timestamp::from_unix(0));
        }
    }
}
