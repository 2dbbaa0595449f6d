//! Web services of one's own: lego's `httpreq`, and a webhook of cert-manager.

use std::{sync::Arc, time::Duration};

use perennial_core::{Clock, DomainName};
use perennial_providers::{Change, DnsProvider, Error, Zone, engine, httpreq::HttpReq, webhook::Webhook};
use perennial_testkit::vendor::{self, Fault, Reply, RetryAfter, VendorServer, When};
use serde_json::json;

use crate::law::{self, Means, NAME, ZONE};

const SECRET: &str = "h00k-c0ffee";

fn name() -> DomainName {
    NAME.parse().unwrap()
}

fn httpreq(fake: &VendorServer) -> HttpReq {
    let means = Means::of(fake);
    let builder = HttpReq::builder(format!("{}/hook/", means.base_url)).credentials("acme", SECRET);
    builder.clock(means.clock).http(means.http).build().unwrap()
}

fn webhook(fake: &VendorServer) -> Webhook {
    let means = Means::of(fake);
    let url = format!("{}/apis/acme.example.com/v1alpha1/paper", means.base_url);
    let builder = Webhook::builder(url, ZONE.parse().unwrap()).token(SECRET);
    builder.clock(means.clock).http(means.http).build().unwrap()
}

/// Adds two values beside a foreign one, once with a lost answer, and removes one of them.
async fn keeps_the_contract(fake: &VendorServer, provider: &dyn DnsProvider) {
    fake.store().add(ZONE, NAME, "foreign", 300);
    let changes = ["base", "-wildcard"].map(|value| Change::add(name(), value));
    fake.fault(When::Write, Fault::Lost);
    let applied = engine::apply(provider, &changes).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["-wildcard", "base", "foreign"]);
    engine::apply(provider, &changes).await.unwrap();
    assert_eq!(fake.store().values(NAME).len(), 3);
    let receipt = &applied.receipts[1];
    provider.apply(&receipt.zone, &[receipt.removal()]).await.unwrap();
    provider.apply(&receipt.zone, &[receipt.removal()]).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["base", "foreign"]);
    let error = provider.values(&receipt.zone, &name()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

async fn failure(fake: &VendorServer, provider: &dyn DnsProvider, fault: Fault) -> String {
    fake.fault(When::Any, fault);
    let error = engine::apply(provider, &[Change::add(name(), "v")]).await.unwrap_err();
    fake.clear_faults();
    assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    error.to_string()
}

#[tokio::test]
async fn httpreq_is_told_of_each_value() {
    let fake = VendorServer::start(vendor::HttpReq::new("acme", SECRET), &[ZONE]).await.unwrap();
    keeps_the_contract(&fake, &httpreq(&fake)).await;
    let told = fake.exchanges();
    assert_eq!(
        std::str::from_utf8(&told[0].body).unwrap(),
        format!(r#"{{"fqdn":"{NAME}.","value":"base"}}"#)
    );
    let said = failure(&fake, &httpreq(&fake), Fault::Unauthorized).await;
    assert!(said.contains("does not accept the credential"), "{said}");
}

#[tokio::test]
async fn a_webhook_is_told_of_each_value_as_cert_manager_tells_it() {
    let fake = VendorServer::start(vendor::Webhook::new(SECRET), &[ZONE]).await.unwrap();
    keeps_the_contract(&fake, &webhook(&fake)).await;
    let payload: serde_json::Value = serde_json::from_slice(&fake.exchanges()[0].body).unwrap();
    let request = &payload["request"];
    assert_eq!(request["dnsName"], "www.example.com");
    assert_eq!(request["resolvedFQDN"], format!("{NAME}."));
    assert_eq!(request["resolvedZone"], format!("{ZONE}."));
    assert_eq!(request["resourceNamespace"], "default");
}

#[tokio::test]
async fn what_an_api_server_says_is_explained() {
    let fake = VendorServer::start(vendor::Webhook::new(SECRET), &[ZONE]).await.unwrap();
    let said = failure(&fake, &webhook(&fake), Fault::Forbidden).await;
    assert!(said.contains("it needs a role that may create this solver's resource"), "{said}");
    let means = Means::of(&fake);
    let zone: DomainName = "example.net".parse().unwrap();
    let build = |path: &str| {
        let builder = Webhook::builder(format!("{}{path}", means.base_url), zone.clone()).token(SECRET);
        builder.clock(means.clock.clone()).http(means.http.clone()).build().unwrap()
    };
    let changes = [Change::add("a.example.net".parse().unwrap(), "v")];
    let error = engine::apply(&build("/apis/none/v1alpha1/paper"), &changes).await.unwrap_err();
    assert!(error.to_string().contains("compare the URL with `kubectl get apiservice`"), "{error}");
    let error = engine::apply(&build("/apis/acme.example.com/v1alpha1/paper"), &changes).await.unwrap_err();
    assert!(error.to_string().contains("it failed to Present a.example.net: no such zone"), "{error}");
    let outside = webhook(&fake).zone(&zone).await.unwrap_err();
    assert!(matches!(outside, Error::ZoneNotFound { .. }), "{outside}");
}

#[tokio::test]
async fn each_bad_answer_is_told_apart() {
    let fake = VendorServer::start(vendor::HttpReq::new("acme", SECRET), &[ZONE]).await.unwrap();
    let provider = || -> Arc<dyn DnsProvider> { Arc::new(httpreq(&fake)) };
    law::each_bad_answer_is_told_apart(&fake, provider, Change::add(name(), "v"), &[SECRET]).await;
    let fake = VendorServer::start(vendor::Webhook::new(SECRET), &[ZONE]).await.unwrap();
    let provider = || -> Arc<dyn DnsProvider> { Arc::new(webhook(&fake)) };
    law::each_bad_answer_is_told_apart(&fake, provider, Change::add(name(), "v"), &[SECRET]).await;
}

#[tokio::test]
async fn all_changes_are_told_or_none_where_one_is_not_in_the_zone() {
    let fake = VendorServer::start(vendor::HttpReq::new("acme", SECRET), &[ZONE]).await.unwrap();
    let zone = Zone::new("example.net".parse().unwrap());
    let changes = [Change::add("a.example.net".parse().unwrap(), "v"), Change::add(name(), "v")];
    let error = httpreq(&fake).apply(&zone, &changes).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
    assert!(fake.exchanges().is_empty());
    let zone = Zone::new(ZONE.parse().unwrap());
    let changes = ["one", "two"].map(|value| Change::add(name(), value));
    httpreq(&fake).apply(&zone, &changes).await.unwrap();
    assert_eq!(fake.store().values(NAME), ["one", "two"]);
}

#[tokio::test]
async fn httpreq_is_kept_to_its_zones_to_tls_and_to_the_time_that_it_is_told_to_wait() {
    let fake = VendorServer::start(vendor::HttpReq::new("acme", SECRET), &[ZONE]).await.unwrap();
    let means = Means::of(&fake);
    let builder = || HttpReq::builder(format!("{}/hook", means.base_url)).credentials("acme", SECRET);
    let builder = || builder().clock(means.clock.clone()).http(means.http.clone());
    let provider = builder().zone(ZONE.parse().unwrap()).build().unwrap();
    assert_eq!(provider.zone(&name()).await.unwrap().to_string(), ZONE);
    let error = provider.zone(&"a.example.net".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");

    let before = means.clock.now();
    fake.fault(When::Write, Fault::Busy(Some(RetryAfter::Seconds(9))));
    engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
    assert!(means.clock.now().since(before) >= Duration::from_secs(9));

    let error = HttpReq::builder("http://dns.example.com/hook").build().unwrap_err();
    assert!(error.to_string().contains("plain http"), "{error}");
    assert!(HttpReq::builder("http://dns.example.com/hook").plain_http(true).build().is_ok());
    let webhook = || Webhook::builder("http://dns.example.com/apis/a/v1alpha1/b", ZONE.parse().unwrap());
    assert!(webhook().build().unwrap_err().to_string().contains("plain http"));
    assert!(webhook().plain_http(true).build().is_ok());
}

#[tokio::test]
async fn a_webhook_is_told_its_namespace_and_configuration_and_believed_in_what_it_was_asked_alone() {
    let fake = VendorServer::start(vendor::Webhook::new(SECRET), &[ZONE]).await.unwrap();
    let means = Means::of(&fake);
    let url = format!("{}/apis/acme.example.com/v1alpha1/paper", means.base_url);
    let config = json!({ "apiKeySecretRef": { "name": "dns", "key": "token" } });
    let builder = Webhook::builder(url, ZONE.parse().unwrap()).token(SECRET);
    let builder = builder.namespace("certificates").config(config.clone());
    let provider = builder.clock(means.clock).http(means.http).build().unwrap();
    engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&fake.exchanges()[0].body).unwrap();
    assert_eq!(payload["request"]["resourceNamespace"], "certificates");
    assert_eq!(payload["request"]["config"], config);

    for (answer, part) in [
        (json!({ "response": { "uid": "another", "success": true } }), "it answers another request"),
        (json!({ "kind": "ChallengePayload" }), "its answer has no `response`"),
    ] {
        let said = failure(&fake, &provider, Fault::Answer(Reply::json(200, &answer))).await;
        assert!(said.contains(part), "{said}");
    }
    fake.fault(When::Any, Fault::Forbidden);
    let error = engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap_err();
    assert_eq!(error.code(), Some("Forbidden"));
}
