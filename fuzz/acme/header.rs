//! The headers of an answer: `Link` (RFC 8288), `Retry-After` (RFC 9110 §10.2.3), `Location` and
//! `Replay-Nonce` (RFC 8555 §6.5.1).
//!
//! They are read by the calls that want them, so it is calls that are fed: their parsers stay private.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use perennial_acme::{
    Algorithm, Curve, Error, Jwk, NewOrder, Server, Session, Signer, SignerError, UrlPolicy,
    call::{self, Call, Progress},
};
use perennial_core::{DomainName, Timestamp};

use super::assert_quiet;

/// The headers as they stand on the wire, one a line, on an answer to each kind of call that reads some.
pub fn acme_header(bytes: &[u8]) {
    let headers = headers(bytes);
    let session = session();

    if let Ok(Progress::Done(download)) = answered(call::certificate(url()), &session, 200, &headers, CHAIN) {
        assert!(download.alternates.len() <= 32);
        assert!(download.alternates.iter().all(|url| url.as_str().starts_with(HOME)));
    }
    if let Ok(Progress::Done(order)) = answered(call::order(url()), &session, 200, &headers, ORDER) {
        assert!(order.retry_at.is_none_or(|at| at > NOON && at <= NOON + Duration::from_secs(3600)));
    }
    let names = ["example.org".parse::<DomainName>().expect("a name")];
    let made = answered(call::new_order(&NewOrder::new(&names)), &session, 201, &headers, ORDER);
    if let Ok(Progress::Done(created)) = made {
        assert!(created.url.as_str().starts_with(HOME));
    }
    for status in [403, 429, 503] {
        match answered(call::order(url()), &session, status, &headers, PROBLEM) {
            Ok(progress) => assert!(matches!(progress, Progress::Again(_)), "a refusal is no answer"),
            Err(error) => {
                assert_quiet(&error.to_string());
                let Some(problem) = error.problem() else { continue };
                problem.terms_of_service.iter().for_each(|text| assert_quiet(text));
                let at = problem.retry_at;
                assert!(at.is_none_or(|at| at > NOON && at <= NOON + Duration::from_secs(7 * 86_400)));
            }
        }
    }
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

/// A session whose directory is known, in the name of an account.
fn session() -> Session {
    let server = Arc::new(Server::new(&format!("{HOME}/dir"), UrlPolicy::strict()).expect("a URL"));
    let session = Session::with_key(server, Arc::new(NobodyKey::new())).expect("its own algorithm");
    let session = session.with_account(format!("{HOME}/acct/1").parse().expect("a URL"));
    let mut call = call::directory();
    call.request(&session, NOON).expect("a GET");
    let directory = Response::new(Bytes::from_static(DIRECTORY.as_bytes()));
    assert!(matches!(call.handle(&session, NOON, directory), Ok(Progress::Done(_))));
    session
}

fn url() -> perennial_acme::Url {
    format!("{HOME}/order/1").parse().expect("a URL")
}

/// A key that nobody has: what it signs is never sent.
struct NobodyKey(Jwk);

impl NobodyKey {
    fn new() -> Self {
        Self(Jwk::ec(Curve::P256, &[0x04; 65]).expect("a point's size"))
    }
}

#[async_trait]
impl Signer for NobodyKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn jwk(&self) -> &Jwk {
        &self.0
    }

    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(vec![0; 64])
    }
}

/// 2026-11-21T12:00:00Z
const NOON: Timestamp = Timestamp::from_unix(1_795_262_400);
const HOME: &str = "https://ca.example";
const DIRECTORY: &str = r#"{"newNonce":"https://ca.example/nonce","newAccount":"https://ca.example/account","newOrder":"https://ca.example/order"}"#;
const ORDER: &str = r#"{"status":"ready","identifiers":[{"type":"dns","value":"example.org"}],"authorizations":["https://ca.example/authz/1"],"finalize":"https://ca.example/finalize/1"}"#;
const PROBLEM: &str = r#"{"type":"urn:ietf:params:acme:error:userActionRequired","detail":"new terms"}"#;
const CHAIN: &str = include_str!("../corpus/certificate_chain/self-signed");
