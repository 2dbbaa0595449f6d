//! The zone's own name servers, in all their moods.

use std::time::Duration;

use perennial_propagation::{
    Error, Policy, Verdict,
    probe::Lameness,
    report::{Advice, Origin, Report, Row, State},
    transport::{Transport, TransportError},
    zone::Evidence,
};
use perennial_testkit::dns::{Behaviour, Data, Freshness, Zone};

use crate::scene::{NAME, SPARE, Scene, endpoint, token};

/// The row of the scene's second name server.
fn second<'a>(scene: &Scene, report: &'a Report) -> &'a Row {
    let address = endpoint(scene.servers[1].address());
    report.stages[0].rows.iter().find(|row| row.endpoint.to_string() == address).unwrap()
}

#[tokio::test]
async fn a_value_on_all_servers_is_propagated_and_the_cut_is_confirmed() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    let propagated = scene.watch(NAME).await;
    let report = propagated.report();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert_eq!(report.advice, [], "{report}");
    let evidence = &report.stages[0].zone.as_ref().unwrap().evidence;
    assert!(
        matches!(&evidence[1], Evidence::Confirmed { parent, .. } if parent.as_str() == "com"),
        "{report}"
    );
    assert_eq!(scene.challenge_names_at_the_resolver(), 0);
    let desired = |server: &perennial_testkit::dns::AuthoritativeServer| {
        server.queries().iter().any(|query| query.name == NAME && query.recursion_desired)
    };
    assert!(!scene.servers.iter().any(desired), "authorities are asked without recursion");
}

#[tokio::test]
async fn a_lagging_secondary_is_waited_for_and_no_negative_cache_is_poisoned() {
    let scene = Scene::with(|resolver| resolver.remember_absence()).await;
    scene.servers[1].set_freshness(Freshness::Frozen);
    scene.publish(NAME, "token");
    let catch_up = async {
        // It has been asked twice and said no twice before it gets the record.
        for _ in 0..2 {
            scene.servers[1].wait_for_query(|query| query.name == NAME).await;
            scene.servers[1].clear_queries();
        }
        assert_eq!(scene.challenge_names_at_the_resolver(), 0);
        scene.servers[1].set_freshness(Freshness::Current);
    };
    let (propagated, ()) = tokio::join!(scene.watch(NAME), catch_up);
    assert_eq!(propagated.report().verdict, Verdict::Ready);
    assert!(second(&scene, propagated.report()).queries >= 4, "two noes, a yes, and a confirmation");
    assert_eq!(scene.challenge_names_at_the_resolver(), 0);
    // Whoever asks the resolver now, as the CA may, sees the record at once.
    let recursive = scene.builder().policy(Policy::RecursiveOnly).build().unwrap();
    assert_eq!(recursive.check(&token(NAME)).await.unwrap().verdict, Verdict::Ready);
}

#[tokio::test]
async fn a_missing_value_is_reported_at_the_deadline() {
    let scene = Scene::new().await;
    scene.publish(NAME, "yesterday");
    let mut last = None;
    let error = scene
        .checker()
        .watch(&token(NAME), Duration::from_millis(600), &mut |report| last = Some(report.clone()))
        .await
        .unwrap_err();
    let Error::NotPropagated(report) = &error else { panic!("{error}") };
    assert_eq!(last.as_ref(), Some(&**report), "the last report is shown too");
    assert_eq!(report.verdict, Verdict::NotYet);
    let stale =
        |advice: &Advice| matches!(advice, Advice::StaleValue { values, .. } if values == &["yesterday"]);
    assert_eq!(report.advice.iter().filter(|advice| stale(advice)).count(), 2, "{report}");
    assert!(error.retry().is_worthwhile());
}

#[tokio::test]
async fn a_dead_server_is_tolerated_after_the_grace_and_named() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    scene.servers[1].set_behaviour(Behaviour::Dead);
    let propagated = scene.watch(NAME).await;
    let report = propagated.report();
    assert_eq!(report.verdict, Verdict::ReadyWithWarnings, "{report}");
    assert!(matches!(second(&scene, report).state, State::Unreachable { .. }), "{report}");
    assert!(matches!(&report.advice[..], [Advice::Unreachable { server, .. }] if server.starts_with("ns2.")));
}

#[tokio::test]
async fn each_kind_of_useless_server_is_named() {
    use perennial_propagation::wire::ResponseCode;
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    let check = async || scene.checker().check(&token(NAME)).await.unwrap();
    for (behaviour, reason) in [
        (Behaviour::Refuse, Lameness::Code(ResponseCode::REFUSED)),
        (Behaviour::ServerFailure, Lameness::Code(ResponseCode::SERVFAIL)),
        (Behaviour::Lame, Lameness::NotAuthoritative),
        (Behaviour::Intercepted, Lameness::Resolver),
    ] {
        scene.servers[1].set_behaviour(behaviour);
        let report = check().await;
        assert_eq!(report.verdict, Verdict::ReadyWithWarnings, "{report}");
        assert_eq!(second(&scene, &report).state, State::Lame { reason }, "{report}");
    }
    assert!(matches!(&check().await.advice[..], [Advice::Intercepted { .. }]));
    scene.servers[1].set_behaviour(Behaviour::Garbage);
    let report = check().await;
    let State::Unreachable { error } = &second(&scene, &report).state else { panic!("{report}") };
    assert!(matches!(error, TransportError::Malformed { .. } | TransportError::Timeout), "{error}");
}

