//! netcup over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, Zone, netcup::Netcup};
use perennial_testkit::vendor::{self, Fault, VendorServer, When};

use crate::law::{Case, Means, NAME, ZONE};

const CUSTOMER: &str = "12345";
const KEY: &str = "c0ffeek3y";
const PASSWORD: &str = "c0ffeepassw0rd";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder =
        Netcup::builder(CUSTOMER, KEY, PASSWORD).base_url(means.base_url).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = VendorServer::start(vendor::Netcup::new(CUSTOMER, KEY, PASSWORD), &[ZONE]).await.unwrap();
    Case::new(&fake, &make).secret(KEY).secret(PASSWORD).keeps().await;
}

fn service() -> vendor::Netcup {
    vendor::Netcup::new(CUSTOMER, KEY, PASSWORD)
}

fn names() -> impl Iterator<Item = perennial_core::DomainName> {
    (0..50).map(|number| format!("_acme-challenge.host{number:02}.{ZONE}").parse().unwrap())
}

fn actions(fake: &VendorServer) -> Vec<String> {
    let body = |it: &vendor::Exchange| serde_json::from_slice::<serde_json::Value>(&it.body).unwrap();
    fake.exchanges().iter().map(|it| body(it)["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_batch_is_one_update_of_the_rows_that_change() {
    let fake = VendorServer::start(service(), &[ZONE]).await.unwrap();
    let foreign = fake.store().add(ZONE, NAME, "somebody else's", 86_400);
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&ZONE.parse().unwrap()).await.unwrap();
    let changes: Vec<_> =
        names().flat_map(|name| ["a", "b"].map(|value| Change::add(name.clone(), value))).collect();
    let applied = provider.apply(&zone, &changes).await.unwrap();
    assert_eq!(actions(&fake), ["login", "infoDnsZone", "infoDnsRecords", "updateDnsRecords"]);
    assert!(!String::from_utf8_lossy(&fake.exchanges()[3].body).contains("somebody"));
    // A row has the time to live of its zone, so none is told.
    assert!(applied.receipts.iter().all(|it| it.record_id.is_some() && it.ttl.is_none()));
    assert_eq!(fake.store().records.len(), 101);
    assert_eq!(fake.store().records[0].id, foreign);
}

#[tokio::test]
async fn a_session_that_ended_is_opened_again_and_one_is_enough() {
    let service = service();
    let fake = VendorServer::start(service.clone(), &[ZONE]).await.unwrap();
    let means = Means::of(&fake);
    let clock = means.clock.clone();
    let provider = make(means);
    let zone = provider.zone(&ZONE.parse().unwrap()).await.unwrap();
    service.end_sessions();
    fake.clear_exchanges();
    let name: perennial_core::DomainName = NAME.parse().unwrap();
    provider.values(&zone, &name).await.unwrap();
    assert_eq!(actions(&fake), ["infoDnsRecords", "login", "infoDnsRecords"]);
    fake.clear_exchanges();
    provider.values(&zone, &name).await.unwrap();
    assert_eq!(actions(&fake), ["infoDnsRecords"]);
    // An old one is not tried.
    perennial_core::Clock::sleep(&*clock, std::time::Duration::from_secs(700)).await;
    fake.clear_exchanges();
    provider.values(&zone, &name).await.unwrap();
    assert_eq!(actions(&fake), ["login", "infoDnsRecords"]);
}

#[tokio::test]
async fn an_update_is_made_without_the_row_that_a_rival_deleted() {
    let fake = VendorServer::start(service(), &[ZONE]).await.unwrap();
    let old = fake.store().add(ZONE, NAME, "old", 86_400);
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&ZONE.parse().unwrap()).await.unwrap();
    let name = || NAME.parse().unwrap();
    let remove = Fault::Interfere(Box::new(move |store| {
        let zone = store.zones[0].id.clone();
        assert!(store.remove(&zone, &old));
    }));
    fake.fault(When::Write, remove);
    provider.apply(&zone, &[Change::remove(name(), "old"), Change::add(name(), "new")]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["new"]);
    // What is refused for another reason stays refused.
    fake.store().add(ZONE, NAME, "", 86_400);
    let zone_elsewhere = Zone::new("example.net".parse().unwrap());
    let name = "a.example.net".parse().unwrap();
    let error = provider.apply(&zone_elsewhere, &[Change::remove(name, "v")]).await.unwrap_err();
    assert!(error.to_string().contains("Domain not found"), "{error}");
}
