//! Infoblox over its fake.

use std::sync::Arc;

use perennial_providers::{DnsProvider, infoblox::Infoblox};
use perennial_testkit::vendor::{self, Echo, VendorServer};

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
