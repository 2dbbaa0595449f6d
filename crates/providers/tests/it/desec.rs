//! deSEC over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, desec::Desec, engine};
use perennial_testkit::vendor::{self, Echo, Fault, Reply, VendorServer, When};

use crate::law::{Case, Means, NAME, ZONE};

const TOKEN: &str = "d3s3c-c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Desec::builder(TOKEN).base_url(format!("{}/api/v1", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Desec::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make)
        .secret(TOKEN)
        .echoes(&[Echo::Quoted, Echo::Segmented])
        .never_walks()
        .without_comments()
        .overwrites_blindly()
        .keeps()
        .await;
}

#[tokio::test]
async fn the_sets_of_a_batch_are_one_write_and_the_zone_is_one_question() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let names = (0..20).map(|number| format!("_acme-challenge.host{number:02}.{ZONE}"));
    let mut changes: Vec<_> = names.map(|name| Change::add(name.parse().unwrap(), "v")).collect();
    changes.push(Change::add(ZONE.parse().unwrap(), "at the apex"));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let asked: Vec<_> = fake.exchanges().iter().map(|it| it.uri.to_string()).collect();
    assert_eq!(asked, [format!("/api/v1/domains/?owns_qname={NAME}")]);
    provider.apply(&zone, &changes).await.unwrap();
    let writes: Vec<_> = fake.exchanges().into_iter().filter(|it| it.writes).collect();
    assert_eq!(writes.len(), 1);
    let sets: Vec<serde_json::Value> = serde_json::from_slice(&writes[0].body).unwrap();
    // At the apex it is empty, and not `@` as in paths.
    assert!(sets.iter().any(|set| set["subname"] == ""));
}

#[tokio::test]
async fn a_sibling_goes_back_as_it_came_and_a_refusal_is_told() {
    let fake = fake().await;
    fake.store().add(ZONE, NAME, "sibling", 7200);
    fake.store().echo = Echo::Segmented;
    let (provider, name) = (make(Means::of(&fake)), NAME.parse::<perennial_core::DomainName>().unwrap());
    engine::apply(&*provider, &[Change::add(name.clone(), "ours")]).await.unwrap();
    let written = fake.exchanges().into_iter().find(|it| it.writes).unwrap();
    let sets: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    let records = sets[0]["records"].as_array().unwrap();
    assert!(records.iter().any(|record| record.as_str().unwrap().contains("\" \"")), "{records:?}");
    assert!(fake.store().records.iter().all(|record| record.ttl == 7200));
    let refusal = serde_json::json!({ "detail": "the plan is exhausted" });
    fake.fault(When::Read, Fault::Answer(Reply::json(400, &refusal)));
    let zone = provider.zone(&name).await.unwrap();
    let error = provider.values(&zone, &name).await.unwrap_err();
    assert!(error.to_string().contains("the plan is exhausted"), "{error}");
    assert!(!error.to_string().contains('{'), "{error}");
}
