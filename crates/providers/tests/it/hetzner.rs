//! Hetzner Cloud DNS over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{DnsProvider, hetzner::Hetzner};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, ZONE},
};

const TOKEN: &str = "hc-c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Hetzner::builder(TOKEN).base_url(format!("{}/v1", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Hetzner::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make).secret(TOKEN).echoes(&[Echo::Quoted, Echo::Segmented]).keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::Hetzner, &fake, make(Means::of(&fake)), &[]).await;
}
