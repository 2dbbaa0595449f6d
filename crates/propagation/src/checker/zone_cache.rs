//! Zones that were found a moment ago.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use perennial_core::DomainName;
use tokio::time::Instant;

use crate::{ZoneView, zone::cut};

/// Zones by the name that was asked about to find them, so that the challenges of one zone's names share what
/// they can share. No lock is held while anybody waits.
#[derive(Debug, Default)]
pub(super) struct ZoneCache {
    zones: Mutex<HashMap<DomainName, Entry>>,
}

#[derive(Debug)]
struct Entry {
    zone: ZoneView,
    found: Instant,
}

/// Shorter than the TTL of any sane NS record, longer than a batch of orders takes to look at their zones.
const LIFE: Duration = Duration::from_secs(60);
/// A few hundred octets each.
const MOST: usize = 1024;

impl ZoneCache {
    pub(super) fn get(&self, name: &DomainName, now: Instant) -> Option<ZoneView> {
        let zones = self.lock();
        let entry = zones.get(&cut::start(name)?)?;
        (now.duration_since(entry.found) < LIFE).then(|| entry.zone.clone())
    }

    pub(super) fn put(&self, name: &DomainName, zone: ZoneView, now: Instant) {
        let Some(start) = cut::start(name) else { return };
        let mut zones = self.lock();
        if zones.len() >= MOST {
            zones.retain(|_, entry| now.duration_since(entry.found) < LIFE);
        }
        if zones.len() < MOST {
            zones.insert(start, Entry { zone, found: now });
        }
    }

    /// Forgets a zone whose servers gave trouble: its delegation may have changed.
    pub(super) fn forget(&self, name: &DomainName) {
        if let Some(start) = cut::start(name) {
            self.lock().remove(&start);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DomainName, Entry>> {
        // A cache is as good after a panic elsewhere as before.
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn zones_are_shared_by_siblings_and_forgotten_in_time() {
        let cache = ZoneCache::default();
        let zone = ZoneView { apex: name("example.com"), servers: vec![], evidence: vec![] };
        let start = Instant::now();
        cache.put(&name("_acme-challenge.www.example.com"), zone.clone(), start);
        assert_eq!(cache.get(&name("_validation-persist.www.example.com"), start), Some(zone.clone()));
        assert_eq!(cache.get(&name("_acme-challenge.example.com"), start), None);
        assert_eq!(cache.get(&name("_acme-challenge.www.example.com"), start + LIFE), None);
        cache.forget(&name("_acme-challenge.www.example.com"));
        assert_eq!(cache.get(&name("_acme-challenge.www.example.com"), start), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_is_bounded() {
        let cache = ZoneCache::default();
        let zone = ZoneView { apex: name("example.com"), servers: vec![], evidence: vec![] };
        let start = Instant::now();
        for index in 0..2 * MOST {
            cache.put(&name(&format!("a.n{index}.example.com")), zone.clone(), start);
        }
        assert_eq!(cache.lock().len(), MOST);
        cache.put(&name("a.late.example.com"), zone, start + LIFE);
        assert_eq!(cache.lock().len(), 1);
    }
}
