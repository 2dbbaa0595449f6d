//! RFC 8555 §7.4: waiting for an order at the server's pace, and never past the deadline.

use perennial_acme::{Error, OrderStatus};
use perennial_core::Retry;
use serde_json::json;

use crate::script::{HOME, NOON, Stage, after, authorization, json, lost, order, problem, reply};

#[tokio::test]
async fn the_first_look_comes_at_once_and_later_ones_wait_longer() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    for _ in 0..4 {
        stage.on("POST /order/1", json(200, &order("pending", 1)));
    }
    stage.on("POST /order/1", json(200, &order("ready", 1)));
    waiting.wait_ready(after(600)).await.unwrap();
    assert_eq!(stage.clock.naps(), [1, 2, 4, 8]);
}

#[tokio::test]
async fn retry_after_sets_the_pace_in_seconds_and_as_a_date() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    stage
        .on("POST /order/1", json(200, &order("pending", 1)).header("retry-after", "7"))
        .on(
            "POST /order/1",
            json(200, &order("pending", 1)).header("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT"),
        )
        .on("POST /order/1", json(200, &order("pending", 1)).header("retry-after", "0"))
        .on("POST /order/1", json(200, &order("ready", 1)));
    waiting.wait_ready(after(600)).await.unwrap();
    assert_eq!(stage.clock.naps(), [7, 23, 1]);
}

#[tokio::test]
async fn a_pace_beyond_the_deadline_ends_the_wait_at_once() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    stage.on("POST /order/1", json(200, &order("pending", 1)).header("retry-after", "120"));
    let error = waiting.wait_ready(after(60)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::At(after(120)));
    assert!(stage.clock.naps().is_empty());
    assert_eq!(
        error.to_string(),
        "order https://ca.test/order/1 is still pending and the next look at it, 2026-11-21T12:02:00Z, is \
         past the deadline 2026-11-21T12:01:00Z; take it up again by its URL"
    );
}

#[tokio::test]
async fn the_last_look_comes_at_the_deadline() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    for _ in 0..3 {
        stage.on("POST /order/1", json(200, &order("pending", 1)));
    }
    let error = waiting.wait_ready(after(2)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline(_)), "{error}");
    assert_eq!(stage.clock.naps(), [1, 1]);
}

#[tokio::test]
async fn a_deadline_in_the_past_still_allows_one_look() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    stage.on("POST /order/1", json(200, &order("ready", 1)));
    assert_eq!(waiting.wait_ready(NOON).await.unwrap().status, OrderStatus::Ready);
}

#[tokio::test]
async fn the_retry_after_of_the_finalize_answer_is_kept() {
    let stage = Stage::new();
    let waiting = stage.order("ready").await;
    stage
        .on("POST /order/1/finalize", json(200, &order("processing", 1)).header("retry-after", "3"))
        .on("POST /order/1", json(200, &order("valid", 1)));
    waiting.finalize(b"csr").await.unwrap();
    waiting.wait_valid(after(60)).await.unwrap();
    assert_eq!(stage.clock.naps(), [3]);
}

#[tokio::test]
async fn a_retry_after_of_the_finalize_answer_beyond_the_deadline_ends_the_wait_without_a_look() {
    let stage = Stage::new();
    let waiting = stage.order("ready").await;
    stage.on("POST /order/1/finalize", json(200, &order("processing", 1)).header("retry-after", "120"));
    waiting.finalize(b"csr").await.unwrap();
    let error = waiting.wait_valid(after(60)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::At(after(120)));
    assert!(stage.clock.naps().is_empty());
}

#[tokio::test]
async fn passing_troubles_do_not_end_the_wait() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    stage
        .on("POST /order/1", lost())
        .on("HEAD /new-nonce", reply(200, "")) // the nonce went with the lost request
        .on("POST /order/1", reply(503, "busy").header("retry-after", "5"))
        .on("POST /order/1", problem(500, "serverInternal"))
        .on("POST /order/1", json(200, &order("ready", 1)));
    waiting.wait_ready(after(60)).await.unwrap();
    assert_eq!(stage.clock.naps(), [1, 5, 4]);
}

#[tokio::test]
async fn a_lasting_refusal_ends_the_wait() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    stage.on("POST /order/1", problem(403, "unauthorized"));
    let error = waiting.wait_ready(after(60)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn outside_of_a_wait_a_busy_server_is_an_error_with_a_moment_and_nobody_sleeps() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage
        .on("POST /order/1", problem(429, "rateLimited").header("retry-after", "3600"))
        .on("POST /order/1", reply(503, "<html>").header("retry-after", "Sat, 21 Nov 2026 12:01:00 GMT"))
        .on("POST /order/1", problem(400, "malformed"));
    for (retry, moment) in
        [(Retry::At(after(3600)), Some(3600)), (Retry::At(after(60)), Some(60)), (Retry::Never, None)]
    {
        let error = account.order(&format!("{HOME}/order/1")).await.unwrap_err();
        assert_eq!((error.retry(), error.retry_at()), (retry, moment.map(after)));
    }
    assert!(stage.clock.naps().is_empty());
}

#[tokio::test]
async fn a_failed_order_is_explained_by_itself() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    let mut failed = order("invalid", 1);
    failed["error"] = json!({
        "type": "urn:ietf:params:acme:error:dns",
        "detail": "no TXT at _acme-challenge.example.org"
    });
    stage.on("POST /order/1", json(200, &failed));
    let error = waiting.wait_ready(after(60)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "order https://ca.test/order/1 is invalid: dns: no TXT at _acme-challenge.example.org"
    );
    assert_eq!(error.retry(), Retry::Backoff);
}

#[tokio::test]
async fn a_failed_order_that_gives_no_reason_is_explained_by_its_authorizations() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    let mut failed = authorization(0, "invalid");
    failed["challenges"][1]["error"] = json!({
        "type": "urn:ietf:params:acme:error:caa",
        "detail": "CAA forbids it"
    });
    stage.on("POST /order/1", json(200, &order("invalid", 1))).on("POST /authz/0", json(200, &failed));
    let error = waiting.wait_ready(after(60)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "order https://ca.test/order/1 is invalid: example.org: caa: CAA forbids it"
    );
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn an_unknown_status_is_waited_for() {
    let stage = Stage::new();
    let waiting = stage.order("pending").await;
    stage
        .on("POST /order/1", json(200, &order("awaiting-notary", 1)))
        .on("POST /order/1", json(200, &order("ready", 1)));
    assert_eq!(waiting.wait_ready(after(60)).await.unwrap().status, OrderStatus::Ready);
}
