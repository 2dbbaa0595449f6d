//! Gandi LiveDNS over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, engine, gandi::Gandi};
use perennial_testkit::vendor::{self, Echo, Fault, Reply, VendorServer, When};

use crate::law::{Case, Means, NAME, ZONE};

const TOKEN: &str = "g4nd1-c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Gandi::builder(TOKEN).base_url(format!("{}/v5/livedns", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Gandi::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make)
        .secret(TOKEN)
        .echoes(&[Echo::Quoted, Echo::Segmented])
        .without_comments()
        .overwrites_blindly()
        .keeps()
        .await;
}

#[tokio::test]
async fn values_are_written_in_quotes_siblings_as_they_came_and_the_apex_has_a_sign() {
    let fake = fake().await;
    fake.store().add(ZONE, ZONE, "sibling", 3600);
    fake.store().echo = Echo::Segmented;
    let provider = make(Means::of(&fake));
    engine::apply(&*provider, &[Change::add(ZONE.parse().unwrap(), "ours")]).await.unwrap();
    let written = fake.exchanges().into_iter().find(|it| it.writes).unwrap();
    assert_eq!(written.uri.path(), format!("/v5/livedns/domains/{ZONE}/records/%40/TXT"));
    let set: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    let mut values: Vec<_> =
        set["rrset_values"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values[0], "\"ours\"");
    assert!(values[1].contains("\" \""), "{values:?}");
}

#[tokio::test]
async fn what_a_field_is_refused_for_is_told() {
    let fake = fake().await;
    let errors = serde_json::json!([{ "location": "body", "name": "rrset_ttl", "description": "too short" }]);
    let refusal = serde_json::json!({ "status": "error", "errors": errors });
    fake.fault(When::Write, Fault::Answer(Reply::json(400, &refusal)));
    let provider = make(Means::of(&fake));
    let error = engine::apply(&*provider, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap_err();
    assert!(error.to_string().contains("rrset_ttl: too short"), "{error}");
}
