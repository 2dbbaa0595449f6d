//! An HTTP client that notes what it sends, and loses answers when told to.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{HttpClient, HttpError, ReqwestClient};

/// Carries requests, and remembers them in their order.
pub(super) struct Recorder {
    inner: ReqwestClient,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// `POST /order-plz` and so on.
    sent: Vec<String>,
    /// The paths whose answers had a `Location`.
    located: Vec<String>,
    /// The answer of the next request whose path begins so does not arrive.
    lost: Option<&'static str>,
}

impl Recorder {
    /// Trusts servers below that root and no others.
    pub(super) fn new(https_root_pem: &str) -> Result<Arc<Self>, HttpError> {
        let inner = ReqwestClient::builder().root_certificates_pem(https_root_pem).build()?;
        Ok(Arc::new(Self { inner, notes: Mutex::default() }))
    }

    /// How many requests went to paths that begin so.
    pub(super) fn count(&self, path: &str) -> usize {
        self.with(|notes| notes.sent.iter().filter(|line| path_of(line).starts_with(path)).count())
    }

    /// How many answers of paths that begin so had a `Location`.
    pub(super) fn located(&self, path: &str) -> usize {
        self.with(|notes| notes.located.iter().filter(|located| located.starts_with(path)).count())
    }

    /// What was sent since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        self.with(|notes| std::mem::take(&mut notes.sent))
    }

    /// Lets the next request to a path that begins so reach the server, and its answer not come back.
    pub(super) fn lose_answer_of(&self, path: &'static str) {
        self.with(|notes| notes.lost = Some(path));
    }

    fn with<T>(&self, read: impl FnOnce(&mut Notes) -> T) -> T {
        read(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn path_of(line: &str) -> &str {
    line.split_once(' ').map_or(line, |(_, path)| path)
}

#[async_trait]
impl HttpClient for Recorder {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (url, path) = (request.uri().to_string(), request.uri().path().to_owned());
        let lost = self.with(|notes| {
            notes.sent.push(format!("{} {path}", request.method()));
            notes.lost.take_if(|lost| path.starts_with(*lost)).is_some()
        });
        let answer = self.inner.send(request).await?;
        if answer.headers().contains_key(http::header::LOCATION) {
            self.with(|notes| notes.located.push(path));
        }
        if lost {
            return Err(HttpError::Exchange { url, reason: "the judge lost the answer".to_owned() });
        }
        Ok(answer)
    }
}
