//! Ways to servers: NAT64, and resolvers that are given by name.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_network_is_asked_for_its_nat64_prefix_once_and_again_after_a_failure() {
    let exchange = Scripted::new(|server, query| {
        if query.name.as_str() == "ipv4only.arpa" {
            return (RTT, code(ResponseCode::SERVFAIL));
        }
        honest(server, query)
    });
    let checker = builder(&exchange)
        .nameservers(["2001:db8::53".parse().unwrap()])
        .routable(|address| address.is_ipv6())
        .build()
        .unwrap();
    let names = ["www.example.com", "mail.example.com", "x.sub.example.com"].map(token);
    future::join_all(names.iter().map(|wanted| checker.check(wanted))).await;
    assert_eq!(exchange.asked("ipv4only.arpa"), 1, "{:?}", exchange.log());
    tokio::time::advance(Duration::from_secs(2)).await;
    let _ = checker.check(&names[0]).await;
    assert_eq!(exchange.asked("ipv4only.arpa"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_serves_until_its_successor_is_there() {
    let exchange = Scripted::new(|server, query| {
        if query.name.as_str() == "ipv4only.arpa" {
            let v6 = record("ipv4only.arpa", Data::Aaaa("64:ff9b::c000:aa".parse().unwrap()));
            return (millis(500), says(false, vec![v6], vec![]));
        }
        honest(server, query)
    });
    let checker = builder(&exchange)
        .nameservers(["2001:db8::53".parse().unwrap()])
        .routable(|address| address.is_ipv6())
        .build()
        .unwrap();
    let prefixes = async || {
        let start = Instant::now();
        let v4 = std::iter::once([192, 0, 2, 1].into());
        (checker.shared.paths.prefixes_for(v4).await.len(), start.elapsed())
    };
    assert_eq!(prefixes().await, (1, millis(500)));
    // Ten seconds before the TTL ends.
    tokio::time::advance(Duration::from_secs(52)).await;
    for _ in 0..2 {
        assert_eq!(prefixes().await, (1, Duration::ZERO));
    }
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(prefixes().await, (1, Duration::ZERO), "the new one is there");
    let others = exchange.log().iter().filter(|line| line.contains("ipv4only.arpa")).count();
    assert!(others.is_multiple_of(2), "each was asked twice: {:?}", exchange.log());
}

#[tokio::test(start_paused = true)]
async fn what_a_dns64_with_a_prefix_of_its_own_makes_up_is_no_second_address() {
    let exchange = Scripted::new(|server, query| {
        let v6 = |text: &str| record(query.name.as_str(), Data::Aaaa(text.parse().unwrap()));
        match (server, query.name.as_str(), query.record_type) {
            ("10.0.0.1:53", "ipv4only.arpa", _) => {
                (RTT, says(false, vec![v6("2001:db8:64::c000:aa")], vec![]))
            }
            ("10.0.0.1:53", "ns1.example.com", RecordType::Aaaa) => {
                (RTT, says(false, vec![v6("2001:db8:64::c000:201")], vec![]))
            }
            _ => honest(server, query),
        }
    });
    let checker = builder(&exchange).build().unwrap();
    let report = checker.check(&token("www.example.com")).await.unwrap();
    let asked: Vec<String> = report.stages[0].rows.iter().map(|row| row.endpoint.to_string()).collect();
    assert_eq!(asked, ["192.0.2.1:53", "192.0.2.2:53"]);
}

/// An IPv6-only host. The resolver shows a prefix as long as `shown` says which; the name servers answer through that
/// which `works` says, and have the values from then on when it says so.
fn behind_nat64(
    shown: impl Fn(Duration) -> Option<Option<&'static str>> + Send + Sync + 'static,
    works: impl Fn(Duration) -> (&'static str, bool) + Send + Sync + 'static,
) -> CheckerBuilder {
    let since = Instant::now();
    let exchange = Scripted::new(move |server, query| {
        if query.name.as_str() == "ipv4only.arpa" {
            let said = match shown(since.elapsed()) {
                None => code(ResponseCode::SERVFAIL),
                Some(prefix) => {
                    let v6 = prefix.map(|prefix| format!("{prefix}c000:aa").parse().unwrap());
                    let all = v6.map(|v6| record("ipv4only.arpa", Data::Aaaa(v6))).into_iter().collect();
                    says(false, all, vec![])
                }
            };
            return (RTT, said);
        }
        let (prefix, there) = works(since.elapsed());
        let Some(v6) = server.strip_prefix("[2001:db8:").filter(|rest| !rest.starts_with(":53]")) else {
            return honest(server, query);
        };
        let through = format!("2001:db8:{v6}");
        let Some(v4) = through.strip_prefix(prefix) else { return (RTT, Err(TransportError::Refused)) };
        let last = u8::from_str_radix(&v4["c000:2".len()..v4.find(']').unwrap()], 16).unwrap();
        match query.record_type {
            RecordType::Txt if !there => (RTT, says(true, vec![], vec![soa("example.com")])),
            _ => honest(&format!("192.0.2.{last}:53"), query),
        }
    });
    builder(&exchange).nameservers(["2001:db8::53".parse().unwrap()]).routable(|address| address.is_ipv6())
}

#[tokio::test(start_paused = true)]
async fn a_prefix_that_was_not_found_is_looked_for_again_while_its_servers_are_waited_for() {
    const PREFIX: &str = "2001:db8:64::";
    let seconds = Duration::from_secs;
    for (missing, least, most) in [(None, 3, 6), (Some(None), 3, 6)] {
        let shown = move |now| if now < seconds(3) { missing } else { Some(Some(PREFIX)) };
        let checker = behind_nat64(shown, |_| (PREFIX, true)).build().unwrap();
        let start = Instant::now();
        checker.watch(&token("www.example.com"), seconds(120), &mut |_| ()).await.unwrap();
        let elapsed = start.elapsed();
        assert!(elapsed >= seconds(least) && elapsed < seconds(most), "{missing:?}: {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_gets_another_prefix_is_noticed_while_its_servers_are_silent() {
    const PREFIXES: [&str; 2] = ["2001:db8:64::", "2001:db8:65::"];
    let seconds = Duration::from_secs;
    let now_it_is = move |now| if now < seconds(10) { PREFIXES[0] } else { PREFIXES[1] };
    let checker =
        behind_nat64(move |now| Some(Some(now_it_is(now))), move |now| (now_it_is(now), now > seconds(10)));
    let checker = checker.build().unwrap();
    let start = Instant::now();
    checker.watch(&token("www.example.com"), seconds(120), &mut |_| ()).await.unwrap();
    assert!(start.elapsed() < seconds(45), "the zone is looked for again after 30 s: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_is_given_by_name_is_looked_up_again_when_it_is_silent() {
    let since = Instant::now();
    let exchange = Scripted::new(move |server, query| {
        let moved = since.elapsed() > Duration::from_secs(5);
        match (server, query.name.as_str(), query.record_type) {
            (_, "dns.example", RecordType::A) => {
                let last = if moved { 8 } else { 9 };
                (RTT, says(false, vec![record("dns.example", Data::A([10, 0, 0, last].into()))], vec![]))
            }
            (_, "dns.example", _) => (RTT, says(false, vec![], vec![soa("example")])),
            ("10.0.0.9:53", ..) if moved => (RTT, Err(TransportError::Refused)),
            ("10.0.0.9:53", ..) => (RTT, says(false, vec![], vec![])),
            (_, about, RecordType::Txt) => {
                (RTT, says(false, vec![record(about, Data::Txt(b"token".to_vec()))], vec![]))
            }
            _ => honest(server, query),
        }
    });
    let servers = ["dns.example", "10.0.0.1"].map(|text| text.parse().unwrap());
    let checker = builder(&exchange).nameservers(servers).policy(Policy::RecursiveOnly).build().unwrap();
    let start = Instant::now();
    checker.watch(&token("www.example.com"), Duration::from_secs(120), &mut |_| ()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(45), "{:?}", start.elapsed());
}
