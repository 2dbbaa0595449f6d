//! What the store cannot read: asked for now and then, and told once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
};

use perennial_core::Timestamp;

use super::Inner;
use crate::{CertificateId, Event, EventKind, StoreError, store::Quarantined};

/// What could not be read when somebody looked last.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    /// Records, and when each was first seen to be unreadable.
    since: BTreeMap<CertificateId, Timestamp>,
    /// What belongs to no one certificate, by what is wrong with it.
    others: BTreeSet<String>,
}

impl Unreadable {
    /// Takes what a store names now, and returns what it did not name before. What is mended is forgotten, so that it
    /// is told again if it breaks again.
    fn learn(&mut self, named: Vec<Quarantined>, now: Timestamp) -> Vec<Quarantined> {
        let before = std::mem::take(self);
        let is_news = |one: &Quarantined| match &one.id {
            Some(id) => !before.since.contains_key(id),
            None => !before.others.contains(&one.error.to_string()),
        };
        for one in &named {
            match &one.id {
                Some(id) => {
                    let since = before.since.get(id).copied().unwrap_or(now);
                    self.since.insert(id.clone(), since);
                }
                None => drop(self.others.insert(one.error.to_string())),
            }
        }
        named.into_iter().filter(is_news).collect()
    }
}

impl Inner {
    /// Asks the store what it cannot read, and tells what it has not named before: nothing is done about such a
    /// certificate, and it must not end in silence.
    pub(super) async fn look_for_unreadable(&self) -> Result<(), StoreError> {
        let named = self.store.quarantined().await?;
        let now = self.clock.now();
        let news = self.unreadable().learn(named, now);
        for Quarantined { id, error } in news {
            self.audience.tell(Event::new(now, id, EventKind::Quarantined { message: error.to_string() }));
        }
        Ok(())
    }

    /// Since when a record is known to be unreadable.
    pub(super) fn unreadable_since(&self, id: &CertificateId) -> Timestamp {
        let since = self.unreadable().since.get(id).copied();
        since.unwrap_or_else(|| self.clock.now())
    }

    fn unreadable(&self) -> MutexGuard<'_, Unreadable> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: Option<&str>, reason: &str) -> Quarantined {
        let id = id.map(|id| id.parse().unwrap());
        Quarantined {
            id,
            error: StoreError::Damaged { path: "record.json".into(), reason: reason.to_owned() },
        }
    }

    #[test]
    fn each_is_told_once_and_again_after_it_was_mended() {
        let at = Timestamp::from_unix;
        let mut known = Unreadable::default();
        let (a, b, log) = (named(Some("a"), "x"), named(Some("b"), "x"), named(None, "log"));
        let both = vec![a.clone(), log.clone()];
        assert_eq!(known.learn(both.clone(), at(1)), both);
        assert_eq!(known.learn(both, at(2)), []);
        let worse = named(Some("a"), "another reason is no news");
        let news = known.learn(vec![worse, b.clone()], at(3));
        assert_eq!(news, std::slice::from_ref(&b));
        assert_eq!(
            known.since,
            BTreeMap::from([("a".parse().unwrap(), at(1)), ("b".parse().unwrap(), at(3))])
        );
        assert_eq!(known.learn(vec![b], at(4)), []);
        assert_eq!(known.learn(vec![a.clone(), log.clone()], at(5)), [a, log]);
    }
}
