use super::*;
use proptest::prelude::*;

const DAY: u64 = 86_400;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn nights() -> MaintenanceWindow {
    MaintenanceWindow::new("0 2 * * *", Duration::from_secs(7_200)).unwrap()
}

/// Ninety days from 2027-01-01: the last twentieth begins on 2027-03-27T12:00.
fn life() -> Life {
    let issued_at = at("2027-01-01T00:00:00Z");
    Life { not_before: issued_at, not_after: issued_at + Duration::from_secs(90 * DAY), issued_at }
}

fn moved(windows: &[MaintenanceWindow], due: &str, now: &str) -> String {
    welcome(windows, at(due), life(), at(now)).to_string()
}

#[test]
fn a_renewal_waits_for_the_next_opening_and_for_no_opening_once_one_is_there() {
    let now = "2027-01-05T00:00:00Z";
    assert_eq!(moved(&[nights()], "2027-03-01T12:00:00Z", now), "2027-03-02T02:00:00Z");
    assert_eq!(moved(&[nights()], "2027-03-01T02:30:00Z", now), "2027-03-01T02:30:00Z");
    assert_eq!(moved(&[nights()], "2027-03-01T04:00:00Z", now), "2027-03-02T02:00:00Z");
    // Nobody came in time: the next night, not now.
    assert_eq!(moved(&[nights()], "2027-03-01T12:00:00Z", "2027-03-05T05:00:00Z"), "2027-03-06T02:00:00Z");
    assert_eq!(moved(&[], "2027-03-01T12:00:00Z", now), "2027-03-01T12:00:00Z");
}

#[test]
fn the_earliest_of_several_windows_counts() {
    let noon = MaintenanceWindow::new("0 12 * * *", Duration::from_secs(600)).unwrap();
    let windows = [nights(), noon];
    assert_eq!(moved(&windows, "2027-03-01T05:00:00Z", "2027-01-05T00:00:00Z"), "2027-03-01T12:00:00Z");
}

#[test]
fn without_an_opening_in_time_the_last_one_before_is_taken_and_then_none() {
    // The first of each month: after 15 March none follows before the last twentieth.
    let monthly = [MaintenanceWindow::new("0 0 1 * *", Duration::from_secs(3_600)).unwrap()];
    let due = "2027-03-15T00:00:00Z";
    assert_eq!(moved(&monthly, due, "2027-01-05T00:00:00Z"), "2027-03-01T00:00:00Z");
    assert_eq!(moved(&monthly, due, "2027-03-01T00:20:00Z"), "2027-03-01T00:20:00Z");
    // That one is over: nothing is welcome until nothing can wait.
    assert_eq!(moved(&monthly, due, "2027-03-01T02:00:00Z"), "2027-03-27T12:00:00Z");
}

#[test]
fn a_pattern_is_meant_in_its_own_time_and_on_days_without_that_hour_too() {
    let berlin = [nights().time_zone("Europe/Berlin").unwrap()];
    let now = "2027-01-05T00:00:00Z";
    assert_eq!(moved(&berlin, "2027-03-01T12:00:00Z", now), "2027-03-02T01:00:00Z");
    // On 28 March 2027 Berlin has no two o'clock; the window opens all the same.
    let spring = MaintenanceWindow::new("30 2 28 3 *", Duration::from_secs(3_600)).unwrap();
    let spring = spring.time_zone("Europe/Berlin").unwrap();
    assert!(spring.open_from(at("2027-03-28T00:00:00Z")).unwrap() < at("2027-03-28T02:00:00Z"));
}

#[test]
fn what_cannot_work_is_refused_with_its_name() {
    let hour = Duration::from_secs(3_600);
    for (cron, open_for, says) in [
        ("* * *", hour, "no cron pattern"),
        ("0 0 30 2 *", hour, "never opens"),
        ("0 2 * * * 2027", hour, "no cron pattern"),
        ("0 2 * * *", Duration::from_secs(59), "59s"),
        ("0 2 * * *", Duration::from_secs(8 * DAY), "a week"),
        (&"1,".repeat(200), hour, "256"),
    ] {
        let error = MaintenanceWindow::new(cron, open_for).unwrap_err();
        assert!(error.contains(says), "{cron}: {error}");
    }
    assert!(nights().time_zone("Mars/Olympus").unwrap_err().contains("Mars/Olympus"));
}

proptest! {
    #[test]
    fn no_pattern_panics_or_moves_a_renewal_past_the_floor(
        cron in "[0-9*,/LW#-]{0,6}( [0-9*,/LW#?A-Z-]{1,6}){4}",
        zone in prop_oneof![Just("UTC"), Just("America/Sao_Paulo"), Just("nowhere")],
        due in 0i64..90 * 86_400,
        now in 0i64..100 * 86_400,
    ) {
        let window = MaintenanceWindow { cron, open_for: Duration::from_secs(3_600), time_zone: zone.to_owned() };
        let _ = window.validate();
        let begins = life().issued_at;
        let from = |seconds: i64| Timestamp::from_unix(begins.unix() + seconds);
        let due = from(due).max(life().earliest()).min(life().latest());
        let moved = welcome(&[window], due, life(), from(now));
        prop_assert!(moved >= life().earliest() && moved <= life().latest().max(from(now)), "{moved}");
    }
}
