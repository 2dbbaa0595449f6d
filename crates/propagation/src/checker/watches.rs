//! Many names under watch.

use std::{fmt, sync::Arc};

use futures_util::{
    future::{BoxFuture, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use tokio::time::Instant;

use super::{
    Shared,
    calls::{Calls, Update},
};
use crate::{Error, Propagated, Wanted};

/// The watches of [`Checker::watch_all`](super::Checker::watch_all). Dropping it gives up what is not done yet.
#[must_use = "the results come through `next`"]
pub struct Watches {
    shared: Arc<Shared>,
    wanted: Vec<Wanted>,
    calls: Calls,
    end: Instant,
    /// How many are still asked about.
    asked: usize,
    /// What is looked into at the end.
    concluding: FuturesUnordered<BoxFuture<'static, Concluded>>,
}

type Concluded = (Wanted, Result<Propagated, Error>);

/// How many are looked into at once: what is asked then is asked for each by itself.
const MOST_CONCLUDING: usize = 64;

impl Watches {
    pub(super) fn new(shared: Arc<Shared>, wanted: Vec<Wanted>, calls: Calls, end: Instant) -> Self {
        Self { shared, asked: wanted.len(), wanted, calls, end, concluding: FuturesUnordered::new() }
    }

    /// How many results are still to come.
    #[must_use]
    pub fn left(&self) -> usize {
        self.asked + self.concluding.len()
    }

    /// The next result, in the order in which they become known; `None` when every name has had its own. What
    /// they mean is told with [`Checker::watch`](super::Checker::watch). Cancellation-safe.
    ///
    /// # Panics
    /// When the [`Exchange`](crate::Exchange) does.
    pub async fn next(&mut self) -> Option<(Wanted, Result<Propagated, Error>)> {
        while self.left() > 0 {
            let room = self.asked > 0 && self.concluding.len() < MOST_CONCLUDING;
            tokio::select! {
                Some(concluded) = self.concluding.next() => return Some(concluded),
                (index, update) = self.calls.next(), if room => {
                    let Update::Done(outcome) = update else { continue };
                    self.asked -= 1;
                    let (shared, end) = (self.shared.clone(), self.end);
                    let wanted = self.wanted.get(index)?.clone();
                    let conclude = async move {
                        let result = shared.conclude(&wanted, outcome, end, &mut |_| ()).await;
                        (wanted, result)
                    };
                    self.concluding.push(conclude.boxed());
                }
            }
        }
        None
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches").field("left", &self.left()).finish_non_exhaustive()
    }
}
