//! The HTTP seam: one request out, one response back.
//!
//! Protocol crates build [`Request`](::http::Request)s and read [`Response`](::http::Response)s; who carries them is the embedder's
//! choice. The feature `reqwest` (on by default) brings [`ReqwestClient`].

use async_trait::async_trait;
use bytes::Bytes;

use crate::Retry;

#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "reqwest")]
pub use self::reqwest::{ReqwestClient, ReqwestClientBuilder};

mod watched;
pub use watched::{Action, Exchange, WatchedClient};

/// Who carries HTTP requests.
///
/// # Contract
/// - One call sends one request and returns its response, whatever its status: 404 and 500 are responses,
///   not errors.
/// - The whole body is in memory when the call returns; an implementation MUST bound its size and the time
///   it waits, and MUST refuse a URL that is not `https` unless it was built for tests.
/// - It MUST NOT follow a redirect of a POST: a signed ACME request names its URL (RFC 8555 §6.4) and must go
///   nowhere else.
/// - It MUST NOT follow any redirect of a request that bears [`NoRedirects`]: its credentials, and the trust in
///   its answer, are for the host that was asked.
/// - It SHOULD NOT retry by itself: an ACME nonce is good for one request only.
/// - It may be called from any number of tasks at once. Dropping the future abandons the request.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends the request and returns the response.
    ///
    /// # Errors
    /// [`HttpError`] when no response arrived.
    async fn send(&self, request: ::http::Request<Bytes>) -> Result<::http::Response<Bytes>, HttpError>;
}

/// An extension of a [`Request`](::http::Request) that is not sent: a redirect is returned as any other response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // A word.
pub struct NoRedirects;

/// Why no response arrived, sorted by whose fault it is. Every variant names the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The request itself cannot be sent: our caller's mistake.
    #[error("the request to {url} cannot be sent: {reason}")]
    BadRequest {
        /// Where it was to go.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The body is larger than allowed.
    #[error("the answer of {url} is larger than {limit} bytes")]
    BodyTooLarge {
        /// Who answered.
        url: String,
        /// The most that was allowed, in bytes.
        limit: usize,
    },
    /// No connection: refused, unreachable, or the name has no address.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// Where to.
        url: String,
        /// The operating system's or resolver's reason.
        reason: String,
    },
    /// The connection broke, or what came over it was no HTTP.
    #[error("the exchange with {url} broke off: {reason}")]
    Exchange {
        /// With whom.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A URL that is not `https`, asked for or redirected to.
    #[error("{url} is not an https URL, and only https is allowed")]
    InsecureUrl {
        /// The URL.
        url: String,
    },
    /// The connection could not be secured: an unknown issuer, a wrong name, an expired certificate.
    #[error("cannot trust {url}: {reason}; if it has a private CA, give its certificate as a trusted root")]
    Tls {
        /// With whom.
        url: String,
        /// What is wrong with the certificate or the handshake.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {url} in time")]
    Timeout {
        /// Who was asked.
        url: String,
    },
    /// More redirects than are followed.
    #[error("{url} redirects more than {limit} times")]
    TooManyRedirects {
        /// The first URL.
        url: String,
        /// How many are followed.
        limit: usize,
    },
}

impl HttpError {
    /// Whether the same request can succeed later.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::BadRequest { .. } | Self::InsecureUrl { .. } => Retry::Never,
            Self::BodyTooLarge { .. }
            | Self::Connect { .. }
            | Self::Exchange { .. }
            // An expired or wrong certificate is usually mended by the other side within hours.
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::TooManyRedirects { .. } => Retry::Backoff,
        }
    }
}

#[cfg(test)]
fn _object_safe(_: &dyn HttpClient) {}
