//! A resolver with a zone of its own inside the public one, as a cluster's DNS has when the cluster's domain is
//! the certificate's domain.

use std::net::{IpAddr, Ipv4Addr};

use perennial_propagation::{Checker, NameServer, Policy, Report, Verdict, report::Advice, zone::Evidence};
use perennial_testkit::{
    World,
    dns::{Data, Freshness, Zone},
};

use crate::scene::{DEADLINE, SPARE, Scene, token};

const NAME: &str = "_acme-challenge.app.site.example.com";

async fn cluster() -> Scene {
    let lie = Zone::new("app.site.example.com").unwrap();
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10));
    lie.add_name_server("ns.dns.app.site.example.com", &[address]).unwrap();
    Scene::with(move |resolver| resolver.lie(&lie)).await
}

#[tokio::test]
async fn the_claim_of_a_cluster_is_refuted_by_the_zone_above() {
    let scene = cluster().await;
    let zone = scene.checker().zone(&NAME.parse().unwrap()).await.unwrap();
    assert_eq!(zone.apex.as_str(), "example.com");
    let Some(Evidence::SplitHorizon { claimed, resolver, parent, .. }) =
        zone.evidence.iter().find(|evidence| matches!(evidence, Evidence::SplitHorizon { .. }))
    else {
        panic!("{:?}", zone.evidence)
    };
    assert_eq!((claimed.as_str(), parent.as_str()), ("app.site.example.com", "example.com"));
    assert_eq!(resolver, &scene.resolver.address().to_string());
    let servers: Vec<&str> = zone.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(servers, ["ns1.example.com", "ns2.example.com"]);
}

#[tokio::test]
async fn what_asks_for_nothing_is_said_after_what_does() {
    let scene = cluster().await;
    let report = scene.checker().check(&token(NAME)).await.unwrap();
    assert!(matches!(&report.advice[..], [Advice::NotYet { .. }, Advice::SplitHorizon { .. }]), "{report}");
}

#[tokio::test]
async fn the_record_is_seen_although_the_resolver_denies_it() {
    let scene = cluster().await;
    scene.publish(NAME, "token");
    let propagated = scene.watch(NAME).await;
    let report = propagated.report();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    assert!(matches!(&report.advice[..], [Advice::SplitHorizon { .. }]), "{report}");
    let told = format!(
        "resolver {} claims zone app.site.example.com, the servers of example.com know no such delegation",
        scene.resolver.address()
    );
    assert!(report.to_string().contains(&told), "{report}");
    assert_eq!(scene.challenge_names_at_the_resolver(), 0);
    // What others do, and why they never finish.
    let recursive = scene.builder().policy(Policy::RecursiveOnly).build().unwrap();
    assert_eq!(recursive.check(&token(NAME)).await.unwrap().verdict, Verdict::NotYet);
}

#[tokio::test]
async fn a_real_delegation_of_the_same_name_is_believed() {
    let mut scene = Scene::new().await;
    let child = Zone::new("app.site.example.com").unwrap();
    child.add_name_server("ns.app.site.example.com", &[SPARE]).unwrap();
    child.add(NAME, Data::txt("token")).unwrap();
    let _server = scene.start_spare(&child);
    scene.zone.delegate("app.site.example.com", "ns.app.site.example.com", &[SPARE]).unwrap();
    let report = scene.checker().check(&token(NAME)).await.unwrap();
    assert_eq!(report.verdict, Verdict::Ready, "{report}");
    let zone = report.stages[0].zone.as_ref().unwrap();
    assert_eq!(zone.apex.as_str(), "app.site.example.com");
    assert_eq!(report.split_horizons().count(), 0);
}

#[tokio::test]
async fn in_the_whole_world_the_lying_resolver_and_the_lagging_secondary_are_both_seen_through() {
    let world = World::builder()
        .zone("example.com")
        .servers(2)
        .liar("app.site.example.com")
        .resolver_remembers_absence()
        .build()
        .await
        .unwrap();
    world.servers()[1].set_freshness(Freshness::Frozen);
    world.zone().add(NAME, Data::txt("token")).unwrap();
    let checker = Checker::builder()
        .nameservers([NameServer::at(world.resolver())])
        .authoritative_port(world.authoritative_port())
        .build()
        .unwrap();
    let mut behind = false;
    let mut watched = |report: &Report| {
        if report
            .advice
            .iter()
            .any(|advice| matches!(advice, Advice::NotYet { .. } | Advice::SerialLag { .. }))
        {
            behind = true;
            world.servers()[1].set_freshness(Freshness::Current);
        }
    };
    let propagated = checker.watch(&token(NAME), DEADLINE, &mut watched).await.unwrap();
    assert_eq!(propagated.report().verdict, Verdict::Ready, "{}", propagated.report());
    assert!(behind, "the secondary was seen without the record first");
    assert_eq!(propagated.report().split_horizons().count(), 1);
    assert!(!world.recursive_server().queries().iter().any(|query| query.name.contains("_acme-challenge")));
}
