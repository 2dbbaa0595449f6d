//! Namecheap over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, Error, Zone, namecheap::Namecheap};
use perennial_testkit::vendor::{self, VendorServer};

use crate::law::{Case, Means, NAME, ZONE};

const USER: &str = "user";
const KEY: &str = "c0ffeec0ffee";
const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 1);

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder =
        Namecheap::builder(USER, KEY, ADDRESS).base_url(means.base_url).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake =
        VendorServer::start(vendor::Namecheap::new(USER, KEY, &ADDRESS.to_string()), &[ZONE]).await.unwrap();
    Case::new(&fake, &make).secret(KEY).overwrites_blindly().keeps().await;
}

fn fake_service() -> vendor::Namecheap {
    vendor::Namecheap::new(USER, KEY, &ADDRESS.to_string())
}

fn add(value: &str) -> Change {
    Change::add(NAME.parse().unwrap(), value)
}

async fn zone(provider: &dyn DnsProvider) -> Zone {
    provider.zone(&NAME.parse().unwrap()).await.unwrap()
}

/// Puts a record of any type into the zone, as somebody else would.
fn plant(fake: &VendorServer, name: &str, kind: &str, address: &str, preference: Option<&str>) {
    let mut store = fake.store();
    store.add(ZONE, name, address, 1799);
    if let Some(record) = store.records.last_mut() {
        record.kind = kind.to_owned();
        record.comment = preference.map(str::to_owned);
    }
}

fn content(fake: &VendorServer) -> Vec<(String, String, String, u32, Option<String>)> {
    let store = fake.store();
    let others = store.records.iter().filter(|it| it.name != NAME);
    let mut others: Vec<_> = others
        .map(|it| (it.name.clone(), it.kind.clone(), it.value.clone(), it.ttl, it.comment.clone()))
        .collect();
    others.sort();
    others
}

#[tokio::test]
async fn everything_else_of_the_domain_is_as_it_was() {
    let service = fake_service();
    let fake = VendorServer::start(service.clone(), &[ZONE]).await.unwrap();
    plant(&fake, ZONE, "MX", "mx.example.", Some("20"));
    plant(&fake, ZONE, "CAA", r#"0 issue "ca.example""#, None);
    plant(&fake, ZONE, "URL301", "https://www.example.com/?a=1&b=2", None);
    plant(&fake, "k1._domainkey.example.com", "TXT", "v=DKIM1; p=MIGf+MA0/GCSq==", None);
    plant(&fake, "*.example.com", "CNAME", "parking.example.", None);
    let before = content(&fake);
    let provider = make(Means::of(&fake));
    let zone = zone(&*provider).await;
    provider.apply(&zone, &[add("one"), add("two")]).await.unwrap();
    assert_eq!(content(&fake), before);
    provider.apply(&zone, &[Change::remove(NAME.parse().unwrap(), "one")]).await.unwrap();
    assert_eq!((content(&fake), fake.store().values(NAME)), (before, vec!["two".to_owned()]));
    assert_eq!(service.email_type().as_deref(), Some("MX"));
    // Each write was read back.
    let writes: Vec<_> = fake.exchanges().iter().map(|it| it.writes).collect();
    assert!(!writes.last().unwrap());
}

/// What is doubtful is never written over.
#[tokio::test]
async fn a_doubtful_read_stops_the_write() {
    type Spoil = fn(&vendor::Namecheap, &VendorServer);
    let spoils: [(&str, Spoil); 3] = [
        ("EmailType", |service, fake| {
            plant(fake, ZONE, "MX", "mx.example.", None);
            service.set_email_type(None);
        }),
        ("switched off", |_, fake| {
            plant(fake, "old.example.com", "A", "192.0.2.7", None);
            fake.store().records[0].disabled = true;
        }),
        ("name servers", |service, _| drop(service.clone().elsewhere())),
    ];
    for (part, spoil) in spoils {
        let service = fake_service();
        let fake = VendorServer::start(service.clone(), &[ZONE]).await.unwrap();
        let provider = make(Means::of(&fake));
        let zone = zone(&*provider).await;
        spoil(&service, &fake);
        let error = provider.apply(&zone, &[add("v")]).await.unwrap_err();
        assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(fake.exchanges().iter().all(|it| !it.writes), "{part}");
    }
}

#[tokio::test]
async fn a_domain_without_records_can_be_written_to() {
    let service = fake_service();
    service.set_email_type(None);
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    let provider = make(Means::of(&fake));
    provider.apply(&zone(&*provider).await, &[add("v")]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["v"]);
}

#[tokio::test]
async fn a_domain_is_split_where_the_vendor_knows_it() {
    let domains = ["example.co.uk", "lab.example.com", ZONE];
    let fake = VendorServer::start(fake_service(), &domains).await.unwrap();
    for domain in domains {
        let provider = make(Means::of(&fake));
        let name = format!("_acme-challenge.www.{domain}").parse().unwrap();
        let zone = provider.zone(&name).await.unwrap();
        assert_eq!(zone.apex.as_str(), domain);
        provider.apply(&zone, &[Change::add(name.clone(), "v")]).await.unwrap();
        assert_eq!(fake.store().values(name.as_str()), ["v"]);
    }
    // A zone that is given needs no look first.
    let builder = Namecheap::builder(USER, KEY, ADDRESS).base_url(fake.base_url());
    let provider = builder.zone("example.co.uk".parse().unwrap()).build().unwrap();
    let name = "b.example.co.uk".parse().unwrap();
    let zone = provider.zone(&name).await.unwrap();
    provider.apply(&zone, &[Change::add(name, "v")]).await.unwrap();
    assert_eq!(fake.store().values("b.example.co.uk"), ["v"]);
}

#[tokio::test]
async fn an_address_that_is_not_on_the_list_is_told_with_the_remedy() {
    let service = vendor::Namecheap::new(USER, KEY, "198.51.100.7");
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    let error = make(Means::of(&fake)).zone(&NAME.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error}");
    assert!(error.to_string().contains("192.0.2.1") && error.to_string().contains("API Access"), "{error}");
}
