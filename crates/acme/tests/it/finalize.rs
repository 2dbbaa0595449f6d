//! RFC 8555 §7.4: what became of the signing request, when nobody heard the answer.

use perennial_acme::{Error, Misuse, OrderStatus, ProblemType};

use crate::script::{HOME, Stage, after, authorization, json, lost, order, problem, reply};

#[tokio::test]
async fn an_order_that_took_the_lost_request_is_not_sent_another() {
    for status in ["processing", "valid"] {
        let stage = Stage::new();
        let finalizing = stage.order("ready").await;
        stage
            .on("POST /order/1/finalize", lost())
            .on("HEAD /new-nonce", reply(200, ""))
            .on("POST /order/1", json(200, &order(status, 1)));
        assert_eq!(finalizing.finalize(b"csr").await.unwrap().status.as_str(), status);
        stage.script.requests();
    }
}

#[tokio::test]
async fn an_order_that_never_saw_the_request_gets_it_again() {
    let stage = Stage::new();
    let finalizing = stage.order("ready").await;
    stage
        .on("POST /order/1/finalize", lost())
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /order/1", json(200, &order("ready", 1)))
        .on("POST /order/1/finalize", json(200, &order("valid", 1)));
    assert_eq!(finalizing.finalize(b"csr").await.unwrap().status, OrderStatus::Valid);
    let seen = stage.script.seen();
    let payloads: Vec<_> = seen.iter().filter(|s| s.line.ends_with("finalize")).map(|s| &s.payload).collect();
    assert_eq!(payloads, [r#"{"csr":"Y3Ny"}"#; 2]);
}

#[tokio::test]
async fn order_not_ready_is_held_against_the_order_itself() {
    // Finalized by an earlier attempt: go on.
    let stage = Stage::new();
    let finalizing = stage.order("ready").await;
    stage
        .on("POST /order/1/finalize", problem(403, "orderNotReady"))
        .on("POST /order/1", json(200, &order("valid", 1)));
    assert_eq!(finalizing.finalize(b"csr").await.unwrap().status, OrderStatus::Valid);

    // Not ready indeed: say so.
    let stage = Stage::new();
    let finalizing = stage.order("ready").await;
    stage
        .on("POST /order/1/finalize", problem(403, "orderNotReady"))
        .on("POST /order/1", json(200, &order("pending", 1)));
    let error = finalizing.finalize(b"csr").await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind, ProblemType::OrderNotReady);
}

#[tokio::test]
async fn an_order_that_ends_with_the_request_is_an_error_with_its_reasons() {
    for status in ["invalid", "canceled"] {
        let stage = Stage::new();
        let finalizing = stage.order("ready").await;
        stage
            .on("POST /order/1/finalize", json(200, &order(status, 1)))
            .on("POST /authz/0", json(200, &authorization(0, "revoked")));
        let Err(Error::OrderInvalid(invalid)) = finalizing.finalize(b"csr").await else { panic!("{status}") };
        assert_eq!(invalid.failures.len(), 1, "{status}");
        stage.script.requests();
    }
}

#[tokio::test]
async fn a_request_lost_twice_is_an_error() {
    let stage = Stage::new();
    let finalizing = stage.order("ready").await;
    stage
        .on("POST /order/1/finalize", lost())
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /order/1", json(200, &order("ready", 1)))
        .on("POST /order/1/finalize", lost());
    assert!(matches!(finalizing.finalize(b"csr").await, Err(Error::Network(_))));
    stage.script.requests();
}

#[tokio::test]
async fn a_bad_signing_request_is_not_sent_again() {
    let stage = Stage::new();
    let finalizing = stage.order("ready").await;
    stage.on("POST /order/1/finalize", problem(400, "badCSR"));
    let error = finalizing.finalize(b"csr").await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind, ProblemType::BadCsr);
    stage.script.requests();
}

#[tokio::test]
async fn an_order_that_was_finalized_before_a_crash_is_left_as_it_is() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage
        .on("POST /order/1", json(200, &order("processing", 1)))
        .on("POST /order/1", json(200, &order("valid", 1)));
    let resumed = account.order(&format!("{HOME}/order/1")).await.unwrap();
    resumed.finalize(b"csr").await.unwrap();
    assert_eq!(resumed.wait_valid(after(60)).await.unwrap().status, OrderStatus::Valid);
    stage.script.requests();
}

#[tokio::test]
async fn steps_out_of_order_are_named() {
    let stage = Stage::new();
    let pending = stage.order("pending").await;
    stage.on("POST /order/1", json(200, &order("pending", 1)));
    let error = pending.finalize(b"csr").await.unwrap_err();
    assert_eq!(error.to_string(), "order https://ca.test/order/1 is pending: finalize comes later");
    assert!(matches!(pending.certificate().await, Err(Error::Misuse(Misuse::NotReady { .. }))));
    assert!(matches!(pending.wait_valid(after(60)).await, Err(Error::Misuse(Misuse::NotReady { .. }))));
    stage.script.requests();
}
