//! DNSPod over its fake, and held against the vendor's own document.

use std::sync::Arc;

use perennial_providers::{Change, DnsProvider, Error, dnspod::Dnspod, engine};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, Echo, VendorServer},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const KEY_ID: &str = "AKIDFAKEFORTESTS0002";
const KEY: &str = "fake-secret-for-tests-only";
const TOKEN: &str = "fake-token-for-tests";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Dnspod::builder_with_token(KEY_ID, KEY, TOKEN).base_url(means.base_url);
    Arc::new(builder.clock(means.clock).http(means.http).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Dnspod::new(KEY_ID), &[ZONE]).await.unwrap()
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
    documented::holds(Vendor::Tencent, &fake, make(Means::of(&fake)), &[]).await;
}

#[tokio::test]
async fn an_error_with_status_200_is_an_error_with_its_code_and_its_request() {
    let fake = fake().await;
    let means = Means::of(&fake);
    let provider =
        Dnspod::builder("AKIDUNKNOWN", KEY).base_url(means.base_url).http(means.http).build().unwrap();
    let error = provider.zone(&NAME.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    assert_eq!(error.code(), Some("AuthFailure.SecretIdNotFound"));
    assert!(error.to_string().contains("ab4f1426-ea15-42ea-8183-fake00000000"), "{error}");
}

#[tokio::test]
async fn a_record_names_its_line_by_word_and_by_number() {
    let fake = fake().await;
    engine::apply(&*make(Means::of(&fake)), &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap();
    let exchanges = fake.exchanges();
    let body: serde_json::Value = serde_json::from_slice(&exchanges.last().unwrap().body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "Domain": ZONE, "SubDomain": "_acme-challenge.www", "RecordType": "TXT", "RecordLine": "默认",
            "RecordLineId": "0", "Value": "v", "TTL": 600,
        })
    );
    assert_eq!(exchanges.last().unwrap().headers["x-tc-token"], TOKEN);
}
