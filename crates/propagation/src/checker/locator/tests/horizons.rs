//! Resolvers that see another world, and what they are not shown.

use super::*;

/// The resolver 10.0.0.1 claims the zone `www.example.com` at 192.0.2.50, where everything is there.
fn split(server: &str, query: &Query) -> (Duration, Said) {
    let inside = query.name.as_str().ends_with("www.example.com");
    let said = match (server, query.record_type) {
        ("10.0.0.1:53", RecordType::Soa) if inside => says(false, vec![soa("www.example.com")], vec![]),
        ("10.0.0.1:53", RecordType::Ns) if inside => {
            says(false, vec![ns("www.example.com", "ns50.internal.test")], vec![])
        }
        ("10.0.0.1:53", RecordType::A) if query.name.as_str().starts_with("ns50") => {
            says(false, address_of(&query.name), vec![])
        }
        ("192.0.2.50:53", _) => {
            says(true, vec![record(query.name.as_str(), Data::Txt(b"token".to_vec()))], vec![])
        }
        // The real ones have not got it yet.
        ("192.0.2.1:53" | "192.0.2.2:53", RecordType::Txt) => says(true, vec![], vec![soa("example.com")]),
        _ => return honest(server, query),
    };
    (RTT, said)
}

#[tokio::test(start_paused = true)]
async fn what_a_split_horizon_shows_is_never_the_verdict() {
    let exchange = Scripted::new(split);
    let checker = builder(&exchange).build().unwrap();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    assert_eq!(report.verdict, Verdict::NotYet, "{report}");
    assert_eq!(report.stages[0].zone.as_ref().unwrap().apex.as_str(), "example.com");
    assert_eq!((report.split_horizons().count(), report.stages[0].rows.len()), (1, 2), "{report}");
    let late = checker.watch(&token("www.example.com"), millis(500), &mut |_| ()).await;
    assert!(matches!(late, Err(Error::NotPropagated(_))), "{late:?}");
    // What was refuted is kept for nobody.
    let zone = checker.zone(&name("_acme-challenge.x.www.example.com")).await.unwrap();
    assert_eq!(zone.apex.as_str(), "example.com");
}

