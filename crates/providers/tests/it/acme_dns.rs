//! acme-dns over its fake: accounts are made once, kept in a file that others read, and used from then on.

use std::path::Path;

use perennial_core::{DomainName, Retry};
use perennial_providers::{Change, DnsProvider, Error, acme_dns::AcmeDns, engine};
use perennial_testkit::vendor::{self, Fault, VendorServer, When};

use crate::law::Means;

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
