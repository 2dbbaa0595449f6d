//! Route 53 over its fake, and held against the vendor's own document.

use std::sync::Arc;

use futures_util::future::join_all;
use perennial_providers::{
    Change, DnsProvider, Error, Outcome,
    credentials::aws::Access,
    engine,
    route53::{KIND, Route53, Route53Builder},
};
use perennial_testkit::{
    specification::Vendor,
    vendor::{self, AwsKey, Echo, Exchange, Fault, VendorServer, When},
};

use crate::{
    documented,
    law::{Case, Means, NAME, ZONE},
};

const KEY_ID: &str = "AKIDFAKEFORTESTS0001";
const KEY: &str = "fake/secret+for=tests-only";
const SESSION: &str = "fake//session+token";

fn key() -> AwsKey {
    AwsKey::new(KEY_ID, KEY).with_session_token(SESSION)
}

fn builder(means: &Means) -> Route53Builder {
    let access = Access::builder(KIND).fixed(KEY_ID.into(), KEY.into(), Some(SESSION.into()));
    Route53::builder(access).base_url(&means.base_url).clock(means.clock.clone()).http(means.http.clone())
}

fn make(means: Means) -> Arc<dyn DnsProvider> {
    Arc::new(builder(&means).build().unwrap())
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::Route53::new(key()), &[ZONE]).await.unwrap()
}

fn name() -> perennial_core::DomainName {
    NAME.parse().unwrap()
}

fn writes(fake: &VendorServer) -> Vec<Exchange> {
    fake.exchanges().into_iter().filter(|it| it.writes).collect()
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = fake().await;
    let case = Case::new(&fake, &make).secret(KEY).secret(SESSION);
    case.echoes(&[Echo::Quoted, Echo::Segmented]).with_twins().found_by_id().keeps().await;
}

#[tokio::test]
async fn what_is_sent_and_answered_is_as_documented() {
    let fake = fake().await;
    // The model has one length for the id alone, as requests have it, and for what answers have: the path.
    let wrong = ["/Id: \"/hostedzone/"];
    documented::holds(Vendor::Route53, &fake, make(Means::of(&fake)), &wrong).await;
    let id = fake.store().zones[0].id.clone();
    let provider = builder(&Means::of(&fake)).zone_id(&id).build().unwrap();
    documented::holds(Vendor::Route53, &fake, Arc::new(provider), &wrong).await;
}

#[tokio::test]
async fn fifty_certificates_that_come_at_once_are_one_change() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&name()).await.unwrap();
    fake.clear_exchanges();
    let certificates: Vec<_> = (0..50)
        .map(|number| format!("_acme-challenge.host{number:02}.{ZONE}").parse().unwrap())
        .map(|name: perennial_core::DomainName| ["a", "b"].map(|value| Change::add(name.clone(), value)))
        .collect();
    let all = join_all(certificates.iter().map(|changes| provider.apply(&zone, changes))).await;
    assert_eq!(fake.exchanges().len(), 1);
    assert_eq!(fake.store().records.len(), 100);
    for (applied, changes) in all.into_iter().zip(&certificates) {
        let applied = applied.unwrap();
        assert_eq!(applied.outcomes, [Outcome::Made; 2]);
        assert!(applied.receipts.iter().all(|receipt| receipt.name == changes[0].name));
        assert_eq!((applied.receipts.len(), applied.pending.len()), (2, 1));
    }
}

#[tokio::test]
async fn fifty_names_with_two_values_each_are_one_change() {
    let fake = fake().await;
    let provider = make(Means::of(&fake));
    let names = (0..50).map(|number| format!("_acme-challenge.host{number:02}.{ZONE}"));
    let changes: Vec<_> =
        names.flat_map(|name| ["a", "b"].map(|value| Change::add(name.parse().unwrap(), value))).collect();
    let zone = provider.zone(&changes[0].name).await.unwrap();
    fake.clear_exchanges();
    let applied = provider.apply(&zone, &changes).await.unwrap();
    println!("providers/requests_route53_50 = {}", fake.exchanges().len());
    assert_eq!(fake.exchanges().len(), 1);
    assert_eq!(fake.store().records.len(), 100);
    assert!(applied.outcomes.iter().all(|outcome| *outcome == Outcome::Made));
    let removals: Vec<_> = applied.receipts.iter().map(|receipt| receipt.removal()).collect();
    fake.clear_exchanges();
    provider.apply(&zone, &removals).await.unwrap();
    assert_eq!(writes(&fake).len(), 1);
    assert!(fake.store().records.is_empty());
}

