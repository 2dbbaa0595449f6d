//! Linode over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, Error, linode::Linode};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const TOKEN: &str = "l1n0de-c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Linode::builder(TOKEN).base_url(format!("{}/v4", means.base_url));
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Linode::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    Case::new(&fake, &make).secret(TOKEN).echoes(&[Echo::AsSent]).without_comments().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    // The least length is that of requests; records at the apex come back without a name.
    let wrong = ["name: \"\" is shorter than 1 character"];
    documented::holds(Vendor::Linode, &fake, make(Means::of(&fake)), &wrong).await;
}

#[tokio::test]
async fn a_domain_that_was_made_anew_is_found_by_its_new_number() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let name = NAME.parse().unwrap();
    let old = provider.zone(&name).await.unwrap();
    {
        let mut store = fake.store();
        store.zones.clear();
        store.add_zone(ZONE);
    }
    let add = [Change::add(name.clone(), "v")];
    let error = provider.apply(&old, &add).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
    let new = provider.zone(&name).await.unwrap();
    assert_ne!(new.id, old.id);
    provider.apply(&new, &add).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["v"]);
}
