//! DNSimple over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{DnsProvider, dnsimple::Dnsimple};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, ZONE},
};

const TOKEN: &str = "dnsimple_c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Dnsimple::builder(TOKEN).base_url(format!("{}/v2", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Dnsimple::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make).secret(TOKEN).without_comments().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    // Pages are a chapter of the vendor's documentation, and in no operation of its document.
    let wrong = ["query parameter `per_page`", "query parameter `page`"];
    documented::holds(Vendor::Dnsimple, &fake, make(Means::of(&fake)), &wrong).await;
}

#[tokio::test]
async fn a_users_token_with_one_account_needs_no_number() {
    let service = vendor::Dnsimple::new(TOKEN).of_user();
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    let zone = make(Means::of(&fake)).zone(&ZONE.parse().unwrap()).await.unwrap();
    assert_eq!(zone.to_string(), ZONE);
}
