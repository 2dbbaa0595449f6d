//! The CAA check, and when it is consulted.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use perennial_acme::{
    Account, AccountKey, CaaAnswer, CaaCheck, CaaQuestion, CaaRecord, CertificationRequest, ChallengeKind,
    Client, Error, Misuse, NewAccount, NewOrder,
    flow::{Errand, Event, Plan, Walk},
};
use perennial_core::{DomainName, Retry};
use serde_json::json;

use crate::pki::Key;
use crate::script::{HOME, Stage, acct, after, directory, json, names, order, reply};

/// Forbids one name, does not know another, and writes down what it was asked.
#[derive(Default)]
struct Zone {
    forbidden: Option<DomainName>,
    unknown: Option<DomainName>,
    asked: Mutex<Vec<CaaQuestion>>,
}

#[async_trait]
impl CaaCheck for Zone {
    async fn check(&self, question: &CaaQuestion) -> CaaAnswer {
        self.asked.lock().unwrap().push(question.clone());
        if self.forbidden.as_ref() == Some(&question.name) {
            let record = CaaRecord::new("example.org".parse().unwrap(), "0 issue \"other.example\"");
            return CaaAnswer::Forbidden(record);
        }
        if self.unknown.as_ref() == Some(&question.name) {
            return CaaAnswer::Inconclusive { reason: "timed out".to_owned() };
        }
        CaaAnswer::Allowed
    }
}

async fn account(stage: &Stage, zone: Arc<Zone>) -> Account {
    let mut directory = directory();
    directory["meta"]["caaIdentities"] = json!(["ca.test"]);
    stage
        .on("GET /dir", json(200, &directory))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(201, &json!({ "status": "valid" })).header("location", acct(1)));
    let client = Client::builder(format!("{HOME}/dir"))
        .http(stage.script.clone())
        .clock(stage.clock.clone())
        .caa_check(zone)
        .build()
        .unwrap();
    let key = Arc::new(AccountKey::generate().unwrap());
    client.register(NewAccount::new().agree_to_terms(), key).await.unwrap()
}

#[tokio::test]
async fn an_order_for_a_forbidden_name_is_not_sent_and_the_error_names_the_record() {
    let stage = Stage::new();
    let zone = Arc::new(Zone { forbidden: names(2).pop(), ..Zone::default() });
    let account = account(&stage, zone.clone()).await;
    let error = account.new_order(&NewOrder::new(names(3))).await.unwrap_err();
    assert_eq!(stage.script.requests(), 3, "only the account's");
    assert_eq!(error.retry(), Retry::Never);
    assert!(
        error.to_string().contains("for a1.example.org, example.org has 0 issue \"other.example\""),
        "{error}"
    );
    let Error::CaaForbids(forbids) = error else { panic!("{error}") };
    assert_eq!(forbids.names.len(), 1);
    assert_eq!(zone.asked.lock().unwrap().len(), 3, "all names, so that all faults are known");
}

#[tokio::test]
async fn what_is_not_known_forbids_nothing_and_the_question_has_what_records_may_name() {
    let stage = Stage::new();
    let zone = Arc::new(Zone { unknown: names(1).pop(), ..Zone::default() });
    let account = account(&stage, zone.clone()).await;
    stage
        .on("POST /new-order", json(201, &order("pending", 1)).header("location", format!("{HOME}/order/1")));
    account.new_order(&NewOrder::new(names(1))).await.unwrap();
    stage.script.requests();
    let asked = zone.asked.lock().unwrap().pop().unwrap();
    assert_eq!(asked.name.as_str(), "example.org");
    assert!(!asked.wildcard && asked.methods.is_empty());
    assert_eq!((asked.identities, asked.account_url), (vec!["ca.test".to_owned()], acct(1)));
}

#[tokio::test]
async fn the_check_can_be_asked_alone_with_the_methods_that_will_be_used() {
    let stage = Stage::new();
    let zone = Arc::new(Zone::default());
    let account = account(&stage, zone.clone()).await;
    account.check_caa(&NewOrder::new(names(2)), &[ChallengeKind::Dns01]).await.unwrap();
    assert_eq!(stage.script.requests(), 3, "only the account's");
    let asked = zone.asked.lock().unwrap();
    assert!(asked.len() == 2 && asked.iter().all(|question| question.methods == [ChallengeKind::Dns01]));
}

#[tokio::test]
async fn a_client_without_a_check_says_so_when_it_is_asked() {
    let stage = Stage::new();
    let error = stage.account().await.check_caa(&NewOrder::new(names(1)), &[]).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::Missing { part: "a CAA check" }));
}

#[tokio::test]
async fn a_walk_asks_before_it_places_its_order_too() {
    let stage = Stage::new();
    let zone = Arc::new(Zone { forbidden: names(1).pop(), ..Zone::default() });
    let account = account(&stage, zone).await;
    let certification_request = CertificationRequest::parse(&Key::new().csr(&names(1))).unwrap();
    let plan = Plan { request: NewOrder::new(names(1)), certification_request, deadline: after(60) };
    let mut walk = Walk::new(plan).unwrap();
    assert!(matches!(account.advance(&mut walk).await.unwrap(), Errand::Record(_)));
    walk.handle(Event::Recorded).unwrap();
    let error = account.advance(&mut walk).await.unwrap_err();
    assert!(matches!(error, Error::CaaForbids(_)), "{error}");
    assert_eq!(stage.script.requests(), 3);
}
