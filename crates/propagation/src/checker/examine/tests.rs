//! The last questions against a scripted world, in paused time.

use super::*;
use crate::{
    Error, Verdict,
    checker::tests::{
        NAME, Said, Scripted, checker, code, healthy, healthy_for_many, many, millis, name, ns, record, says,
        soa, wanted,
    },
    report::Advice,
    wire::{Data, ResponseCode},
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

const VANTAGE_POINT: &str = "203.0.113.9:53";

/// A healthy world with a vantage point that answers the nth question, from 0, like this.
fn seen_from(view: impl Fn(u32, &Query) -> Said + Send + Sync + 'static) -> Arc<Scripted> {
    let asked = AtomicU32::new(0);
    Scripted::new(move |server, query| match server {
        VANTAGE_POINT if query.record_type == RecordType::Txt => {
            (millis(50), view(asked.fetch_add(1, Ordering::Relaxed), query))
        }
        VANTAGE_POINT => (millis(50), says(false, vec![], vec![soa("com")])),
        _ => healthy(server, query),
    })
}

fn has_it() -> Said {
    says(false, vec![record(NAME, Data::Txt(b"token".to_vec()))], vec![])
}

fn absent(ttl: u32) -> Said {
    let mut answer = says(false, vec![], vec![record("example.com", Data::Soa { serial: 1, minimum: ttl })])?;
    answer.code = ResponseCode::NXDOMAIN;
    Ok(answer)
}

fn vantage(exchange: &Arc<Scripted>) -> crate::CheckerBuilder {
    checker(exchange, &["10.0.0.1"]).vantage_points([VANTAGE_POINT.parse().unwrap()])
}

#[tokio::test(start_paused = true)]
async fn a_vantage_point_that_remembers_a_no_is_reported_and_decides_nothing() {
    let exchange = seen_from(|_, _| absent(30));
    let start = Instant::now();
    let checker = vantage(&exchange).build().unwrap();
    let propagated = checker.watch(&wanted(), Duration::from_secs(60), &mut |_| ()).await.unwrap();
    let report = propagated.report();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    let remembered = Advice::NegativelyCached { resolver: "203.0.113.9".to_owned(), ttl: Some(30) };
    assert_eq!(report.advice, [remembered], "{report}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    // The authoritative servers were asked first, and twice.
    let first = exchange.log().iter().position(|line| line.starts_with("203.")).unwrap();
    let before = exchange.log()[..first].iter().filter(|line| line.contains("TXT")).count();
    assert_eq!(before, 4, "{:?}", exchange.log());
    assert!(!exchange.log().iter().any(|line| line.starts_with("10.") && line.contains("_acme")));
}

#[tokio::test(start_paused = true)]
async fn where_vantage_points_must_agree_a_watch_waits_until_the_no_has_run_out() {
    let exchange = seen_from(|nth, _| if nth == 0 { absent(30) } else { has_it() });
    let start = Instant::now();
    let checker = vantage(&exchange).vantage_agreement(Agreement::Required).build().unwrap();
    let mut shown = Vec::new();
    let propagated = checker
        .watch(&wanted(), Duration::from_secs(60), &mut |report| shown.push(report.verdict))
        .await
        .unwrap();
    assert_eq!(propagated.report().advice, [], "{}", propagated.report());
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(31) && elapsed < Duration::from_secs(32), "{elapsed:?}");
    assert_eq!(exchange.asked("203.0.113.9:53 _acme"), 2, "asked again no sooner than it helps");
    assert_eq!(shown.last(), Some(&Verdict::Ready));
    assert!(propagated.report().elapsed >= Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn a_no_that_outlives_the_deadline_ends_a_watch_there() {
    let exchange = seen_from(|_, _| absent(900));
    let start = Instant::now();
    let checker = vantage(&exchange).vantage_agreement(Agreement::Required).build().unwrap();
    let error = checker.watch(&wanted(), Duration::from_secs(60), &mut |_| ()).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(60));
    let Error::NotPropagated(report) = error else { panic!("{error}") };
    assert!(matches!(&report.advice[..], [Advice::NegativelyCached { ttl: Some(60), .. }]), "{report}");
    assert_eq!(exchange.asked("203.0.113.9:53 _acme"), 1);
    assert!(report.elapsed >= Duration::from_secs(59), "{report}");
}

/// SERVFAIL with this extended error, unless nobody is to look at the signatures.
fn bogus(query: &Query) -> Said {
    if query.checking_disabled {
        return has_it();
    }
    let mut answer = code(ResponseCode::SERVFAIL)?;
    answer.extended_error = Some(crate::wire::ExtendedError { code: 7, text: "expired".to_owned() });
    Ok(answer)
}

#[tokio::test(start_paused = true)]
async fn broken_signatures_warn_or_hold_up_as_was_asked() {
    let exchange = seen_from(|_, query| bogus(query));
    let check =
        async |dnssec| vantage(&exchange).dnssec(dnssec).build().unwrap().check(&wanted()).await.unwrap();
    for (dnssec, verdict, security) in [
        (Dnssec::Warn, Verdict::ReadyWithWarnings, Some(Security::Bogus)),
        (Dnssec::Require, Verdict::NotYet, Some(Security::Bogus)),
    ] {
        let report = check(dnssec).await;
        assert_eq!((report.verdict, report.security), (verdict, security), "{report}");
        assert!(matches!(&report.advice[..], [Advice::DnssecBogus { .. }]), "{report}");
        assert!(report.to_string().contains("EDE 7 (expired)"), "{report}");
    }
    let off = check(Dnssec::Off).await;
    assert_eq!((off.verdict, off.security), (Verdict::Ready, None), "{off}");
}

#[tokio::test(start_paused = true)]
async fn required_signatures_that_are_mended_let_a_watch_end() {
    let exchange = seen_from(|nth, query| if nth < 2 { bogus(query) } else { has_it() });
    let checker = vantage(&exchange).dnssec(Dnssec::Require).build().unwrap();
    let propagated = checker.watch(&wanted(), Duration::from_secs(60), &mut |_| ()).await.unwrap();
    // The vantage point knows no key above the zone.
    assert_eq!(propagated.report().security, Some(Security::Insecure), "{}", propagated.report());
}

#[tokio::test(start_paused = true)]
async fn without_vantage_points_the_resolvers_are_asked_where_signatures_must_be_whole() {
    let validating = |secure: bool| {
        Scripted::new(move |server, query| match (server, query.record_type) {
            ("10.0.0.1:53", RecordType::Txt) => {
                let mut said = has_it();
                if let Ok(answer) = &mut said {
                    answer.authentic_data = secure;
                }
                (millis(10), said)
            }
            ("10.0.0.1:53", RecordType::Ds) => {
                let key = record("example.com", Data::Ds { key_tag: 1, algorithm: 13 });
                (millis(10), says(false, vec![key], vec![]))
            }
            _ => healthy(server, query),
        })
    };
    let check = async |exchange: &Arc<Scripted>, dnssec| {
        checker(exchange, &["10.0.0.1"]).dnssec(dnssec).build().unwrap().check(&wanted()).await.unwrap()
    };
    let secure = check(&validating(true), Dnssec::Require).await;
    assert_eq!((secure.verdict, secure.security), (Verdict::Ready, Some(Security::Secure)), "{secure}");
    let blind = check(&validating(false), Dnssec::Require).await;
    assert_eq!((blind.verdict, blind.security), (Verdict::NotYet, Some(Security::Indeterminate)), "{blind}");
    assert_eq!(blind.advice, [Advice::DnssecIndeterminate { unchecked: vec![] }], "{blind}");
    let exchange = validating(true);
    check(&exchange, Dnssec::Warn).await;
    assert_eq!(exchange.asked("10.0.0.1:53 _acme"), 0, "a warning is not worth a question while all is well");
}

#[tokio::test(start_paused = true)]
async fn an_unsigned_alias_target_does_not_excuse_a_signed_zone_that_nobody_validated() {
    let ask = async |validates: bool| {
        let exchange = Scripted::new(move |server, query| match (server, query.name.as_str()) {
            (VANTAGE_POINT, "example.com") => {
                let key = record("example.com", Data::Ds { key_tag: 1, algorithm: 13 });
                let said = says(false, vec![key], vec![])
                    .map(|answer| Answer { authentic_data: validates, ..answer });
                (millis(10), said)
            }
            (VANTAGE_POINT, "example.net") => (millis(10), says(false, vec![], vec![soa("net")])),
            _ => healthy(server, query),
        });
        let checker = vantage(&exchange).build().unwrap();
        let targets = checker.shared.paths.targets(&checker.shared.demands.points).await;
        let value = wanted();
        let examiner = Examiner::new(&checker.shared, &value, None);
        let zones = ["example.com", "example.net"].map(name);
        examiner.weakest(&targets[0], &zones).await.map(|(zone, _)| zone.to_string())
    };
    assert_eq!(ask(true).await.as_deref(), Some("example.net"), "who validates has looked at the signed one");
    assert_eq!(ask(false).await.as_deref(), Some("example.com"), "its key stands in the way of an excuse");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_stumbles_over_a_bogus_zone_is_asked_why() {
    let exchange = Scripted::new(|server, query| match (server, query.name.as_str()) {
        ("10.0.0.1:53", "www.example.com" | "example.com") => {
            let mut said = bogus(query);
            if let Ok(answer) = &mut said {
                answer.answers.clear();
            }
            (millis(10), said)
        }
        // The registry's servers refer to the zone, whatever they are asked.
        ("192.0.2.100:53", _) => {
            let ns = |host: &str| record("example.com", Data::Ns(name(host)));
            (millis(10), says(false, vec![], vec![ns("ns1.example.com"), ns("ns2.example.com")]))
        }
        _ => healthy(server, query),
    });
    let report = checker(&exchange, &["10.0.0.1"]).build().unwrap().check(&wanted()).await.unwrap();
    assert_eq!(report.verdict, Verdict::ReadyWithWarnings, "{report}");
    assert!(report.advice.iter().any(|advice| matches!(advice, Advice::DnssecBogus { .. })), "{report}");
    assert_eq!(exchange.asked("10.0.0.1:53 _acme"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_had_no_time_to_answer_is_not_called_dead() {
    let exchange = Scripted::new(|server, query| match (server, query.record_type) {
        ("192.0.2.1:53" | "192.0.2.2:53", RecordType::Txt) => (millis(10), says(true, vec![], vec![])),
        ("10.0.0.1:53", _) => (millis(300), healthy(server, query).1),
        _ => healthy(server, query),
    });
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    for deadline in [1000, 2000] {
        let late = checker.watch(&wanted(), millis(deadline), &mut |_| ()).await.unwrap_err();
        let Error::NotPropagated(report) = late else { panic!("{late}") };
        let dead = |advice: &Advice| matches!(advice, Advice::ResolverDead { .. });
        assert!(!report.stages.is_empty() && !report.advice.iter().any(dead), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_vantage_point_holds_up_nobody_for_long() {
    let exchange = Scripted::new(|server, query| match server {
        VANTAGE_POINT => (Duration::from_secs(1000), Err(TransportError::Timeout)),
        _ => healthy(server, query),
    });
    let start = Instant::now();
    let report = vantage(&exchange).build().unwrap().check(&wanted()).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert!(matches!(&report.advice[..], [Advice::ResolverDead { .. }]), "{report}");
    assert!(start.elapsed() < VANTAGE + Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_no_to_run_out_keeps_nobody_from_asking() {
    // Of a hundred names the first ninety are remembered as absent.
    let exchange = Scripted::new(|server, query| {
        let about = query.name.as_str();
        let number: Option<u32> =
            about.strip_prefix("_acme-challenge.www").and_then(|rest| rest.split('.').next()?.parse().ok());
        match (server, number) {
            (VANTAGE_POINT, None) => (millis(50), says(false, vec![], vec![soa("com")])),
            (VANTAGE_POINT, Some(number)) if number < 90 => (millis(50), absent(600)),
            (VANTAGE_POINT, Some(_)) => {
                (millis(50), says(false, vec![record(about, Data::Txt(b"token".to_vec()))], vec![]))
            }
            _ => healthy_for_many(server, query),
        }
    });
    let checker = vantage(&exchange).vantage_agreement(Agreement::Required).build().unwrap();
    let start = Instant::now();
    let mut watches = checker.watch_all(many(100), Duration::from_secs(100));
    for _ in 0..10 {
        let (wanted, result) = watches.next().await.unwrap();
        assert!(result.is_ok(), "{wanted:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(watches.left(), 90);
    while let Some((_, result)) = watches.next().await {
        assert!(matches!(result, Err(Error::NotPropagated(_))));
    }
    assert_eq!(start.elapsed(), Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn zones_that_were_not_looked_at_for_keys_are_named() {
    // Aliases from zone to zone, six in all; the first has no key above it.
    const ZONES: [&str; 6] = ["example.com", "b.net", "c.net", "d.net", "e.net", "f.net"];
    let link = |index: usize| if index == 0 { NAME.to_owned() } else { format!("_x.{}", ZONES[index]) };
    let at = move |about: &str| (0..6).rev().find(|index| about.ends_with(ZONES[*index])).unwrap_or(0);
    let exchange = Scripted::new(move |server, query| {
        let (about, kind) = (query.name.as_str(), query.record_type);
        let index = at(about);
        let said = match (server, kind) {
            (VANTAGE_POINT, RecordType::Txt) => has_it(),
            (VANTAGE_POINT, _) if index == 0 => says(false, vec![], vec![soa("com")]),
            (VANTAGE_POINT, _) => {
                let key = record(about, Data::Ds { key_tag: 1, algorithm: 13 });
                says(false, vec![key], vec![]).map(|answer| Answer { authentic_data: true, ..answer })
            }
            ("192.0.2.1:53" | "192.0.2.2:53", RecordType::Txt) if index < 5 => {
                says(true, vec![record(about, Data::Cname(name(&link(index + 1))))], vec![])
            }
            ("192.0.2.1:53" | "192.0.2.2:53", RecordType::Txt) => {
                says(true, vec![record(about, Data::Txt(b"token".to_vec()))], vec![])
            }
            ("192.0.2.100:53", _) if index > 0 => {
                says(false, vec![], vec![ns(ZONES[index], "ns1.example.com")])
            }
            (_, RecordType::Ns) if about == "net" => says(false, vec![ns("net", "gtld.com")], vec![]),
            (_, RecordType::Soa) if index > 0 => says(false, vec![soa(ZONES[index])], vec![]),
            (_, RecordType::Ns) if index > 0 && about == ZONES[index] => {
                says(false, vec![ns(about, "ns1.example.com")], vec![])
            }
            (_, RecordType::Ns) if index > 0 => says(true, vec![], vec![soa(ZONES[index])]),
            _ => return healthy(server, query),
        };
        (millis(10), said)
    });
    for dnssec in [Dnssec::Warn, Dnssec::Require] {
        let checker = vantage(&exchange).dnssec(dnssec).build().unwrap();
        let report = checker.check(&wanted()).await.unwrap();
        assert_eq!(report.stages.len(), 6, "{report}");
        assert_eq!(report.security, Some(Security::Indeterminate), "{report}");
        assert_eq!(report.verdict.is_ready(), dnssec == Dnssec::Warn, "{report}");
        let unchecked = vec![name("e.net"), name("f.net")];
        assert_eq!(report.advice, [Advice::DnssecIndeterminate { unchecked }], "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_stumbled_is_waited_for_no_longer_than_there_is_time() {
    let since = Instant::now();
    let exchange = Scripted::new(move |server, query| match (server, query.name.as_str()) {
        ("10.0.0.1:53", "www.example.com" | "example.com") => {
            // At the end, when it is asked why, it thinks for long.
            let late = since.elapsed() > millis(60);
            (if late { Duration::from_secs(10) } else { millis(10) }, code(ResponseCode::SERVFAIL))
        }
        ("192.0.2.100:53", _) => {
            let servers = ["ns1.example.com", "ns2.example.com"].map(|host| ns("example.com", host));
            (millis(10), says(false, vec![], servers.to_vec()))
        }
        _ => healthy(server, query),
    });
    let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
    let propagated = checker.watch(&wanted(), millis(500), &mut |_| ()).await.unwrap();
    assert_eq!(
        (propagated.report().stages.len(), since.elapsed()),
        (2, millis(500)),
        "{}",
        propagated.report()
    );
}
