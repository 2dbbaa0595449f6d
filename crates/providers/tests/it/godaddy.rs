//! GoDaddy over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{DnsProvider, godaddy::GoDaddy};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, ZONE},
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
