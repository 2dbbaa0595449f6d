//! Every trouble that real servers on loopback can be brought into, and the advice about it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use perennial_propagation::{
    Agreement, Dnssec, NameServer, Policy, Report, Verdict,
    report::{Advice, Reach, Row},
    vantage::{Security, View},
    zone::ZoneServer,
};
use perennial_testkit::dns::{AuthoritativeServer, Behaviour, Data, Freshness, RecursiveServer, Zone};

use crate::scene::{NAME, SPARE, Scene, token};

async fn check(scene: &Scene) -> Report {
    scene.checker().check(&token(NAME)).await.unwrap()
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.advice.iter().map(Advice::code).collect()
}

fn row<'a>(report: &'a Report, server: &AuthoritativeServer) -> &'a Row {
    let address = server.address().to_string();
    report.stages[0].rows.iter().find(|row| row.endpoint.to_string() == address).unwrap()
}

#[tokio::test]
async fn a_value_at_another_name_is_found_there_and_no_resolver_hears_of_it() {
    for (name, code) in [
        ("_acme-challenge.www.example.com.example.com", "doubled_name"),
        ("_acme-challenge.www.www.example.com", "doubled_name"),
        ("www.example.com", "misplaced_name"),
        ("_acme-challenge.example.com", "misplaced_name"),
    ] {
        let scene = Scene::with(|resolver| resolver.remember_absence()).await;
        scene.publish(name, "token");
        let report = check(&scene).await;
        assert_eq!((report.verdict, codes(&report)), (Verdict::NotYet, vec![code]), "{report}");
        assert!(report.advice[0].to_string().contains(name), "{report}");
        assert_eq!(scene.challenge_names_at_the_resolver(), 0);
    }
}

#[tokio::test]
async fn a_name_without_any_record_is_not_yet_anywhere() {
    let scene = Scene::new().await;
    let report = check(&scene).await;
    assert_eq!(codes(&report), ["not_yet"], "{report}");
    assert!(report.advice[0].to_string().contains("no server of the zone example.com has it"), "{report}");
    assert_eq!(scene.challenge_names_at_the_resolver(), 0);
}

#[tokio::test]
async fn a_secondary_that_missed_the_transfer_is_behind_by_its_serial_number() {
    let scene = Scene::new().await;
    scene.servers[1].set_freshness(Freshness::Frozen);
    scene.publish(NAME, "yesterday");
    scene.publish(NAME, "token");
    let report = check(&scene).await;
    assert_eq!(codes(&report), ["serial_lag"], "{report}");
    assert!(report.to_string().contains("it is 2 behind"), "{report}");
    let [first, second] = [&scene.servers[0], &scene.servers[1]].map(|server| row(&report, server).serial);
    assert_eq!(first.unwrap() - second.unwrap(), 2);
}

#[tokio::test]
async fn an_alias_made_by_a_wildcard_is_told_from_one_that_stands_there() {
    let target = || Data::Cname("t.example.com".parse().unwrap());
    for (owner, expected) in [("*.www.example.com", "wildcard_alias"), (NAME, "not_yet")] {
        let scene = Scene::new().await;
        scene.zone.add(owner, target()).unwrap();
        let report = check(&scene).await;
        assert_eq!(codes(&report), [expected], "{report}");
        assert_eq!(report.stages[1].name.as_str(), "t.example.com", "both are followed");
    }
}

#[tokio::test]
async fn texts_made_by_a_wildcard_are_no_stale_values() {
    let scene = Scene::new().await;
    scene.zone.add("*.www.example.com", Data::txt("v=spf1 -all")).unwrap();
    let report = check(&scene).await;
    assert_eq!(codes(&report), ["wildcard_text"], "{report}");
    // The record itself makes the wildcard step aside.
    scene.publish(NAME, "token");
    assert_eq!(check(&scene).await.verdict, Verdict::Ready);
}