#[tokio::test(start_paused = true)]
async fn a_second_look_does_not_fall_for_the_split_horizon_again() {
    let exchange = Scripted::new(split);
    let checker = builder(&exchange).build().unwrap();
    let late = checker.watch(&token("www.example.com"), Duration::from_secs(100), &mut |_| ()).await;
    let Err(Error::NotPropagated(report)) = late else { panic!("{late:?}") };
    let looked = exchange.asked("10.0.0.1:53 www.example.com SOA");
    assert!((3..=4).contains(&looked), "it was looked for again, as often as the jitter lets: {looked}");
    let log = exchange.log();
    let looks: Vec<usize> =
        (0..log.len()).filter(|at| log[*at] == "10.0.0.1:53 www.example.com SOA").collect();
    let shown = log.iter().rposition(|line| line.starts_with("192.0.2.50:53")).unwrap();
    assert!(
        shown < looks[1],
        "the servers of the false zone were asked while the first look was verified only"
    );
    assert!(report.stages[0].rows.iter().all(|row| row.since < Duration::from_secs(1)), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_calls_itself_the_server_of_a_zone_is_not_shown_the_name() {
    let exchange = Scripted::new(|server, query| match (server, query.name.as_str(), query.record_type) {
        // As the DNS of a cluster: its address is among the zone's own.
        ("10.0.0.1:53", "ns50.internal.test", RecordType::A) => {
            (RTT, says(false, vec![record("ns50.internal.test", Data::A([10, 0, 0, 1].into()))], vec![]))
        }
        _ => split(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    assert_eq!(checker.check(&token("www.example.com")).await.unwrap().verdict, Verdict::NotYet);
    assert_eq!(exchange.asked("10.0.0.1:53 _acme-challenge"), 0, "{:?}", exchange.log());
}

#[tokio::test(start_paused = true)]
async fn nor_is_it_where_nobody_above_can_be_asked() {
    let exchange = Scripted::new(|server, query| match (server, query.name.as_str(), query.record_type) {
        ("10.0.0.1:53", "ns50.internal.test", RecordType::A) => {
            let addresses = [[10, 0, 0, 1], [192, 0, 2, 50]];
            let a = |v4: [u8; 4]| record("ns50.internal.test", Data::A(v4.into()));
            (RTT, says(false, addresses.map(a).to_vec(), vec![]))
        }
        ("192.0.2.1:53" | "192.0.2.2:53", ..) => (RTT, Err(TransportError::Refused)),
        _ => split(server, query),
    });
    let checker = builder(&exchange).build().unwrap();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    assert!(report.verdict.is_ready(), "the other address may be asked: {report}");
    assert_eq!(exchange.asked("10.0.0.1:53 _acme-challenge"), 0, "{:?}", exchange.log());
    let evidence = &report.stages[0].zone.as_ref().unwrap().evidence;
    let Some(Evidence::Unverified { reason, .. }) = evidence.last() else { panic!("{evidence:?}") };
    assert!(reason.contains("at 10.0.0.1 are resolvers of ours"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn resolvers_for_a_zone_are_asked_about_it_and_nothing_else() {
    let exchange = Scripted::new(split);
    let servers: [NameServer; 1] = ["10.0.0.2".parse().unwrap()];
    let checker = builder(&exchange)
        .nameservers_for(name("com"), ["10.0.0.9".parse().unwrap()])
        .nameservers_for(name("www.example.com"), ["10.0.0.8".parse().unwrap()])
        .nameservers_for(name("www.example.com"), servers)
        .build()
        .unwrap();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    assert_eq!(report.split_horizons().count(), 0, "{report}");
    let asked = |server: &str| {
        let mut lines: Vec<_> =
            exchange.log().iter().filter_map(|line| Some(line.strip_prefix(server)?.to_owned())).collect();
        lines.sort();
        lines.dedup();
        lines
    };
    // The first is asked to explain why the values are not there.
    assert_eq!(asked("10.0.0.2:53 "), ["example.com SOA", "www.example.com NS", "www.example.com SOA"]);
    assert!(asked("10.0.0.9:53 ").contains(&"com NS".to_owned()), "{:?}", exchange.log());
    assert_eq!((asked("10.0.0.1:53 ").len(), asked("10.0.0.8:53 ").len()), (0, 0));
    // With resolvers alone, those for the name have to have the values.
    let recursive =
        builder(&exchange).nameservers_for(name("www.example.com"), ["10.0.0.2".parse().unwrap()]);
    let recursive = recursive.policy(Policy::RecursiveOnly).build().unwrap();
    let located = recursive.shared.locator.resolvers(&name("x.www.example.com")).await;
    assert_eq!(located.servers, ["10.0.0.2"]);
    assert_eq!(recursive.shared.locator.resolvers(&name("example.com")).await.servers, ["10.0.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn name_servers_below_the_challenge_name_are_shown_to_no_resolver() {
    const NAME: &str = "_acme-challenge.www.example.com";
    const INSIDE: &str = "ns8._acme-challenge.www.example.com";
    for (hosts, found) in [(vec!["ns9.sub.example.com", INSIDE], 2), (vec![INSIDE], 0)] {
        // The name is a zone of its own, delegated without glue. `recursive` refuses to hear of it.
        let exchange = Scripted::new(move |server, query| {
            let said = match (last_octet(server), query.name.as_str(), query.record_type) {
                (Some(1 | 2), NAME, _) => {
                    says(false, vec![], hosts.iter().map(|host| ns(NAME, host)).collect())
                }
                (Some(9), NAME, RecordType::Ns) => {
                    says(true, hosts.iter().map(|host| ns(NAME, host)).collect(), vec![])
                }
                (Some(9), INSIDE, RecordType::A) => says(true, address_of(&query.name), vec![]),
                (Some(9), INSIDE, _) => says(true, vec![], vec![soa(NAME)]),
                (Some(8 | 9), NAME, _) => {
                    says(true, vec![record(NAME, Data::Txt(b"token".to_vec()))], vec![])
                }
                _ => return honest(server, query),
            };
            (RTT, said)
        });
        let report = builder(&exchange).build().unwrap().check(&token("www.example.com")).await.unwrap();
        let zone = report.stages[1].zone.as_ref().unwrap();
        assert_eq!(zone.servers.iter().map(|server| server.v4.len()).sum::<usize>(), found, "{report}");
        assert_eq!(report.verdict.is_ready(), found > 0, "{report}");
        assert_eq!(exchange.asked("192.0.2.200:53 _"), 0, "nor to the root");
    }
}
