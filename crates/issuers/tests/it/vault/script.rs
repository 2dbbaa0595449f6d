//! A Vault whose answers a test writes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{HttpClient, HttpError, Timestamp, http::NoRedirects};
use perennial_issuers::vault::{VaultAuth, VaultIssuer, VaultIssuerBuilder};
use perennial_lifecycle::IssueError;
use perennial_testkit::ManualClock;
use serde_json::Value;

use super::scene::{issue, spec};

type Answer = Box<dyn Fn(&Request<Bytes>, usize) -> Response<Bytes> + Send + Sync>;

/// A Vault that answers each request as a closure says, which is told how often that path was asked for before.
pub(super) struct Script {
    answer: Answer,
    asked: Mutex<Vec<Request<Bytes>>>,
}

impl Script {
    /// One whose closure looks at the path alone.
    pub(super) fn new(answer: impl Fn(&str, usize) -> (u16, String) + Send + Sync + 'static) -> Arc<Self> {
        Self::reading(move |request, count| respond(answer(path(request), count)))
    }

    pub(super) fn reading(
        answer: impl Fn(&Request<Bytes>, usize) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { answer: Box::new(answer), asked: Mutex::default() })
    }

    pub(super) fn count(&self, at: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| path(asked) == at).count()
    }

    /// The last request for a path.
    pub(super) fn last(&self, at: &str) -> Request<Bytes> {
        self.asked.lock().unwrap().iter().rfind(|asked| path(asked) == at).unwrap().clone()
    }
}

#[async_trait]
impl HttpClient for Script {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        assert!(request.extensions().get::<NoRedirects>().is_some(), "the token must go nowhere else");
        assert_eq!(request.headers()["x-vault-request"], "true");
        tokio::task::yield_now().await;
        let count = self.count(path(&request));
        self.asked.lock().unwrap().push(request.clone());
        Ok((self.answer)(&request, count))
    }
}

pub(super) const LOGIN: &str = "auth/approle/login";
pub(super) const LOOK: &str = "auth/token/lookup-self";
pub(super) const RENEW: &str = "auth/token/renew-self";
pub(super) const SIGN: &str = "pki/sign/web";

/// Below `/v1/`.
pub(super) fn path(request: &Request<Bytes>) -> &str {
    request.uri().path().trim_start_matches("/v1/")
}

pub(super) fn body(request: &Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

pub(super) fn token(request: &Request<Bytes>) -> &str {
    request.headers()["x-vault-token"].to_str().unwrap()
}

pub(super) fn respond((status, body): (u16, String)) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body)).unwrap()
}

pub(super) fn builder(script: &Arc<Script>, clock: &Arc<ManualClock>, auth: VaultAuth) -> VaultIssuerBuilder {
    let builder = VaultIssuer::builder("https://v.example").path(SIGN).auth(auth);
    builder.http(script.clone()).clock(clock.clone())
}

/// One that is let in by a role.
pub(super) fn issuer(script: &Arc<Script>, clock: &Arc<ManualClock>) -> VaultIssuer {
    builder(script, clock, VaultAuth::app_role("role-of-web", "secret-of-web")).build().unwrap()
}

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)))
}

/// A token for so long.
pub(super) fn entered(seconds: u64) -> (u16, String) {
    let auth = format!(r#"{{"client_token":"s.token","lease_duration":{seconds},"renewable":true}}"#);
    (200, format!(r#"{{"request_id":"r1","auth":{auth}}}"#))
}

pub(super) fn refused(status: u16, text: &str) -> (u16, String) {
    (status, format!(r#"{{"errors":["{text}"]}}"#))
}

pub(super) async fn failure(issuer: &VaultIssuer) -> IssueError {
    issue(issuer, &spec()).await.unwrap_err()
}