#[tokio::test]
async fn a_record_in_the_zone_above_a_cut_is_seen_by_nobody() {
    let mut scene = Scene::new().await;
    let child = Zone::new(NAME).unwrap();
    child.add_name_server("ns9.example.com", &[]).unwrap();
    let _server = scene.start_spare(&child);
    scene.zone.delegate(NAME, "ns9.example.com", &[SPARE]).unwrap();
    scene.publish(NAME, "token");
    let report = check(&scene).await;
    assert_eq!(codes(&report), ["below_zone_cut"], "{report}");
    assert_eq!(scene.challenge_names_at_the_resolver(), 0, "not even as the name of a zone");
}

#[tokio::test]
async fn a_record_in_the_zone_above_is_suspected_where_the_lower_one_has_nothing() {
    let mut scene = Scene::new().await;
    let child = Zone::new("www.example.com").unwrap();
    child.add_name_server("ns.www.example.com", &[SPARE]).unwrap();
    let _server = scene.start_spare(&child);
    scene.zone.delegate("www.example.com", "ns.www.example.com", &[SPARE]).unwrap();
    scene.publish(NAME, "token");
    let report = check(&scene).await;
    assert_eq!(codes(&report), ["below_zone_cut"], "{report}");
    child.add(NAME, Data::txt("token")).unwrap();
    assert_eq!(check(&scene).await.verdict, Verdict::Ready);
}

#[tokio::test]
async fn a_value_at_a_wildcard_that_does_not_reach_the_name_is_found_there() {
    let scene = Scene::new().await;
    // The name exists, since something lies below it; so no wildcard counts there.
    scene.publish(&format!("x.{NAME}"), "other");
    scene.publish("*.www.example.com", "token");
    let report = check(&scene).await;
    assert_eq!(codes(&report), ["misplaced_name"], "{report}");
    assert!(report.advice[0].to_string().contains("*.www.example.com"), "{report}");
}

#[tokio::test]
async fn aliases_in_a_circle_or_without_end_are_named() {
    let scene = Scene::new().await;
    let alias = |from: &str, to: &str| scene.zone.add(from, Data::Cname(to.parse().unwrap())).unwrap();
    alias(NAME, "a.example.com");
    alias("a.example.com", NAME);
    let report = check(&scene).await;
    assert_eq!(codes(&report), ["alias_chain"], "{report}");
    assert!(report.advice[0].to_string().contains("in a circle"), "{report}");

    let scene = Scene::new().await;
    let alias = |from: &str, to: &str| scene.zone.add(from, Data::Cname(to.parse().unwrap())).unwrap();
    let link = |index: usize| if index == 0 { NAME.to_owned() } else { format!("l{index}.example.com") };
    (0..16).for_each(|index| alias(&link(index), &link(index + 1)));
    scene.publish(&link(16), "token");
    let report = check(&scene).await;
    assert_eq!((report.verdict, report.stages.len()), (Verdict::Ready, 17), "{report}");
    scene.zone.remove_all(&link(16)).unwrap();
    alias(&link(16), &link(17));
    scene.publish(&link(17), "token");
    let report = check(&scene).await;
    assert_eq!((report.verdict, codes(&report)), (Verdict::NotYet, vec!["alias_chain"]), "{report}");
}

#[tokio::test]
async fn a_server_whose_ipv6_leads_nowhere_is_named_and_tolerated() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    // Nothing listens there.
    scene.zone.add("ns1.example.com", Data::Aaaa(Ipv6Addr::LOCALHOST)).unwrap();
    let report = check(&scene).await;
    assert_eq!(
        (report.verdict, codes(&report)),
        (Verdict::ReadyWithWarnings, vec!["ipv6_unreachable"]),
        "{report}"
    );
    assert!(matches!(&report.advice[0], Advice::Ipv6Unreachable { reach: Reach::Unknown, .. }), "{report}");
}