#[tokio::test]
async fn a_set_is_read_before_the_first_write_where_that_is_wanted() {
    let fake = fake().await;
    for (upsert, requests) in [(false, 1), (true, 2)] {
        let provider = builder(&Means::of(&fake)).upsert(upsert).build().unwrap();
        let zone = provider.zone(&name()).await.unwrap();
        fake.clear_exchanges();
        provider.apply(&zone, &[Change::add(name(), "v")]).await.unwrap();
        assert_eq!(fake.exchanges().len(), requests);
        provider.apply(&zone, &[Change::remove(name(), "v")]).await.unwrap();
    }
}

#[tokio::test]
async fn a_document_that_is_broken_is_quoted_without_what_a_terminal_obeys() {
    let fake = fake().await;
    let body = "<a>\u{1b}[2J<b\u{1b}[2J></c></a>";
    fake.fault(When::Read, Fault::Answer(http::Response::new(body.into())));
    let error = make(Means::of(&fake)).zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved { .. }), "{error:?}");
    assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
}

#[tokio::test]
async fn a_change_is_in_sync_when_route_53_says_so() {
    let fake = fake().await;
    fake.store().pending_looks = 3;
    let means = Means::of(&fake);
    let provider = make(means.clone());
    let applied = engine::apply(&*provider, &[Change::add(name(), "v")]).await.unwrap();
    assert!(provider.capabilities().reports_in_sync);
    assert_eq!(applied.pending.len(), 1);
    assert!(!provider.in_sync(&applied.pending[0]).await.unwrap());
    let deadline = perennial_core::Clock::now(&*means.clock) + provider.capabilities().max_wait;
    engine::wait_in_sync(&*provider, &applied.pending, &*means.clock, deadline).await.unwrap();
    let looks =
        fake.exchanges().iter().filter(|it| it.uri.path().starts_with("/2013-04-01/change/C")).count();
    assert_eq!(looks, 4);
}

#[tokio::test]
async fn a_set_is_deleted_as_it_was_read_and_siblings_keep_their_time_to_live() {
    let fake = fake().await;
    fake.store().add(ZONE, NAME, "somebody else's", 4321);
    let provider = make(Means::of(&fake));
    engine::apply(&*provider, &[Change::add(name(), "ours")]).await.unwrap();
    let body = String::from_utf8(writes(&fake).last().unwrap().body.to_vec()).unwrap();
    assert!(body.contains("<Action>DELETE</Action>") && body.contains("<TTL>4321</TTL>"), "{body}");
    assert!(!body.contains("UPSERT"), "{body}");
    assert!(fake.store().records.iter().all(|record| record.ttl == 4321));
}

#[tokio::test]
async fn private_zones_are_found_when_they_are_asked_for_and_twins_must_be_told_apart() {
    let fake = fake().await;
    let means = Means::of(&fake);
    let private = fake.store().add_private_zone(ZONE).id;
    let zone = builder(&means).private(true).build().unwrap().zone(&name()).await.unwrap();
    assert_eq!(zone.id, Some(private.clone()));
    let twin = fake.store().add_private_zone(ZONE).id;
    let error = builder(&means).private(true).build().unwrap().zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    assert!(error.to_string().contains("zone-id") && error.to_string().contains(&twin), "{error}");
    let provider = builder(&means).private(true).zone_id(&format!("/hostedzone/{private}")).build().unwrap();
    assert_eq!(provider.zone(&name()).await.unwrap().id, Some(private));
}

#[tokio::test]
async fn a_wrong_secret_is_told_in_awss_words() {
    let fake = fake().await;
    let means = Means::of(&fake);
    let access = Access::builder(KIND).fixed(KEY_ID.into(), "wr0ng".into(), Some(SESSION.into()));
    let provider = Route53::builder(access).base_url(&means.base_url).http(means.http).build().unwrap();
    let error = provider.zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    assert_eq!(error.code(), Some("SignatureDoesNotMatch"));
    assert!(error.to_string().contains("does not match the signature you provided"), "{error}");
}

#[tokio::test]
async fn another_partition_signs_for_its_own_region() {
    let service = vendor::Route53::new(AwsKey::new(KEY_ID, KEY)).in_region("cn-northwest-1");
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    let means = Means::of(&fake);
    let access = || Access::builder(KIND).region("cn-north-1").fixed(KEY_ID.into(), KEY.into(), None);
    let provider =
        Route53::builder(access()).base_url(&means.base_url).http(means.http.clone()).build().unwrap();
    assert!(provider.zone(&name()).await.is_ok());
    let provider = Route53::builder_signing_for(access(), "us-east-1").base_url(&means.base_url);
    let error = provider.http(means.http).build().unwrap().zone(&name()).await.unwrap_err();
    assert!(error.to_string().contains("valid region"), "{error}");
}
