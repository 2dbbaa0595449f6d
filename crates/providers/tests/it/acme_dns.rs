//! acme-dns over its fake: accounts are made once, kept in a file that others read, and used from then on.

use std::{path::Path, sync::Arc};

use perennial_core::{DomainName, Retry};
use perennial_providers::{Change, DnsProvider, Error, Options, Registry, acme_dns::AcmeDns, engine};
use perennial_testkit::vendor::{self, Fault, RetryAfter, VendorServer, When};

use crate::law::{self, Means};

const NAME: &str = "_acme-challenge.www.example.com";

fn name() -> DomainName {
    NAME.parse().unwrap()
}

/// As long as a challenge's value is.
fn value(word: &str) -> String {
    format!("{word:-<43}")
}

async fn fake() -> VendorServer {
    VendorServer::start(vendor::AcmeDns::new(), &["auth.example.org"]).await.unwrap()
}

fn provider(fake: &VendorServer, accounts: &Path) -> AcmeDns {
    let means = Means::of(fake);
    let builder = AcmeDns::builder(means.base_url, accounts).clock(means.clock).http(means.http);
    builder.build().unwrap()
}

/// Registers the name, and says where its record is.
async fn registered(fake: &VendorServer, accounts: &Path) -> DomainName {
    match provider(fake, accounts).zone(&name()).await.unwrap_err() {
        Error::DelegationRequired { target, .. } => target,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_new_name_gets_an_account_and_the_error_says_which_record_to_make() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let accounts = directory.path().join("accounts.json");
    let error = provider(&fake, &accounts).zone(&name()).await.unwrap_err();
    let target = fake.store().zones[1].name.clone();
    assert_eq!(error.retry(), Retry::Never);
    assert!(error.to_string().contains(&format!("create `{NAME}. CNAME {target}.`")), "{error}");
    // The account is found again by another process, for the name and for where its alias leads.
    for known in [name(), target.parse().unwrap()] {
        assert_eq!(provider(&fake, &accounts).zone(&known).await.unwrap().apex, known);
    }
    assert_eq!(fake.exchanges().len(), 1, "one registration, and never another");
    let text = std::fs::read_to_string(&accounts).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(file["www.example.com"]["fulldomain"], target);
    assert_eq!(file["www.example.com"]["server_url"], fake.base_url());
}

#[tokio::test]
async fn two_values_live_side_by_side_and_removing_is_done_without_doing_anything() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let accounts = directory.path().join("accounts.json");
    let target = registered(&fake, &accounts).await;
    let provider = provider(&fake, &accounts);
    let (base, wildcard) = (value("base"), value("wildcard"));
    let changes = [Change::add(target.clone(), &*base), Change::add(target.clone(), &*wildcard)];
    let applied = engine::apply(&provider, &changes).await.unwrap();
    assert_eq!(fake.store().values(target.as_str()), [base.clone(), wildcard]);
    // Once more costs nothing, and pushes nothing out.
    engine::apply(&provider, &changes).await.unwrap();
    let updates = fake.exchanges().iter().filter(|it| it.uri.path() == "/update").count();
    assert_eq!(updates, 2);
    for receipt in &applied.receipts {
        provider.apply(&receipt.zone, &[receipt.removal()]).await.unwrap();
    }
    assert_eq!(fake.store().values(target.as_str()).len(), 2);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_not_sent_again_but_the_batch_may_be() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let accounts = directory.path().join("accounts.json");
    let target = registered(&fake, &accounts).await;
    let provider = provider(&fake, &accounts);
    let (base, wildcard) = (value("base"), value("wildcard"));
    engine::apply(&provider, &[Change::add(target.clone(), &*base)]).await.unwrap();
    let changes = [Change::add(target.clone(), &*base), Change::add(target.clone(), &*wildcard)];
    fake.fault(When::Write, Fault::Lost);
    assert!(engine::apply(&provider, &changes).await.is_err());
    // Sent twice, the second value would have pushed out the first.
    assert_eq!(fake.store().values(target.as_str()), [base.clone(), wildcard.clone()]);
    engine::apply(&provider, &changes).await.unwrap();
    assert_eq!(fake.store().values(target.as_str()), [base, wildcard]);
}

#[tokio::test]
async fn each_mistake_is_named_and_no_key_is_shown() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let accounts = directory.path().join("accounts.json");
    let target = registered(&fake, &accounts).await;
    let text = std::fs::read_to_string(&accounts).unwrap();
    let key = format!("key-{}", target.as_str().split('.').next().unwrap());
    assert!(text.contains(&key));
    let failure = async |value: &str| {
        let provider = provider(&fake, &accounts);
        let error = engine::apply(&provider, &[Change::add(target.clone(), value)]).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&key), "{error}");
        error.to_string()
    };
    assert!(failure("short").await.contains("has 5 bytes, and the server takes 43"));
    std::fs::write(&accounts, text.replace("\"user-", "\"user-x")).unwrap();
    assert!(failure(&value("v")).await.contains("forbidden"));
    std::fs::write(&accounts, text.replace(&fake.base_url(), "https://elsewhere.example")).unwrap();
    let said = failure(&value("v")).await;
    assert!(said.contains("is one of https://elsewhere.example, and not of"), "{said}");
    std::fs::write(&accounts, "no json").unwrap();
    assert!(failure(&value("v")).await.contains("it is no JSON object of accounts"));
    let unknown = directory.path().join("none.json");
    let means = Means::of(&fake);
    let builder = AcmeDns::builder(means.base_url, &unknown).clock(means.clock).http(means.http);
    let error = builder.without_registration().build().unwrap().zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
    assert!(!unknown.exists());
}

