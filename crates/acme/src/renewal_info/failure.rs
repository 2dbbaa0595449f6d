//! Why there is no renewal information, and when to ask again (RFC 9773 §4.3.3).

use std::time::Duration;

use perennial_core::{HttpError, Retry, Timestamp};

use super::{CertificateId, RETRY_BOUNDS};
use crate::Error;

/// A question for renewal information that brought none. Nothing is lost by it: a certificate is renewed by
/// its own dates then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no renewal information for certificate {certificate_id}: {cause}")]
#[non_exhaustive]
pub struct RenewalInfoFailure {
    /// The certificate.
    pub certificate_id: CertificateId,
    /// What happened.
    #[source]
    pub cause: Error,
    /// When to ask again.
    pub retry: Retry,
}

impl RenewalInfoFailure {
    /// With the moment of the failure, from which the next question is reckoned.
    ///
    /// RFC 9773 §4.3.3 knows two kinds. A temporary one, that is no answer in time, a connection that broke
    /// or a status of 500 and above, says [`Retry::Backoff`]: again soon, with a wait that grows; when it has
    /// grown to six hours the trouble is of the other kind. A long-term one, that is everything else (another
    /// status, no or no readable `Retry-After`, an object without a window, no connection at all), says
    /// [`Retry::At`] in six hours. A refusal with a `Retry-After` of its own says that moment, though no
    /// further away than a day.
    #[must_use]
    pub fn new(certificate_id: CertificateId, cause: Error, now: Timestamp) -> Self {
        let named = cause.problem().and_then(|problem| problem.retry_at);
        let retry = match named {
            Some(at) => Retry::At(at.min(now + *RETRY_BOUNDS.end())),
            None if is_temporary(&cause) => Retry::Backoff,
            None => Retry::At(now + LONG_TERM),
        };
        Self { certificate_id, cause, retry }
    }
}

fn is_temporary(cause: &Error) -> bool {
    match cause {
        Error::Network(HttpError::Exchange { .. } | HttpError::Timeout { .. }) => true,
        Error::Server(refusal) => refusal.problem.status.is_some_and(|status| status >= 500),
        _ => false,
    }
}

/// RFC 9773 §4.3.3 says six hours.
const LONG_TERM: Duration = Duration::from_secs(6 * 3600);
