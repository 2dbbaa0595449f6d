//! Zones that were found a moment ago.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, WeakShared};
use perennial_core::DomainName;
use tokio::time::Instant;

use super::flights::{Flight, Home, home};
use crate::{Error, ZoneView};

/// A zone, and for how long it may be believed.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) zone: Arc<ZoneView>,
    /// The least TTL of the records that tell its name servers and their addresses.
    pub(super) ttl: Duration,
}

/// The end of a verification that is under way.
pub(super) type Verdict = Flight<Result<Held, Error>>;

/// The same while perhaps nobody waits for it any more.
type Waning = WeakShared<BoxFuture<'static, Result<Held, Error>>>;

/// Zones by their apex, so that all names of a zone share what is known of it. No lock is held while anybody waits.
#[derive(Default)]
pub(super) struct ZoneCache {
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    zones: HashMap<DomainName, Entry>,
    failures: HashMap<DomainName, (Error, Instant)>,
}

struct Entry {
    held: Held,
    found: Instant,
    /// Names of which it was shown that no cut lies between them and the apex.
    inside: HashSet<DomainName>,
    /// `None` when it has come to its end. Weak, since it goes on only while somebody wants to know; and of use in
    /// the runtime only in which it goes on.
    verification: Option<(Home, Waning)>,
}

/// What the cache knows about a name.
pub(super) enum Hit {
    /// It lies in this zone.
    Inside(Held, Option<Verdict>),
    /// It lies in this zone or in one further down.
    Near(Held, Option<Verdict>),
    /// Its zone was not found, a moment ago.
    Failed(Error),
}

/// How old may be what is taken from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// As old as its TTL allows.
    Any,
    /// As good as new: many names of one zone ask for a fresh look at once, and get one.
    New,
}

/// However long its records may be kept: zones move, and whoever changes one does not wait for days.
const LONGEST: Duration = Duration::from_secs(300);
/// RFC 9520 §3.2 wants failures to be cached for one second at least; a mended zone should be seen soon.
const FAILURE: Duration = Duration::from_secs(5);
/// What counts as new.
const NEW: Duration = Duration::from_secs(1);
/// A few hundred octets each.
const MOST: usize = 1024;
/// The names in one zone that are remembered.
const MOST_INSIDE: usize = 16_384;

impl Entry {
    fn is_alive(&self, now: Instant) -> bool {
        now.duration_since(self.found) < self.held.ttl.min(LONGEST)
    }
}

impl ZoneCache {
    /// What is known about the name from which the search begins.
    pub(super) fn get(&self, start: &DomainName, age: Age, now: Instant) -> Option<Hit> {
        let contents = self.lock();
        let young = |since: Instant| age == Age::Any || now.duration_since(since) < NEW;
        let mut at = Some(start.clone());
        while let Some(name) = at {
            if let Some(entry) = contents.zones.get(&name)
                && entry.is_alive(now)
                && young(entry.found)
            {
                let verification = match &entry.verification {
                    None => None,
                    // Nobody waited for its end: it was never verified.
                    Some((there, weak)) if *there == home() => Some(weak.upgrade()?),
                    Some(_) => return None,
                };
                let held = entry.held.clone();
                let inside = name == *start || entry.inside.contains(start);
                return Some(if inside {
                    Hit::Inside(held, verification)
                } else {
                    Hit::Near(held, verification)
                });
            }
            at = name.parent();
        }
        let (error, since) = contents.failures.get(start)?;
        (now.duration_since(*since) < FAILURE && young(*since)).then(|| Hit::Failed(error.clone()))
    }

    /// Keeps a zone that holds `start`, and every name between the two.
    pub(super) fn put(&self, start: &DomainName, held: &Held, verification: Option<&Verdict>, now: Instant) {
        let mut contents = self.lock();
        let Contents { zones, failures } = &mut *contents;
        failures.remove(start);
        let apex = &held.zone.apex;
        if zones.len() >= MOST && !zones.contains_key(apex) {
            zones.retain(|_, entry| entry.is_alive(now));
        }
        if zones.len() >= MOST && !zones.contains_key(apex) {
            return;
        }
        let known = zones.remove(apex);
        let mut entry = Entry {
            inside: known.map(|known| known.inside).unwrap_or_default(),
            held: held.clone(),
            found: now,
            verification: verification.and_then(|flight| Some((home(), flight.downgrade()?))),
        };
        entry.inside_up_to_apex(start);
        zones.insert(apex.clone(), entry);
    }

    /// Remembers that no cut lies between this name and that apex.
    pub(super) fn note_inside(&self, start: &DomainName, apex: &DomainName) {
        if let Some(entry) = self.lock().zones.get_mut(apex) {
            entry.inside_up_to_apex(start);
        }
    }

    /// Remembers for a moment that the zone of this name was not found.
    pub(super) fn put_failure(&self, start: &DomainName, error: &Error, now: Instant) {
        let failures = &mut self.lock().failures;
        if failures.len() >= MOST {
            failures.retain(|_, (_, since)| now.duration_since(*since) < FAILURE);
        }
        if failures.len() < MOST {
            failures.insert(start.clone(), (error.clone(), now));
        }
    }

