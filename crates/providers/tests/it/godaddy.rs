//! GoDaddy over its fake, and held against the vendor's own document.

use std::{sync::Arc, time::Duration};

use perennial_core::{Clock as _, Retry};
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

/// The vendor's document: `ErrorLimit`.
fn limit(retry_after_sec: u64) -> Fault {
    let body = serde_json::json!({ "code": "TOO_MANY_REQUESTS", "retryAfterSec": retry_after_sec });
    Fault::Answer(Reply::json(429, &body))
}

#[tokio::test]
async fn it_waits_as_long_as_the_body_says() {
    let fake = fake().await;
    let means = Means::of(&fake);
    let (clock, provider, name) = (means.clock.clone(), make(means), NAME.parse().unwrap());
    let zone = provider.zone(&name).await.unwrap();
    let before = clock.now();
    fake.fault(When::Write, limit(9));
    provider.apply(&zone, &[Change::add(name.clone(), "v")]).await.unwrap();
    let waited = clock.now().since(before).as_secs();
    assert!((9..14).contains(&waited), "{waited}");
    fake.fault(When::Write, limit(600));
    let error = provider.apply(&zone, &[Change::add(name.clone(), "w")]).await.unwrap_err();
    assert_eq!(error.retry(), Retry::At(clock.now() + Duration::from_secs(600)), "{error}");
    // Nobody means more than a month, whatever the number says.
    clock.sleep(Duration::from_secs(601)).await;
    fake.fault(When::Any, limit(u64::MAX));
    let error = provider.apply(&zone, &[Change::add(name, "w")]).await.unwrap_err();
    assert!(matches!(error.retry(), Retry::At(_)), "{error}");
}

#[tokio::test]
async fn a_sibling_goes_back_as_it_came() {
    let fake = fake().await;
    let (provider, name) = (make(Means::of(&fake)), NAME.parse().unwrap());
    let zone = provider.zone(&name).await.unwrap();
    let quoted = serde_json::json!([{ "data": "\"sibling\"", "ttl": 600 }]);
    fake.fault(When::Read, Fault::Answer(Reply::json(200, &quoted)));
    provider.apply(&zone, &[Change::add(name, "ours")]).await.unwrap();
    let written = fake.exchanges().into_iter().find(|it| it.writes).unwrap();
    let texts: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(texts[0]["data"], "\"sibling\"");
}
