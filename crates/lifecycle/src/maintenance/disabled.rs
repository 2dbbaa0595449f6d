//! Without the feature `maintenance` no pattern can be read, and every one is refused.

use perennial_core::Timestamp;

pub(super) fn check(cron: &str, _time_zone: &str) -> Result<(), String> {
    Err(format!(
        "maintenance window {cron:?} cannot be read: build this program with the feature `maintenance`"
    ))
}

/// A window that cannot be read is never open: the renewal comes when nothing holds it back any more.
pub(super) const fn at_or_before(_cron: &str, _time_zone: &str, _at: Timestamp) -> Option<Timestamp> {
    None
}

pub(super) const fn after(_cron: &str, _time_zone: &str, _at: Timestamp) -> Option<Timestamp> {
    None
}
