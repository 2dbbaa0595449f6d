//! deSEC over its fake.

use std::sync::Arc;

use perennial_providers::{DnsProvider, desec::Desec};
use perennial_testkit::vendor::{self, Echo, VendorServer};

use crate::law::{Case, Means, ZONE};

const TOKEN: &str = "d3s3c-c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Desec::builder(TOKEN).base_url(format!("{}/api/v1", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Desec::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make)
        .secret(TOKEN)
        .echoes(&[Echo::Quoted, Echo::Segmented])
        .never_walks()
        .without_comments()
        .overwrites_blindly()
        .keeps()
        .await;
}
