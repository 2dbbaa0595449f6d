//! Spans of time as a person writes them in a setting: `30s`, `500ms`, `2m`.

use std::time::Duration;

/// What an error says to whoever wrote something else.
pub(crate) const REMEDY: &str = "use a number with a unit: 500ms, 30s, 2m or 1h";

/// Reads a number with a unit; `None` where there is none, or too much of it.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(millis)?))
}

/// The text of a span, in seconds where that says it all, else in milliseconds.
pub(crate) fn text(span: Duration) -> String {
    if span.subsec_millis() == 0 { format!("{}s", span.as_secs()) } else { format!("{}ms", span.as_millis()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_nothing_else() {
        for (text, millis) in
            [("0ms", 0), ("500ms", 500), (" 30s ", 30_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "30", "s", "-1s", "1.5s", "1d", "30 s", "18446744073709551615h", "99999999999999999999s"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_span_is_written_as_it_is_read() {
        for written in ["0s", "1s", "90s", "1500ms", "3600s"] {
            assert_eq!(parse(written).map(text).as_deref(), Some(written));
        }
    }
}
