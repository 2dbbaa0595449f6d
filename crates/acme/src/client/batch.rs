//! Several requests of one account at once.

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::Account;
use crate::{Error, call::Call};

impl Account {
    /// Drives several calls, as many at once as there are nonces for them, and returns their outcomes in the order
    /// of the calls.
    ///
    /// Each answer brings one nonce (RFC 8555 §6.5), so with an empty pool the calls go one after the other, and
    /// cost no request beyond themselves; a pool that is well filled, as in a process that lives long, lets them
    /// overlap. [`ClientBuilder::parallel`](crate::ClientBuilder::parallel) trades requests for time: so many calls
    /// are under way in any case, and nonces for them are fetched.
    ///
    /// All are driven to their end, also when one fails.
    pub async fn send<T>(&self, mut calls: Vec<Call<T>>) -> Vec<Result<T, Error>> {
        if calls.len() == 1
            && let Some(call) = calls.pop()
        {
            return vec![self.run(call).await];
        }
        let mut outcomes: Vec<Option<Result<T, Error>>> = calls.iter().map(|_| None).collect();
        let mut waiting = outcomes.iter_mut().zip(calls).peekable();
        let mut under_way = FuturesUnordered::new();
        let mut held = None;
        loop {
            while let Some((outcome, mut call)) = held.take().or_else(|| waiting.next()) {
                // A nonce is set aside for each call that is started, before anybody else takes it.
                let ready = call.reserve(self.client().server(), self.now());
                let in_any_case = under_way.is_empty() || under_way.len() < self.client().parallel();
                if !ready && !in_any_case {
                    held = Some((outcome, call));
                    break;
                }
                let server = self.client().server();
                let next_waits = waiting.peek().is_none_or(|(_, next)| next.lacks_nonce(server));
                if under_way.is_empty() && self.client().parallel() <= 1 && next_waits {
                    // Nothing to overlap with.
                    *outcome = Some(self.run(call).await);
                    continue;
                }
                under_way.push(async move { *outcome = Some(self.run(call).await) });
            }
            if under_way.next().await.is_none() {
                break;
            }
        }
        drop((under_way, waiting, held));
        outcomes.into_iter().flatten().collect()
    }
}
