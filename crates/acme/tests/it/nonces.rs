//! RFC 8555 §6.5: nonces that are refused, lost, shared and scarce.

use perennial_acme::{Error, Misbehaved, NewOrder};
use perennial_core::Retry;
use serde_json::Value;

use crate::script::{HOME, Stage, json, names, order, problem, reply};

fn nonces(stage: &Stage) -> Vec<String> {
    let seen = stage.script.seen();
    seen.iter().filter_map(|seen| seen.protected["nonce"].as_str()).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_refused_nonce_is_replaced_by_the_one_that_came_with_the_refusal() {
    let stage = Stage::new();
    let account = stage.account().await;
    for _ in 0..6 {
        stage.on("POST /order/1", problem(400, "badNonce"));
    }
    stage.on("POST /order/1", json(200, &order("ready", 1)));
    account.order(&format!("{HOME}/order/1")).await.unwrap();
    assert_eq!(stage.script.requests(), 3 + 7);
    let nonces = nonces(&stage);
    let unique: std::collections::HashSet<_> = nonces.iter().collect();
    assert_eq!(unique.len(), nonces.len(), "signed anew each time: {nonces:?}");
}

#[tokio::test]
async fn a_server_that_refuses_every_nonce_is_given_up() {
    let stage = Stage::new();
    let account = stage.account().await;
    for _ in 0..10 {
        stage.on("POST /order/1", problem(400, "badNonce"));
    }
    let error = account.order(&format!("{HOME}/order/1")).await.unwrap_err();
    let url = format!("{HOME}/order/1");
    assert_eq!(error, Error::Misbehaved(Misbehaved::Nonces { url, attempts: 10 }));
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(stage.script.requests(), 3 + 10);
}

#[tokio::test]
async fn a_refusal_without_a_new_nonce_costs_one_request_for_it() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage
        .on("POST /order/1", problem(400, "badNonce").without_nonce())
        .on("HEAD /new-nonce", reply(204, ""))
        .on("POST /order/1", json(200, &order("ready", 1)));
    account.order(&format!("{HOME}/order/1")).await.unwrap();
    assert_eq!(stage.script.requests(), 3 + 3);
}

#[tokio::test]
async fn nonces_of_refused_requests_are_kept() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage.on("POST /order/1", problem(404, "malformed")).on("POST /order/2", json(200, &order("ready", 1)));
    account.order(&format!("{HOME}/order/1")).await.unwrap_err();
    account.order(&format!("{HOME}/order/2")).await.unwrap();
    assert_eq!(stage.script.requests(), 3 + 2);
}

#[tokio::test]
async fn a_new_nonce_answer_without_nonce_is_no_endless_loop() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage.on("POST /order/1", json(200, &order("ready", 1)).without_nonce());
    account.order(&format!("{HOME}/order/1")).await.unwrap();
    stage.on("HEAD /new-nonce", reply(200, "").without_nonce());
    let error = account.order(&format!("{HOME}/order/1")).await.unwrap_err();
    let url = format!("{HOME}/new-nonce");
    assert_eq!(error, Error::Misbehaved(Misbehaved::Header { url, header: "Replay-Nonce" }));
}

#[tokio::test]
async fn a_refused_new_nonce_is_named() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage
        .on("POST /order/1", json(200, &order("ready", 1)).without_nonce())
        .on("HEAD /new-nonce", reply(503, "<html>").header("retry-after", "30").without_nonce());
    account.order(&format!("{HOME}/order/1")).await.unwrap();
    let error = account.order(&format!("{HOME}/order/1")).await.unwrap_err();
    assert!(
        error.to_string().starts_with("newNonce at https://ca.test/new-nonce was refused: HTTP 503"),
        "{error}"
    );
    assert_eq!(error.retry().at(), Some(crate::script::after(30)));
}

#[tokio::test]
async fn the_payload_is_the_same_after_a_refused_nonce() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage
        .on("POST /new-order", problem(400, "badNonce"))
        .on("POST /new-order", json(201, &order("pending", 1)).header("location", "/order/1"));
    let made = account.new_order(&NewOrder::new(names(1))).await.unwrap();
    assert_eq!(made.url(), format!("{HOME}/order/1"));
    let seen = stage.script.seen();
    let payloads: Vec<Value> =
        seen[3..].iter().map(|seen| serde_json::from_str(&seen.payload).unwrap()).collect();
    assert_eq!(payloads[0], payloads[1]);
}
