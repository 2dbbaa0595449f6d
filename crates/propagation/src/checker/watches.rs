//! Many names under watch.

use super::{
    calls::{Calls, Update},
    conclude,
};
use crate::{Error, Propagated, Wanted};

/// The watches of [`Checker::watch_all`](super::Checker::watch_all). Dropping it gives up what is not done yet.
#[derive(Debug)]
#[must_use = "the results come through `next`"]
pub struct Watches {
    wanted: Vec<Wanted>,
    calls: Calls,
    left: usize,
}

impl Watches {
    pub(super) const fn new(wanted: Vec<Wanted>, calls: Calls) -> Self {
        Self { left: wanted.len(), wanted, calls }
    }

    /// How many results are still to come.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left
    }

    /// The next result, in the order in which they become known; `None` when every name has had its own. What
    /// they mean is told with [`Checker::watch`](super::Checker::watch). Cancellation-safe.
    ///
    /// # Panics
    /// When the [`Exchange`](crate::Exchange) does.
    pub async fn next(&mut self) -> Option<(Wanted, Result<Propagated, Error>)> {
        while self.left > 0 {
            let (index, update) = self.calls.next().await;
            if let Update::Done(outcome) = update {
                self.left -= 1;
                return Some((self.wanted.get(index)?.clone(), conclude(outcome)));
            }
        }
        None
    }
}
