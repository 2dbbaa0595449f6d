//! Who carries requests to one vendor with one credential.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Uri};
use perennial_core::{Clock, DomainName, HttpClient, HttpError, Timestamp};

use super::{
    Answer, Authorize, Call, Complaint, Fingerprint, Secrets,
    answer::Asked,
    complaint::Context,
    pace::Pace,
    patience::{self, LONGEST_WAIT, Next, Trouble},
};
use crate::{ConfigError, Error};

mod builder;
pub use builder::ClientBuilder;

/// The largest body that is read, in bytes: 4 MiB. A page of records needs a hundredth of it.
pub const BODY_LIMIT: usize = 4 << 20;

/// Who carries requests to one vendor with one credential.
///
/// Clones share everything: connections, the [`Rate`](crate::Rate), and a vendor's wish to be left alone. Clients
/// that were built apart share the last two where they are the same to the vendor: of one kind, for one base URL,
/// with credentials of one [`Fingerprint`](super::Fingerprint), by the same clock.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    kind: &'static str,
    base: String,
    authorize: Arc<dyn Authorize>,
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    complaints: Complaints,
    needs: &'static str,
    pace: Arc<Pace>,
}

type Complaints = fn(&Answer) -> Option<Complaint>;

/// What a try came to.
enum Tried {
    Answered(Answer),
    /// With what it is worth trying again for, if it is.
    Failed(Error, Option<Trouble>),
    /// The credential was not accepted.
    Refused(Error),
}

impl Client {
    /// Begins a client for a kind of provider, with the vendor's own base URL and a credential.
    pub fn builder(
        kind: &'static str,
        base_url: impl Into<String>,
        authorize: impl Authorize + 'static,
    ) -> ClientBuilder {
        ClientBuilder::new(kind, base_url.into(), Arc::new(authorize))
    }