#[tokio::test]
async fn half_open_firewalls_are_told_by_the_half() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    scene.servers[1].set_behaviour(Behaviour::TcpOnly);
    let report = check(&scene).await;
    assert_eq!((report.verdict, codes(&report)), (Verdict::Ready, vec!["tcp_only"]), "{report}");
    scene.servers[1].set_behaviour(Behaviour::UdpOnly);
    for index in 0..20 {
        scene.publish(NAME, &format!("{index:0100}"));
    }
    let report = check(&scene).await;
    // One of the two has the value: enough to go on, and the other is explained where it is not.
    assert_eq!(report.verdict, Verdict::ReadyWithWarnings, "{report}");
    scene.servers[0].set_behaviour(Behaviour::Refuse);
    let report = check(&scene).await;
    assert_eq!(codes(&report), ["lame_server", "tcp_blocked"], "{report}");
}

#[tokio::test]
async fn an_interception_is_told_once_for_all_servers() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    scene.servers.iter().for_each(|server| server.set_behaviour(Behaviour::Intercepted));
    let report = check(&scene).await;
    assert_eq!((report.verdict, codes(&report)), (Verdict::NotYet, vec!["intercepted"]), "{report}");
    assert!(
        matches!(&report.advice[0], Advice::Intercepted { servers, .. } if servers.len() == 2),
        "{report}"
    );
}

#[tokio::test]
async fn each_dead_resolver_is_named_where_the_values_are_not_seen() {
    let scene = Scene::new().await;
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dead = NameServer::at(silent.local_addr().unwrap());
    let servers = [NameServer::at(scene.resolver.address()), dead.clone()];
    let report = scene.builder().nameservers(servers).build().unwrap().check(&token(NAME)).await.unwrap();
    assert_eq!(codes(&report), ["not_yet", "resolver_dead"], "{report}");
    assert!(
        matches!(&report.advice[1], Advice::ResolverDead { resolver, .. } if *resolver == dead.to_string())
    );
}

#[tokio::test]
async fn where_the_way_was_found_without_them_dead_resolvers_are_named_and_none_is_asked_who_may_not_be() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dead = NameServer::at(silent.local_addr().unwrap());
    // The server of `com` as a root of our own.
    let mut root = ZoneServer::new("gtld.com".parse().unwrap());
    root.add(scene.registry.address().ip());
    let builder = scene.builder().root_hints([root]);
    let report = builder.clone().nameservers([dead]).build().unwrap().check(&token(NAME)).await.unwrap();
    assert_eq!((report.verdict, codes(&report)), (Verdict::Ready, vec!["resolver_dead"]), "{report}");
    let iterative = builder.iterative().build().unwrap();
    let unknown = "_acme-challenge.mail.example.com";
    for (name, expected) in [(NAME, Verdict::Ready), (unknown, Verdict::NotYet)] {
        let report = iterative.check(&token(name)).await.unwrap();
        assert_eq!(report.verdict, expected, "{report}");
        assert!(!codes(&report).contains(&"resolver_dead"), "{report}");
    }
    assert!(scene.resolver.queries().is_empty(), "{:?}", scene.resolver.queries());
}

#[tokio::test]
async fn name_servers_that_only_one_side_names_are_told() {
    let scene = Scene::new().await;
    scene.zone.add_name_server("ns3.example.com", &[SPARE]).unwrap();
    let mut scene = scene;
    let zone = scene.zone.clone();
    let _server = scene.start_spare(&zone);
    scene.publish(NAME, "token");
    let report = check(&scene).await;
    assert_eq!((report.verdict, codes(&report)), (Verdict::Ready, vec!["name_servers_differ"]), "{report}");
    assert!(report.advice[0].to_string().contains("only the zone itself names ns3.example.com"), "{report}");
}

#[tokio::test]
async fn a_private_zone_behind_placeholders_is_seen_through() {
    let lie = Zone::new("example.com").unwrap();
    lie.add_name_server("ns-0.awsdns-00.com", &[]).unwrap();
    let scene = Scene::with(move |resolver| resolver.lie(&lie)).await;
    scene.publish(NAME, "token");
    let report = check(&scene).await;
    assert_eq!((report.verdict, codes(&report)), (Verdict::Ready, vec!["private_zone"]), "{report}");
}

