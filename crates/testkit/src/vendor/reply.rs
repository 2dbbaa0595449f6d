//! Answers, and questions read.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde::Serialize;

/// Makes answers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Reply;

impl Reply {
    /// JSON with this status.
    #[must_use]
    pub fn json(status: u16, body: &impl Serialize) -> Response<Bytes> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::of(status, "application/json", body)
    }

    /// Plain text with this status.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Response<Bytes> {
        Self::of(status, "text/plain; charset=utf-8", body.to_owned())
    }

    /// This status and no body.
    #[must_use]
    pub fn empty(status: u16) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }

    /// A body of this type with this status.
    #[must_use]
    pub fn of(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
        let mut response = Self::empty(status);
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        *response.body_mut() = body.into();
        response
    }
}

/// The value of a parameter in the query, unescaped.
#[must_use]
pub fn query(request: &Request<Bytes>, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
