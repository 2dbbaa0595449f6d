//! Porkbun over its fake.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, Error, Outcome, porkbun::Porkbun};
use perennial_testkit::vendor::{self, Fault, VendorServer, When};

use crate::law::{Case, Means, NAME, ZONE};

const KEY: &str = "pk1_c0ffee";
const SECRET: &str = "sk1_c0ffee";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Porkbun::builder(KEY, SECRET)
        .base_url(format!("{}/api/json/v3", means.base_url))
        .clock(means.clock)
        .http(means.http);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = VendorServer::start(vendor::Porkbun::new(KEY, SECRET), &[ZONE]).await.unwrap();
    Case::new(&fake, &make).secret(KEY).secret(SECRET).keeps().await;
}

#[tokio::test]
async fn a_domain_that_is_not_opted_in_is_told_with_the_remedy() {
    let fake = VendorServer::start(vendor::Porkbun::new(KEY, SECRET), &[ZONE]).await.unwrap();
    fake.store().forbidden.insert(ZONE.to_owned());
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let error = provider.apply(&zone, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error}");
    assert!(error.to_string().contains("switched on for the domain"), "{error}");
}

/// The vendor says of it that it was "unable to create the DNS record", as of much else.
#[tokio::test]
async fn a_record_that_a_rival_made_meanwhile_is_as_good_as_ours() {
    let fake = VendorServer::start(vendor::Porkbun::new(KEY, SECRET), &[ZONE]).await.unwrap();
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    let rival = |value: &'static str| {
        Fault::Interfere(Box::new(move |store| {
            store.add(ZONE, NAME, value, 600);
        }))
    };
    fake.fault(When::Write, rival("v"));
    let applied = provider.apply(&zone, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap();
    assert_eq!(applied.outcomes, [Outcome::AlreadyDone]);
    assert_eq!(fake.store().values(NAME), ["v"]);
    // Where the value is not there after all, the refusal stands.
    let spaced = provider.apply(&zone, &[Change::add(NAME.parse().unwrap(), "a space behind ")]).await;
    let error = spaced.unwrap_err();
    assert!(error.to_string().contains("We were unable to create the DNS record"), "{error}");
}

#[tokio::test]
async fn nothing_is_asked_about_what_cannot_be_registered() {
    let fake = VendorServer::start(vendor::Porkbun::new(KEY, SECRET), &[ZONE]).await.unwrap();
    make(Means::of(&fake)).zone(&NAME.parse().unwrap()).await.unwrap();
    let paths: Vec<_> = fake.exchanges().iter().map(|it| it.uri.path().to_owned()).collect();
    let expected = ["www.example.com", "example.com"];
    assert_eq!(paths, expected.map(|apex| format!("/api/json/v3/dns/retrieveByNameType/{apex}/NS")));
}
