//! The walk from the root.

use super::*;

#[tokio::test(start_paused = true)]
async fn on_request_zones_are_found_from_the_root_and_no_resolver_is_asked() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).iterative().build().unwrap();
    for (at, apex) in [("www.example.com", "example.com"), ("x.sub.example.com", "sub.example.com")] {
        assert_eq!(check(&checker, at).await.0, apex);
    }
    assert_eq!(exchange.asked("10.0.0.1"), 0, "{:?}", exchange.log());
    let zone = checker.zone(&name("_acme-challenge.www.example.com")).await.unwrap();
    let by = "192.0.2.100".to_owned();
    assert_eq!(
        zone.evidence,
        [Evidence::Walked { apex: name("example.com"), parent: Some(name("com")), by }]
    );
    let nowhere = checker.zone(&name("_acme-challenge.www.nope")).await.unwrap_err();
    assert!(matches!(nowhere, Error::NoZone { .. }), "{nowhere}");
    // What the servers of the root and of `com` are shown.
    let above = |line: &String| line.starts_with("192.0.2.200") || line.starts_with("192.0.2.100");
    assert!(
        exchange
            .log()
            .iter()
            .filter(|line| above(line))
            .all(|line| !line.contains("www.") && !line.contains('_'))
    );
}

#[tokio::test(start_paused = true)]
async fn resolvers_that_are_dead_or_refuse_are_walked_around_and_rested() {
    type Fault = fn() -> Said;
    let faults: [Fault; 4] = [
        || Err(TransportError::Timeout),
        || code(ResponseCode::REFUSED),
        || code(ResponseCode::SERVFAIL),
        || code(ResponseCode::NXDOMAIN),
    ];
    for fault in faults {
        let exchange = Scripted::new(move |server, query| match server {
            "10.0.0.1:53" => (millis(100), fault()),
            _ => honest(server, query),
        });
        let checker = builder(&exchange).build().unwrap();
        assert_eq!(check(&checker, "www.example.com").await.0, "example.com");
        assert!(exchange.asked("10.0.0.1:53 www.example.com") > 0);
        assert_eq!(check(&checker, "x.sub.example.com").await.0, "sub.example.com");
        // A diagnosis may ask what became of it; the search does not.
        assert_eq!(exchange.asked("10.0.0.1:53 x.sub.example.com"), 0, "it is not tried again at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_resolver_that_denies_everything_does_not_speak_for_the_second() {
    let exchange = Scripted::new(|server, query| match server {
        "10.0.0.1:53" => (RTT, code(ResponseCode::NXDOMAIN)),
        _ => honest(server, query),
    });
    let servers = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
    let checker = builder(&exchange).nameservers(servers).build().unwrap();
    assert_eq!(check(&checker, "www.example.com").await.0, "example.com");
    assert_eq!(exchange.asked("192.0.2.200"), 0, "nobody had to walk");
}

#[tokio::test(start_paused = true)]
async fn silence_about_one_name_is_no_silence_of_the_resolver() {
    // As a real resolver that waits for ever for the dead servers of a zone.
    let exchange = Scripted::new(|server, query| match (server, query.name.as_str()) {
        ("10.0.0.1:53", "x.sub.example.com" | "sub.example.com") => {
            (Duration::from_secs(5), Err(TransportError::Timeout))
        }
        _ => honest(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    let report = checker.check(&token("x.sub.example.com")).await.unwrap();
    assert_eq!(
        report.stages.last().unwrap().zone.as_ref().unwrap().apex.as_str(),
        "sub.example.com",
        "{report}"
    );
    assert_eq!(exchange.asked("192.0.2.200"), 0, "nobody had to walk");
}
