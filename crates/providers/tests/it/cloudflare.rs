//! Cloudflare over its fake, and held against the vendor's own document.

use std::sync::Arc;

use futures_util::future::join_all;
use perennial_providers::{
    Change, DnsProvider, Error, Outcome,
    cloudflare::{Cloudflare, CloudflareBuilder},
    engine,
};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Fault, VendorServer, When},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const TOKEN: &str = "cf-t0k3n-of-dns";
const ZONE_TOKEN: &str = "cf-t0k3n-of-zones";

/// A failure of this list is success and failure at once, and 971, which users report, is a code below 1000.
const WRONG: [&str; 3] = [
    "response 429 /success: false is not one of true",
    "response 429 /result: null is not of type \"array\"",
    "response 429 /errors/0/code: 971 is less than the minimum of 1000",
];

fn builder(base: &str) -> CloudflareBuilder {
    Cloudflare::builder(TOKEN).base_url(format!("{base}/client/v4"))
}

fn make(means: Means) -> Arc<dyn DnsProvider> {
    Arc::new(builder(&means.base_url).clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Cloudflare::new(TOKEN), &[ZONE]).await.unwrap()
}

fn fifty_names() -> Vec<Change> {
    let names = (0..50).map(|number| format!("_acme-challenge.host{number:02}.{ZONE}"));
    names.flat_map(|name| ["a", "b"].map(|value| Change::add(name.parse().unwrap(), value))).collect()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make).secret(TOKEN).found_by_id().keeps().await;
}

#[tokio::test]
async fn every_law_is_kept_with_two_tokens() {
    let service = vendor::Cloudflare::new(TOKEN).zone_token(ZONE_TOKEN);
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    let make = |means: Means| -> Arc<dyn DnsProvider> {
        let builder = Cloudflare::builder(TOKEN).zone_token(ZONE_TOKEN);
        let builder = builder.base_url(format!("{}/client/v4", means.base_url));
        Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
    };
    Case::new(&fake, &make).secret(TOKEN).secret(ZONE_TOKEN).found_by_id().keeps().await;
    // The token of records alone may not look for zones.
    let error = builder(&fake.base_url()).build().unwrap().zone(&NAME.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error}");
    assert!(error.to_string().contains("Zone / Zone / Read unless the option `zone-id`"), "{error}");
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::Cloudflare, &fake, make(Means::of(&fake)), &WRONG).await;
}

#[tokio::test]
async fn what_is_sent_with_the_identifier_of_the_zone_is_as_documented() {
    let fake = fake().await;
    let (means, id) = (Means::of(&fake), fake.store().zones[0].id.clone());
    let provider = builder(&means.base_url).zone_id(id).clock(means.clock).http(means.http).build().unwrap();
    documented::holds(Vendor::Cloudflare, &fake, Arc::new(provider), &WRONG).await;
}

#[tokio::test]
async fn with_the_identifier_of_the_zone_no_zone_is_looked_for() {
    let fake = fake().await;
    fake.store().forbidden.extend([ZONE.to_owned(), "com".to_owned()]);
    let id = fake.store().zones[0].id.clone();
    let provider = builder(&fake.base_url()).zone(ZONE.parse().unwrap()).zone_id(&id).build().unwrap();
    engine::apply(&provider, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap();
    assert_eq!(fake.exchanges().len(), 1);
    // The identifier alone is looked up once.
    let provider = builder(&fake.base_url()).zone_id(&id).build().unwrap();
    fake.clear_exchanges();
    engine::apply(&provider, &[Change::remove(NAME.parse().unwrap(), "v")]).await.unwrap();
    let paths: Vec<_> = fake.exchanges().iter().map(|it| it.uri.path().to_owned()).collect();
    assert_eq!(paths[0], format!("/client/v4/zones/{id}"));
    assert!(fake.store().records.is_empty());
}

#[tokio::test]
async fn fifty_certificates_that_come_at_once_are_one_batch_each_way() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let certificates: Vec<_> = fifty_names().chunks(2).map(<[Change]>::to_vec).collect();
    fake.clear_exchanges();
    let all = join_all(certificates.iter().map(|changes| provider.apply(&zone, changes))).await;
    assert_eq!((fake.exchanges().len(), fake.store().records.len()), (1, 100));
    let receipts = all.into_iter().map(|applied| applied.unwrap().receipts);
    let removals: Vec<Vec<_>> = receipts
        .map(|receipts| receipts.iter().map(perennial_providers::Receipt::removal).collect())
        .collect();
    fake.clear_exchanges();
    let all = join_all(removals.iter().map(|changes| provider.apply(&zone, changes))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.exchanges().iter().filter(|it| it.writes).count(), 1);
    assert!(fake.store().records.is_empty());
}

