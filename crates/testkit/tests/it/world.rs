//! The whole scene at once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType},
};
use perennial_core::{Clock, SystemClock, Timestamp};
use perennial_testkit::{
    Error, ManualClock, World,
    ca::{CertificateAuthority, OrderStatus},
    dns::{Behaviour, TsigAlgorithm},
};
use serde_json::json;

use crate::{
    acme_client::{Client, csr},
    dns_client::{ask, signer, texts, udp, update},
};

/// Puts a text at a name by a signed update.
async fn publish(world: &World, now: Timestamp, owner: &str, text: &str) {
    let zone = format!("{}.", world.zone().origin());
    let mut message = update(&zone, &format!("{owner}."), text);
    let now = u64::try_from(now.unix()).unwrap();
    let mut verifier = message.finalize(&signer(world.tsig()), now).unwrap().unwrap();
    let reply = udp(world.primary(), &message.to_vec().unwrap()).await.unwrap();
    assert_eq!(verifier.verify(&reply).unwrap().metadata.response_code, ResponseCode::NoError);
}

fn name_servers(message: &Message) -> Vec<String> {
    let all = message.answers.iter().chain(&message.authorities);
    let names = all.filter_map(|record| match &record.data {
        RData::NS(host) => Some(host.to_ascii()),
        _ => None,
    });
    names.collect()
}

fn addresses(message: &Message) -> Vec<String> {
    let all = message.answers.iter().chain(&message.additionals);
    let addresses = all.filter_map(|record| match &record.data {
        RData::A(address) => Some(address.to_string()),
        _ => None,
    });
    addresses.collect()
}

#[tokio::test]
async fn a_certificate_is_obtained_by_signed_updates_in_spite_of_a_lagging_server() {
    let clock = ManualClock::new("2027-01-01T00:00:00Z".parse().unwrap());
    let world = World::builder()
        .lag(1, Duration::from_secs(3))
        .tsig_algorithm(TsigAlgorithm::HmacSha512)
        .clock(Arc::new(clock.clone()))
        .build()
        .await
        .unwrap();
    let client = Client::registered(world.ca()).await;
    for (patience, outcome) in [(2, "invalid"), (3, "ready")] {
        let names = ["*.example.com", "example.com"];
        let order = client.order(&names).await;
        let challenges = client.challenges(&order.json()).await;
        for (owner, value, _) in &challenges {
            publish(&world, clock.now(), owner, value).await;
        }
        clock.advance(Duration::from_secs(patience));
        for (_, _, challenge) in &challenges {
            client.post(challenge, &json!({})).await;
        }
        let order = client.settled(order.header("location")).await;
        assert_eq!(order["status"], outcome);
        if outcome == "ready" {
            client.finalize(&order, &csr(&names).0).await;
        }
        clock.advance(Duration::from_secs(10));
    }
    assert_eq!(world.zone().txt_values("_acme-challenge.example.com").len(), 4);
    assert_eq!(world.ca().orders()[1].status, OrderStatus::Valid);
    assert_eq!(world.ca().certificates().len(), 1);
}

#[tokio::test]
async fn the_resolver_finds_the_zone_from_the_root_and_so_can_a_checker() {
    let world = World::builder().zone("example.co.test").servers(3).build().await.unwrap();
    let port = world.authoritative_port();
    let found = ask(world.resolver(), "example.co.test", RecordType::NS).await;
    assert_eq!(
        name_servers(&found),
        ["ns1.example.co.test.", "ns2.example.co.test.", "ns3.example.co.test."]
    );
    for host in name_servers(&found) {
        let host = host.trim_end_matches('.');
        let address = addresses(&ask(world.resolver(), host, RecordType::A).await).remove(0);
        let server = SocketAddr::new(address.parse().unwrap(), port);
        let answer = ask(server, "example.co.test", RecordType::SOA).await;
        assert!(answer.metadata.authoritative, "{host} {server}");
    }
    // The parent's servers are found the same way, and refer to the zone's.
    let parent = ask(world.resolver(), "co.test", RecordType::NS).await;
    assert_eq!(name_servers(&parent), ["a.parents.test."]);
    let address = addresses(&ask(world.resolver(), "a.parents.test", RecordType::A).await).remove(0);
    let server = SocketAddr::new(address.parse().unwrap(), port);
    assert_eq!(server, world.parents().address());
    let referral = ask(server, "_acme-challenge.example.co.test", RecordType::TXT).await;
    assert!(!referral.metadata.authoritative && referral.answers.is_empty());
    assert_eq!((name_servers(&referral).len(), addresses(&referral).len()), (3, 3));
    let soa = ask(world.resolver(), "www.example.co.test", RecordType::SOA).await;
    assert_eq!(soa.authorities[0].name.to_ascii(), "example.co.test.");
}

#[tokio::test]
async fn the_liar_hides_what_everybody_else_sees() {
    let world = World::builder().zone("example.com").liar("app.site.example.com").build().await.unwrap();
    let owner = "_acme-challenge.app.site.example.com";
    publish(&world, SystemClock::new().now(), owner, "value").await;
    for server in world.servers() {
        assert_eq!(texts(&ask(server.address(), owner, RecordType::TXT).await), ["value"]);
    }
    let lied = ask(world.resolver(), owner, RecordType::TXT).await;
    assert_eq!(lied.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(lied.authorities[0].name.to_ascii(), "app.site.example.com.");
    let claimed = ask(world.resolver(), "app.site.example.com", RecordType::NS).await;
    assert_eq!(name_servers(&claimed), ["ns.dns.app.site.example.com."]);
    let soa = ask(world.resolver(), "site.example.com", RecordType::SOA).await;
    assert_eq!(soa.authorities[0].name.to_ascii(), "example.com.");
    assert!(world.recursive_server().queries().iter().any(|query| query.name == owner));
}

#[tokio::test]
async fn a_dead_server_does_not_keep_the_authority_from_issuing() {
    let world = World::builder().servers(3).behaviour(2, Behaviour::Dead).build().await.unwrap();
    let client = Client::registered(world.ca()).await;
    let order = client.order(&["example.com"]).await;
    let (owner, value, challenge) = client.challenges(&order.json()).await.remove(0);
    publish(&world, SystemClock::new().now(), &owner, &value).await;
    client.post(&challenge, &json!({})).await;
    assert_eq!(client.settled(order.header("location")).await["status"], "ready");
}

#[tokio::test]
async fn the_authority_of_a_scene_can_have_profiles() {
    let authority = CertificateAuthority::builder().profile("short", "a day", Duration::from_secs(86_400));
    let world = World::builder().authority(authority).build().await.unwrap();
    let client = Client::new(world.ca()).await;
    assert_eq!(client.directory["meta"]["profiles"]["short"], "a day");
}

#[tokio::test]
async fn a_scene_that_contradicts_itself_is_not_built() {
    for builder in [
        World::builder().servers(0),
        World::builder().servers(2).lag(2, Duration::from_secs(1)),
        World::builder().behaviour(5, Behaviour::Dead),
        World::builder().zone("example.com").liar("example.org"),
    ] {
        let error = builder.build().await.unwrap_err();
        assert!(matches!(error, Error::Scene { .. }), "{error}");
    }
    assert!(matches!(World::builder().zone("a..b").build().await, Err(Error::Name(_))));
}

#[tokio::test]
async fn many_scenes_live_side_by_side() {
    let mut worlds = Vec::new();
    for _ in 0..8 {
        worlds.push(World::builder().servers(3).build().await.unwrap());
    }
    let mut ports: Vec<u16> = worlds.iter().map(World::authoritative_port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 8);
}
