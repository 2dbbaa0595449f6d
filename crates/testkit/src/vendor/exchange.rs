//! What was asked and answered.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};

/// One request with its answer, as recorded: what a vendor's own document can be held against.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// The path and the query.
    pub uri: Uri,
    /// The headers, credentials included.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether it changes something, as the [`Service`](super::Service) sees it.
    pub writes: bool,
    /// What was answered; `None` where the connection was closed instead.
    pub status: Option<StatusCode>,
    /// The headers of the answer.
    pub answer_headers: HeaderMap,
    /// The body of the answer.
    pub answer: Bytes,
    /// Whether it was the vendor's answer, and not one of a [`Fault`](super::Fault).
    pub honest: bool,
}

impl Exchange {
    /// The request, as it came.
    #[must_use]
    pub fn request(&self) -> Request<Bytes> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// The answer, as it went; `None` where the connection was closed instead.
    #[must_use]
    pub fn response(&self) -> Option<Response<Bytes>> {
        let mut response = Response::new(self.answer.clone());
        *response.status_mut() = self.status?;
        *response.headers_mut() = self.answer_headers.clone();
        Some(response)
    }
}
