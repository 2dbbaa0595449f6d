//! RFC 9773 §5: what an order replaces is a hint, and never the reason why there is no certificate.

use perennial_acme::{Error, NewOrder, ProblemType};
use serde_json::{Value, json};

use crate::script::{HOME, Stage, directory, json, names, order, problem, reply};

const OLD: &str = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

fn with_renewal_info() -> Value {
    let mut directory = directory();
    directory["renewalInfo"] = json!(format!("{HOME}/renewal-info"));
    directory
}

async fn stage(directory: &Value) -> (Stage, perennial_acme::Account) {
    let stage = Stage::new();
    let key = std::sync::Arc::new(perennial_acme::AccountKey::generate().unwrap());
    stage.on("GET /dir", json(200, directory)).on("HEAD /new-nonce", reply(200, ""));
    let account = stage.client.account(&format!("{HOME}/acct/1"), key).unwrap();
    (stage, account)
}

fn renewal() -> NewOrder {
    NewOrder::new(names(1)).replaces(&OLD.parse().unwrap(), format!("{HOME}/dir"))
}

fn created(order: &Value) -> crate::script::Reply {
    json(201, order).header("location", format!("{HOME}/order/1"))
}

fn replaced(stage: &Stage) -> Vec<Option<String>> {
    let sent = stage.script.seen().into_iter().filter(|seen| seen.line == "POST /new-order");
    sent.map(|seen| {
        let payload: Value = serde_json::from_str(&seen.payload).unwrap();
        payload.get("replaces").map(|id| id.as_str().unwrap().to_owned())
    })
    .collect()
}

#[tokio::test]
async fn the_certificate_that_is_replaced_is_named_and_a_missing_echo_is_no_failure() {
    for echo in [json!(OLD), Value::Null, json!("another")] {
        let (stage, account) = stage(&with_renewal_info()).await;
        let mut answer = order("pending", 1);
        answer["replaces"] = echo;
        stage.on("POST /new-order", created(&answer));
        account.new_order(&renewal()).await.unwrap();
        assert_eq!(replaced(&stage), [Some(OLD.to_owned())]);
    }
}

#[tokio::test]
async fn a_refusal_that_may_be_due_to_it_is_followed_by_an_order_without() {
    for (status, kind) in [
        (409, "alreadyReplaced"),
        (404, "malformed"),
        (400, "malformed"),
        (403, "unauthorized"),
        (409, "certificate-is-gone"),
    ] {
        let (stage, account) = stage(&with_renewal_info()).await;
        stage
            .on("POST /new-order", problem(status, kind))
            .on("POST /new-order", created(&order("pending", 1)));
        account.new_order(&renewal()).await.unwrap();
        assert_eq!(replaced(&stage), [Some(OLD.to_owned()), None], "{kind}");
        stage.script.requests();
    }
}

#[tokio::test]
async fn it_is_dropped_once_and_for_no_other_reason() {
    let (stage, account) = stage(&with_renewal_info()).await;
    stage.on("POST /new-order", problem(400, "malformed")).on("POST /new-order", problem(400, "malformed"));
    let error = account.new_order(&renewal()).await.unwrap_err();
    assert!(matches!(&error, Error::Server(refusal) if refusal.problem.kind == ProblemType::Malformed));
    stage.script.requests();

    for (status, kind) in [(429, "rateLimited"), (400, "rejectedIdentifier"), (500, "serverInternal")] {
        let (stage, account) = self::stage(&with_renewal_info()).await;
        stage.on("POST /new-order", problem(status, kind));
        account.new_order(&renewal()).await.unwrap_err();
        assert_eq!(replaced(&stage).len(), 1, "{kind}");
        stage.script.requests();
    }
}

#[tokio::test]
async fn it_stays_here_when_the_certificate_is_another_ca_s_or_the_server_has_no_renewal_information() {
    let elsewhere = NewOrder::new(names(1)).replaces(&OLD.parse().unwrap(), "https://other.test/dir");
    for (directory, request) in [(with_renewal_info(), elsewhere), (directory(), renewal())] {
        let (stage, account) = stage(&directory).await;
        stage.on("POST /new-order", created(&order("pending", 1)));
        account.new_order(&request).await.unwrap();
        assert_eq!(replaced(&stage), [None]);
    }
}