#[tokio::test]
async fn strict_policy_has_no_patience_with_a_lame_server() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    scene.servers[1].set_behaviour(Behaviour::Refuse);
    let strict = scene.builder().policy(Policy::Strict).build().unwrap();
    assert_eq!(strict.check(&token(NAME)).await.unwrap().verdict, Verdict::NotYet);
}

#[tokio::test]
async fn servers_that_speak_tcp_only_or_cut_answers_or_know_no_edns_are_understood() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    for (behaviour, transport) in [
        (Behaviour::TcpOnly, Transport::Tcp),
        (Behaviour::Truncate, Transport::Tcp),
        (Behaviour::LowerCase, Transport::Udp),
        (Behaviour::NoEdns, Transport::Udp),
        (Behaviour::UdpOnly, Transport::Udp),
        (Behaviour::Slow(Duration::from_millis(600)), Transport::Udp),
    ] {
        scene.servers[1].set_behaviour(behaviour);
        let report = scene.checker().check(&token(NAME)).await.unwrap();
        assert_eq!(report.verdict, Verdict::Ready, "{report}");
        assert_eq!(second(&scene, &report).last.as_ref().unwrap().transport, transport, "{report}");
    }
}

#[tokio::test]
async fn fifty_values_of_two_hundred_octets_are_read_over_tcp() {
    let scene = Scene::new().await;
    for index in 0..50 {
        scene.publish(NAME, &format!("{index:0200}"));
    }
    scene.publish(NAME, "token");
    let report = scene.checker().check(&token(NAME)).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready);
    assert_eq!(second(&scene, &report).last.as_ref().unwrap().transport, Transport::Tcp);
}

#[tokio::test]
async fn an_alias_leads_to_another_zone() {
    let mut scene = Scene::new().await;
    let acme = Zone::new("acme.com").unwrap();
    acme.add_name_server("ns.acme.com", &[SPARE]).unwrap();
    acme.add("t.acme.com", Data::txt("token")).unwrap();
    let server = scene.start_spare(&acme);
    scene.com.delegate("acme.com", "ns.acme.com", &[SPARE]).unwrap();
    scene.zone.add(NAME, Data::Cname("t.acme.com".parse().unwrap())).unwrap();
    let propagated = scene.watch(NAME).await;
    let report = propagated.report();
    assert_eq!(report.stages[1].origin, Origin::Alias, "{report}");
    assert_eq!(report.stages[1].zone.as_ref().unwrap().apex.as_str(), "acme.com");
    assert_eq!(report.stages[1].rows[0].endpoint.to_string(), endpoint(server.address()));
    let asked = |name: &str| scene.resolver.queries().iter().any(|query| query.name == name);
    assert!(!asked(NAME) && !asked("t.acme.com"), "neither end of the alias is shown to a cache");
}

#[tokio::test]
async fn a_delegated_challenge_label_is_found_below_the_zone() {
    let mut scene = Scene::new().await;
    let child = Zone::new(NAME).unwrap();
    child.add_name_server("ns9.example.com", &[]).unwrap();
    child.add(NAME, Data::txt("token")).unwrap();
    let server = scene.start_spare(&child);
    scene.zone.delegate(NAME, "ns9.example.com", &[SPARE]).unwrap();
    let propagated = scene.watch(NAME).await;
    let report = propagated.report();
    assert_eq!(report.stages[1].origin, Origin::Referral, "{report}");
    assert_eq!(report.stages[1].rows[0].endpoint.to_string(), endpoint(server.address()));
    assert_eq!(scene.challenge_names_at_the_resolver(), 0);
}

#[tokio::test]
async fn given_name_servers_are_asked_instead_of_those_of_the_delegation() {
    let mut scene = Scene::new().await;
    // A new provider has the zone already, and the delegation leads to the old one.
    let moved = Zone::new("example.com").unwrap();
    moved.add_name_server("ns.new.com", &[SPARE]).unwrap();
    moved.add(NAME, Data::txt("token")).unwrap();
    let server = scene.start_spare(&moved);
    let given = perennial_propagation::NameServer::at(server.address());
    let checker = scene.builder().authoritative_servers([given.clone()]).build().unwrap();
    let report = checker.check(&token(NAME)).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    let zone = report.stages[0].zone.as_ref().unwrap();
    let apex = "example.com".parse().unwrap();
    assert_eq!(zone.evidence, [Evidence::Given { apex, servers: vec![given.to_string()] }], "{report}");
    assert_eq!(report.stages[0].rows[0].endpoint.to_string(), server.address().to_string());
    let nobody = scene.servers.iter().all(|server| server.queries().is_empty());
    assert!(nobody && scene.resolver.queries().is_empty(), "nobody else is asked");
    let caa = perennial_propagation::caa::Question::new(&"www.example.com".parse().unwrap());
    let looked = checker.caa(&caa).await.unwrap();
    assert_eq!(looked.levels[0].steps[0].zone.as_ref().unwrap().apex.as_str(), "example.com", "{looked}");
    assert_eq!(scene.checker().check(&token(NAME)).await.unwrap().verdict, Verdict::NotYet);
}
