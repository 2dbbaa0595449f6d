//! Looking for zones, and what is kept of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_first_check_takes_three_round_trips_and_the_next_takes_one() {
    for at in ["example.com", "www.example.com", "a.b.c.example.com", "x.sub.example.com"] {
        let exchange = Scripted::new(honest);
        let checker = builder(&exchange).build().unwrap();
        assert_eq!(check(&checker, at).await.1, RTT * 3, "{at}");
        assert_eq!(check(&checker, at).await.1, RTT, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_does_not_end_before_the_cut_is_verified() {
    // The servers of the zone above are much slower than everybody else.
    let exchange = Scripted::new(|server, query| match last_octet(server) {
        Some(100) => (millis(200), honest(server, query).1),
        _ => honest(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    let start = Instant::now();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    assert_eq!(start.elapsed(), millis(220));
    let evidence = &report.stages[0].zone.as_ref().unwrap().evidence;
    assert!(matches!(evidence[1], Evidence::Confirmed { .. }), "{report}");
    assert_eq!(exchange.asked("TXT"), 2, "what was asked meanwhile is not asked again");
}

#[tokio::test(start_paused = true)]
async fn another_name_of_a_known_zone_takes_one_round_trip_and_no_resolver() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).build().unwrap();
    check(&checker, "www.example.com").await;
    let asked = exchange.asked("10.0.0.1");
    assert_eq!(check(&checker, "mail.example.com").await, ("example.com".into(), RTT));
    assert_eq!(exchange.asked("10.0.0.1"), asked);
    assert_eq!(
        exchange.asked("mail.example.com SOA"),
        1,
        "one of the zone's servers says that no cut lies between"
    );
    assert_eq!(check(&checker, "mail.example.com").await, ("example.com".into(), RTT));
    assert_eq!(exchange.asked("mail.example.com SOA"), 1, "once");
    assert_eq!(check(&checker, "x.sub.example.com").await.0, "sub.example.com");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_its_parents_servers_serve_too_is_not_taken_for_the_parent() {
    // The servers of example.com answer for sub.example.com as well, which has one more server.
    let exchange = Scripted::new(|server, query| match last_octet(server) {
        Some(1 | 2) if query.name.as_str().ends_with("sub.example.com") => (RTT, authoritative(9, query)),
        _ => honest(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    check(&checker, "www.example.com").await;
    let report = checker.check(&token("x.sub.example.com")).await.unwrap();
    assert_eq!(report.stages[0].servers, ["ns9.sub.example.com"], "{report}");
}

#[tokio::test(start_paused = true)]
async fn many_names_of_one_zone_at_once_cost_one_search() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).build().unwrap();
    let names: Vec<String> = (0..50).map(|index| format!("a.host{index}.example.com")).collect();
    let start = Instant::now();
    let ends = future::join_all(names.iter().map(|at| check(&checker, at))).await;
    assert!(ends.iter().all(|(apex, _)| apex == "example.com"));
    assert_eq!(start.elapsed(), RTT * 3);
    assert_eq!(exchange.asked("10.0.0.1:53 com NS"), 1);
    assert_eq!(
        exchange.log().iter().filter(|line| line.starts_with("10.") && line.ends_with("SOA")).count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_looked_first_may_go_and_the_search_goes_on() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).build().unwrap();
    let (first, second) = (checker.clone(), checker.clone());
    let leader = tokio::spawn(async move { check(&first, "www.example.com").await });
    tokio::time::sleep(RTT / 2).await;
    let other = tokio::spawn(async move { check(&second, "mail.example.com").await });
    tokio::time::sleep(RTT).await;
    leader.abort();
    assert_eq!(other.await.unwrap().0, "example.com");
    assert_eq!(exchange.asked("10.0.0.1:53 com NS"), 1);
}

#[tokio::test(start_paused = true)]
async fn zones_are_looked_for_again_when_their_records_have_run_out() {
    let exchange = Scripted::new(honest);
    let checker = builder(&exchange).build().unwrap();
    check(&checker, "www.example.com").await;
    tokio::time::advance(Duration::from_secs(59)).await;
    check(&checker, "www.example.com").await;
    assert_eq!(exchange.asked("10.0.0.1:53 com NS"), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    check(&checker, "www.example.com").await;
    assert_eq!(exchange.asked("10.0.0.1:53 com NS"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_server_whose_addresses_were_not_found_is_looked_up_again_soon() {
    let since = Instant::now();
    let exchange = Scripted::new(move |server, query| match (server, query.name.as_str()) {
        ("10.0.0.1:53", "ns2.example.com") if since.elapsed() < Duration::from_secs(1) => {
            (RTT, code(ResponseCode::SERVFAIL))
        }
        // The registry has no glue.
        ("192.0.2.100:53", _) => {
            let servers = ["ns1.example.com", "ns2.example.com"];
            (RTT, says(false, vec![], servers.map(|host| ns("example.com", host)).to_vec()))
        }
        _ => honest(server, query),
    });
    let found = async |checker: &Checker| {
        let zone = checker.zone(&name("_acme-challenge.www.example.com")).await.unwrap();
        zone.servers.iter().map(|server| server.v4.len()).collect::<Vec<_>>()
    };
    let (looking, checking) = (builder(&exchange).build().unwrap(), builder(&exchange).build().unwrap());
    assert_eq!(found(&looking).await, [1, 0]);
    checking.check(&token("www.example.com")).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(found(&looking).await, [1, 0], "the same names are not looked up again at once");
    assert_eq!(found(&checking).await, [1, 1], "what gave trouble is forgotten");
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(found(&looking).await, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_a_moment() {
    let root = Record { owner: None, ttl: 60, data: Data::Soa { serial: 1, minimum: 60 } };
    let exchange = Scripted::new(move |_, _| (RTT, says(false, vec![], vec![root.clone()])));
    let checker = builder(&exchange).root_hints([]).build().unwrap();
    for _ in 0..3 {
        checker.check(&token("www.nope.test")).await.unwrap_err();
    }
    assert_eq!(exchange.asked("www.nope.test SOA"), 1);
    tokio::time::advance(Duration::from_secs(6)).await;
    checker.check(&token("www.nope.test")).await.unwrap_err();
    assert_eq!(exchange.asked("www.nope.test SOA"), 2);
}