#[tokio::test]
async fn a_cluster_that_invents_a_zone_is_named_with_the_remedy_where_it_is_asked_alone() {
    let lie = Zone::new("www.example.com").unwrap();
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10));
    lie.add_name_server("ns.dns.www.example.com", &[address]).unwrap();
    let scene = Scene::with(move |resolver| resolver.lie(&lie)).await;
    scene.publish(NAME, "token");
    let alone = scene.builder().policy(Policy::RecursiveOnly).build().unwrap();
    let report = alone.check(&token(NAME)).await.unwrap();
    assert_eq!((report.verdict, codes(&report)), (Verdict::NotYet, vec!["split_horizon"]), "{report}");
    let text = report.advice[0].to_string();
    let resolver = scene.resolver.address().to_string();
    for part in [resolver.as_str(), "www.example.com", "PERENNIAL_NAMESERVERS", "recursive-only"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // As a vantage point it is seen through as well, told once, and decides nothing.
    let vantage = scene.builder().vantage_points([NameServer::at(scene.resolver.address())]).build().unwrap();
    let report = vantage.check(&token(NAME)).await.unwrap();
    assert_eq!((report.verdict, codes(&report)), (Verdict::Ready, vec!["split_horizon"]), "{report}");
}

/// A scene with one more resolver, which remembers what is not there, and has been asked too early.
async fn poisoned() -> (Scene, RecursiveServer, NameServer) {
    let scene = Scene::new().await;
    let endpoint = perennial_testkit::dns::Endpoint::bind("127.0.0.1:0").await.unwrap();
    let hasty = RecursiveServer::builder()
        .hint(".", &[scene.registry.address()])
        .unwrap()
        .remember_absence()
        .start(endpoint);
    let server = NameServer::at(hasty.address());
    let only = scene.builder().policy(Policy::RecursiveOnly).nameservers([server.clone()]).build().unwrap();
    let early = only.check(&token(NAME)).await.unwrap();
    assert_eq!(codes(&early), ["negatively_cached"], "{early}");
    scene.publish(NAME, "token");
    (scene, hasty, server)
}

#[tokio::test]
async fn a_vantage_point_that_was_asked_too_early_is_reported_with_the_time_that_is_left() {
    let (scene, _hasty, server) = poisoned().await;
    let points = [server, NameServer::at(scene.resolver.address())];
    let builder = scene.builder().vantage_points(points);
    let report = builder.clone().build().unwrap().check(&token(NAME)).await.unwrap();
    assert_eq!((report.verdict, codes(&report)), (Verdict::Ready, vec!["negatively_cached"]), "{report}");
    assert!(matches!(&report.advice[0], Advice::NegativelyCached { ttl: Some(60 | 300), .. }), "{report}");
    assert_eq!(report.vantage[1].view, View::Has, "{report}");
    let strict = builder.vantage_agreement(Agreement::Required).build().unwrap();
    let report = strict.check(&token(NAME)).await.unwrap();
    assert_eq!((report.verdict, codes(&report)), (Verdict::NotYet, vec!["negatively_cached"]), "{report}");
    let error = strict.watch(&token(NAME), Duration::from_millis(900), &mut |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("remembers that there is no such record"), "{error}");
}

#[tokio::test]
async fn an_unsigned_zone_is_insecure_and_good_enough_where_signatures_are_required() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    let report = scene.builder().dnssec(Dnssec::Require).build().unwrap().check(&token(NAME)).await.unwrap();
    assert_eq!((report.verdict, report.security), (Verdict::Ready, Some(Security::Insecure)), "{report}");
    assert_eq!(report.advice, [], "{report}");
    // By default nobody is troubled while all is well.
    scene.resolver.clear_queries();
    assert_eq!(check(&scene).await.verdict, Verdict::Ready);
    assert_eq!(scene.challenge_names_at_the_resolver(), 0);
}

#[test]
fn the_guide_has_a_section_for_every_code_and_no_other() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/not-propagated.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let sections: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(sections, Advice::CODES);
}
