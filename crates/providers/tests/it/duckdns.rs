//! DuckDNS over its fake. It can be told to hold one value and nothing else, so most laws have nothing to ask of it.

use std::sync::Arc;

use perennial_core::Retry;
use perennial_providers::{Change, DnsProvider, Error, duckdns::DuckDns};
use perennial_testkit::vendor::{self, Fault, VendorServer, When};

use crate::law::{self, Means};

const TOKEN: &str = "c0ffee00-114e-40ef-ba1d-d217904a50f2";
const DOMAIN: &str = "perennial.duckdns.org";
const NAME: &str = "_acme-challenge.perennial.duckdns.org";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = DuckDns::builder(TOKEN).base_url(means.base_url).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::DuckDns::new(TOKEN), &[DOMAIN]).await.unwrap()
}

fn add(value: &str) -> Change {
    Change::add(NAME.parse().unwrap(), value)
}

fn remove(value: &str) -> Change {
    Change::remove(NAME.parse().unwrap(), value)
}

#[tokio::test]
async fn a_value_is_put_there_and_taken_away() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&"_acme-challenge.www.perennial.duckdns.org".parse().unwrap()).await.unwrap();
    assert_eq!(zone.apex.as_str(), DOMAIN);
    for _ in 0..2 {
        provider.apply(&zone, &[add("v")]).await.unwrap();
        assert_eq!(fake.store().values(NAME), ["v"]);
    }
    assert_eq!(provider.values(&zone, &NAME.parse().unwrap()).await.unwrap(), ["v"]);
    fake.clear_exchanges();
    provider.apply(&zone, &[remove("another")]).await.unwrap();
    assert_eq!((fake.exchanges().len(), fake.store().values(NAME)), (0, vec!["v".to_owned()]));
    for _ in 0..2 {
        provider.apply(&zone, &[remove("v")]).await.unwrap();
        assert!(fake.store().records.is_empty());
    }
    assert!(provider.values(&zone, &NAME.parse().unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_newer_value_is_not_taken_away_with_an_older_one() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    provider.apply(&zone, &[add("old")]).await.unwrap();
    provider.apply(&zone, &[add("new")]).await.unwrap();
    provider.apply(&zone, &[remove("old")]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["new"]);
    // Nor by a process that knows nothing of it.
    make(Means::of(&fake)).apply(&zone, &[remove("old")]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["new"]);
}

#[tokio::test]
async fn two_values_at_once_are_refused_before_the_first_is_written() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let error = provider.apply(&zone, &[add("wildcard"), add("base")]).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(fake.exchanges().is_empty());
}

#[tokio::test]
async fn a_lost_answer_leaves_what_can_be_removed() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    fake.fault(When::Any, Fault::Lost);
    provider.apply(&zone, &[add("v")]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["v"]);
    // Nor does it if all of them are lost, and the caller does not know.
    for change in [add("w"), remove("w")] {
        for _ in 0..4 {
            fake.fault(When::Any, Fault::Lost);
        }
        provider.apply(&zone, &[change]).await.unwrap_err();
    }
    fake.store().add(DOMAIN, NAME, "w", 60);
    provider.apply(&zone, &[remove("w")]).await.unwrap();
    assert!(fake.store().records.is_empty());
}

#[tokio::test]
async fn ko_is_a_matter_of_the_token_which_is_shown_nowhere() {
    let fake = VendorServer::start(vendor::DuckDns::new("another"), &[DOMAIN]).await.unwrap();
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let error = provider.apply(&zone, &[add("v")]).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }) && error.retry() == Retry::Never, "{error}");
    assert!(error.to_string().contains("not one of this account's"), "{error}");
    assert!(!format!("{error} {error:?}").contains(TOKEN), "{error}");
    assert!(provider.values(&zone, &NAME.parse().unwrap()).await.unwrap().is_empty());
    drop(fake);
    let error = provider.apply(&zone, &[add("v")]).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(TOKEN), "{error}");
}

#[tokio::test]
async fn each_bad_answer_is_told_apart() {
    let fake = fake().await;
    law::each_bad_answer_is_told_apart(&fake, || make(Means::of(&fake)), add("v"), &[TOKEN]).await;
}

#[tokio::test]
async fn a_name_elsewhere_has_no_zone() {
    let fake = fake().await;
    for name in ["_acme-challenge.example.com", "duckdns.org", "badduckdns.org"] {
        let error = make(Means::of(&fake)).zone(&name.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
    }
}
