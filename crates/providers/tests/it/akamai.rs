//! Akamai Edge DNS over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, akamai::Akamai, engine, signature::eg1::Credentials};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const CLIENT: &str = "akab-fake-client-token";
const SECRET: &str = "fake/secret+for=tests-only";
const ACCESS: &str = "akab-fake-access-token";

fn credentials() -> Credentials {
    Credentials::new(CLIENT, SECRET, ACCESS)
}

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Akamai::builder("akab-fake.luna.akamaiapis.net", credentials()).base_url(means.base_url);
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Akamai::new(CLIENT, ACCESS), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    let case = Case::new(&fake, &make).secret(CLIENT).secret(SECRET).secret(ACCESS).without_comments();
    case.echoes(&[Echo::Quoted, Echo::Segmented]).overwrites_blindly().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    // No answer with status 204 has a body (RFC 9110 §15.3.5).
    let wrong = ["response 204: the body is absent"];
    documented::holds(Vendor::Akamai, &fake, make(Means::of(&fake)), &wrong).await;
}

#[tokio::test]
async fn a_set_is_made_replaced_and_deleted_when_it_is_empty() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let name = || NAME.parse().unwrap();
    for change in [Change::add(name(), "a"), Change::add(name(), "b")] {
        engine::apply(&*provider, &[change]).await.unwrap();
    }
    engine::apply(&*provider, &[Change::remove(name(), "a"), Change::remove(name(), "b")]).await.unwrap();
    let writes: Vec<_> = fake.exchanges().into_iter().filter(|it| it.writes).map(|it| it.method).collect();
    assert_eq!(writes, ["POST", "PUT", "DELETE"]);
    assert!(fake.store().records.is_empty());
}

#[tokio::test]
async fn another_account_is_named_in_each_request_and_signed_for() {
    let fake = fake().await;
    let means = Means::of(&fake);
    let key = Some("A-CCT1234:1-2RBL".to_owned());
    let builder = Akamai::builder_for_account("akab-fake.luna.akamaiapis.net", credentials(), key);
    let provider = builder.base_url(means.base_url).http(means.http).build().unwrap();
    engine::apply(&provider, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap();
    let queries: Vec<_> =
        fake.exchanges().iter().map(|it| it.uri.query().unwrap_or_default().to_owned()).collect();
    assert!(queries.iter().all(|query| query == "accountSwitchKey=A-CCT1234%3A1-2RBL"), "{queries:?}");
}
