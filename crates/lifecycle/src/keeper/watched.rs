//! Who wants to know of which certificates: an entry for each that somebody holds a handle of, and no other.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::watch;

use super::Issued;
use crate::{CertificateId, Error, Version};

/// What those who hold handles are told.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Issued>>,
    pub(super) trouble: Option<Error>,
    /// The record that this was read from: what another process has written is a newer one.
    pub(super) version: Option<Version>,
}

/// The certificates that somebody holds a handle of.
#[derive(Default)]
pub(super) struct Watched {
    entries: Mutex<BTreeMap<CertificateId, Entry>>,
}

struct Entry {
    state: watch::Sender<State>,
    interest: Weak<Interest>,
}

/// Somebody holds a handle.
pub(super) struct Interest {
    watched: Weak<Watched>,
    id: CertificateId,
}

impl Watched {
    /// Joins those who watch a certificate; the entry goes with the last of them.
    pub(super) fn join(self: &Arc<Self>, id: &CertificateId) -> (watch::Receiver<State>, Arc<Interest>) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(id)
            && let Some(interest) = entry.interest.upgrade()
        {
            return (entry.state.subscribe(), interest);
        }
        let interest = Arc::new(Interest { watched: Arc::downgrade(self), id: id.clone() });
        let (state, receiver) = watch::channel(State::default());
        entries.insert(id.clone(), Entry { state, interest: Arc::downgrade(&interest) });
        (receiver, interest)
    }

    /// What those who watch it know; `None` when nobody does.
    pub(super) fn known(&self, id: &CertificateId) -> Option<State> {
        self.entries().get(id).map(|entry| entry.state.borrow().clone())
    }

    pub(super) fn tell(&self, id: &CertificateId, change: impl FnOnce(&mut State)) {
        if let Some(entry) = self.entries().get(id) {
            entry.state.send_modify(change);
        }
    }

    /// Up to `most` that come after `after`, in order.
    pub(super) fn after(&self, after: Option<&CertificateId>, most: usize) -> Vec<CertificateId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries().range((from, Bound::Unbounded)).take(most).map(|(id, _)| id.clone()).collect()
    }

    /// Tells those who watch a certificate why nothing will come any more. Whoever asks for it again begins anew.
    pub(super) fn end(&self, id: &CertificateId, why: &Error) {
        let ended = self.entries().remove(id);
        if let Some(Entry { state, .. }) = ended {
            state.send_modify(|state| state.trouble = Some(why.clone()));
        }
    }

    /// Tells all that nothing will come any more.
    pub(super) fn clear(&self) {
        // Their handles leave the map when they are dropped: not under its lock.
        let ended = std::mem::take(&mut *self.entries());
        drop(ended);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<CertificateId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let Some(watched) = self.watched.upgrade() else { return };
        let mut entries = watched.entries();
        // Somebody may have come anew since.
        if entries.get(&self.id).is_some_and(|entry| entry.interest.strong_count() == 0) {
            entries.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_with_the_last_handle_and_not_before() {
        let watched = Arc::new(Watched::default());
        let id: CertificateId = "a".parse().unwrap();
        let (first, first_interest) = watched.join(&id);
        let (second, second_interest) = watched.join(&id);
        drop((first, first_interest));
        assert!(watched.known(&id).is_some());
        watched.tell(&id, |state| state.version = Some(Version::FIRST));
        assert_eq!(second.borrow().version, Some(Version::FIRST));
        drop((second, second_interest));
        assert!(watched.known(&id).is_none());
        let (old, old_interest) = watched.join(&id);
        watched.clear();
        assert!(old.has_changed().is_err(), "it was told that nothing will come");
        let (_new, _new_interest) = watched.join(&id);
        drop(old_interest);
        assert_eq!(watched.after(None, 9), [id]);
    }
}
