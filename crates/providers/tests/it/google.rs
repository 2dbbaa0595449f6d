//! Google Cloud DNS over its fake, and held against the vendor's own document.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{HttpClient, HttpError};
use perennial_providers::{
    Change, DnsProvider, Error,
    credentials::google::Access,
    engine,
    google::{GoogleCloudDns, GoogleCloudDnsBuilder, KIND},
};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const TOKEN: &str = "ya29.t0k3n-of-dns";

/// Hands out one token, whoever signs for it.
struct Desk;

#[async_trait]
impl HttpClient for Desk {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let body = format!(r#"{{"access_token": "{TOKEN}", "expires_in": 3599, "token_type": "Bearer"}}"#);
        Ok(Response::new(Bytes::from(body)))
    }
}

fn builder(means: &Means) -> GoogleCloudDnsBuilder {
    let key = include_str!("../vectors/service-account.json");
    let access = Access::builder(KIND).clock(means.clock.clone()).http(Arc::new(Desk));
    GoogleCloudDns::builder(access.service_account(&key.into()).unwrap())
        .base_url(&means.base_url)
        .clock(means.clock.clone())
        .http(means.http.clone())
}

fn make(means: Means) -> Arc<dyn DnsProvider> {
    Arc::new(builder(&means).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::GoogleCloudDns::new(TOKEN), &[ZONE]).await.unwrap()
}

fn name() -> perennial_core::DomainName {
    NAME.parse().unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    let case = Case::new(&fake, &make).secret(TOKEN).echoes(&[Echo::Quoted, Echo::Segmented]);
    case.with_twins().found_by_id().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::GoogleCloudDns, &fake, make(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn fifty_names_with_two_values_each_are_one_change_in_the_accounts_own_project() {
    let fake = fake().await;
    fake.store().pending_looks = 1;
    let provider = make(Means::of(&fake));
    let names = (0..50).map(|number| format!("_acme-challenge.host{number:02}.{ZONE}"));
    let changes: Vec<_> =
        names.flat_map(|name| ["a", "b"].map(|value| Change::add(name.parse().unwrap(), value))).collect();
    let zone = provider.zone(&changes[0].name).await.unwrap();
    fake.clear_exchanges();
    let applied = provider.apply(&zone, &changes).await.unwrap();
    println!("providers/requests_google_50 = {}", fake.exchanges().len());
    assert_eq!(fake.exchanges().len(), 1);
    assert!(fake.exchanges()[0].uri.path().starts_with("/dns/v1/projects/fake-project/managedZones/"));
    assert_eq!(fake.store().records.len(), 100);
    assert!(!provider.in_sync(&applied.pending[0]).await.unwrap());
    assert!(provider.in_sync(&applied.pending[0]).await.unwrap());
}

#[tokio::test]
async fn what_is_deleted_is_what_was_read_with_its_time_to_live() {
    let fake = fake().await;
    fake.store().add(ZONE, NAME, "somebody else's", 4321);
    let provider = make(Means::of(&fake));
    engine::apply(&*provider, &[Change::add(name(), "ours")]).await.unwrap();
    let exchanges = fake.exchanges();
    let body: serde_json::Value = serde_json::from_slice(&exchanges.last().unwrap().body).unwrap();
    let owner = format!("{NAME}.");
    assert_eq!(
        body,
        serde_json::json!({
            "deletions": [{ "name": owner, "type": "TXT", "ttl": 4321, "rrdatas": ["somebody else's"] }],
            "additions": [{
                "name": owner, "type": "TXT", "ttl": 4321, "rrdatas": ["somebody else's", "\"ours\""],
            }],
        })
    );
}

#[tokio::test]
async fn private_zones_are_found_when_they_are_asked_for_and_twins_must_be_told_apart() {
    let fake = fake().await;
    let means = Means::of(&fake);
    let private = fake.store().add_private_zone(ZONE).id;
    let zone = builder(&means).private(true).build().unwrap().zone(&name()).await.unwrap();
    assert_eq!(zone.id, Some(private.clone()));
    fake.store().add_private_zone(ZONE);
    let error = builder(&means).private(true).build().unwrap().zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    assert!(error.to_string().contains("zone-id"), "{error}");
    let provider = builder(&means).private(true).zone_id(&private).build().unwrap();
    assert_eq!(provider.zone(&name()).await.unwrap().id, Some(private));
}

#[tokio::test]
async fn a_project_of_somebody_else_is_a_matter_of_permission() {
    let fake = fake().await;
    let provider = builder(&Means::of(&fake)).project("theirs").build().unwrap();
    let error = provider.zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    assert!(error.to_string().contains("DNS Administrator"), "{error}");
}
