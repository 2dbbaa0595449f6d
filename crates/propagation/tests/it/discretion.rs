//! Who is shown the challenge name: nobody but the servers of its zone, and no cache above all.

use std::{net::IpAddr, time::Duration};

use perennial_propagation::{
    CheckerBuilder, Error, Verdict,
    report::Origin,
    zone::{Evidence, ZoneServer},
};
use perennial_testkit::dns::{Data, Query, Zone};

use crate::scene::{DEADLINE, NAME, SPARE, Scene, token};

/// Below an underscore label, or one itself.
fn is_secret(query: &Query) -> bool {
    query.name.split('.').any(|label| label.starts_with('_'))
}

/// Nobody's answers are in a cache before the record is there: asks in vain, publishes, asks with success, and again.
async fn ask_before_and_after(scene: &Scene, builder: CheckerBuilder, publish: impl FnOnce()) {
    let checker = builder.build().unwrap();
    let early = checker.watch(&token(NAME), Duration::from_millis(700), &mut |_| ()).await;
    assert!(matches!(early, Err(Error::NotPropagated(_))), "{early:?}");
    assert_eq!(checker.check(&token(NAME)).await.unwrap().verdict, Verdict::NotYet);
    let secrets = || scene.resolver.queries().into_iter().filter(is_secret).collect::<Vec<_>>();
    assert!(secrets().is_empty(), "{:?}", secrets());
    publish();
    let report = checker.watch(&token(NAME), DEADLINE, &mut |_| ()).await.unwrap().into_report();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert_eq!(checker.check(&token(NAME)).await.unwrap().verdict, Verdict::Ready);
    assert!(secrets().is_empty(), "{:?}", secrets());
}

/// The server of `com` as a root of our own: it serves the zone above, and so the way begins there.
fn root_hints(scene: &Scene) -> Vec<ZoneServer> {
    let mut root = ZoneServer::new("gtld.com".parse().unwrap());
    root.add(scene.registry.address().ip());
    vec![root]
}

#[tokio::test]
async fn no_resolver_is_asked_about_the_name_cold_warm_or_for_a_sibling() {
    let scene = Scene::new().await;
    ask_before_and_after(&scene, scene.builder(), || scene.publish(NAME, "token")).await;
    assert!(!scene.resolver.queries().is_empty(), "it was asked about the zone");
    // Another name of a zone that is known by then.
    let checker = scene.checker();
    checker.check(&token(NAME)).await.unwrap();
    scene.resolver.clear_queries();
    scene.publish("_acme-challenge.mail.example.com", "token");
    let report = checker.check(&token("_acme-challenge.mail.example.com")).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert!(scene.resolver.queries().is_empty(), "{:?}", scene.resolver.queries());
}

#[tokio::test]
async fn no_resolver_is_asked_about_either_end_of_an_alias() {
    let mut scene = Scene::new().await;
    let acme = Zone::new("acme.com").unwrap();
    acme.add_name_server("ns.acme.com", &[SPARE]).unwrap();
    let _server = scene.start_spare(&acme);
    scene.com.delegate("acme.com", "ns.acme.com", &[SPARE]).unwrap();
    scene.zone.add(NAME, Data::Cname("_challenges.t.acme.com".parse().unwrap())).unwrap();
    let publish = || acme.add("_challenges.t.acme.com", Data::txt("token")).unwrap();
    ask_before_and_after(&scene, scene.builder(), publish).await;
}

#[tokio::test]
async fn no_resolver_is_asked_about_a_delegated_label() {
    let mut scene = Scene::new().await;
    let child = Zone::new(NAME).unwrap();
    child.add_name_server("ns9.example.com", &[]).unwrap();
    let _server = scene.start_spare(&child);
    scene.zone.delegate(NAME, "ns9.example.com", &[SPARE]).unwrap();
    ask_before_and_after(&scene, scene.builder(), || child.add(NAME, Data::txt("token")).unwrap()).await;
}

#[tokio::test]
async fn a_walk_from_the_root_asks_no_resolver_and_shows_the_name_to_its_zone_only() {
    let scene = Scene::new().await;
    let builder = scene.builder().root_hints(root_hints(&scene)).iterative();
    ask_before_and_after(&scene, builder.clone(), || scene.publish(NAME, "token")).await;
    // A diagnosis may ask what the resolvers think of the zone, once it is known and the record is missing.
    let about_the_zone = |query: &Query| query.name == "example.com";
    assert!(scene.resolver.queries().iter().all(about_the_zone), "{:?}", scene.resolver.queries());
    let shown = scene.registry.queries();
    assert!(!shown.is_empty() && shown.iter().all(|query| !query.name.contains("www")), "{shown:?}");
    assert!(shown.iter().all(|query| !query.recursion_desired));
    let zone = builder.build().unwrap().zone(&NAME.parse().unwrap()).await.unwrap();
    assert!(matches!(&zone.evidence[..], [Evidence::Walked { .. }]), "{:?}", zone.evidence);
}

#[tokio::test]
async fn a_walk_finds_a_delegated_label_and_the_addresses_of_its_server() {
    let mut scene = Scene::new().await;
    let child = Zone::new(NAME).unwrap();
    child.add_name_server("ns.other.com", &[]).unwrap();
    child.add(NAME, Data::txt("token")).unwrap();
    let _server = scene.start_spare(&child);
    // No glue: the server's name lies elsewhere, and has to be looked for.
    scene.zone.delegate(NAME, "ns.other.com", &[]).unwrap();
    let address = |address| if let IpAddr::V4(v4) = address { Data::A(v4) } else { panic!("{address}") };
    scene.com.add("ns.other.com", address(SPARE)).unwrap();
    let checker = scene.builder().root_hints(root_hints(&scene)).iterative().build().unwrap();
    let report = checker.check(&token(NAME)).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert_eq!(report.stages[1].origin, Origin::Referral, "{report}");
    assert!(scene.resolver.queries().is_empty());
}

#[tokio::test]
async fn where_no_resolver_answers_the_walk_takes_over() {
    let scene = Scene::new().await;
    scene.publish(NAME, "token");
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let refusing = nobody.local_addr().unwrap();
    drop(nobody);
    let checker = scene
        .builder()
        .nameservers([perennial_propagation::NameServer::at(refusing)])
        .root_hints(root_hints(&scene))
        .build()
        .unwrap();
    let report = checker.check(&token(NAME)).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert!(report.to_string().contains("the walk from the root led to example.com"), "{report}");
}
