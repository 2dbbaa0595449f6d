//! GoDaddy over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, engine, godaddy::GoDaddy};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Fault, Reply, VendorServer, When},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const TOKEN: &str = "g0k3y:c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = GoDaddy::builder(TOKEN).base_url(format!("{}/v1", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::GoDaddy::new("g0k3y", "c0ffee"), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make).secret(TOKEN).without_comments().overwrites_blindly().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::GoDaddy, &fake, make(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn a_set_that_is_gone_is_deleted_already() {
    let fake = fake().await;
    fake.store().add(ZONE, NAME, "ours", 600);
    let (provider, name) = (make(Means::of(&fake)), NAME.parse().unwrap());
    let zone = provider.zone(&name).await.unwrap();
    let gone = serde_json::json!({ "code": "NOT_FOUND", "message": "no such set" });
    fake.fault(When::Write, Fault::Answer(Reply::json(404, &gone)));
    provider.apply(&zone, &[Change::remove(name, "ours")]).await.unwrap();
    assert!(fake.store().records.is_empty());
}

#[tokio::test]
async fn a_refusal_has_the_vendors_code() {
    let fake = fake().await;
    fake.fault(When::Write, Fault::Forbidden);
    let provider = make(Means::of(&fake));
    let error = engine::apply(&*provider, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap_err();
    assert_eq!(error.code(), Some("ACCESS_DENIED"));
}
