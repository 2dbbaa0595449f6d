//! RFC 8555 §6.5: nonces that are refused, lost, shared and scarce.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use perennial_acme::{
    AccountKey, Error, Misbehaved, NewOrder, OrderState, Server, Session, UrlPolicy,
    call::{self, Call, Outgoing, Progress},
};
use perennial_core::Retry;
use serde_json::{Value, json};

use crate::script::{HOME, NOON, Stage, acct, directory, json, names, order, problem, reply};

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
    for _ in 0..100 {
        stage.on("POST /order/1", problem(400, "badNonce"));
    }
    let error = account.order(&format!("{HOME}/order/1")).await.unwrap_err();
    let url = format!("{HOME}/order/1");
    assert_eq!(error, Error::Misbehaved(Misbehaved::Nonces { url, attempts: 100 }));
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(stage.script.requests(), 3 + 100);
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

/// A session whose directory is known, without any HTTP client.
fn session() -> Session {
    let server = Arc::new(Server::new(&format!("{HOME}/dir"), UrlPolicy::strict()).unwrap());
    let session = Session::with_key(server, Arc::new(AccountKey::generate().unwrap())).unwrap();
    let session = session.with_account(acct(1).parse().unwrap());
    let mut call = call::directory();
    assert!(matches!(call.request(&session, NOON), Ok(Outgoing::Plain(_))));
    let progress = call.handle(&session, NOON, answer(200, &directory(), None)).unwrap();
    assert!(matches!(progress, Progress::Done(_)));
    session
}

fn answer(status: u16, body: &Value, nonce: Option<&str>) -> Response<Bytes> {
    let mut response = Response::builder().status(status);
    if let Some(nonce) = nonce {
        response = response.header("replay-nonce", nonce);
    }
    response.body(body.to_string().into()).unwrap()
}

fn look() -> Call<OrderState> {
    call::order(format!("{HOME}/order/1").parse().unwrap())
}

/// Lets a call have its next request, and tells whether it has to fetch a nonce for it.
fn wants_nonce(call: &mut Call<OrderState>, session: &Session) -> bool {
    matches!(call.request(session, NOON).unwrap(), Outgoing::Plain(_))
}

fn again(progress: Progress<OrderState>) -> Call<OrderState> {
    match progress {
        Progress::Again(call) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_contemporaries_of_a_refused_nonce_are_not_tried() {
    let session = session();
    let done = |call: Call<OrderState>, nonce| {
        let progress = call.handle(&session, NOON, answer(200, &order("ready", 1), Some(nonce))).unwrap();
        assert!(matches!(progress, Progress::Done(_)));
    };
    // Two calls at the same time leave two nonces behind.
    let (mut first, mut second) = (look(), look());
    assert!(wants_nonce(&mut first, &session) && wants_nonce(&mut second, &session));
    let mut first = again(first.handle(&session, NOON, answer(200, &json!({}), Some("a"))).unwrap());
    let mut second = again(second.handle(&session, NOON, answer(200, &json!({}), Some("b"))).unwrap());
    assert!(!wants_nonce(&mut first, &session) && !wants_nonce(&mut second, &session));
    done(first, "c");
    done(second, "d");
    // One of them is refused: the call goes on with the refusal's own nonce, and the other one is gone.
    let mut third = look();
    assert!(!wants_nonce(&mut third, &session));
    let refusal = json!({ "type": "urn:ietf:params:acme:error:badNonce" });
    let mut third = again(third.handle(&session, NOON, answer(400, &refusal, Some("e"))).unwrap());
    let mut fourth = look();
    assert!(wants_nonce(&mut fourth, &session));
    assert!(!wants_nonce(&mut third, &session));
}
