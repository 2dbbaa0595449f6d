//! What the CA was asked.

use bytes::Bytes;
use http::header::USER_AGENT;
use tokio::sync::watch;

use super::Verb;

/// One request that the CA received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// What it wanted; `None` where there is nothing.
    pub verb: Option<Verb>,
    /// The HTTP method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The URL of the account that signed it.
    pub account: Option<String>,
    /// The HTTP status that it was answered with, or would have been, had the answer not been
    /// [lost](super::Quirk::LoseAnswer).
    pub status: u16,
    /// The type of the problem that it was refused with.
    pub problem: Option<String>,
    /// Who says to have sent it.
    pub user_agent: Option<String>,
}

impl Request {
    pub(super) fn new(verb: Option<Verb>, request: &http::Request<Bytes>) -> Self {
        let user_agent = request.headers().get(USER_AGENT);
        Self {
            verb,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            account: None,
            status: 0,
            problem: None,
            user_agent: user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }
    }
}

/// All requests, oldest first.
#[derive(Debug, Default)]
pub(super) struct RequestLog(watch::Sender<Vec<Request>>);

impl RequestLog {
    pub(super) fn record(&self, request: Request) {
        self.0.send_modify(|requests| {
            if requests.len() >= LONGEST {
                requests.drain(..LONGEST / 2);
            }
            requests.push(request);
        });
    }

    pub(super) fn all(&self) -> Vec<Request> {
        self.0.borrow().clone()
    }

    pub(super) fn clear(&self) {
        self.0.send_modify(Vec::clear);
    }

    pub(super) async fn wait_for(&self, mut wanted: impl FnMut(&Request) -> bool) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.0.subscribe().wait_for(|requests| requests.iter().any(&mut wanted)).await;
    }
}

/// More than any test reads; a program that hammers must not eat the memory. Half is forgotten at a time.
const LONGEST: usize = 200_000;
