//! Many names at once.

use std::{fmt, sync::Arc};

use futures_util::{
    future::{BoxFuture, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Shared,
    calls::{Calls, Update},
};
use crate::{Error, Propagated, Report, Wanted, watch::Outcome};

/// The checks of [`Checker::check_all`](super::Checker::check_all). Dropping it gives up what is not done yet.
#[derive(Debug)]
#[must_use = "the results come through `next`"]
pub struct Checks(Each<Report>);

/// The watches of [`Checker::watch_all`](super::Checker::watch_all). Dropping it gives up what is not done yet.
#[derive(Debug)]
#[must_use = "the results come through `next`"]
pub struct Watches(Each<Propagated>);

impl Checks {
    pub(super) fn new(shared: Arc<Shared>, wanted: Vec<Wanted>, calls: Calls, end: Instant) -> Self {
        Self(Each::new(wanted, calls, move |wanted, outcome, places| {
            let shared = shared.clone();
            async move {
                let result = shared.conclude_check(&wanted, outcome, end, Some(&*places)).await;
                (wanted, result)
            }
            .boxed()
        }))
    }

    /// How many results are still to come.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.left()
    }

    /// The next result, in the order in which they become known; `None` when every name has had its own. What
    /// they mean is told with [`Checker::check`](super::Checker::check). Cancellation-safe.
    ///
    /// # Panics
    /// When the [`Exchange`](crate::Exchange) does.
    pub async fn next(&mut self) -> Option<(Wanted, Result<Report, Error>)> {
        self.0.next().await
    }
}

impl Watches {
    pub(super) fn new(shared: Arc<Shared>, wanted: Vec<Wanted>, calls: Calls, end: Instant) -> Self {
        Self(Each::new(wanted, calls, move |wanted, outcome, places| {
            let shared = shared.clone();
            async move {
                let result = shared.conclude_watch(&wanted, outcome, end, Some(&*places), &mut |_| ()).await;
                (wanted, result)
            }
            .boxed()
        }))
    }

    /// How many results are still to come.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.left()
    }

    /// The next result, in the order in which they become known; `None` when every name has had its own. What
    /// they mean is told with [`Checker::watch`](super::Checker::watch). Cancellation-safe.
    ///
    /// # Panics
    /// When the [`Exchange`](crate::Exchange) does.
    pub async fn next(&mut self) -> Option<(Wanted, Result<Propagated, Error>)> {
        self.0.next().await
    }
}

/// One result for each name.
struct Each<T> {
    wanted: Vec<Wanted>,
    calls: Calls,
    /// How many are still asked about.
    asked: usize,
    conclude: Conclude<T>,
    /// What is looked into at the end.
    concluding: FuturesUnordered<Concluding<T>>,
    /// Taken by those who ask something then, and by nobody who only waits.
    places: Arc<Semaphore>,
}

type Conclude<T> = Box<dyn Fn(Wanted, Result<Outcome, Error>, Arc<Semaphore>) -> Concluding<T> + Send + Sync>;
type Concluding<T> = BoxFuture<'static, (Wanted, Result<T, Error>)>;

/// How many ask at once at the end: what is asked then is asked for each by itself.
const PLACES: usize = 64;

impl<T> Each<T> {
    fn new(
        wanted: Vec<Wanted>,
        calls: Calls,
        conclude: impl Fn(Wanted, Result<Outcome, Error>, Arc<Semaphore>) -> Concluding<T> + Send + Sync + 'static,
    ) -> Self {
        let (asked, conclude) = (wanted.len(), Box::new(conclude));
        let places = Arc::new(Semaphore::new(PLACES));
        Self { wanted, calls, asked, conclude, concluding: FuturesUnordered::new(), places }
    }

    fn left(&self) -> usize {
        self.asked + self.concluding.len()
    }

    async fn next(&mut self) -> Option<(Wanted, Result<T, Error>)> {
        while self.left() > 0 {
            tokio::select! {
                Some(concluded) = self.concluding.next() => return Some(concluded),
                (index, update) = self.calls.next(), if self.asked > 0 => {
                    let Update::Done(outcome) = update else { continue };
                    self.asked -= 1;
                    let wanted = self.wanted.get(index)?.clone();
                    self.concluding.push((self.conclude)(wanted, outcome, self.places.clone()));
                }
            }
        }
        None
    }
}

impl<T> fmt::Debug for Each<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each").field("left", &self.left()).finish_non_exhaustive()
    }
}
