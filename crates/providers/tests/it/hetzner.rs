//! Hetzner Cloud DNS over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, engine, hetzner::Hetzner};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, Fault, Reply, VendorServer, When},
};
use serde_json::json;

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const TOKEN: &str = "hc-c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Hetzner::builder(TOKEN).base_url(format!("{}/v1", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Hetzner::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make).secret(TOKEN).echoes(&[Echo::Quoted, Echo::Segmented]).keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::Hetzner, &fake, make(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn a_change_is_in_sync_when_each_of_its_actions_is_and_a_failed_one_is_an_error() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let elsewhere = format!("_acme-challenge.elsewhere.{ZONE}").parse().unwrap();
    let changes = [Change::add(NAME.parse().unwrap(), "v"), Change::add(elsewhere, "v")];
    let applied = engine::apply(&*provider, &changes).await.unwrap();
    let pending = &applied.pending[0];
    fake.store().pending_looks = 1;
    assert!(!provider.in_sync(pending).await.unwrap());
    fake.clear_exchanges();
    assert!(provider.in_sync(pending).await.unwrap());
    assert_eq!(fake.exchanges().len(), 2, "an action for each name");
    let action =
        json!({ "id": 1, "status": "error", "error": { "code": "action_failed", "message": "no luck" } });
    fake.fault(When::Read, Fault::Answer(Reply::json(200, &json!({ "action": action }))));
    let error = provider.in_sync(pending).await.unwrap_err();
    assert!(error.to_string().contains("failed later: no luck"), "{error}");
}

#[tokio::test]
async fn a_zone_that_is_locked_is_tried_again() {
    let fake = fake().await;
    let error = json!({ "code": "locked", "message": "an action is running" });
    fake.fault(When::Write, Fault::Answer(Reply::json(423, &json!({ "error": error }))));
    engine::apply(&*make(Means::of(&fake)), &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["v"]);
}

#[tokio::test]
async fn more_than_fifty_values_are_more_than_one_write_and_the_last_sibling_is_not_waited_for() {
    let fake = fake().await;
    fake.store().add(ZONE, NAME, "old", 4321);
    let provider = make(Means::of(&fake));
    let name: perennial_core::DomainName = NAME.parse().unwrap();
    let mut changes: Vec<_> = (0..60).map(|n| Change::add(name.clone(), format!("value-{n}"))).collect();
    changes.insert(0, Change::remove(name.clone(), "old"));
    engine::apply(&*provider, &changes).await.unwrap();
    assert_eq!(fake.exchanges().iter().filter(|it| it.writes).count(), 3);
    assert_eq!(fake.store().records.len(), 60);
    // What is removed goes last, so the set has been there all the time.
    assert!(fake.store().records.iter().all(|record| record.ttl == 4321));
}

#[tokio::test]
async fn a_zone_that_is_answered_to_another_name_is_not_taken() {
    let fake = fake().await;
    // The path takes a number, too.
    let zone = json!({ "zone": { "id": 4711, "name": "elsewhere.example" } });
    fake.fault(When::Read, Fault::Answer(Reply::json(200, &zone)));
    let zone = make(Means::of(&fake)).zone(&NAME.parse().unwrap()).await.unwrap();
    assert_eq!(zone.to_string(), ZONE);
}
