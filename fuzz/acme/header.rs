//! The headers of an answer: `Link` (RFC 8288), `Retry-After` (RFC 9110 §10.2.3), `Location` and
//! `Replay-Nonce` (RFC 8555 §6.5.1).
//!
//! They are read by the calls that want them, so it is calls that are fed: their parsers stay private.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{LINK, LOCATION, RETRY_AFTER},
};
use perennial_acme::{
    Error, NewOrder, Session, Url,
    call::{self, Call, Progress},
};
use perennial_core::DomainName;

use super::{
    assert_quiet,
    session::{CHAIN, HOME, NOON, session},
};

/// The headers as they stand on the wire, one a line, on an answer to each kind of call that reads them.
pub fn acme_header(bytes: &[u8]) {
    let headers = headers(bytes);
    let session = session();

    if headers.contains_key(LINK) {
        let answer = answered(call::certificate(url()), &session, 200, &headers, CHAIN);
        if let Ok(Progress::Done(download)) = answer {
            assert!(download.alternates.len() <= 32);
            download.alternates.iter().for_each(assert_home);
        }
    }
    if headers.contains_key(RETRY_AFTER) {
        let answer = answered(call::order(url()), &session, 200, &headers, ORDER);
        if let Ok(Progress::Done(order)) = answer {
            assert!(order.retry_at.is_none_or(|at| at > NOON && at <= NOON + Duration::from_secs(3600)));
        }
    }
    if headers.contains_key(LOCATION) {
        let names = ["example.org".parse::<DomainName>().expect("a name")];
        let answer = answered(call::new_order(&NewOrder::new(&names)), &session, 201, &headers, ORDER);
        if let Ok(Progress::Done(created)) = answer {
            assert_home(&created.url);
        }
    }
    for status in [403, 429, 503] {
        match answered(call::order(url()), &session, status, &headers, PROBLEM) {
            Ok(progress) => panic!("a refusal is no answer: {progress:?}"),
            Err(error) => look_at_error(&error),
        }
    }
}

fn look_at_error(error: &Error) {
    assert_quiet(&error.to_string());
    let Some(problem) = error.problem() else { return };
    problem.terms_of_service.iter().for_each(|text| assert_quiet(text));
    let at = problem.retry_at;
    assert!(at.is_none_or(|at| at > NOON && at <= NOON + Duration::from_secs(7 * 86_400)));
}

/// That a URL does not leave the directory's origin, whose host and port have several spellings.
fn assert_home(url: &Url) {
    let uri: http::Uri = url.as_str().parse().expect("a URL");
    assert_eq!(uri.scheme_str(), Some("https"));
    assert!(uri.host().is_some_and(|host| host.eq_ignore_ascii_case("ca.example")), "{url}");
    assert!(matches!(uri.port_u16(), None | Some(443)), "{url}");
}

fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            // More than a map can hold is the HTTP client's trouble.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

/// What a call makes of an answer with that status, those headers and that body.
fn answered<T>(
    mut call: Call<T>,
    session: &Session,
    status: u16,
    headers: &HeaderMap,
    body: &'static str,
) -> Result<Progress<T>, Error> {
    let mut nonce = Response::new(Bytes::new());
    nonce.headers_mut().insert("replay-nonce", HeaderValue::from_static("oFvnlFP1wIhRlYS2jTaXbA"));
    let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = status.try_into().expect("a status");
    *answer.headers_mut() = headers.clone();
    // The nonce that an earlier answer brought may be there or not.
    while let call::Outgoing::Plain(_) = call.request(session, NOON)? {
        match call.handle(session, NOON, nonce.clone())? {
            Progress::Again(next) => call = next,
            other => return Ok(other),
        }
    }
    call.handle(session, NOON, answer)
}

fn url() -> Url {
    format!("{HOME}/order/1").parse().expect("a URL")
}

const ORDER: &str = r#"{"status":"ready","identifiers":[{"type":"dns","value":"example.org"}],"authorizations":["https://ca.example/authz/1"],"finalize":"https://ca.example/finalize/1"}"#;
const PROBLEM: &str = r#"{"type":"urn:ietf:params:acme:error:userActionRequired","detail":"new terms"}"#;
