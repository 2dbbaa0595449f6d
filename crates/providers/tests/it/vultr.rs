//! Vultr over its fake.

use std::sync::Arc;

use perennial_providers::{DnsProvider, vultr::Vultr};
use perennial_testkit::vendor::{self, Echo, VendorServer};

use crate::law::{Case, Means, ZONE};

const TOKEN: &str = "VULTRC0FFEE";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Vultr::builder(TOKEN).base_url(format!("{}/v2", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Vultr::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make)
        .secret(TOKEN)
        .echoes(&[Echo::AsSent, Echo::Quoted])
        .without_comments()
        .keeps()
        .await;
}
