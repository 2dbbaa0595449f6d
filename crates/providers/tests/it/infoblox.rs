//! Infoblox over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, infoblox::Infoblox};
use perennial_testkit::vendor::{self, Echo, Fault, Reply, VendorServer, When};
use serde_json::json;

use crate::law::{Case, Means, NAME, ZONE};

const PASSWORD: &str = "1nf0-c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Infoblox::builder(means.base_url, "acme", PASSWORD);
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Infoblox::new("acme", PASSWORD), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    let case = Case::new(&fake, &make).secret(PASSWORD).echoes(&[Echo::AsSent, Echo::Quoted]);
    case.without_comments().keeps().await;
}

#[tokio::test]
async fn a_view_that_is_not_there_is_named() {
    let fake = fake().await;
    let means = Means::of(&fake);
    let builder = Infoblox::builder(means.base_url, "acme", PASSWORD).view("outside");
    let provider = builder.clock(means.clock).http(means.http).build().unwrap();
    let error = provider.zone(&NAME.parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("View not found"), "{error}");
}

#[tokio::test]
async fn everything_that_is_asked_and_written_is_of_the_view() {
    let fake = fake().await;
    let means = Means::of(&fake);
    let builder = Infoblox::builder(means.base_url, "acme", PASSWORD).view("outside");
    let provider = builder.clock(means.clock).http(means.http).build().unwrap();
    let name = NAME.parse().unwrap();
    let zones = json!([{ "fqdn": "elsewhere.example" }, { "fqdn": ZONE }]);
    (0..2).for_each(|_| {
        fake.fault(When::Read, Fault::Answer(Reply::json(200, &json!([{ "fqdn": "elsewhere.example" }]))))
    });
    fake.fault(When::Read, Fault::Answer(Reply::json(200, &zones)));
    let zone = provider.zone(&name).await.unwrap();
    assert_eq!(zone.to_string(), ZONE);
    // Its time to live is written, and not used.
    let sibling =
        json!({ "_ref": "record:txt/s", "name": NAME, "text": "sibling", "ttl": 7, "use_ttl": false });
    fake.fault(When::Read, Fault::Answer(Reply::json(200, &json!({ "result": [sibling] }))));
    let error = provider.apply(&zone, &[Change::add(name, "v")]).await.unwrap_err();
    assert_eq!(error.code(), Some("Client.Ibap.Data.NotFound"));
    let exchanges = fake.exchanges();
    let (written, read) = exchanges.split_last().unwrap();
    for exchange in read {
        let query = exchange.uri.query().unwrap();
        assert!(query.contains("&view=outside"), "{query}");
    }
    let query = read.last().unwrap().uri.query().unwrap();
    assert!(
        query.starts_with(&format!("name={NAME}&"))
            && query.contains("_return_fields=name%2Ctext%2Cttl%2Cuse_ttl"),
        "{query}"
    );
    let body: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body, json!({ "name": NAME, "text": "v", "view": "outside", "ttl": 60, "use_ttl": true }));
}

#[tokio::test]
async fn who_was_faster_with_the_same_value_did_our_work() {
    let fake = fake().await;
    fake.fault(When::Write, Fault::Interfere(Box::new(|store| _ = store.add(ZONE, NAME, "v", 3600))));
    let (provider, name) = (make(Means::of(&fake)), NAME.parse().unwrap());
    let zone = provider.zone(&name).await.unwrap();
    provider.apply(&zone, &[Change::add(name, "v")]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["v"]);
}
