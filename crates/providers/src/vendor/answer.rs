//! What a vendor answered.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use serde::de::DeserializeOwned;

use super::{Secrets, text};
use crate::{Error, VendorFault};

/// What a vendor answered, with the question in mind.
#[derive(Clone)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    asked: Arc<Asked>,
}

/// What an answer answers, for errors.
pub(super) struct Asked {
    pub(super) kind: &'static str,
    pub(super) server: String,
    pub(super) method: Method,
    /// Without the query, which may hold a credential.
    pub(super) path: String,
    pub(super) secrets: Secrets,
}

impl Answer {
    pub(super) fn new(response: Response<Bytes>, asked: Arc<Asked>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, asked }
    }

    /// The status (RFC 9110 §15).
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// A header, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers of this name that are text.
    pub fn all<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as text; what is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON (RFC 8259).
    ///
    /// # Errors
    /// [`Error::Misbehaved`] with the beginning of the body when it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            if text::is_page(self.header("content-type"), &self.body) {
                return self.is_a_page();
            }
            let excerpt = text::excerpt(&self.body, &self.asked.secrets);
            let why = text::shown(&error.to_string(), &self.asked.secrets);
            self.misbehaved(format!(
                "its answer to {} is not as documented ({why}): {excerpt}",
                self.question()
            ))
        })
    }

    /// The body as JSON, for those who look whether it is a complaint.
    #[must_use]
    pub fn json_if_any<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The other side does not answer as it should: what a provider says of an answer that it cannot use. It may quote
    /// the answer, or a reader that does.
    #[must_use]
    pub fn misbehaved(&self, reason: impl Into<String>) -> Error {
        let Asked { kind, server, secrets, .. } = &*self.asked;
        Error::Misbehaved {
            provider: (*kind).to_owned(),
            server: server.clone(),
            reason: text::sentence(&reason.into(), secrets),
            fault: Some(Box::new(VendorFault::of_status(self.status.as_u16()))),
        }
    }

    /// A login page, an error page of a proxy: not the vendor's interface.
    pub(super) fn is_a_page(&self) -> Error {
        let page = text::of_page(&self.body, &self.asked.secrets);
        self.misbehaved(format!(
            "it answers {} with a web page; look at `base-url`, and at proxies on the way: {page}",
            self.question()
        ))
    }

    pub(super) fn is_page(&self) -> bool {
        text::is_page(self.header("content-type"), &self.body)
    }

    /// A redirect, which is never followed.
    pub(super) fn is_a_redirect(&self) -> Error {
        let target = self.header(header::LOCATION.as_str()).unwrap_or("nowhere");
        // Its query may repeat ours.
        let target = target.split(['?', '#']).next().unwrap_or_default();
        self.misbehaved(format!(
            "it redirects {} to {}, and credentials follow no redirect; give that as `base-url` if it is \
             the vendor's",
            self.question(),
            text::shown(target, &self.asked.secrets)
        ))
    }

    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// `GET /zones`.
    pub(super) fn question(&self) -> String {
        format!("{} {}", self.asked.method, self.asked.secrets.hide(&self.asked.path))
    }
}

/// Without headers and body, which may repeat a secret.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("to", &format_args!("{}", self.question()))
            .finish_non_exhaustive()
    }
}
