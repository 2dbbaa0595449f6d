//! Linode over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, Error, linode::Linode};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, Fault, Reply, VendorServer, When},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const TOKEN: &str = "l1n0de-c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Linode::builder(TOKEN).base_url(format!("{}/v4", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Linode::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make).secret(TOKEN).echoes(&[Echo::AsSent]).without_comments().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    // The least length is that of requests; records at the apex come back without a name.
    let wrong = ["name: \"\" is shorter than 1 character"];
    documented::holds(Vendor::Linode, &fake, make(Means::of(&fake)), &wrong).await;
}

#[tokio::test]
async fn a_domain_that_was_made_anew_is_found_by_its_new_number() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let name = NAME.parse().unwrap();
    let old = provider.zone(&name).await.unwrap();
    {
        let mut store = fake.store();
        store.zones.clear();
        store.add_zone(ZONE);
    }
    let add = [Change::add(name.clone(), "v")];
    let error = provider.apply(&old, &add).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
    let new = provider.zone(&name).await.unwrap();
    assert_ne!(new.id, old.id);
    provider.apply(&new, &add).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["v"]);
}

#[tokio::test]
async fn a_record_of_another_type_is_no_value() {
    let fake = fake().await;
    fake.store().add(ZONE, NAME, "192.0.2.1", 300);
    fake.store().records[0].kind = "A".to_owned();
    let (provider, name) = (make(Means::of(&fake)), NAME.parse().unwrap());
    let zone = provider.zone(&name).await.unwrap();
    provider.apply(&zone, &[Change::add(name.clone(), "192.0.2.1")]).await.unwrap();
    assert_eq!(provider.values(&zone, &name).await.unwrap(), ["192.0.2.1"]);
    provider.apply(&zone, &[Change::remove(name, "192.0.2.1")]).await.unwrap();
    let left: Vec<_> = fake.store().records.iter().map(|record| record.kind.clone()).collect();
    assert_eq!(left, ["A"]);
}

#[tokio::test]
async fn what_a_field_is_refused_for_is_told_and_no_time_to_live_of_ones_own_is_the_zones() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let refusal = serde_json::json!({ "errors": [{ "field": "target", "reason": "too long" }] });
    fake.fault(When::Write, Fault::Answer(Reply::json(400, &refusal)));
    let name: perennial_core::DomainName = NAME.parse().unwrap();
    let zone = provider.zone(&name).await.unwrap();
    let error = provider.apply(&zone, &[Change::add(name.clone(), "v")]).await.unwrap_err();
    assert!(error.to_string().contains("target: too long"), "{error}");
    // A sibling without one does not lend zero.
    fake.store().add(ZONE, NAME, "sibling", 0);
    let longer = Change::add(name, "v").with_ttl(std::time::Duration::from_secs(3600));
    provider.apply(&zone, &[longer]).await.unwrap();
    assert_eq!(fake.store().records.last().unwrap().ttl, 3600);
}

#[tokio::test]
async fn a_domain_of_another_name_is_not_taken_and_a_time_to_live_is_one_that_linode_has() {
    let fake = fake().await;
    let other = serde_json::json!({
        "data": [{ "id": 4711, "domain": "elsewhere.example" }], "page": 1, "pages": 1, "results": 1,
    });
    fake.fault(When::Read, Fault::Answer(Reply::json(200, &other)));
    let (provider, name) = (make(Means::of(&fake)), NAME.parse().unwrap());
    let zone = provider.zone(&name).await.unwrap();
    assert_eq!(zone.apex.as_str(), ZONE);
    // Asked for 60 seconds; Linode would round by itself, and not say so.
    provider.apply(&zone, &[Change::add(name, "v")]).await.unwrap();
    let written = fake.exchanges().into_iter().find(|it| it.writes).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(record["ttl_sec"], 120);
}
