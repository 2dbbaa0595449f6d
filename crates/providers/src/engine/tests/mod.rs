//! Each way of writing over a vendor in memory, with rivals, lost answers and slow reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{FutureExt as _, future::join_all};
use perennial_core::{DomainName, Timestamp};
use perennial_testkit::SkippingClock;

use super::*;
use crate::{
    Action, Capabilities, Change, DnsProvider, Error, Outcome, Pending, SerialScope, WriteClass, Zone, laws,
};

mod every_way;
mod in_sync;
mod sets;
mod slots;
mod whole_zones;

/// What a vendor in memory has, and what goes wrong with it next.
#[derive(Default)]
struct State {
    /// By name: the values with their raw forms, and how often the set has changed.
    sets: BTreeMap<DomainName, (Vec<(String, String)>, u64)>,
    reads: usize,
    writes: usize,
    /// So many writes are made and their answers lost.
    lose: usize,
    /// Before so many writes somebody else adds a value.
    rivals: usize,
}

#[derive(Clone)]
struct Paper {
    class: WriteClass,
    slots_delete: bool,
    per_write: usize,
    account: &'static str,
    state: Arc<Mutex<State>>,
}

fn zone() -> Zone {
    Zone::new("example.com".parse().unwrap())
}

fn name(label: &str) -> DomainName {
    format!("{label}.example.com").parse().unwrap()
}

impl Paper {
    fn new(class: WriteClass) -> Self {
        Self { class, slots_delete: true, per_write: 1, account: "", state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often was read and written.
    fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.reads, state.writes)
    }

    fn plant(&self, at: &DomainName, value: &str) {
        let mut state = self.state();
        let (set, version) = state.sets.entry(at.clone()).or_default();
        set.push((value.to_owned(), format!("raw {value}")));
        *version += 1;
    }

    fn values(&self, at: &DomainName) -> Vec<String> {
        let mut values: Vec<_> = self
            .state()
            .sets
            .get(at)
            .map_or(Vec::new(), |(set, _)| set.iter().map(|(it, _)| it.clone()).collect());
        values.sort();
        values
    }

    /// What happens around every write: others come first, and answers get lost.
    fn write<T>(
        &self,
        at: &DomainName,
        write: impl FnOnce(&mut State) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let rival = {
            let mut state = self.state();
            state.writes += 1;
            let rival = state.rivals;
            state.rivals = rival.saturating_sub(1);
            rival
        };
        if rival > 0 {
            self.plant(at, &format!("rival {rival}"));
        }
        let mut state = self.state();
        let written = write(&mut state)?;
        if state.lose > 0 {
            state.lose -= 1;
            let reason = "lost".to_owned();
            return Err(Error::Network { provider: "paper".into(), server: "it".into(), reason });
        }
        Ok(written)
    }
}

#[async_trait]
impl Vendor for Paper {
    fn kind(&self) -> &str {
        "paper"
    }

    fn capabilities(&self) -> Capabilities {
        let capabilities = Capabilities::new(self.class).batch_max(100).reports_in_sync();
        let capabilities = capabilities.propagation(Duration::from_secs(4), Duration::from_secs(60));
        if self.slots_delete { capabilities } else { capabilities.without_deletes() }
    }

    fn account(&self) -> String {
        format!("{:p} {}", Arc::as_ptr(&self.state), self.account)
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        Ok((*apex == zone().apex).then(zone))
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        // Others get their turn while this one is under way.
        tokio::task::yield_now().await;
        // The handle is how many looks it takes.
        let looks = self.state().reads;
        self.state().reads += 1;
        Ok(looks >= pending.handle.parse().unwrap())
    }
}

fn conflict() -> Error {
    Error::Conflict { provider: "paper".into(), what: "a set".into(), fault: None }
}

#[async_trait]
impl SetApi for Paper {
    fn sets_per_write(&self) -> usize {
        self.per_write
    }

    async fn read(&self, _: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        // Others get their turn between a read and what follows from it.
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.reads += 1;
        let Some((set, version)) = state.sets.get(name) else { return Ok(RecordSet::empty(name.clone())) };
        let members = set.iter().map(|(value, raw)| Member::echoed(value, raw)).collect();
        let set = RecordSet::new(name.clone(), members, Some(Duration::from_secs(300)));
        Ok(set.with_version(version.to_string()))
    }

