//! DigitalOcean over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, digitalocean::DigitalOcean, engine};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const TOKEN: &str = "dop_v1_c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = DigitalOcean::builder(TOKEN).base_url(means.base_url).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::DigitalOcean::new(TOKEN), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    // Values come back as they were sent: the vendor neither quotes nor unquotes.
    Case::new(&fake, &make).secret(TOKEN).echoes(&[Echo::AsSent]).keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::DigitalOcean, &fake, make(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn fifty_names_are_looked_at_once() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let names = (0..50).map(|number| format!("_acme-challenge.host{number:02}.{ZONE}"));
    let changes: Vec<_> =
        names.flat_map(|name| ["a", "b"].map(|value| Change::add(name.parse().unwrap(), value))).collect();
    engine::apply(&*provider, &changes).await.unwrap();
    let (reads, writes): (Vec<_>, Vec<_>) = fake.exchanges().into_iter().partition(|it| !it.writes);
    // One list of zones, one of records; a record is a request.
    assert_eq!((reads.len(), writes.len()), (2, 100));
    assert_eq!(fake.store().records.len(), 100);
    assert!(fake.store().values(NAME).is_empty());
}
