//! Cron patterns in the time of a place.

use croner::{
    Cron, Direction,
    parser::{CronParser, Seconds, Year},
};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use perennial_core::Timestamp;

pub(super) fn check(cron: &str, time_zone: &str) -> Result<(), String> {
    if cron.len() > LONGEST_PATTERN {
        return Err(format!(
            "a maintenance window's pattern has {} bytes: {LONGEST_PATTERN} is the most",
            cron.len()
        ));
    }
    parse(cron).map_err(|reason| format!("maintenance window {cron:?} is no cron pattern: {reason}"))?;
    zone(time_zone).ok_or_else(|| {
        format!("maintenance window {cron:?}: {time_zone:?} is no time zone: use a name like Europe/Berlin")
    })?;
    // The thirtieth of February.
    after(cron, time_zone, Timestamp::from_unix(0))
        .map(drop)
        .ok_or_else(|| format!("maintenance window {cron:?} never opens: no day fits its pattern"))
}

pub(super) fn at_or_before(cron: &str, time_zone: &str, at: Timestamp) -> Option<Timestamp> {
    find(cron, time_zone, at, Direction::Backward)
}

pub(super) fn after(cron: &str, time_zone: &str, at: Timestamp) -> Option<Timestamp> {
    find(cron, time_zone, at, Direction::Forward)
}

fn find(cron: &str, time_zone: &str, at: Timestamp, direction: Direction) -> Option<Timestamp> {
    let start = jiff::Timestamp::from_second(at.unix()).ok()?.to_zoned(zone(time_zone)?);
    let cron = parse(cron).ok()?;
    let found = match direction {
        Direction::Forward => cron.find_next_occurrence(&start, false),
        Direction::Backward => cron.find_previous_occurrence(&start, true),
    };
    Some(Timestamp::from_unix(found.ok()?.timestamp().as_second()))
}

/// Five fields: seconds are finer than a renewal is, and a year would make a window that ends.
fn parse(cron: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(cron).map_err(|error| error.to_string())
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// Every minute of an hour, written out, has 170.
const LONGEST_PATTERN: usize = 256;