#[tokio::test]
async fn a_value_that_was_pushed_out_is_written_again() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let accounts = directory.path().join("accounts.json");
    let target = registered(&fake, &accounts).await;
    let provider = provider(&fake, &accounts);
    let values = ["one", "two", "three"].map(value);
    for value in &values {
        engine::apply(&provider, &[Change::add(target.clone(), &**value)]).await.unwrap();
    }
    let [one, two, three] = values;
    assert_eq!(fake.store().values(target.as_str()), [three.clone(), two.clone()]);
    engine::apply(&provider, &[Change::add(target.clone(), &*two)]).await.unwrap();
    engine::apply(&provider, &[Change::add(target.clone(), &*one)]).await.unwrap();
    assert_eq!(fake.store().values(target.as_str()), [one, three]);
}

#[tokio::test]
async fn names_that_are_asked_for_at_once_get_an_account_each_and_each_its_own_key() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let means = Means::of(&fake);
    let builder = AcmeDns::builder(means.base_url, directory.path().join("accounts.json"));
    let builder = builder.allow_from("192.0.2.0/24").allow_from("2001:db8::/32");
    let provider = builder.clock(means.clock).http(means.http).build().unwrap();
    let names = ["a", "b", "a"].map(|label| format!("_acme-challenge.{label}.example.com").parse().unwrap());
    let asked = futures_util::future::join_all(names.iter().map(|name| provider.zone(name))).await;
    let targets: Vec<DomainName> = asked
        .into_iter()
        .map(|found| match found.unwrap_err() {
            Error::DelegationRequired { target, .. } => target,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(targets[0], targets[2]);
    let exchanges = fake.exchanges();
    assert_eq!(exchanges.len(), 2);
    for exchange in exchanges {
        let asked: serde_json::Value = serde_json::from_slice(&exchange.body).unwrap();
        assert_eq!(asked["allowfrom"], serde_json::json!(["192.0.2.0/24", "2001:db8::/32"]));
    }
    for (word, count) in [("first", 1), ("second", 2)] {
        for target in &targets {
            engine::apply(&provider, &[Change::add(target.clone(), value(word))]).await.unwrap();
            assert_eq!(fake.store().values(target.as_str()).len(), count);
        }
    }
}

#[tokio::test]
async fn each_bad_answer_is_told_apart() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let accounts = directory.path().join("accounts.json");
    let target = registered(&fake, &accounts).await;
    let key = format!("key-{}", target.as_str().split('.').next().unwrap());
    assert!(std::fs::read_to_string(&accounts).unwrap().contains(&key));
    let provider = || -> Arc<dyn DnsProvider> { Arc::new(provider(&fake, &accounts)) };
    law::each_bad_answer_is_told_apart(&fake, provider, Change::add(target, value("v")), &[&key]).await;
}

#[tokio::test]
async fn providers_of_one_server_are_held_back_together() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let means = Means::of(&fake);
    let make = |server: &str, file: &str| {
        let builder = AcmeDns::builder(server, directory.path().join(file));
        builder.clock(means.clock.clone()).http(means.http.clone()).build().unwrap()
    };
    let (one, same) = (make(&means.base_url, "one.json"), make(&means.base_url, "same.json"));
    let other = make(&fake.other_base_url(), "other.json");
    fake.fault(When::Any, Fault::Busy(Some(RetryAfter::Seconds(600))));
    let told = one.zone(&name()).await.unwrap_err();
    assert!(matches!(told.retry(), Retry::At(_)), "{told}");
    assert_eq!(same.zone(&name()).await.unwrap_err().retry(), told.retry());
    assert_eq!(fake.exchanges().len(), 1);
    let asked = other.zone(&name()).await.unwrap_err();
    assert!(matches!(asked, Error::DelegationRequired { .. }), "{asked}");
}

#[tokio::test]
async fn registration_can_be_switched_off_by_an_option() {
    let (fake, directory) = (fake().await, tempfile::tempdir().unwrap());
    let options: Options = [
        ("server".to_owned(), fake.base_url()),
        ("accounts".to_owned(), directory.path().join("accounts.json").to_str().unwrap().to_owned()),
        ("register".to_owned(), "false".to_owned()),
    ]
    .into_iter()
    .collect();
    let provider = Registry::standard().create("acme-dns", &options).unwrap();
    let error = provider.zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
    assert!(fake.exchanges().is_empty());
}
