//! Locks by name, shared by the whole process: two clients of one vendor are kept apart as clones are.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex as SyncMutex, PoisonError, Weak},
};

use tokio::sync::{Mutex, OwnedMutexGuard};

static LOCKS: LazyLock<SyncMutex<HashMap<String, Weak<Mutex<()>>>>> = LazyLock::new(SyncMutex::default);

/// Takes all of these locks, in an order that nobody takes the other way round.
pub(super) async fn all(mut keys: Vec<String>) -> Vec<OwnedMutexGuard<()>> {
    keys.sort();
    keys.dedup();
    let mut guards = Vec::with_capacity(keys.len());
    for key in keys {
        guards.push(named(key).lock_owned().await);
    }
    guards
}

fn named(key: String) -> Arc<Mutex<()>> {
    let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
        return lock;
    }
    // Nobody holds what is swept here, and it is made anew when it is wanted.
    if locks.len() >= SWEEP_AT {
        locks.retain(|_, lock| lock.strong_count() > 0);
    }
    let lock = Arc::new(Mutex::new(()));
    locks.insert(key, Arc::downgrade(&lock));
    lock
}

/// Names come and go with certificates; their locks need not stay.
const SWEEP_AT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("test of locks {name}")).collect()
    }

    #[tokio::test]
    async fn one_key_at_a_time_and_the_same_key_twice_is_once() {
        let held = all(keys(&["a", "b", "a"])).await;
        assert_eq!(held.len(), 2);
        assert!(all(keys(&["b", "c"])).now_or_never().is_none());
        assert!(all(keys(&["c"])).now_or_never().is_some());
        drop(held);
        assert!(all(keys(&["c", "b", "a"])).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_nobody_holds_is_swept() {
        for number in 0..3 * SWEEP_AT {
            drop(all(keys(&[&format!("swept {number}")])).await);
        }
        assert!(LOCKS.lock().unwrap().len() <= SWEEP_AT + 100);
    }
}
