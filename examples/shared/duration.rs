//! Spans of time on a command line.

use std::time::Duration;

/// Reads `90`, `90s`, `10m` or `1h`: one second to a week.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("{text:?} is no duration: write 90, 90s, 10m or 1h")),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is no duration: write 90, 90s, 10m or 1h"))?;
    match number.checked_mul(seconds_per_unit) {
        Some(seconds @ 1..=604_800) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{text:?} is out of range: use one second to a week")),
    }
}
