//! How vendors say that something is wrong, and which error it becomes.

use std::time::Duration;

use http::StatusCode;
use perennial_core::Timestamp;

use super::{Answer, answer::Asked, patience::Trouble, retry_after, text};
use crate::{Error, VendorFault};

/// That something is wrong, in a vendor's words.
///
/// A provider reads it out of its vendor's answers ([`ClientBuilder::complaints`](super::ClientBuilder::complaints)):
///
/// ```
/// use perennial_providers::vendor::{Answer, Blame, Complaint};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Fault {
///     code: String,
///     message: String,
/// }
///
/// fn complaint(answer: &Answer) -> Option<Complaint> {
///     let complaint = Complaint::of_status(answer)?; // none for 2xx
///     let Some(fault) = answer.json_if_any::<Fault>() else { return Some(complaint) };
///     let complaint = if fault.code == "TooFast" { complaint.blame(Blame::RateLimit) } else { complaint };
///     Some(complaint.code(fault.code).message(fault.message))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Complaint {
    blame: Blame,
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
}

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The credential is not accepted: 401.
    Auth,
    /// Somebody else was faster: 409, 412.
    Conflict,
    /// The request is wrong: most of 4xx.
    Invalid,
    /// The credential may not do this: 403.
    Permission,
    /// What the account may do is used up for longer than minutes.
    Quota,
    /// Too many requests just now: 429.
    RateLimit,
    /// The vendor is in trouble: 5xx.
    Unavailable,
}

impl Blame {
    /// What a status says by itself (RFC 9110 §15); `None` for success.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Option<Self> {
        match status.as_u16() {
            200..=299 => None,
            401 => Some(Self::Auth),
            403 => Some(Self::Permission),
            409 | 412 => Some(Self::Conflict),
            429 => Some(Self::RateLimit),
            500.. => Some(Self::Unavailable),
            _ => Some(Self::Invalid),
        }
    }
}

impl Complaint {
    /// A complaint of which nothing else is known.
    pub const fn new(blame: Blame) -> Self {
        Self { blame, code: None, message: None, request_id: None, retry_after: None }
    }

    /// What the status says; `None` for success.
    #[must_use]
    pub fn of_status(answer: &Answer) -> Option<Self> {
        Blame::of_status(answer.status()).map(Self::new)
    }

    /// Sets whose move it is.
    pub const fn blame(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self
    }

    /// Adds the vendor's code.
    pub fn code(mut self, code: impl ToString) -> Self {
        self.code = Some(code.to_string());
        self
    }

    /// Adds the vendor's explanation.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Adds the vendor's name of the exchange.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// Adds how long the vendor wants to be left alone, where it says so in its own words; the header `Retry-After`
    /// is read anyway, and the longer of the two counts. A month is the most.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait.min(retry_after::LONGEST));
        self
    }

    /// How long the vendor wants to be left alone, from now on.
    pub(super) fn wait(&self, answer: &Answer, now: Timestamp) -> Option<Duration> {
        self.retry_after.max(retry_after::read(answer.headers(), now))
    }

    /// As far as trying again is concerned; `None`: it is not worth it.
    pub(super) fn trouble(&self, answer: &Answer, now: Timestamp) -> Option<Trouble> {
        let retry_after = self.wait(answer, now);
        match self.blame {
            Blame::RateLimit => Some(Trouble::Busy { retry_after }),
            // 500 and 501 say that trying again is no use, unless they say when.
            Blame::Unavailable if matches!(answer.status().as_u16(), 500 | 501) && retry_after.is_none() => {
                None
            }
            Blame::Unavailable => Some(Trouble::Down { retry_after }),
            _ => None,
        }
    }

    /// The error for it. `until` is when the vendor wants to be asked again; `needs` is what a credential has
    /// to be granted.
    pub(super) fn into_error(self, answer: &Answer, context: &Context<'_>) -> Error {
        let Asked { kind, server, secrets, .. } = answer.asked();
        let provider = (*kind).to_owned();
        let said = match &self.message {
            Some(message) => text::shown(message, secrets),
            None if answer.is_page() => text::of_page(answer.body(), secrets),
            None => text::excerpt(answer.body(), secrets),
        };
        let said = if said.is_empty() { "without a reason".to_owned() } else { said };
        let fault = Some(Box::new(VendorFault {
            status: Some(answer.status().as_u16()),
            code: self.code.map(|code| text::word(&code, secrets)),
            request_id: self.request_id.map(|id| text::word(&id, secrets)),
        }));
        let question = answer.question();
        match self.blame {
            Blame::Auth => match context.skew(answer) {
                Some(there) if context.signs_time => {
                    Error::ClockSkew { provider, server: server.clone(), here: context.now, there }
                }
                skew => {
                    let clocks = skew.map_or_else(String::new, |there| {
                        format!("; the clocks differ, too: {} here, {there} there", context.now)
                    });
                    let reason = format!(
                        "{server} does not accept the credential: {said}; look whether it is whole, of the right \
                         kind, and still good{clocks}"
                    );
                    Error::Auth { provider, reason, fault }
                }
            },
            Blame::Conflict => Error::Conflict { provider, what: format!("what {question} was for"), fault },
            Blame::Invalid => Error::InvalidRequest {
                provider,
                reason: format!("{server} refuses {question}: {said}"),
                fault,
            },
            Blame::Permission => {
                let needs = match context.needs {
                    "" => "grant what it needs".to_owned(),
                    needs => format!("it needs {needs}"),
                };
                let reason = format!("{server} does not let this credential {question}: {said}; {needs}");
                Error::Permission { provider, reason, fault }
            }
            Blame::Quota => Error::Quota { provider, reason: said, until: context.until, fault },
            Blame::RateLimit => Error::RateLimited { provider, until: context.until, fault },
            Blame::Unavailable => Error::Unavailable {
                provider,
                server: server.clone(),
                reason: format!("{question}: {said}"),
                fault,
            },
        }
    }
}

/// What else an error may have to say.
pub(super) struct Context<'c> {
    /// When the request was made.
    pub(super) now: Timestamp,
    /// When the vendor wants to be asked again.
    pub(super) until: Option<Timestamp>,
    /// What a credential has to be granted.
    pub(super) needs: &'c str,
    /// Whether what was refused holds our time.
    pub(super) signs_time: bool,
}

/// What signatures allow, of every scheme that we know.
const MOST_SKEW: Duration = Duration::from_secs(300);

impl Context<'_> {
    /// The vendor's time, if it is another than ours.
    fn skew(&self, answer: &Answer) -> Option<Timestamp> {
        let there = retry_after::date(answer.headers())?;
        (self.now.since(there).max(there.since(self.now)) > MOST_SKEW).then_some(there)
    }
}