    async fn swap(&self, _: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        tokio::task::yield_now().await;
        assert!(swaps.len() <= self.per_write);
        let checked = self.class == WriteClass::SetWithPrecondition;
        self.write(&swaps[0].new.name.clone(), |state| {
            for Swap { old, .. } in swaps {
                let there = state.sets.get(&old.name).filter(|(set, _)| !set.is_empty());
                let version = there.map(|(_, version)| version.to_string());
                if checked && version != old.version {
                    return Err(conflict());
                }
            }
            for Swap { new, .. } in swaps {
                let (set, version) = state.sets.entry(new.name.clone()).or_default();
                *set = new
                    .members
                    .iter()
                    .map(|it| {
                        (it.value.clone(), it.raw.clone().unwrap_or_else(|| format!("raw {}", it.value)))
                    })
                    .collect();
                *version += 1;
            }
            Ok(Some("2".to_owned()))
        })
    }
}

#[async_trait]
impl ValueApi for Paper {
    async fn values(&self, _: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        Ok(Self::values(self, name))
    }

    async fn write(&self, _: &Zone, edits: &[Edit]) -> Result<Written, Error> {
        let outcomes = Self::write(self, &edits[0].name, |state| {
            let mut outcomes = Vec::new();
            for edit in edits {
                let (set, _) = state.sets.entry(edit.name.clone()).or_default();
                let there = set.iter().position(|(value, _)| *value == edit.value);
                outcomes.push(match (edit.action, there) {
                    (Action::Add, None) => {
                        set.push((edit.value.clone(), String::new()));
                        Outcome::Made
                    }
                    (Action::Remove, Some(place)) => {
                        set.remove(place);
                        Outcome::Made
                    }
                    _ => Outcome::AlreadyDone,
                });
            }
            Ok(outcomes)
        })?;
        Ok(Written { outcomes, pending: None })
    }
}

#[async_trait]
impl ZoneApi for Paper {
    async fn read(&self, _: &Zone) -> Result<ZoneContent, Error> {
        tokio::task::yield_now().await;
        let mut records = vec![ZoneRecord::Other { raw: "MX 10 mail".to_owned() }];
        for (name, (set, _)) in &self.state().sets {
            records.extend(set.iter().map(|(value, raw)| ZoneRecord::Txt {
                name: name.clone(),
                value: value.clone(),
                raw: raw.clone(),
            }));
        }
        Ok(ZoneContent::new(records))
    }

    async fn replace(&self, _: &Zone, old: &ZoneContent, new: &ZoneContent) -> Result<(), Error> {
        tokio::task::yield_now().await;
        assert!(new.records.contains(&old.records[0]), "the record that is none of our business is gone");
        Self::write(self, &name("x"), |state| {
            state.sets.clear();
            for record in &new.records {
                let (ZoneRecord::New { name, value, .. } | ZoneRecord::Txt { name, value, .. }) = record
                else {
                    continue;
                };
                let (set, _) = state.sets.entry(name.clone()).or_default();
                set.push((value.clone(), format!("raw {value}")));
            }
            Ok(())
        })
    }
}

#[async_trait]
impl SlotApi for Paper {
    async fn values(&self, _: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        Ok(Self::values(self, name))
    }

    async fn put(&self, _: &Zone, name: &DomainName, value: &str, _: Duration) -> Result<(), Error> {
        Self::write(self, name, |state| {
            let (set, _) = state.sets.entry(name.clone()).or_default();
            set.push((value.to_owned(), String::new()));
            let surplus = set.len().saturating_sub(2);
            set.drain(..surplus);
            Ok(())
        })
    }

    async fn clear(&self, _: &Zone, name: &DomainName, value: &str) -> Result<(), Error> {
        Self::write(self, name, |state| {
            state.sets.entry(name.clone()).or_default().0.retain(|(it, _)| it != value);
            Ok(())
        })
    }
}

fn clock() -> SkippingClock {
    SkippingClock::new(Timestamp::from_unix(1_800_000_000))
}

fn settings() -> Settings {
    Settings::new().clock(Arc::new(clock()))
}

/// The ways of writing that can keep every law.
fn lawful(paper: &Paper) -> Arc<dyn DnsProvider> {
    match paper.class {
        WriteClass::AtomicValue => Arc::new(Values::new(paper.clone(), settings())),
        WriteClass::ZoneReplaced => Arc::new(WholeZones::new(paper.clone(), settings())),
        _ => Arc::new(Sets::new(paper.clone(), settings())),
    }
}

const LAWFUL: [WriteClass; 4] = [
    WriteClass::AtomicValue,
    WriteClass::SetReplaced,
    WriteClass::SetWithPrecondition,
    WriteClass::ZoneReplaced,
];