    /// Forgets a zone whose servers gave trouble: its delegation may have changed.
    pub(super) fn forget(&self, apex: &DomainName) {
        self.lock().zones.remove(apex);
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // A cache is as good after a panic elsewhere as before.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn inside_up_to_apex(&mut self, start: &DomainName) {
        let mut at = Some(start.clone());
        while let Some(name) = at.filter(|name| *name != self.held.zone.apex) {
            if self.inside.len() < MOST_INSIDE {
                self.inside.insert(name.clone());
            }
            at = name.parent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn held(apex: &str, ttl: u64) -> Held {
        let zone = ZoneView { apex: name(apex), servers: vec![], evidence: vec![] };
        Held { zone: zone.into(), ttl: Duration::from_secs(ttl) }
    }

    /// The zone of a hit, with `?` where a cut may lie between.
    fn shown(cache: &ZoneCache, start: &str, age: Age, now: Instant) -> String {
        match cache.get(&name(start), age, now) {
            Some(Hit::Inside(held, _)) => held.zone.apex.to_string(),
            Some(Hit::Near(held, _)) => format!("{}?", held.zone.apex),
            Some(Hit::Failed(_)) => "failed".to_owned(),
            None => "-".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_zone_serves_all_its_names_and_says_of_which_it_is_certain() {
        let (cache, now) = (ZoneCache::default(), Instant::now());
        let get = |start| shown(&cache, start, Age::Any, now);
        cache.put(&name("a.b.example.com"), &held("example.com", 60), None, now);
        assert_eq!(
            ["example.com", "b.example.com", "a.b.example.com", "c.example.com", "x.a.b.example.com", "com"]
                .map(get),
            ["example.com", "example.com", "example.com", "example.com?", "example.com?", "-"]
        );
        cache.note_inside(&name("c.example.com"), &name("example.com"));
        cache.put(&name("sub.example.com"), &held("sub.example.com", 60), None, now);
        assert_eq!(
            ["c.example.com", "a.b.example.com", "sub.example.com", "x.sub.example.com"].map(get),
            ["example.com", "example.com", "sub.example.com", "sub.example.com?"]
        );
        cache.forget(&name("example.com"));
        assert_eq!(["c.example.com", "sub.example.com"].map(get), ["-", "sub.example.com"]);
    }

    #[tokio::test(start_paused = true)]
    async fn zones_are_kept_for_their_ttl_and_five_minutes_at_most() {
        let (cache, now) = (ZoneCache::default(), Instant::now());
        cache.put(&name("example.com"), &held("example.com", 10), None, now);
        cache.put(&name("example.org"), &held("example.org", 86_400), None, now);
        let at = |seconds, start| shown(&cache, start, Age::Any, now + Duration::from_secs(seconds));
        assert_eq!((at(9, "example.com"), at(10, "example.com")), ("example.com".into(), "-".into()));
        assert_eq!((at(299, "example.org"), at(300, "example.org")), ("example.org".into(), "-".into()));
        assert_eq!(shown(&cache, "example.com", Age::New, now), "example.com");
        assert_eq!(shown(&cache, "example.com", Age::New, now + NEW), "-");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_remembered_for_a_moment_and_end_with_a_success() {
        let (cache, now) = (ZoneCache::default(), Instant::now());
        let error = Error::NoZone { name: name("a.example.com"), tried: vec![] };
        cache.put_failure(&name("example.com"), &error, now);
        assert_eq!(shown(&cache, "example.com", Age::Any, now), "failed");
        assert_eq!(shown(&cache, "example.com", Age::New, now + NEW), "-");
        assert_eq!(shown(&cache, "example.com", Age::Any, now + FAILURE), "-");
        cache.put(&name("example.com"), &held("example.com", 0), None, now);
        assert_eq!(
            shown(&cache, "example.com", Age::Any, now),
            "-",
            "neither a failure nor a TTL of zero is kept"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_is_bounded() {
        let (cache, now) = (ZoneCache::default(), Instant::now());
        for index in 0..2 * MOST {
            let apex = format!("n{index}.example");
            cache.put(&name(&apex), &held(&apex, 60), None, now);
            cache.put_failure(&name(&apex), &Error::NoZone { name: name(&apex), tried: vec![] }, now);
        }
        assert_eq!(cache.lock().zones.len(), MOST);
        assert_eq!(cache.lock().failures.len(), MOST);
        cache.put(&name("late.example"), &held("late.example", 60), None, now + LONGEST);
        assert_eq!(cache.lock().zones.len(), 1);
        for index in 0..2 * MOST_INSIDE {
            cache.note_inside(&name(&format!("n{index}.late.example")), &name("late.example"));
        }
        assert_eq!(cache.lock().zones[&name("late.example")].inside.len(), MOST_INSIDE);
    }
}
