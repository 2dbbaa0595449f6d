//! DNSimple over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, Options, Registry, dnsimple::Dnsimple, engine};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Fault, Reply, VendorServer, When},
};
use serde_json::json;

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
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

#[tokio::test]
async fn a_users_token_with_many_accounts_needs_the_number_as_an_option() {
    let service = vendor::Dnsimple::new(TOKEN).of_user();
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    fake.fault(When::Any, Fault::Answer(Reply::json(200, &json!({ "data": { "account": null } }))));
    fake.fault(When::Any, Fault::Answer(Reply::json(200, &json!({ "data": [{ "id": 7 }, { "id": 1010 }] }))));
    let error = make(Means::of(&fake)).zone(&ZONE.parse().unwrap()).await.unwrap_err();
    assert!(
        error.to_string().contains("the accounts [7, 1010]; say which one by the option `account`"),
        "{error}"
    );
    fake.clear_exchanges();
    let base = format!("{}/v2", fake.base_url());
    let options: Options =
        [("token", TOKEN), ("account", "1010"), ("base-url", &*base)].into_iter().collect();
    let provider = Registry::standard().create("dnsimple", &options).unwrap();
    assert_eq!(provider.zone(&ZONE.parse().unwrap()).await.unwrap().to_string(), ZONE);
    assert!(fake.exchanges().iter().all(|it| it.uri.path().starts_with("/v2/1010/zones/")));
}

#[tokio::test]
async fn a_zone_is_in_sync_when_all_name_servers_have_it() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let applied = engine::apply(&*provider, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap();
    let pending = &applied.pending[0];
    fake.store().pending_looks = 1;
    assert!(!provider.in_sync(pending).await.unwrap());
    assert!(provider.in_sync(pending).await.unwrap());
    // A name server could not be asked just now.
    let unknown = || Fault::Answer(Reply::json(504, &json!({ "message": "Could not query zone" })));
    (0..9).for_each(|_| fake.fault(When::Any, unknown()));
    assert!(!provider.in_sync(pending).await.unwrap());
}

#[tokio::test]
async fn one_name_is_asked_for_alone() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&NAME.parse().unwrap()).await.unwrap();
    provider.values(&zone, &NAME.parse().unwrap()).await.unwrap();
    let query = fake.exchanges().last().unwrap().uri.query().unwrap().to_owned();
    assert!(query.starts_with("type=TXT&") && query.contains("name=_acme-challenge.www"), "{query}");
}

#[tokio::test]
async fn a_refusal_has_the_number_of_its_request() {
    let fake = fake().await;
    let mut answer =
        Reply::json(400, &json!({ "message": "Validation failed", "errors": { "ttl": ["is odd"] } }));
    answer.headers_mut().insert("x-request-id", "r-4711".parse().unwrap());
    fake.fault(When::Any, Fault::Answer(answer));
    let error = make(Means::of(&fake)).zone(&ZONE.parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("r-4711") && error.to_string().contains("is odd"), "{error}");
}

#[tokio::test]
async fn who_was_faster_with_the_same_value_did_our_work() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    fake.fault(When::Write, Fault::Interfere(Box::new(|store| _ = store.add(ZONE, NAME, "v", 3600))));
    engine::apply(&*provider, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["v"]);
}
