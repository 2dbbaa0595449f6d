//! Many changes in few writes.
//!
//! [`plan`] decides which changes go together; [`apply`] finds the zones and makes the writes. What one
//! vendor's interface needs beyond that (locks, comparing and swapping, reading back) is its provider's part.

use std::{collections::HashMap, num::NonZeroUsize};

use perennial_core::DomainName;

use crate::{Applied, Change, DnsProvider, Error, Outcome, Zone};

/// The changes that one call of [`DnsProvider::apply`] makes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// The zone they are in.
    pub zone: Zone,
    /// The changes, in the order they were given.
    pub changes: Vec<Change>,
}

/// Groups changes by zone, and cuts each group into batches of at most `batch_max`.
///
/// Zones come in the order of their first change, and within a zone the order of the changes stays. A change
/// that was given twice is made once, unless its opposite stands in between.
///
/// ```
/// use perennial_providers::{Change, Zone, engine};
/// use std::{collections::HashMap, num::NonZeroUsize};
///
/// let zone = |apex: &str| Zone::new(apex.parse().unwrap());
/// let add = |name: &str| Change::add(name.parse().unwrap(), "v");
/// let batches = engine::plan(
///     [
///         (zone("a.example"), add("1.a.example")),
///         (zone("b.example"), add("1.b.example")),
///         (zone("a.example"), add("2.a.example")),
///         (zone("a.example"), add("3.a.example")),
///     ],
///     NonZeroUsize::new(2).unwrap(),
/// );
/// let sizes: Vec<_> = batches.iter().map(|batch| (batch.zone.apex.as_str(), batch.changes.len())).collect();
/// assert_eq!(sizes, [("a.example", 2), ("a.example", 1), ("b.example", 1)]);
/// ```
#[must_use]
pub fn plan(changes: impl IntoIterator<Item = (Zone, Change)>, batch_max: NonZeroUsize) -> Vec<Batch> {
    let mut groups: Vec<Batch> = Vec::new();
    for (zone, change) in changes {
        match groups.iter_mut().find(|group| group.zone == zone) {
            Some(group) if is_repeated(&group.changes, &change) => {}
            Some(group) => group.changes.push(change),
            None => groups.push(Batch { zone, changes: vec![change] }),
        }
    }
    groups
        .into_iter()
        .flat_map(|Batch { zone, changes }| {
            let parts: Vec<_> = changes.chunks(batch_max.get()).map(<[Change]>::to_vec).collect();
            parts.into_iter().map(move |changes| Batch { zone: zone.clone(), changes })
        })
        .collect()
}

/// Whether the last word on the same value was the same.
fn is_repeated(earlier: &[Change], change: &Change) -> bool {
    let same_value = |other: &&Change| other.name == change.name && other.value == change.value;
    earlier.iter().rev().find(same_value).is_some_and(|last| last.action == change.action)
}

/// Makes changes anywhere the provider can write: finds each name's zone, once per name, and makes as few
/// writes as the provider's [`batch_max`](crate::Capabilities::batch_max) allows.
///
/// All zones are known before the first write. When one write fails, those before it are done: repeat the
/// whole call, it finishes what is left and returns the receipts of all. The receipts come zone by zone, the
/// outcomes in the order of the changes.
///
/// # Errors
/// The first [`Error`] that the provider returned.
pub async fn apply(provider: &dyn DnsProvider, changes: &[Change]) -> Result<Applied, Error> {
    let mut zones: Vec<(&DomainName, Zone)> = Vec::new();
    let mut placed = Vec::with_capacity(changes.len());
    for change in changes {
        let known = zones.iter().find(|(name, _)| *name == &change.name);
        let zone = match known {
            Some((_, zone)) => zone.clone(),
            None => {
                let zone = provider.zone(&change.name).await?;
                zones.push((&change.name, zone.clone()));
                zone
            }
        };
        placed.push((zone, change.clone()));
    }
    let mut all = Applied::default();
    let mut known = HashMap::new();
    for batch in plan(placed, provider.capabilities().batch_max) {
        let applied = provider.apply(&batch.zone, &batch.changes).await?;
        all.receipts.extend(applied.receipts);
        all.pending.extend(applied.pending);
        for (change, outcome) in batch.changes.into_iter().zip(applied.outcomes) {
            known.insert((change.name, change.value, change.action), outcome);
        }
    }
    let outcome_of = |change: &Change| {
        let key = (change.name.clone(), change.value.clone(), change.action);
        known.get(&key).copied().unwrap_or(Outcome::Unknown)
    };
    Ok(all.with_outcomes(changes.iter().map(outcome_of)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryProvider;
    use proptest::prelude::*;

    fn zone() -> Zone {
        Zone::new("example.com".parse().unwrap())
    }

    fn change(add: bool, name: u8, value: u8) -> Change {
        let name = format!("n{name}.example.com").parse().unwrap();
        let value = format!("v{value}");
        if add { Change::add(name, value) } else { Change::remove(name, value) }
    }

    #[test]
    fn an_opposite_in_between_makes_the_second_change_count() {
        let changes = [change(true, 1, 1), change(true, 1, 1), change(false, 1, 1), change(true, 1, 1)];
        let batches = plan(changes.map(|change| (zone(), change)), NonZeroUsize::MAX);
        assert_eq!(batches[0].changes, [change(true, 1, 1), change(false, 1, 1), change(true, 1, 1)]);
    }

    #[tokio::test]
    async fn names_of_two_zones_are_written_to_each_their_own() {
        let provider =
            MemoryProvider::new(["example.com".parse().unwrap(), "a.example.com".parse().unwrap()]);
        let names: [DomainName; 2] = ["x.example.com".parse().unwrap(), "x.a.example.com".parse().unwrap()];
        let changes = names.clone().map(|name| Change::add(name, "v"));
        let applied = apply(&provider, &changes).await.unwrap();
        let zones: Vec<_> = applied.receipts.iter().map(|r| r.zone.apex.to_string()).collect();
        assert_eq!(zones, ["example.com", "a.example.com"]);
        assert_eq!(provider.names().len(), 2);
    }

    #[tokio::test]
    async fn nothing_is_written_when_one_zone_is_unknown() {
        let provider = MemoryProvider::new(["example.com".parse().unwrap()]);
        let changes = [change(true, 1, 1), Change::add("x.example.net".parse().unwrap(), "v")];
        assert!(matches!(apply(&provider, &changes).await, Err(Error::ZoneNotFound { .. })));
        assert!(provider.is_empty());
    }

    proptest! {
        #[test]
        fn a_plan_leads_where_the_single_changes_lead(
            changes in proptest::collection::vec((any::<bool>(), 0_u8..3, 0_u8..3), 0..20),
            batch_max in 1_usize..5,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let changes: Vec<_> = changes.into_iter().map(|(add, n, v)| change(add, n, v)).collect();
            let [single, planned] = [(); 2].map(|()| MemoryProvider::new([zone().apex]));
            runtime.block_on(async {
                for change in &changes {
                    single.apply(&zone(), std::slice::from_ref(change)).await.unwrap();
                }
                let batch_max = NonZeroUsize::new(batch_max).unwrap();
                for batch in plan(changes.iter().map(|change| (zone(), change.clone())), batch_max) {
                    assert!(batch.changes.len() <= batch_max.get());
                    planned.apply(&batch.zone, &batch.changes).await.unwrap();
                }
            });
            prop_assert_eq!(single.names(), planned.names());
            for name in single.names() {
                prop_assert_eq!(single.records(&name), planned.records(&name));
            }
        }
    }
}