    /// A GET below the base URL; the path begins with a slash and is escaped where that is needed
    /// ([`segment`](super::segment)).
    pub fn get(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::GET, path.into())
    }

    /// A POST; otherwise as [`get`](Self::get).
    pub fn post(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::POST, path.into())
    }

    /// A PUT; otherwise as [`get`](Self::get).
    pub fn put(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PUT, path.into())
    }

    /// A PATCH; otherwise as [`get`](Self::get).
    pub fn patch(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PATCH, path.into())
    }

    /// A DELETE; otherwise as [`get`](Self::get).
    pub fn delete(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::DELETE, path.into())
    }

    /// A GET of a URL that the vendor gave, such as that of the next page.
    ///
    /// # Errors
    /// [`Error::Misbehaved`] when it is not below the base URL, where the credential is for.
    pub fn follow(&self, url: &str) -> Result<Call<'_>, Error> {
        let path = url.strip_prefix(&self.0.base).filter(|path| path.starts_with(['/', '?']));
        let path = path.or_else(|| Some(url).filter(|url| url.starts_with('/') && !url.starts_with("//")));
        let Some(path) = path else {
            let reason = format!(
                "it refers to {} for more, which is not below {}; nothing is sent there",
                super::text::shown(url.split('?').next().unwrap_or_default(), &Secrets::none()),
                self.0.base
            );
            return Err(self.misbehaved(reason));
        };
        match path.split_once('?') {
            Some((path, query)) => Ok(self.get(path).raw_query(query)),
            None => Ok(self.get(path)),
        }
    }

    /// A client for the same place with another credential, for a vendor whose sessions are opened with one and
    /// used with another. The two share the [`Rate`](crate::Rate), and a vendor's wish to be left alone.
    #[must_use]
    pub fn authorized_by(&self, authorize: impl Authorize + 'static) -> Self {
        let Inner { kind, base, http, clock, complaints, needs, pace, .. } = &*self.0;
        Self(Arc::new(Inner {
            kind,
            base: base.clone(),
            authorize: Arc::new(authorize),
            http: Arc::clone(http),
            clock: Arc::clone(clock),
            complaints: *complaints,
            needs,
            pace: Arc::clone(pace),
        }))
    }

    /// By what its credential is recognized, if by anything.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.0.authorize.fingerprint()
    }

    /// Of names that the vendor has sent, those that have no secret in them which this client shows. None where the
    /// secrets cannot be had, such as a token that is not handed out.
    pub async fn shown(&self, mut names: Vec<DomainName>) -> Vec<DomainName> {
        let mut request = Request::new(Bytes::new());
        // Credentials that sign a request sign where it goes.
        *request.uri_mut() = self.0.base.parse().unwrap_or_default();
        match self.0.authorize.authorize(&mut request, self.now()).await {
            Ok(secrets) => names.retain(|name| secrets.hide(name.as_str()) == name.as_str()),
            Err(_) => names.clear(),
        }
        names
    }

    /// Where requests go, without a final slash.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.0.base
    }

    /// The clock that this client was given.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// The time, by the clock that this client was given.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let inner = &*self.0;
        let mut tries = 0;
        let mut refused = false;
        loop {
            self.wait_for_turn().await?;
            tries += 1;
            let (error, trouble) = match self.try_once(call).await? {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Refused(_) if !refused && inner.authorize.refused() => {
                    refused = true;
                    continue;
                }
                Tried::Refused(error) | Tried::Failed(error, None) => return Err(error),
                Tried::Failed(error, Some(trouble)) => (error, trouble),
            };
            match patience::after(trouble, tries, call.repeatable, rand::random()) {
                Next::Fail => {
                    self.hold(trouble.asked().unwrap_or_default());
                    return Err(error);
                }
                Next::Later(wait) => {
                    self.hold(wait);
                    return Err(until(error, inner.clock.now() + wait));
                }
                Next::Again(wait) => {
                    if matches!(trouble, Trouble::Busy { .. }) {
                        self.hold(wait);
                    }
                    tracing::debug!(provider = inner.kind, %error, ?wait, "trying again");
                    inner.clock.sleep(wait).await;
                }
            }
        }
    }

    async fn try_once(&self, call: &Call<'_>) -> Result<Tried, Error> {
        let inner = &*self.0;
        let invalid = |reason: String| Error::InvalidRequest {
            provider: inner.kind.to_owned(),
            reason: format!("{} {} cannot be sent: {reason}", call.method, call.path),
            fault: None,
        };
        let mut request = call.request(&inner.base).map_err(invalid)?;
        let now = inner.clock.now();
        let secrets = inner.authorize.authorize(&mut request, now).await?;
        let asked = Asked {
            kind: inner.kind,
            server: host(request.uri()),
            method: call.method.clone(),
            path: call.path.clone(),
            secrets,
        };
        match inner.http.send(request).await {
            Ok(response) => Ok(self.read(Answer::new(response, Arc::new(asked)), now)),
            Err(error) => Ok(self.no_answer(&error, &asked)),
        }
    }

    /// What an answer comes to.
    fn read(&self, answer: Answer, now: Timestamp) -> Tried {
        let inner = &*self.0;
        if answer.body().len() > BODY_LIMIT {
            let error = answer.misbehaved(format!("its answer has more than {BODY_LIMIT} bytes"));
            return Tried::Failed(error, None);
        }
        if answer.status().is_redirection() {
            return Tried::Failed(answer.is_a_redirect(), None);
        }
        if answer.status().is_success() && answer.is_page() {
            return Tried::Failed(answer.is_a_page(), None);
        }
        let Some(complaint) = (inner.complaints)(&answer) else { return Tried::Answered(answer) };
        let trouble = complaint.trouble(&answer, now);
        let wait = complaint.wait(&answer, now);
        let context = Context {
            now,
            until: wait.map(|wait| now + wait),
            needs: inner.needs,
            signs_time: inner.authorize.signs_time(),
        };
        let error = complaint.into_error(&answer, &context);
        match error {
            Error::Auth { .. } => Tried::Refused(error),
            error => Tried::Failed(error, trouble),
        }
    }

    fn no_answer(&self, error: &HttpError, asked: &Asked) -> Tried {
        let Asked { kind, server, secrets, .. } = asked;
        let (provider, server) = ((*kind).to_owned(), server.clone());
        // It names the URL, and a URL may hold a token.
        let reason = secrets.hide(&without_query(&error.to_string()));
        match error {
            HttpError::BadRequest { .. } => {
                Tried::Failed(Error::InvalidRequest { provider, reason, fault: None }, None)
            }
            HttpError::InsecureUrl { .. } => {
                let option = "base-url".to_owned();
                Tried::Failed(ConfigError::BadOption { provider, option, reason }.into(), None)
            }
            HttpError::BodyTooLarge { .. } | HttpError::TooManyRedirects { .. } => {
                Tried::Failed(Error::Misbehaved { provider, server, reason, fault: None }, None)
            }
            HttpError::Connect { .. } => {
                Tried::Failed(Error::Network { provider, server, reason }, Some(Trouble::NotSent))
            }
            HttpError::Tls { .. } => Tried::Failed(Error::Network { provider, server, reason }, None),
            _ => Tried::Failed(Error::Network { provider, server, reason }, Some(Trouble::Lost)),
        }
    }

    /// Waits until the vendor may be asked, or says until when it may not.
    async fn wait_for_turn(&self) -> Result<(), Error> {
        let inner = &*self.0;
        let limited = |wait| {
            let (provider, until) = (inner.kind.to_owned(), Some(inner.clock.now() + wait));
            Error::RateLimited { provider, until, fault: None }
        };
        let mut wait = inner.pace.turn(&*inner.clock, LONGEST_WAIT).map_err(limited)?;
        while !wait.is_zero() {
            inner.clock.sleep(wait).await;
            // What others were told meanwhile is for us, too.
            wait = inner.pace.held(inner.clock.now());
            if wait > LONGEST_WAIT {
                return Err(limited(wait));
            }
        }
        Ok(())
    }

    /// All who share the pace leave a vendor alone that is busy.
    fn hold(&self, wait: Duration) {
        let now = self.0.clock.now();
        self.0.pace.hold(now, now + wait);
    }

    fn misbehaved(&self, reason: String) -> Error {
        let server = self.0.base.parse().as_ref().map_or_else(|_| self.0.base.clone(), host);
        Error::Misbehaved { provider: self.0.kind.to_owned(), server, reason, fault: None }
    }
}

/// Without its credential.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, base, .. } = &*self.0;
        f.debug_struct("Client").field("kind", kind).field("base", base).finish_non_exhaustive()
    }
}

/// The same error, with the moment to come back.
fn until(error: Error, moment: Timestamp) -> Error {
    match error {
        Error::RateLimited { provider, fault, .. } => {
            Error::RateLimited { provider, until: Some(moment), fault }
        }
        // A server that says when it will be back is to be left alone until then, whatever it calls it.
        Error::Unavailable { provider, fault, .. } => {
            Error::RateLimited { provider, until: Some(moment), fault }
        }
        error => error,
    }
}

/// The host, with its port where the URL has one.
fn host(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    url.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The text without the queries of the URLs in it.
fn without_query(text: &str) -> String {
    let cut = |word: &str| match word.split_once('?') {
        Some((before, _)) if before.contains("://") => before.to_owned(),
        _ => word.to_owned(),
    };
    text.split(' ').map(cut).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