#[tokio::test]
async fn a_token_that_may_not_edit_is_refused_once_for_all_who_come_at_once() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let certificates: Vec<_> = fifty_names().chunks(2).map(<[Change]>::to_vec).collect();
    fake.clear_exchanges();
    for _ in 0..100 {
        fake.fault(When::Any, Fault::Forbidden);
    }
    let all = join_all(certificates.iter().map(|changes| provider.apply(&zone, changes))).await;
    assert!(all.iter().all(|applied| matches!(applied, Err(Error::Permission { .. }))), "{all:?}");
    assert_eq!(fake.exchanges().len(), 1);
}

#[tokio::test]
async fn fifty_names_are_one_batch_each_way() {
    let fake = fake().await;
    let id = fake.store().zones[0].id.clone();
    let provider = builder(&fake.base_url()).zone(ZONE.parse().unwrap()).zone_id(id).build().unwrap();
    let applied = engine::apply(&provider, &fifty_names()).await.unwrap();
    let requests = fake.exchanges().len();
    println!("providers/requests_cloudflare_50: {requests}");
    assert_eq!(requests, 1);
    assert_eq!(fake.store().records.len(), 100);
    assert!(applied.receipts.iter().all(|receipt| receipt.record_id.is_some()));
    assert!(applied.outcomes.iter().all(|outcome| *outcome == Outcome::Made));

    // Again: refused as a whole, looked at once, nothing left to do.
    fake.clear_exchanges();
    let again = engine::apply(&provider, &fifty_names()).await.unwrap();
    assert_eq!(fake.exchanges().len(), 2);
    assert!(again.outcomes.iter().all(|outcome| *outcome == Outcome::AlreadyDone));
    assert_eq!(fake.store().records.len(), 100);

    fake.clear_exchanges();
    let removals: Vec<_> = applied.receipts.iter().map(perennial_providers::Receipt::removal).collect();
    engine::apply(&provider, &removals).await.unwrap();
    assert_eq!(fake.exchanges().len(), 2);
    assert!(fake.store().records.is_empty());
}

#[tokio::test]
async fn a_batch_with_a_value_that_is_there_is_made_without_it() {
    let fake = fake().await;
    fake.store().add(ZONE, "_acme-challenge.host07.example.com", "a", 120);
    let provider = make(Means::of(&fake));
    let applied = engine::apply(&*provider, &fifty_names()).await.unwrap();
    assert_eq!(fake.store().records.len(), 100);
    let there = applied.outcomes.iter().filter(|outcome| **outcome == Outcome::AlreadyDone).count();
    assert_eq!(there, 1);
}

#[tokio::test]
async fn a_malformed_token_is_a_matter_of_the_token() {
    let fake = fake().await;
    let base = format!("{}/client/v4", fake.base_url());
    let error = Cloudflare::builder("another").base_url(&base).build().unwrap();
    let error = error.zone(&NAME.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error}");
    assert_eq!((error.code(), error.status()), (Some("9109"), Some(403)));
    assert!(error.to_string().contains("request 8f0000000000abcd-FRA"), "{error}");
}
