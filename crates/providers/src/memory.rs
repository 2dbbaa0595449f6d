//! The contract kept in memory.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Action, Applied, Capabilities, Change, DnsProvider, Error, Outcome, Receipt, TxtRecord, WriteClass, Zone,
    zone_match,
};

/// A provider whose zones are in memory: for tests, for rehearsals, and as the shortest true implementation
/// of the contract.
///
/// Clones share their records, so that a test can read what the code under test wrote.
#[derive(Clone, Debug, Default)]
pub struct MemoryProvider {
    zones: Arc<Vec<Zone>>,
    records: Arc<Mutex<Records>>,
}

/// By name, then by value.
type Records = BTreeMap<DomainName, BTreeMap<String, MemoryRecord>>;

/// A record in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryRecord {
    /// The time to live of the set it belongs to.
    pub ttl: Duration,
}

/// A minute: long enough that two look-ups of one validation share an answer, short enough that a mistake is
/// forgotten soon.
const DEFAULT_TTL: Duration = Duration::from_secs(60);

impl MemoryProvider {
    /// A provider with these zones, all empty.
    #[must_use]
    pub fn new(zones: impl IntoIterator<Item = DomainName>) -> Self {
        Self { zones: Arc::new(zones.into_iter().map(Zone::new).collect()), records: Arc::default() }
    }

    /// Puts a record there as somebody else would: a foreign sibling.
    pub fn put(&self, name: DomainName, value: impl Into<String>, ttl: Duration) {
        self.lock().entry(name).or_default().insert(value.into(), MemoryRecord { ttl });
    }

    /// The records at a name, by value.
    #[must_use]
    pub fn records(&self, name: &DomainName) -> BTreeMap<String, MemoryRecord> {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// The names that have a record.
    #[must_use]
    pub fn names(&self) -> Vec<DomainName> {
        self.lock().keys().cloned().collect()
    }

    /// Whether no record is left anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        // A batch is checked before the lock is taken, so a poisoned map is still a whole one.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, zone: &Zone) -> Result<(), Error> {
        if self.zones.contains(zone) {
            return Ok(());
        }
        Err(Error::ZoneNotFound {
            provider: KIND.to_owned(),
            name: zone.apex.clone(),
            tried: self.zones.iter().map(|zone| zone.apex.clone()).collect(),
            reason: "no such zone was given to MemoryProvider::new".to_owned(),
        })
    }
}

const KIND: &str = "memory";

#[async_trait]
impl DnsProvider for MemoryProvider {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::AtomicValue)
            .batch_max(usize::MAX)
            .propagation(Duration::ZERO, Duration::ZERO)
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, Error> {
        zone_match::longest(name, self.zones.iter()).cloned().ok_or_else(|| Error::ZoneNotFound {
            provider: KIND.to_owned(),
            name: name.clone(),
            tried: zone_match::candidates(name).collect(),
            reason: "none of them was given to MemoryProvider::new".to_owned(),
        })
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        self.known(zone)?;
        changes.iter().try_for_each(|change| change.check(KIND, zone))?;
        let mut records = self.lock();
        let mut receipts = Vec::new();
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            match change.action {
                Action::Add => {
                    let set = records.entry(change.name.clone()).or_default();
                    let of_siblings = set.values().next().map(|sibling| sibling.ttl);
                    let ttl = of_siblings.or(change.ttl).unwrap_or(DEFAULT_TTL);
                    outcomes.push(match set.entry(change.value.clone()) {
                        Entry::Occupied(_) => Outcome::AlreadyDone,
                        Entry::Vacant(place) => {
                            place.insert(MemoryRecord { ttl });
                            Outcome::Made
                        }
                    });
                    receipts.push(Receipt::new(KIND, zone, change).with_ttl(ttl));
                }
                Action::Remove => {
                    let set = records.get_mut(&change.name);
                    let removed = set.and_then(|set| set.remove(&change.value));
                    outcomes.push(if removed.is_some() { Outcome::Made } else { Outcome::AlreadyDone });
                    if records.get(&change.name).is_some_and(BTreeMap::is_empty) {
                        records.remove(&change.name);
                    }
                }
            }
        }
        Ok(Applied::new(receipts).with_outcomes(outcomes))
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        self.known(zone)?;
        Ok(self.records(name).into_keys().collect())
    }

    async fn records(&self, zone: &Zone, name: &DomainName) -> Result<Vec<TxtRecord>, Error> {
        self.known(zone)?;
        let records = Self::records(self, name).into_iter();
        Ok(records.map(|(value, record)| TxtRecord::new(value, Some(record.ttl))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn siblings_keep_their_time_to_live_and_lend_it() {
        let provider = MemoryProvider::new(["example.com".parse().unwrap()]);
        let name: DomainName = "a.example.com".parse().unwrap();
        provider.put(name.clone(), "foreign", Duration::from_secs(300));
        let zone = provider.zone(&name).await.unwrap();
        let add = Change::add(name.clone(), "ours").with_ttl(Duration::from_secs(5));
        provider.apply(&zone, &[add]).await.unwrap();
        let ttls: Vec<_> = provider.records(&name).into_values().map(|r| r.ttl.as_secs()).collect();
        assert_eq!(ttls, [300, 300]);
    }

    #[tokio::test]
    async fn a_batch_with_one_bad_change_changes_nothing() {
        let provider = MemoryProvider::new(["example.com".parse().unwrap()]);
        let name: DomainName = "a.example.com".parse().unwrap();
        let zone = provider.zone(&name).await.unwrap();
        let changes = [Change::add(name.clone(), "v"), Change::add("a.example.net".parse().unwrap(), "v")];
        assert!(matches!(provider.apply(&zone, &changes).await, Err(Error::InvalidRequest { .. })));
        assert!(provider.is_empty());
    }

    #[tokio::test]
    async fn an_unknown_zone_is_an_error_with_the_names_that_were_tried() {
        let provider = MemoryProvider::new(["example.com".parse().unwrap()]);
        let error = provider.zone(&"a.example.net".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("a.example.net, example.net, net"), "{error}");
    }
}
