//! Bunny DNS over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, bunny::Bunny};
use perennial_testkit::vendor::{self, VendorServer};

use crate::law::{Case, Means, NAME, ZONE};

const KEY: &str = "c0ffee00-2222-3333-4444-555555555555";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Bunny::builder(KEY).base_url(means.base_url).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = VendorServer::start(vendor::Bunny::new(KEY), &[ZONE]).await.unwrap();
    Case::new(&fake, &make).secret(KEY).found_by_id().keeps().await;
}

/// It is kept by the vendor and not served: neither is it ours to switch on, nor is the value there.
#[tokio::test]
async fn a_record_that_is_switched_off_is_left_alone() {
    let fake = VendorServer::start(vendor::Bunny::new(KEY), &[ZONE]).await.unwrap();
    fake.store().add(ZONE, NAME, "v", 3600);
    fake.store().records[0].disabled = true;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let name = || NAME.parse().unwrap();
    provider.apply(&zone, &[Change::add(name(), "v")]).await.unwrap();
    let is_on: Vec<_> = fake.store().records.iter().map(|record| !record.disabled).collect();
    assert_eq!(is_on, [false, true]);
    provider.apply(&zone, &[Change::remove(name(), "v")]).await.unwrap();
    assert_eq!(fake.store().records.len(), 1);
    assert!(fake.store().records[0].disabled);
}

#[tokio::test]
async fn a_top_level_name_is_not_searched_for() {
    let fake = VendorServer::start(vendor::Bunny::new(KEY), &[ZONE]).await.unwrap();
    let error = make(Means::of(&fake)).zone(&"www.example.net".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("no zone for www.example.net"), "{error}");
    let searches: Vec<_> =
        fake.exchanges().iter().filter_map(|it| vendor::query(&it.request(), "search")).collect();
    assert_eq!(searches, ["www.example.net", "example.net"]);
}
