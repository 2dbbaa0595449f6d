//! When renewals are welcome: windows that open by a cron pattern.
//!
//! Patterns and time zones are read by the feature `maintenance`, which brings what knows them. Time zones come
//! from a table within the program: what decides opens no files.

use std::time::Duration;

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::schedule::Life;

#[cfg(not(feature = "maintenance"))]
mod disabled;
#[cfg(not(feature = "maintenance"))]
use disabled as cron;

#[cfg(feature = "maintenance")]
mod enabled;
#[cfg(feature = "maintenance")]
use enabled as cron;

/// A time in which renewals are welcome: it opens by a cron pattern and stays open for a while.
///
/// It holds renewals back, and nothing else: a certificate that is missing, has ended or is wanted otherwise is
/// issued at once. And it holds none back for long: after 19/20 of the life
/// ([`Life::latest`]) there are no windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    cron: String,
    open_for: Duration,
    #[serde(default = "utc")]
    time_zone: String,
}

impl MaintenanceWindow {
    /// A window that opens by this pattern, in UTC. The pattern has five fields (minute, hour, day of the
    /// month, month, day of the week) as in crontab(5): `0 2 * * 6` opens at two on Saturdays.
    ///
    /// # Errors
    /// A sentence that names the pattern, when it is malformed or never comes, the window is open for less than
    /// a minute or more than a week, or the feature `maintenance` is missing.
    pub fn new(cron: &str, open_for: Duration) -> Result<Self, String> {
        let window = Self { cron: cron.to_owned(), open_for, time_zone: utc() };
        window.validate()?;
        Ok(window)
    }

    /// In whose time the pattern is meant, as a name of the IANA time zone database: `Europe/Berlin`.
    ///
    /// # Errors
    /// A sentence that names the zone, when it is unknown.
    pub fn time_zone(mut self, name: &str) -> Result<Self, String> {
        name.clone_into(&mut self.time_zone);
        self.validate()?;
        Ok(self)
    }

    /// Checks what the constructor checks; for a window that came from outside through serde.
    ///
    /// # Errors
    /// A sentence that names the value.
    pub fn validate(&self) -> Result<(), String> {
        if self.open_for < SHORTEST || self.open_for > LONGEST {
            let seconds = self.open_for.as_secs();
            return Err(format!(
                "maintenance window {:?} is open for {seconds}s: use a minute to a week",
                self.cron
            ));
        }
        cron::check(&self.cron, &self.time_zone)
    }

    /// The first moment from `from` on at which it is open.
    fn open_from(&self, from: Timestamp) -> Option<Timestamp> {
        let opened = cron::at_or_before(&self.cron, &self.time_zone, from);
        if opened.is_some_and(|opened| opened + self.open_for > from) {
            return Some(from);
        }
        cron::after(&self.cron, &self.time_zone, from)
    }

    /// The beginning of its last opening before `before`, or what of it lies after `from`.
    fn last_open(&self, from: Timestamp, before: Timestamp) -> Option<Timestamp> {
        let opened = cron::at_or_before(&self.cron, &self.time_zone, before)?;
        (opened + self.open_for > from).then(|| opened.max(from)).filter(|open| *open < before)
    }
}

/// Moves a renewal that is due at `due` into the windows: to the next opening, or the last one before `due` when
/// none follows before [`Life::latest`]. Without any, [`Life::latest`] itself.
pub(crate) fn welcome(
    windows: &[MaintenanceWindow],
    due: Timestamp,
    life: Life,
    now: Timestamp,
) -> Timestamp {
    let latest = life.latest();
    if windows.is_empty() || due >= latest {
        return due;
    }
    let from = due.max(now);
    let next = windows.iter().filter_map(|window| window.open_from(from)).min().filter(|open| *open < latest);
    let earlier = || {
        let from = life.earliest().max(now);
        windows.iter().filter_map(|window| window.last_open(from, due)).max()
    };
    next.or_else(earlier).unwrap_or(latest)
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A renewal begins within a minute of being due.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
#[cfg(feature = "maintenance")]
mod tests;
