//! Work that many want done at once, and that is done once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use tokio::runtime::{self, Handle};

/// What is under way, by what it is about and the runtime in which it goes on.
///
/// Whoever waits for a piece of work drives it, so it goes on as long as anybody waits, whoever began it, and ends
/// with the last. But timers belong to the runtime that polled them first: they stand still with it, and panic once
/// it is gone. So nobody waits for another runtime's work. No lock is held while anybody waits.
pub(super) struct Flights<K, T: Clone>(Mutex<Flying<K, T>>);

type Flying<K, T> = HashMap<(Home, K), WeakShared<BoxFuture<'static, T>>>;

/// The runtime in which a piece of work goes on.
pub(super) type Home = Option<runtime::Id>;

/// Where the present task runs.
pub(super) fn home() -> Home {
    Handle::try_current().ok().map(|handle| handle.id())
}

/// A piece of work that several may wait for.
pub(super) type Flight<T> = Shared<BoxFuture<'static, T>>;

impl<K: Clone + Eq + Hash, T: Clone> Flights<K, T> {
    /// The work about `key`, begun by `begin` unless it is under way already.
    pub(super) fn join(&self, key: &K, begin: impl FnOnce() -> BoxFuture<'static, T>) -> Flight<T> {
        let key = (home(), key.clone());
        let mut flying = self.lock();
        if let Some(flight) = flying.get(&key).and_then(WeakShared::upgrade) {
            return flight;
        }
        let flight = begin().shared();
        if let Some(weak) = flight.downgrade() {
            flying.retain(|_, weak| weak.upgrade().is_some());
            flying.insert(key, weak);
        }
        flight
    }

    fn lock(&self) -> MutexGuard<'_, Flying<K, T>> {
        // A map of what goes on is as good after a panic elsewhere as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    #[tokio::test(start_paused = true)]
    async fn work_is_done_once_goes_on_without_who_began_it_and_is_not_kept() {
        let flights = Flights::<&str, usize>::default();
        let begun = Arc::new(AtomicUsize::new(0));
        let join = |key| {
            let begun = begun.clone();
            flights.join(&key, move || {
                async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    begun.fetch_add(1, Ordering::Relaxed)
                }
                .boxed()
            })
        };
        let mut first = join("zone");
        let second = join("zone");
        assert!(futures_util::poll!(&mut first).is_pending());
        drop(first);
        assert_eq!((second.await, join("other").await, join("zone").await), (0, 1, 2));
    }
}
