//! The reports that people see most, word for word.

use super::{
    advice::tests::{
        amended, last, name, one, report, timeout, two, with, with_serial, with_values, witness,
    },
    *,
};
use crate::{
    report::{Clue, Mistake},
    transport::Transport,
    vantage::View,
    wire::{ExtendedError, ResponseCode},
};

/// The report as it is two seconds after the beginning, with what was learnt of the zone.
fn told(report: Report, amend: impl FnOnce(&mut Report)) -> String {
    let amended = amended(report, |report| {
        report.elapsed = Duration::from_secs(2);
        let zone = report.stages[0].zone.as_mut().unwrap();
        zone.evidence = vec![
            Evidence::Claimed { apex: name("example.com"), resolver: "10.0.0.1:53".into() },
            Evidence::Confirmed {
                apex: name("example.com"),
                parent: name("com"),
                by: "192.0.2.100:53".into(),
            },
        ];
        amend(report);
    });
    amended.to_string()
}

fn has(row: Row) -> Row {
    with_values(row, &["token"])
}

/// It answers no, for the eighth time just now.
fn says_no(row: Row) -> Row {
    with(row, |row| {
        let code = ResponseCode::NXDOMAIN;
        let absence = Some(Absence { zone: Some(name("example.com")), ttl: 300 });
        row.last = Some(LastAnswer { code, serial: Some(7), absence, ..last(Transport::Udp, &[]) });
        row.asked = Some(Duration::from_millis(1900));
        row.queries = 8;
    })
}

