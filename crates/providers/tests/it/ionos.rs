//! IONOS hosting over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, engine, ionos::Ionos};
use perennial_testkit::vendor::{self, VendorServer};

use crate::law::{Case, Means, NAME, ZONE};

const KEY: &str = "pr3f1x.c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Ionos::builder(KEY)
        .base_url(format!("{}/dns/v1", means.base_url))
        .clock(means.clock)
        .http(means.http);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = VendorServer::start(vendor::Ionos::new(KEY), &[ZONE]).await.unwrap();
    Case::new(&fake, &make).secret(KEY).found_by_id().keeps().await;
}

#[tokio::test]
async fn the_new_records_of_a_batch_are_one_request() {
    let fake = VendorServer::start(vendor::Ionos::new(KEY), &[ZONE]).await.unwrap();
    let provider = make(Means::of(&fake));
    let changes = ["a", "b", "c"].map(|value| Change::add(NAME.parse().unwrap(), value));
    let applied = engine::apply(&*provider, &changes).await.unwrap();
    assert_eq!(fake.exchanges().len(), 3);
    assert!(applied.receipts.iter().all(|receipt| receipt.record_id.is_some()));
}

/// It is kept by the vendor and not served: neither is it ours to switch on, nor is the value there.
#[tokio::test]
async fn a_record_that_is_switched_off_is_left_alone() {
    let fake = VendorServer::start(vendor::Ionos::new(KEY), &[ZONE]).await.unwrap();
    let off = fake.store().add(ZONE, NAME, "v", 3600);
    fake.store().records[0].disabled = true;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    assert!(provider.values(&zone, &NAME.parse().unwrap()).await.unwrap().is_empty());
    provider.apply(&zone, &[Change::remove(NAME.parse().unwrap(), "v")]).await.unwrap();
    assert_eq!(fake.store().records[0].id, off);
    assert_eq!(fake.exchanges().iter().filter(|it| it.writes).count(), 0);
}
