//! Answers in a store that replicas share: whichever of them is asked has them.

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use perennial_acme::challenge::Token;
use perennial_core::{Clock, SystemClock};
use perennial_lifecycle::{IssuerName, Slot, SpecError, Store};
use tokio::{sync::Semaphore, time};
use tower_service::Service;

use super::{
    Http01Answer, Http01Place,
    responder::{asked, respond},
};
use crate::Error;

mod answers;

mod shelf;
use shelf::{Pace, Shelf};

/// Answers in a [`Store`]: whoever puts one there, every process that shares the store shows it. For replicas behind
/// one load balancer, where the CA may ask another one than the one that ordered.
///
/// Each replica makes one of these over the store that its keeper uses, gives a clone to its [`Http01`](super::Http01),
/// and either mounts another as a [`Service`] or has its [`Http01Listener`](super::Http01Listener) show it:
///
/// ```no_run
/// use std::sync::Arc;
/// use perennial_issuers::solver::http01::{Http01, Http01Listener, Http01Shared};
/// use perennial_lifecycle::Store;
///
/// # async fn example(store: Arc<dyn Store>) -> Result<(), perennial_issuers::Error> {
/// let listener = Http01Listener::everywhere(80).await?;
/// let shared = listener.share(Http01Shared::new(store));
/// let solver = Http01::new(shared);
/// # let _ = solver; Ok(())
/// # }
/// ```
///
/// An answer is in the store when it is put, and seen by every request that comes after that: nobody shows a CA what
/// was there a moment ago. What is asked for and not there costs a look, shared by all who ask meanwhile, and at most
/// twenty looks a second are made; what is no token is refused without any. Where the store cannot be read, and where
/// 256 requests wait already, what was seen last is shown, and for all else the answer is 503.
///
/// What was left behind, by a certificate that nobody wants any more, goes after a week.
#[derive(Clone)]
pub struct Http01Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shelves: Arc<[Shelf]>,
    pace: Arc<Pace>,
    /// How many more may ask for what is not known.
    asking: Arc<Semaphore>,
    /// Where a listener of our own shows them.
    local: Option<SocketAddr>,
}

/// Names of issuers, of which nobody has one by chance.
const NAME: &str = "http-01-answers";

/// So that writers seldom meet, and a look does not bring the answers of the whole fleet.
const SHELVES: usize = 16;

/// As many as a listener has connections.
const MOST_ASKING: usize = 256;

/// Longer than any store takes that still works; whoever waits for it holds an order up.
const LONGEST_CHANGE: Duration = Duration::from_secs(30);

impl Http01Shared {
    /// Answers in this store, beside what issuers keep there, in slots of the names `http-01-answers-0` to `-15`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let names = (0..SHELVES).filter_map(|number| format!("{NAME}-{number}").parse().ok());
        Self::over(store, names)
    }

    /// The same in slots of other names, for programs that share a store and not their answers, or have an issuer of
    /// such a name. All replicas have to agree on it.
    ///
    /// # Errors
    /// [`SpecError`] when the name cannot be followed by `-15`.
    pub fn named(store: Arc<dyn Store>, name: &str) -> Result<Self, SpecError> {
        let names: Result<Vec<IssuerName>, _> =
            (0..SHELVES).map(|number| format!("{name}-{number}").parse()).collect();
        Ok(Self::over(store, names?))
    }

    fn over(store: Arc<dyn Store>, names: impl IntoIterator<Item = IssuerName>) -> Self {
        let shelves = names.into_iter().map(|issuer| Shelf::new(Slot::IssuerState { issuer })).collect();
        let (clock, asking) = (Arc::new(SystemClock::new()), Arc::new(Semaphore::new(MOST_ASKING)));
        Self { store, clock, shelves, pace: Arc::default(), asking, local: None }
    }

    /// Whose time counts for what was left behind. Default: the operating system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn shown_at(mut self, local: Option<SocketAddr>) -> Self {
        self.local = local;
        self
    }

    /// The answer to a request.
    pub fn answer<B>(
        &self,
        request: &Request<B>,
    ) -> Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>> {
        let (this, asked) = (self.clone(), asked(request));
        Box::pin(async move {
            respond(match asked {
                Ok(token) => this.shown(&token).await,
                Err(status) => Err(status),
            })
        })
    }

    async fn shown(&self, token: &Token) -> Result<Option<String>, StatusCode> {
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        let shelf = self.shelf(token).ok_or(busy)?;
        let token = token.as_str();
        // Strangers who ask for anything fill the queue; whoever asks for what is known needs no place there.
        if let Some(fresh) = shelf.fresh(token) {
            return Ok(Some(fresh));
        }
        let looked_for = match self.asking.try_acquire() {
            Ok(_asking) => shelf.looked_for(token, &*self.store, &self.pace).await.ok(),
            Err(_) => None,
        };
        // Where nobody can look, an answer that was there once is better than none: it may have been removed since.
        looked_for.or_else(|| shelf.remembered(token).map(Some)).ok_or(busy)
    }

    /// Which of them does not matter, but all replicas find the same.
    fn shelf(&self, token: &Token) -> Option<&Shelf> {
        let sum = token.as_str().bytes().map(usize::from).sum::<usize>();
        self.shelves.get(sum % self.shelves.len().max(1))
    }

    async fn change(
        &self,
        answer: &Http01Answer,
        change: impl Fn(&mut answers::Answers) + Send + Sync,
    ) -> Result<(), Error> {
        // There are sixteen of them.
        let Some(shelf) = self.shelf(&answer.token) else { return Ok(()) };
        let (limit, doing) = (LONGEST_CHANGE, "writing an http-01 answer to the store");
        let changed = time::timeout(limit, shelf.change(&*self.store, change)).await;
        changed.unwrap_or(Err(Error::TooSlow { doing, limit }))
    }
}

#[async_trait]
impl Http01Place for Http01Shared {
    async fn put(&self, answer: &Http01Answer) -> Result<(), Error> {
        let now = self.clock.now();
        self.change(answer, |answers| answers.put(answer, now)).await
    }

    async fn remove(&self, answer: &Http01Answer) -> Result<(), Error> {
        self.change(answer, |answers| answers.remove(answer)).await
    }

    fn locally(&self) -> Option<SocketAddr> {
        self.local
    }
}

impl<B> Service<Request<B>> for Http01Shared {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.answer(&request);
        Box::pin(async move { Ok(answer.await) })
    }
}

impl fmt::Debug for Http01Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http01Shared").field("local", &self.local).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
