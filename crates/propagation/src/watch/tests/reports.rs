//! What a report says.

use super::*;

#[test]
fn other_values_are_told_from_no_values() {
    let stale = scene(2, |server, owner, _| match server {
        1 => answer(owner, vec![Data::Txt(b"yesterday".to_vec())]),
        _ => has_it_not(),
    });
    let run = run(&stale, settings(Policy::All, Sweep::Once));
    let advice = &run.report().advice;
    assert!(
        matches!(&advice[0], Advice::StaleValue { values, .. } if values == &["yesterday"]),
        "{advice:?}"
    );
    assert!(matches!(&advice[1], Advice::NotYet { servers, .. } if servers.len() == 1), "{advice:?}");
}

#[test]
fn a_report_reads_well_to_people_and_machines() {
    let lagging = scene(2, |server, owner, _| if server == 2 { has_it_not() } else { has_it(owner) });
    let run = run(&lagging, settings(Policy::All, Sweep::Once));
    assert_eq!(
        run.report().to_string(),
        "_acme-challenge.example.com TXT: not yet propagated (2 questions in 0.1 s)\n\
         \x20 wanted: \"token\"\n\
         \x20 zone example.com, name servers ns1.example.com, ns2.example.com\n\
         \x20   ok          192.0.2.1:53 (ns1.example.com) [udp NOERROR AA \"token\"] serial 9 for 0.0 s\n\
         \x20   missing     192.0.2.2:53 (ns2.example.com) [udp NXDOMAIN AA serial 7] for 0.0 s\n\
         \x20 -> ns2.example.com (192.0.2.2:53) has version 7 of the zone and others 9, it is 2 behind: wait for \
         the zone transfer; if it stays so, look at NOTIFY and at who may transfer\n"
    );
    let json = serde_json::to_value(run.report()).unwrap();
    assert_eq!(json["verdict"], "not_yet");
    assert_eq!(json["stages"][0]["rows"][1]["state"], "lacking");
    assert_eq!(json["stages"][0]["rows"][1]["last"]["code"], "NXDOMAIN");
    assert_eq!(json["advice"][0]["advice"], "serial_lag");
    assert_eq!(json["elapsed_ms"], 60);
}

#[test]
fn where_some_have_it_and_some_do_not_each_tells_the_serial_number_once() {
    let lag = seconds(3);
    let lagging = scene(3, move |server, owner, now| match server {
        2 if now < lag => has_it_not(),
        3 => Err(TransportError::Timeout),
        _ => has_it(owner),
    });
    for sweep in [Sweep::Once, Sweep::UntilReady] {
        let run = run(&lagging, settings(Policy::All, sweep));
        assert_eq!(run.asked_for_serial, [1], "the second has told its own, the third does not answer");
        let serials =
            |report: &Report| report.stages[0].rows.iter().map(|row| row.serial).collect::<Vec<_>>();
        let while_it_lags = run.reports.iter().any(|report| serials(report) == [Some(9), Some(7), None]);
        assert!(while_it_lags || serials(run.report()) == [Some(9), Some(7), None], "{sweep:?}");
        // What the second told before it had the value is not held against it afterwards.
        assert_eq!(serials(run.report())[1], (sweep == Sweep::Once).then_some(7));
    }
    let nobody = scene(2, |_, _, _| has_it_not());
    assert!(run(&nobody, settings(Policy::All, Sweep::Once)).asked_for_serial.is_empty());
}
