//! Vultr over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, vultr::Vultr};
use perennial_testkit::vendor::{self, Echo, Fault, Reply, VendorServer, When};

use crate::law::{Case, Means, NAME, ZONE};

const TOKEN: &str = "VULTRC0FFEE";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Vultr::builder(TOKEN).base_url(format!("{}/v2", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Vultr::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make)
        .secret(TOKEN)
        .echoes(&[Echo::AsSent, Echo::Quoted])
        .without_comments()
        .keeps()
        .await;
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
async fn a_refusal_is_told_in_the_vendors_words() {
    let fake = fake().await;
    let refusal = serde_json::json!({ "error": "Invalid data", "status": 400 });
    fake.fault(When::Any, Fault::Answer(Reply::json(400, &refusal)));
    let error = make(Means::of(&fake)).zone(&ZONE.parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("Invalid data"), "{error}");
    assert!(!error.to_string().contains('{'), "{error}");
}

#[tokio::test]
async fn a_new_value_has_the_time_to_live_of_its_siblings() {
    let fake = fake().await;
    fake.store().add(ZONE, NAME, "sibling", 4321);
    let (provider, name) = (make(Means::of(&fake)), NAME.parse().unwrap());
    let zone = provider.zone(&name).await.unwrap();
    provider.apply(&zone, &[Change::add(name, "ours")]).await.unwrap();
    assert!(fake.store().records.iter().all(|record| record.ttl == 4321));
}
