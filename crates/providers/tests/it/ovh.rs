//! OVHcloud over its fake.

use std::sync::Arc;

use perennial_providers::{
    Change, DnsProvider, Error,
    credentials::ovh::{Access, Region},
    engine,
    ovh::{KIND, Ovh},
};
use perennial_testkit::vendor::{self, VendorServer};

use crate::law::{Case, Means, NAME, ZONE};

const APPLICATION: &str = "fakeapplication";
const SECRET: &str = "fake-secret-for-tests";
const CONSUMER: &str = "fake-consumer";

fn provider(means: Means, secret: &str) -> Ovh {
    let base = format!("{}/1.0", means.base_url);
    let access = Access::builder(KIND, Region::Europe).base_url(&base).clock(means.clock.clone());
    let access = access.http(means.http.clone());
    let access = access.consumer_key(APPLICATION, secret.into(), CONSUMER.into()).unwrap();
    Ovh::builder(access, Region::Europe).base_url(base).clock(means.clock).http(means.http).build().unwrap()
}

fn make(means: Means) -> Arc<dyn DnsProvider> {
    Arc::new(provider(means, SECRET))
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Ovh::new(APPLICATION, SECRET, CONSUMER), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make).secret(SECRET).secret(CONSUMER).never_walks().without_comments().keeps().await;
}

#[tokio::test]
async fn a_zone_is_put_into_force_after_adding_and_after_removing() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let name = || NAME.parse().unwrap();
    let refreshed = || fake.exchanges().iter().filter(|it| it.uri.path().ends_with("/refresh")).count();
    engine::apply(&*provider, &[Change::add(name(), "a"), Change::add(name(), "b")]).await.unwrap();
    assert_eq!(refreshed(), 1);
    engine::apply(&*provider, &[Change::remove(name(), "a")]).await.unwrap();
    assert_eq!(refreshed(), 2);
    let last = fake.exchanges().pop().unwrap();
    assert!(last.uri.path().ends_with("/refresh"), "{}", last.uri);
}

#[tokio::test]
async fn a_wrong_secret_is_told_in_ovhclouds_words() {
    let fake = fake().await;
    let error = provider(Means::of(&fake), "wr0ng").zone(&NAME.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    assert_eq!(error.code(), Some("INVALID_SIGNATURE"));
    assert!(!error.to_string().contains("wr0ng"), "{error}");
}
