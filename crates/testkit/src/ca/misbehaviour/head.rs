//! Statuses, headers and problem documents that lie.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use serde_json::{Value, json};

use super::{Occasion, json};

type Answer = Response<Bytes>;

/// Another status, and all else as it was.
pub(super) fn status(answer: &mut Answer, status: u16) {
    if let Ok(status) = StatusCode::from_u16(status) {
        *answer.status_mut() = status;
    }
}

/// A header instead of those of that name.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// No header of that name.
pub(super) fn unset(answer: &mut Answer, name: HeaderName) {
    answer.headers_mut().remove(name);
}

/// Another nonce.
pub(super) fn nonce(answer: &mut Answer, value: &str) {
    set(answer, NONCE, value);
}

/// Sends the client elsewhere, with nothing in the body.
pub(super) fn redirect(answer: &mut Answer, code: u16, to: &str) {
    status(answer, code);
    set(answer, LOCATION, to);
    json::body(answer, "");
}

/// Says that an order is still pending, at its first look, and when to come again.
pub(super) fn come_again(answer: &mut Answer, occasion: &Occasion<'_>, when: &str) {
    if occasion.struck == 0 {
        json::status(answer, "pending");
    }
    set(answer, RETRY_AFTER, when);
}

/// Says that an order is still pending, whenever it is looked at, and when to come again.
pub(super) fn come_never(answer: &mut Answer, when: &str) {
    json::status(answer, "pending");
    set(answer, RETRY_AFTER, when);
}

/// Refuses what it has done, with a problem document.
pub(super) fn refuse(answer: &mut Answer, code: u16, problem: &Value) {
    status(answer, code);
    set(answer, CONTENT_TYPE, "application/problem+json");
    json::body(answer, problem.to_string());
}

/// Refuses what it has done, with a body of any kind.
pub(super) fn fail(answer: &mut Answer, code: u16, kind: &str, body: &'static str) {
    status(answer, code);
    set(answer, CONTENT_TYPE, kind);
    json::body(answer, body);
}

/// A problem document with all the fields that RFC 7807 and RFC 8555 §6.7 have.
pub(super) fn problem(kind: &str) -> Value {
    json!({
        "type": format!("urn:ietf:params:acme:error:{kind}"),
        "detail": "the test wants this to be refused",
        "status": 403,
        "instance": "https://testkit.invalid/instance",
        "subproblems": [{
            "type": format!("urn:ietf:params:acme:error:{kind}"),
            "detail": "this name above all",
            "identifier": {"type": "dns", "value": "example.com"},
        }],
    })
}

/// Problems in problems in problems.
pub(super) fn nested_problem(depth: usize) -> Value {
    let innermost = problem("malformed");
    (0..depth).fold(innermost, |inner, _| json!({"type": "about:blank", "subproblems": [inner]}))
}

pub(super) const NONCE: HeaderName = HeaderName::from_static("replay-nonce");