#[test]
fn propagated_and_validated() {
    let all = report(vec![has(one(State::Satisfied)), has(two(State::Satisfied))]);
    let text = told(all, |report| {
        report.vantage = vec![witness(View::Has, Security::Secure)];
        report.security = Some(Security::Secure);
    });
    assert_eq!(
        text,
        "_acme-challenge.www.example.com TXT: propagated (2 questions in 2.0 s)
  wanted: \"token\"
  zone example.com, name servers ns1.example.com, ns2.example.com
    resolver 10.0.0.1:53 places the name in zone example.com
    the servers of com (192.0.2.100:53) confirm the zone example.com
    ok          192.0.2.1:53 (ns1.example.com) [udp NOERROR AA \"token\"] for 2.0 s
    ok          192.0.2.2:53 (ns2.example.com) [udp NOERROR AA \"token\"] for 2.0 s
  DNSSEC: secure
  vantage points
    ok          9.9.9.9, secure
"
    );
}

#[test]
fn a_secondary_lags() {
    let lagging = report(vec![
        with_serial(has(one(State::Satisfied)), 9),
        with_serial(says_no(two(State::Lacking)), 7),
    ]);
    assert_eq!(
        told(lagging, |_| ()),
        "_acme-challenge.www.example.com TXT: not yet propagated (9 questions in 2.0 s)
  wanted: \"token\"
  zone example.com, name servers ns1.example.com, ns2.example.com
    resolver 10.0.0.1:53 places the name in zone example.com
    the servers of com (192.0.2.100:53) confirm the zone example.com
    ok          192.0.2.1:53 (ns1.example.com) [udp NOERROR AA \"token\"] serial 9 for 2.0 s
    missing     192.0.2.2:53 (ns2.example.com) [udp NXDOMAIN AA serial 7] for 2.0 s, asked 8 times, last 0.1 s ago
  -> ns2.example.com (192.0.2.2:53) has version 7 of the zone and others 9, it is 2 behind: wait for the zone \
         transfer; if it stays so, look at NOTIFY and at who may transfer
"
    );
}

#[test]
fn a_dead_server_is_tolerated() {
    let tolerated = report(vec![has(one(State::Satisfied)), two(timeout())]);
    let text = told(tolerated, |report| report.verdict = Verdict::ReadyWithWarnings);
    assert_eq!(
        text,
        "_acme-challenge.www.example.com TXT: propagated, with warnings (2 questions in 2.0 s)
  wanted: \"token\"
  zone example.com, name servers ns1.example.com, ns2.example.com
    resolver 10.0.0.1:53 places the name in zone example.com
    the servers of com (192.0.2.100:53) confirm the zone example.com
    ok          192.0.2.1:53 (ns1.example.com) [udp NOERROR AA \"token\"] for 2.0 s
    unreachable 192.0.2.2:53 (ns2.example.com): no answer in time for 2.0 s
  -> ns2.example.com (192.0.2.2:53) does not answer (no answer in time): the CA may not reach it either; mend it, \
         or remove it from the delegation; if others reach it, let UDP and TCP port 53 out of this host's network
"
    );
}

#[test]
fn the_record_is_at_a_doubled_name() {
    let text = told(report(vec![says_no(one(State::Lacking))]), |report| {
        let name = name("_acme-challenge.www.example.com.example.com");
        report.clues = vec![Clue::Elsewhere { name, mistake: Mistake::Doubled }];
    });
    assert_eq!(
        text,
        "_acme-challenge.www.example.com TXT: not yet propagated (8 questions in 2.0 s)
  wanted: \"token\"
  zone example.com, name servers ns1.example.com
    resolver 10.0.0.1:53 places the name in zone example.com
    the servers of com (192.0.2.100:53) confirm the zone example.com
    missing     192.0.2.1:53 (ns1.example.com) [udp NXDOMAIN AA serial 7] for 2.0 s, asked 8 times, last 0.1 s ago
  -> the value is at _acme-challenge.www.example.com.example.com, where the zone's name stands twice: the control \
         panel or API adds it by itself; give it the name without the zone, or with a final dot
"
    );
}

#[test]
fn a_cluster_invents_a_zone() {
    let text = told(report(vec![with_values(one(State::Lacking), &["yesterday"])]), |report| {
        let zone = report.stages[0].zone.as_mut().unwrap();
        let split = Evidence::SplitHorizon {
            claimed: name("www.example.com"),
            resolver: "10.96.0.10:53".into(),
            parent: name("example.com"),
            by: "192.0.2.1:53".into(),
            code: ResponseCode::NXDOMAIN,
        };
        zone.evidence.insert(0, split);
    });
    assert_eq!(
        text,
        "_acme-challenge.www.example.com TXT: not yet propagated (1 question in 2.0 s)
  wanted: \"token\"
  zone example.com, name servers ns1.example.com
    resolver 10.96.0.10:53 claims zone www.example.com, the servers of example.com know no such delegation \
         (NXDOMAIN from 192.0.2.1:53): split horizon; authoritative servers are asked instead
    resolver 10.0.0.1:53 places the name in zone example.com
    the servers of com (192.0.2.100:53) confirm the zone example.com
    missing     192.0.2.1:53 (ns1.example.com) [udp NOERROR AA \"yesterday\"] for 2.0 s
  -> ns1.example.com (192.0.2.1:53) has other values (\"yesterday\"): an old record is cached or was never removed, \
         or the new one was written to another zone or provider account
  -> resolver 10.96.0.10:53 has a zone www.example.com of its own; it is not believed, nothing need be done unless \
         the CA uses that resolver too
"
    );
}

#[test]
fn the_world_disagrees() {
    let text = told(report(vec![has(one(State::Satisfied))]), |report| {
        let absence = Some(Absence { zone: Some(name("example.com")), ttl: 840 });
        let mut bogus = witness(View::Failing { code: ResponseCode::SERVFAIL }, Security::Bogus);
        bogus.server = "tls://dns.example".into();
        bogus.extended_error = Some(ExtendedError { code: 7, text: "signature expired".into() });
        report.vantage = vec![witness(View::Lacking { absence }, Security::Indeterminate), bogus];
        report.security = Some(Security::Bogus);
        report.verdict = Verdict::ReadyWithWarnings;
    });
    assert_eq!(
        text,
        "_acme-challenge.www.example.com TXT: propagated, with warnings (1 question in 2.0 s)
  wanted: \"token\"
  zone example.com, name servers ns1.example.com
    resolver 10.0.0.1:53 places the name in zone example.com
    the servers of com (192.0.2.100:53) confirm the zone example.com
    ok          192.0.2.1:53 (ns1.example.com) [udp NOERROR AA \"token\"] for 2.0 s
  DNSSEC: bogus
  vantage points
    missing     9.9.9.9: for 840 s more
    failing     tls://dns.example (9.9.9.9:53): SERVFAIL, bogus, EDE 7 (signature expired)
  -> tls://dns.example (9.9.9.9:53) finds the zone's DNSSEC signatures broken, EDE 7 (signature expired): a CA has to \
         validate and will see nothing; sign the zone anew, or mend the DS record in the zone above
  -> 9.9.9.9 remembers that there is no such record, for 840 s more: it was asked too early (RFC 2308); a CA that \
         resolves by itself does not mind; wait, flush its cache, or lower the minimum in the zone's SOA record
"
    );
}

#[test]
fn machines_read_the_same() {
    let lagging = report(vec![
        with_serial(has(one(State::Satisfied)), 9),
        with_serial(says_no(two(State::Lacking)), 7),
    ]);
    let json = serde_json::to_value(&lagging).unwrap();
    let row = &json["stages"][0]["rows"][1];
    assert_eq!((&row["serial"], &row["queries"], &row["asked_ms"]), (&7.into(), &8.into(), &1900.into()));
    assert_eq!(row["last"]["absence"], serde_json::json!({ "zone": "example.com", "ttl_s": 300 }));
    let advice = serde_json::json!({
        "advice": "serial_lag", "server": "ns2.example.com (192.0.2.2:53)", "serial": 7, "newest": 9
    });
    assert_eq!(json["advice"], serde_json::json!([advice]));
    let told = amended(lagging, |report| {
        report.vantage = vec![witness(View::Stale { values: vec!["old".into()], ttl: 3 }, Security::Secure)];
        report.security = Some(Security::Secure);
    });
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["security"], "secure");
    assert_eq!(json["vantage"][0]["view"], serde_json::json!({ "stale": { "values": ["old"], "ttl_s": 3 } }));
    assert_eq!(json["advice"][1]["advice"], "stale_cache");
}
