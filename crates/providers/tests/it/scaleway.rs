//! Scaleway over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, Outcome, engine, scaleway::Scaleway};
use perennial_testkit::vendor::{self, Fault, VendorServer, When};

use crate::law::{Case, Means, NAME, ZONE};

const KEY: &str = "c0ffee00-2222-3333-4444-555555555555";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Scaleway::builder(KEY).base_url(means.base_url).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = VendorServer::start(vendor::Scaleway::new(KEY), &[ZONE]).await.unwrap();
    Case::new(&fake, &make).secret(KEY).keeps().await;
}

fn names() -> impl Iterator<Item = perennial_core::DomainName> {
    (0..50).map(|number| format!("_acme-challenge.host{number:02}.{ZONE}").parse().unwrap())
}

#[tokio::test]
async fn fifty_names_are_one_edit() {
    let fake = VendorServer::start(vendor::Scaleway::new(KEY), &[ZONE]).await.unwrap();
    let provider = make(Means::of(&fake));
    let changes: Vec<_> =
        names().flat_map(|name| ["a", "b"].map(|value| Change::add(name.clone(), value))).collect();
    let applied = engine::apply(&*provider, &changes).await.unwrap();
    // A list of zones, a list of records, the edit.
    assert_eq!(fake.exchanges().len(), 3);
    assert_eq!(fake.store().records.len(), 100);
    assert!(applied.receipts.iter().all(|receipt| receipt.record_id.is_some()));
}

#[tokio::test]
async fn an_edit_is_done_without_the_record_that_a_rival_removed() {
    let fake = VendorServer::start(vendor::Scaleway::new(KEY), &[ZONE]).await.unwrap();
    let old = fake.store().add(ZONE, NAME, "old", 60);
    fake.store().add(ZONE, NAME, "older", 60);
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let remove = Fault::Interfere(Box::new(move |store| {
        let zone = store.zones[0].id.clone();
        assert!(store.remove(&zone, &old));
    }));
    fake.fault(When::Write, remove);
    let name = || NAME.parse().unwrap();
    let changes =
        [Change::remove(name(), "old"), Change::remove(name(), "older"), Change::add(name(), "new")];
    let applied = provider.apply(&zone, &changes).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["new"]);
    assert_eq!(applied.outcomes[2], Outcome::Made);
}

#[tokio::test]
async fn an_account_with_many_zones_is_asked_for_candidates() {
    let fake = VendorServer::start(vendor::Scaleway::new(KEY), &[ZONE]).await.unwrap();
    for number in 0..150 {
        fake.store().add_zone(&format!("zone{number:03}.example"));
    }
    fake.store().add_zone("www.example.com");
    let zone = make(Means::of(&fake)).zone(&NAME.parse().unwrap()).await.unwrap();
    assert_eq!(zone.apex.as_str(), "www.example.com");
    assert_eq!(fake.exchanges().len(), 2);
}
