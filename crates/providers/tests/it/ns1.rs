//! NS1 over its fake.

use std::sync::Arc;

use perennial_providers::{DnsProvider, ns1::Ns1};
use perennial_testkit::vendor::{self, VendorServer};

use crate::law::{Case, Means, ZONE};

const KEY: &str = "c0ffeec0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder =
        Ns1::builder(KEY).base_url(format!("{}/v1", means.base_url)).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = VendorServer::start(vendor::Ns1::new(KEY), &[ZONE]).await.unwrap();
    Case::new(&fake, &make).secret(KEY).overwrites_blindly().keeps().await;
}
