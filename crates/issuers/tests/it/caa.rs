//! CAA records are looked at before an order is sent, where the issuer has somebody who does.

use perennial_core::Retry;
use perennial_issuers::{AcmeIssuer, CaaLookup};
use perennial_lifecycle::{IssueError, IssueErrorClass};
use perennial_testkit::{World, ca::Verb, dns::Data};

use crate::scene::{OWNER, builder, checker, dns01, issue, world};

/// By which name records may allow the testkit's CA.
const IDENTITY: &str = "testkit.invalid";

fn wary(world: &World) -> AcmeIssuer {
    builder(world).caa_check(CaaLookup::new(checker(world))).solver(dns01(world)).build().unwrap()
}

fn publish(world: &World, flags: u8, tag: &str, value: &str) {
    let data = Data::Caa { flags, tag: tag.to_owned(), value: value.to_owned() };
    world.zone().add("example.com", data).unwrap();
}

fn orders(world: &World) -> usize {
    world.ca().requests().iter().filter(|request| request.verb == Some(Verb::NewOrder)).count()
}

async fn refused(world: &World) -> IssueError {
    let error = issue(&wary(world)).await.unwrap_err();
    assert_eq!(orders(world), 0, "an order was sent: {error}");
    let presented = |query: &perennial_testkit::dns::Query| query.name == OWNER;
    assert!(!world.servers()[0].queries().iter().any(presented), "a record was looked for: {error}");
    error
}

#[tokio::test]
async fn an_order_that_caa_records_forbid_is_not_sent() {
    let world = world().await;
    publish(&world, 0, "issue", "other.example");
    let error = refused(&world).await;
    assert_eq!((error.class, error.retry()), (IssueErrorClass::Policy, Retry::Never), "{error}");
    let expected =
        "example.com has 0 issue \"other.example\"; add an issue record for \"testkit.invalid\" there";
    for part in ["*.app.site.example.com", expected] {
        assert!(error.message.contains(part), "{error}");
    }
}

#[tokio::test]
async fn records_that_allow_the_ca_or_that_not_every_ca_knows_hold_nothing_up() {
    let world = world().await;
    publish(&world, 0, "issue", &format!("{IDENTITY}; validationmethods=http-01,dns-01"));
    issue(&wary(&world)).await.unwrap();
    publish(&world, 128, "tbs", "Unknown");
    issue(&wary(&world)).await.unwrap();
    assert_eq!(orders(&world), 2);
}

#[tokio::test]
async fn records_for_other_methods_or_accounts_forbid() {
    for value in ["validationmethods=http-01", "accounturi=https://testkit.invalid/acct/none"] {
        let world = world().await;
        publish(&world, 0, "issue", &format!("{IDENTITY}; {value}"));
        assert!(refused(&world).await.message.contains(value));
    }
}

#[tokio::test]
async fn nobody_looks_unless_somebody_is_asked_to() {
    let world = world().await;
    publish(&world, 0, "issue", "other.example");
    issue(&builder(&world).solver(dns01(&world)).build().unwrap()).await.unwrap();
    let asked = |query: &perennial_testkit::dns::Query| query.kind == "CAA";
    assert!(!world.servers().iter().any(|server| server.queries().iter().any(asked)));
}
