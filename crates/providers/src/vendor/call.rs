//! A request in the making.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use perennial_core::http::NoRedirects;
use serde::Serialize;

use super::{Answer, Client};
use crate::Error;

/// A request in the making: see [`Client::get`] and its siblings.
#[derive(Clone)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'c> {
    client: &'c Client,
    pub(super) method: Method,
    pub(super) path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    pub(super) repeatable: bool,
    /// What is wrong with it, which is said when it is sent.
    fault: Option<String>,
}

impl<'c> Call<'c> {
    pub(super) fn new(client: &'c Client, method: Method, path: String) -> Self {
        let repeatable = method.is_idempotent();
        let fault = (!path.starts_with('/') && !path.is_empty())
            .then(|| format!("the path {path:?} does not begin with a slash"));
        Self {
            client,
            method,
            path,
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            repeatable,
            fault,
        }
    }

    /// Adds a parameter to the query; name and value are escaped.
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.extend(utf8_percent_encode(name, UNRESERVED));
        self.query.push('=');
        self.query.extend(utf8_percent_encode(value.as_ref(), UNRESERVED));
        self
    }

    /// Adds a query that is escaped already.
    pub(super) fn raw_query(mut self, query: &str) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(query);
        self
    }

    /// Sets a header; its name is in lower case.
    pub fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        match HeaderValue::from_str(value.as_ref()) {
            Ok(value) => drop(self.headers.insert(HeaderName::from_static(name), value)),
            Err(_) => self.fault = Some(format!("the header {name} would hold a control character")),
        }
        self
    }

    /// Sets the body to this value as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body("application/json", body),
            Err(error) => {
                self.fault = Some(format!("it cannot be written as JSON: {error}"));
                self
            }
        }
    }

    /// Sets the body and what it is.
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }

    /// Says that it does no harm to do this twice, so that it is sent again when its answer is lost. GET, HEAD,
    /// PUT and DELETE are so anyway (RFC 9110 §9.2.2).
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Says that this must not be done twice, whatever its method.
    pub const fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Sends it, again where that helps, and returns the answer.
    ///
    /// # Errors
    /// [`Error`]: no answer, or one that is a [`Complaint`](super::Complaint).
    pub async fn send(self) -> Result<Answer, Error> {
        self.client.send(&self).await
    }

    /// The same, where "not found" (404) is a good answer: `None`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_if_there(self) -> Result<Option<Answer>, Error> {
        match self.send().await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.status() == Some(404) && !matches!(error, Error::Misbehaved { .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The request as it goes out, but for its credentials.
    pub(super) fn request(&self, base: &str) -> Result<Request<Bytes>, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut request = Request::builder()
            .method(&self.method)
            .uri([base, &self.path, &self.query].concat())
            .body(self.body.clone())
            .map_err(|error| error.to_string())?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        request.extensions_mut().insert(NoRedirects);
        Ok(request)
    }
}

/// A text as one segment of a path: everything but unreserved characters is escaped (RFC 3986 §2.3).
///
/// ```
/// use perennial_providers::vendor::segment;
///
/// assert_eq!(segment("record:txt/a b"), "record%3Atxt%2Fa%20b");
/// ```
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// RFC 3986 §2.3: these need no escape anywhere.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
