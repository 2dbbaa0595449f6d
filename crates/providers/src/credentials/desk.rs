//! A server in memory, for the tests of this module.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{HttpClient, HttpError, SecretError, SecretString, Timestamp};
use perennial_testkit::ManualClock;

use super::Variables;

/// When every test begins.
pub(super) const START: Timestamp = Timestamp::from_unix(1_800_000_000);

/// A server in memory: answers as a test says, and remembers what it was asked.
#[derive(Clone)]
pub(super) struct Desk {
    answer: Arc<Answering>,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
    pub(super) clock: ManualClock,
}

type Answering = dyn Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync;

impl Desk {
    pub(super) fn new(answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), seen: Arc::default(), clock: ManualClock::new(START) }
    }

    pub(super) fn http(&self) -> Arc<dyn HttpClient> {
        Arc::new(self.clone())
    }

    pub(super) fn clock(&self) -> Arc<ManualClock> {
        Arc::new(self.clock.clone())
    }

    /// Method and URL of each request.
    pub(super) fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| format!("{} {}", request.method(), request.uri())).collect()
    }

    pub(super) fn last(&self) -> Request<Bytes> {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    /// The parameters of the last request's form.
    pub(super) fn last_form(&self) -> Vec<(String, String)> {
        let request = self.last();
        assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
        body.split('&')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect()
    }
}

#[async_trait]
impl HttpClient for Desk {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = (self.answer)(&request);
        self.seen.lock().unwrap().push(request);
        Ok(answer)
    }
}

pub(super) fn says(status: u16, body: impl Into<String>) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body.into())).unwrap()
}

/// The header of a request as text; nothing when it has none.
pub(super) fn header<'r>(request: &'r Request<Bytes>, name: &str) -> &'r str {
    request.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// An environment of these variables.
pub(super) fn with<T>(variables: &[(&str, &str)], then: impl FnOnce(Variables<'_>) -> T) -> T {
    then(&|name| match variables.iter().find(|(variable, _)| *variable == name) {
        Some((_, "")) => Err(SecretError::Empty { origin: name.to_owned() }),
        Some((_, value)) => Ok(SecretString::new(*value)),
        None => Err(SecretError::VariableMissing { variable: name.to_owned() }),
    })
}
