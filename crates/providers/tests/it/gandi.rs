//! Gandi LiveDNS over its fake.

use std::sync::Arc;

use perennial_providers::{DnsProvider, gandi::Gandi};
use perennial_testkit::vendor::{self, Echo, VendorServer};

use crate::law::{Case, Means, ZONE};

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
