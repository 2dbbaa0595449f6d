//! Bodies that are no JSON, or other JSON than was asked for.

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::Occasion;

type Answer = Response<Bytes>;

/// Changes the JSON object of an answer; anything else is left alone.
pub(super) fn edit(answer: &mut Answer, change: impl FnOnce(&mut Map<String, Value>)) {
    if let Ok(mut object) = serde_json::from_slice(answer.body()) {
        change(&mut object);
        *answer.body_mut() = Value::Object(object).to_string().into();
    }
}

/// Puts a value where the object has another, or none.
pub(super) fn put(answer: &mut Answer, field: &str, value: Value) {
    edit(answer, |object| drop(object.insert(field.to_owned(), value)));
}

/// Leaves a field out.
pub(super) fn remove(answer: &mut Answer, field: &str) {
    edit(answer, |object| drop(object.remove(field)));
}

/// Changes every challenge of an authorization.
pub(super) fn challenges(answer: &mut Answer, change: fn(&mut Map<String, Value>)) {
    edit(answer, |object| {
        let challenges = object.get_mut("challenges").and_then(Value::as_array_mut);
        challenges.into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
    });
}

/// Sends other bytes as the body.
pub(super) fn body(answer: &mut Answer, bytes: impl Into<Bytes>) {
    *answer.body_mut() = bytes.into();
}

/// Puts bytes around the body.
pub(super) fn wrap(answer: &mut Answer, before: &[u8], after: &[u8]) {
    *answer.body_mut() = [before, answer.body(), after].concat().into();
}

/// Sends the first half of the body as if it were all.
pub(super) fn halve(answer: &mut Answer) {
    let half = answer.body().len() / 2;
    answer.body_mut().truncate(half);
}

/// A page for people.
pub(super) fn page(answer: &mut Answer) {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    body(answer, "<!DOCTYPE html><title>Welcome</title><p>It works!");
}

/// Every member twice: first `null`, then what is right.
pub(super) fn duplicate(answer: &mut Answer) {
    let mut text = String::from_utf8_lossy(answer.body()).into_owned();
    let names: Vec<String> = serde_json::from_slice::<Map<String, Value>>(answer.body())
        .map(|object| object.keys().cloned().collect())
        .unwrap_or_default();
    for name in names {
        text = twice(&text, &name);
    }
    body(answer, text);
}

/// A member twice, wherever it is: first `null`, then what is right.
pub(super) fn twice(text: &str, name: &str) -> String {
    let member = format!("{}:", json!(name));
    text.replace(&member, &format!("{member}null,{member}"))
}

/// A member that goes so deep that a parser which recurses falls off its stack.
pub(super) fn nest(answer: &mut Answer) {
    let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    let text = String::from_utf8_lossy(answer.body()).replacen('{', &format!("{{\"deep\":{open}{close},"), 1);
    body(answer, text);
}

/// Says that an order has come to another point than it has.
pub(super) fn status(answer: &mut Answer, status: &str) {
    put(answer, "status", status.into());
}

/// Says `pending` of an order that is ready, every other time.
pub(super) fn flap(answer: &mut Answer, occasion: &Occasion<'_>) {
    if occasion.struck.is_multiple_of(2) {
        edit(answer, |order| {
            if order.get("status").is_some_and(|status| status == "ready") {
                order.insert("status".into(), "pending".into());
            }
        });
    }
}

/// Repeats the authorizations of an order until there are so many.
pub(super) fn more_authorizations(answer: &mut Answer, count: usize) {
    edit(answer, |order| {
        if let Some(Value::Array(list)) = order.get_mut("authorizations") {
            *list = list.iter().cycle().take(count).cloned().collect();
        }
    });
}

/// Replaces every authorization of an order.
pub(super) fn authorization_url(answer: &mut Answer, change: impl Fn(&str) -> String) {
    edit(answer, |order| {
        if let Some(Value::Array(list)) = order.get_mut("authorizations") {
            for url in list {
                *url = change(url.as_str().unwrap_or_default()).into();
            }
        }
    });
}

/// Replaces a URL in a field, if it is there.
pub(super) fn url(answer: &mut Answer, field: &str, change: fn(&str) -> String) {
    edit(answer, |object| {
        if let Some(url) = object.get_mut(field) {
            *url = change(url.as_str().unwrap_or_default()).into();
        }
    });
}

/// The same URL without TLS.
pub(super) fn plain(url: &str) -> String {
    url.replacen("https://", "http://", 1)
}

/// The same path at somebody else's.
pub(super) fn elsewhere(url: &str) -> String {
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    format!("https://elsewhere.invalid/{path}")
}

/// Well above what any parser recurses to.
pub(super) const DEPTH: usize = 10_000;
