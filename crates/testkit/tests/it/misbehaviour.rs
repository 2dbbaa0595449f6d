//! The catalogue of misbehaviours, seen over a real connection.

use http::Method;
use perennial_core::HttpError;
use perennial_testkit::{
    CertificateAuthority,
    ca::{Field, FieldFault, Misbehaviour},
};
use serde_json::json;

use crate::acme_client::Client;

async fn client() -> (CertificateAuthority, Client) {
    let ca = CertificateAuthority::builder().start().await.unwrap();
    let client = Client::registered(&ca).await;
    (ca, client)
}

/// What becomes of a look at the directory.
async fn look(client: &Client, ca: &CertificateAuthority) -> Result<u16, HttpError> {
    client.try_send(Method::GET, ca.directory_url(), None, "").await.map(|reply| reply.status)
}

#[tokio::test]
async fn a_reset_comes_after_the_request_was_done_and_only_once() {
    let (ca, client) = client().await;
    ca.misbehave(Misbehaviour::ResetNewOrder);
    let url = client.url("newOrder");
    let header = client.header(&url).await;
    let payload = json!({"identifiers": [{"type": "dns", "value": "example.com"}]}).to_string();
    let body = client.sign(&header, &payload);
    let lost = client.try_send(Method::POST, &url, Some("application/jose+json"), &body).await;
    assert!(matches!(lost, Err(HttpError::Exchange { .. })), "{lost:?}");
    assert_eq!(ca.orders().len(), 1);
    assert_eq!(client.order(&["example.com"]).await.status, 201);
}

#[tokio::test]
async fn an_answer_is_spoiled_until_the_quirks_are_cleared() {
    let (ca, client) = client().await;
    ca.misbehave(Misbehaviour::LocationElsewhere);
    ca.misbehave(Misbehaviour::Field(Field::OrderFinalize, FieldFault::Missing));
    for _ in 0..2 {
        let reply = client.order(&["example.com"]).await;
        assert_eq!(reply.header("location"), "https://elsewhere.invalid/order/1");
        assert_eq!(reply.json().get("finalize"), None);
    }
    ca.clear_quirks();
    let reply = client.order(&["example.com"]).await;
    assert!(reply.header("location").starts_with("https://127.0.0.1:"));
    assert!(reply.json()["finalize"].is_string());
}

#[tokio::test]
async fn bytes_that_are_no_http_end_the_connection_and_not_the_server() {
    let (ca, client) = client().await;
    let order = client.order(&["example.com"]).await.json();
    let url = order["authorizations"][0].as_str().unwrap();
    for misbehaviour in [
        Misbehaviour::ChunksBroken,
        Misbehaviour::ContentLengthTooLong,
        Misbehaviour::HeadersMany,
        Misbehaviour::HeadersWithoutEnd,
        Misbehaviour::NoHttp,
    ] {
        ca.misbehave(misbehaviour);
        let header = client.header(url).await;
        let body = client.sign(&header, "");
        let broken = client.try_send(Method::POST, url, Some("application/jose+json"), &body).await;
        assert!(matches!(broken, Err(HttpError::Exchange { .. })), "{misbehaviour}: {broken:?}");
        ca.clear_quirks();
        assert_eq!(look(&client, &ca).await, Ok(200), "{misbehaviour}");
    }
}

#[tokio::test]
async fn an_old_protocol_and_interim_answers_are_read_by_a_sound_client() {
    let (ca, client) = client().await;
    let order = client.order(&["example.com"]).await.json();
    let url = order["authorizations"][0].as_str().unwrap();
    for misbehaviour in [Misbehaviour::Http10, Misbehaviour::InterimAnswers, Misbehaviour::ResponseTwice] {
        ca.misbehave(misbehaviour);
        assert_eq!(client.get(url).await.json()["status"], "pending", "{misbehaviour}");
        ca.clear_quirks();
    }
}
