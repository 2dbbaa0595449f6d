//! Whose turn it is with a certificate: two passes at once in one process would order two certificates.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::CertificateId;

/// The certificates that somebody works on or waits for.
#[derive(Default)]
pub(super) struct Turns {
    locks: Mutex<HashMap<CertificateId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Turns {
    /// Waits for the turn of a certificate.
    pub(super) async fn wait(self: &Arc<Self>, id: &CertificateId) -> Turn {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(id.clone()).or_default().clone()
        };
        let leaving = Leaving { turns: self.clone(), id: id.clone() };
        Turn { _guard: lock.lock_owned().await, _leaving: leaving }
    }
}

/// One's turn, until it is dropped.
pub(super) struct Turn {
    // The lock is freed before it is looked for who wants it.
    _guard: OwnedMutexGuard<()>,
    _leaving: Leaving,
}

/// Forgets a lock that nobody has or waits for.
struct Leaving {
    turns: Arc<Turns>,
    id: CertificateId,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut locks = self.turns.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever takes one out of the map does it under its lock, and holds it for as long as he cares.
        if locks.get(&self.id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_taken_one_after_the_other_and_nothing_is_left_of_them() {
        let turns = Arc::new(Turns::default());
        let id: CertificateId = "a".parse().unwrap();
        let first = turns.wait(&id).await;
        let second = tokio::spawn({
            let (turns, id) = (turns.clone(), id.clone());
            async move { drop(turns.wait(&id).await) }
        });
        let given_up = turns.wait(&id);
        tokio::select! {
            biased;
            _ = given_up => panic!("two at once"),
            () = tokio::task::yield_now() => {}
        }
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap();
        assert!(turns.locks.lock().unwrap().is_empty());
    }
}
