//! PowerDNS over its fake, of today and of yesterday, and held against the vendor's own document.

use std::{sync::Arc, time::Duration};

use perennial_providers::{Change, DnsProvider, WriteClass, engine, powerdns::PowerDns};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const KEY: &str = "pdns-k3y";

/// It writes zone file format, whatever it was sent.
const ECHOES: [Echo; 2] = [Echo::Quoted, Echo::Segmented];

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = PowerDns::builder(means.base_url, KEY).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

fn client(fake: &VendorServer) -> Arc<dyn DnsProvider> {
    make(Means::of(fake))
}

async fn fake(service: vendor::PowerDns) -> VendorServer {
    VendorServer::start(service, &[ZONE]).await.unwrap()
}

fn name() -> perennial_core::DomainName {
    NAME.parse().unwrap()
}

#[tokio::test]
async fn every_law_is_kept_where_single_values_are_added_and_removed() {
    let fake = fake(vendor::PowerDns::new(KEY)).await;
    Case::new(&fake, &make).secret(KEY).echoes(&ECHOES).keeps().await;
}

#[tokio::test]
async fn every_law_is_kept_where_sets_are_replaced() {
    let fake = fake(vendor::PowerDns::new(KEY).without_extend()).await;
    Case::new(&fake, &make).secret(KEY).echoes(&ECHOES).overwrites_blindly().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake(vendor::PowerDns::new(KEY)).await;
    documented::holds(Vendor::PowerDns, &fake, make(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn what_is_sent_to_a_server_that_replaces_sets_is_as_documented() {
    let fake = fake(vendor::PowerDns::new(KEY).without_extend()).await;
    let Means { base_url, clock, http } = Means::of(&fake);
    let provider = PowerDns::builder(base_url, KEY).notify(true).clock(clock).http(http).build().unwrap();
    // Servers say in a body that the notification is queued; a set that goes has no time to live, as the text
    // beside the schema has it.
    let wrong = ["notify: response 200: the document has no body there", "\"ttl\" is a required property"];
    documented::holds(Vendor::PowerDns, &fake, Arc::new(provider), &wrong).await;
}

#[tokio::test]
async fn what_a_server_can_do_is_found_out_by_the_first_write() {
    for (service, expected) in [
        (vendor::PowerDns::new(KEY), WriteClass::AtomicValue),
        (vendor::PowerDns::new(KEY).without_extend(), WriteClass::SetReplaced),
    ] {
        let fake = fake(service).await;
        let provider = client(&fake);
        assert_eq!(provider.capabilities().write, WriteClass::SetReplaced);
        for value in ["one", "two"] {
            engine::apply(&*provider, &[Change::add(name(), value)]).await.unwrap();
        }
        assert_eq!(provider.capabilities().write, expected);
        let refused = fake.exchanges().iter().filter(|it| it.status.is_some_and(|it| it == 422)).count();
        assert_eq!(refused, usize::from(expected == WriteClass::SetReplaced));
    }
}

#[tokio::test]
async fn disabled_siblings_stay_and_are_no_values() {
    let new = || vendor::PowerDns::new(KEY);
    for service in [new(), new().without_extend(), new().over_lmdb(), new().over_lmdb().without_extend()] {
        let fake = fake(service).await;
        fake.store().add(ZONE, NAME, "switched off", 300);
        fake.store().records[0].disabled = true;
        let provider = client(&fake);
        engine::apply(&*provider, &[Change::add(name(), "ours")]).await.unwrap();
        let zone = provider.zone(&name()).await.unwrap();
        assert_eq!(provider.values(&zone, &name()).await.unwrap(), ["ours"]);
        engine::apply(&*provider, &[Change::remove(name(), "ours")]).await.unwrap();
        let left: Vec<_> = fake.store().records.iter().map(|it| (it.value.clone(), it.disabled)).collect();
        assert_eq!(left, [("switched off".to_owned(), true)]);
        // It is wanted now: it is switched on, not written beside itself.
        engine::apply(&*provider, &[Change::add(name(), "switched off")]).await.unwrap();
        let left: Vec<_> = fake.store().records.iter().map(|it| (it.value.clone(), it.disabled)).collect();
        assert_eq!(left, [("switched off".to_owned(), false)]);
    }
}

#[tokio::test]
async fn fifty_names_are_one_write_and_the_secondaries_are_told_when_wanted() {
    let fake = fake(vendor::PowerDns::new(KEY)).await;
    let builder = PowerDns::builder(fake.base_url(), KEY).notify(true).ttl(Duration::from_secs(30));
    let provider = builder.build().unwrap();
    let names = (0..50).map(|number| format!("_acme-challenge.host{number:02}.{ZONE}"));
    let changes: Vec<_> =
        names.flat_map(|name| ["a", "b"].map(|value| Change::add(name.parse().unwrap(), value))).collect();
    engine::apply(&provider, &changes).await.unwrap();
    let writes: Vec<_> = fake.exchanges().into_iter().filter(|it| it.writes).map(|it| it.method).collect();
    assert_eq!(writes, ["PATCH", "PUT"]);
    assert!(fake.store().records.iter().all(|record| record.ttl == 30));
}
