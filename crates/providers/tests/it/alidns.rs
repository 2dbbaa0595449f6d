//! Alibaba Cloud DNS over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, alidns::AliDns, engine};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const KEY_ID: &str = "LTAIFAKEFORTESTS0003";
const KEY: &str = "fake-secret-for-tests-only";
const TOKEN: &str = "fake//token+for=tests";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = AliDns::builder_with_token(KEY_ID, KEY, TOKEN).base_url(means.base_url);
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::AliDns::new(KEY_ID), &[ZONE]).await.unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    let case = Case::new(&fake, &make).secret(KEY).secret(TOKEN).never_walks();
    case.echoes(&[Echo::AsSent, Echo::Quoted]).keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    documented::holds(Vendor::AliDns, &fake, make(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn names_are_relative_and_each_request_has_a_nonce_of_its_own() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let changes = [Change::add(NAME.parse().unwrap(), "a&b"), Change::add(ZONE.parse().unwrap(), "v")];
    engine::apply(&*provider, &changes).await.unwrap();
    let added: Vec<_> = fake.exchanges().into_iter().filter(|it| it.writes).collect();
    let query = |index: usize| added[index].uri.query().unwrap();
    assert_eq!(query(0), "DomainName=example.com&RR=_acme-challenge.www&Type=TXT&Value=a%26b&TTL=600");
    assert_eq!(query(1), "DomainName=example.com&RR=%40&Type=TXT&Value=v&TTL=600");
    let nonce = |index: usize| added[index].headers["x-acs-signature-nonce"].clone();
    assert_ne!(nonce(0), nonce(1));
    assert_eq!(added[0].headers["x-acs-security-token"], TOKEN);
    assert!(fake.exchanges().iter().all(|it| it.headers["x-acs-action"] != "DeleteSubDomainRecords"));
}
