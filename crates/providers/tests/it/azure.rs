//! Azure DNS, public and private, over its fake, and held against the vendor's own document.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{HttpClient, HttpError};
use perennial_providers::{
    Change, DnsProvider, Error,
    azure::{AzureDns, AzureDnsBuilder, KIND},
    credentials::azure::Access,
    engine,
};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const TOKEN: &str = "ey.t0k3n-of-dns";
const SECRET: &str = "s3cret-of-the-application";

/// Hands out one token, whoever asks.
struct Desk;

#[async_trait]
impl HttpClient for Desk {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let body = format!(r#"{{"access_token": "{TOKEN}", "expires_in": 3599, "token_type": "Bearer"}}"#);
        Ok(Response::new(Bytes::from(body)))
    }
}

fn builder(means: &Means) -> AzureDnsBuilder {
    let access = Access::builder(KIND).clock(means.clock.clone()).http(Arc::new(Desk));
    let access = access.client_secret("tenant", "app", SECRET.into()).unwrap();
    AzureDns::builder(access, vendor::AzureDns::subscription())
        .base_url(&means.base_url)
        .clock(means.clock.clone())
        .http(means.http.clone())
}

fn make(means: Means) -> Arc<dyn DnsProvider> {
    Arc::new(builder(&means).build().unwrap())
}

fn make_in_group(means: Means) -> Arc<dyn DnsProvider> {
    Arc::new(builder(&means).resource_group(vendor::AzureDns::resource_group()).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::AzureDns::new(TOKEN), &[ZONE]).await.unwrap()
}

fn name() -> perennial_core::DomainName {
    NAME.parse().unwrap()
}

#[tokio::test]
async fn every_law_is_kept_where_zones_are_listed() {
    let fake = fake().await;
    // It shows what it keeps, not what it was sent.
    let case = Case::new(&fake, &make).secret(TOKEN).secret(SECRET).echoes(&[Echo::AsSent]);
    case.with_twins().never_walks().keeps().await;
}

#[tokio::test]
async fn every_law_is_kept_in_a_resource_group() {
    let fake = fake().await;
    let case = Case::new(&fake, &make_in_group).secret(TOKEN).secret(SECRET).echoes(&[Echo::AsSent]);
    case.with_twins().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::Azure, &fake, make(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn what_is_sent_and_answered_in_a_resource_group_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::Azure, &fake, make_in_group(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn a_write_has_a_precondition_and_brings_the_notes_back() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    engine::apply(&*provider, &[Change::add(name(), "first")]).await.unwrap();
    fake.store().records[0].comment = Some("a note".to_owned());
    engine::apply(&*provider, &[Change::add(name(), "second")]).await.unwrap();
    assert_eq!(fake.store().records[0].comment.as_deref(), Some("a note"));
    let writes: Vec<_> = fake.exchanges().into_iter().filter(|it| it.writes).collect();
    assert_eq!(writes[0].headers["if-none-match"], "*");
    assert!(writes.last().unwrap().headers.contains_key("if-match"));
}

#[tokio::test]
async fn private_zones_have_an_interface_of_their_own() {
    let fake = fake().await;
    fake.store().zones.clear();
    fake.store().add_private_zone(ZONE);
    let means = Means::of(&fake);
    let error = make(means.clone()).zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error:?}");
    let provider = builder(&means).private(true).build().unwrap();
    engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
    let last = fake.exchanges().pop().unwrap();
    assert!(last.uri.path().contains("/privateDnsZones/"), "{}", last.uri);
    let body: serde_json::Value = serde_json::from_slice(&last.body).unwrap();
    let records = serde_json::json!({ "properties": { "ttl": 60, "txtRecords": [{ "value": ["v"] }] } });
    assert_eq!(body, records);
    engine::apply(&provider, &[Change::remove(name(), "v")]).await.unwrap();
    assert!(fake.store().records.is_empty());
}

#[tokio::test]
async fn a_resource_group_that_is_not_there_is_no_missing_zone() {
    let fake = fake().await;
    let provider = builder(&Means::of(&fake)).resource_group("nowhere").build().unwrap();
    let error = provider.zone(&name()).await.unwrap_err();
    assert!(error.to_string().contains("Resource group 'nowhere' could not be found"), "{error}");
}
