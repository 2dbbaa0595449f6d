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

#[tokio::test]
async fn every_law_is_kept_however_a_vendor_writes() {
    for class in LAWFUL {
        let paper = Paper::new(class);
        paper.plant(&name("a"), "foreign");
        let report = laws::check(&*lawful(&paper), &name("a")).await;
        assert!(report.is_kept(), "{class:?}\n{report}");
        assert_eq!(paper.values(&name("a")), ["foreign"], "{class:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_no_second_value_and_no_lie() {
    for class in LAWFUL {
        let paper = Paper::new(class);
        paper.plant(&name("a"), "foreign");
        let provider = lawful(&paper);
        paper.state().lose = 2;
        let applied = provider.apply(&zone(), &[Change::add(name("a"), "ours")]).await.unwrap();
        assert_eq!(applied.outcomes, [Outcome::Unknown], "{class:?}");
        assert_eq!(paper.values(&name("a")), ["foreign", "ours"], "{class:?}");
        paper.state().lose = 9;
        let error = provider.apply(&zone(), &[Change::remove(name("a"), "ours")]).await;
        // Removed by the first write; a vendor that is read afterwards shows it.
        match error {
            Ok(applied) => assert_eq!(applied.outcomes, [Outcome::Unknown], "{class:?}"),
            Err(error) => assert!(error.is_uncertain(), "{class:?}: {error}"),
        }
        assert_eq!(paper.values(&name("a")), ["foreign"], "{class:?}");
    }
}

#[tokio::test]
async fn a_set_with_a_precondition_loses_nothing_to_rivals_of_other_processes() {
    let paper = Paper::new(WriteClass::SetWithPrecondition);
    let provider = lawful(&paper);
    paper.state().rivals = 5;
    let applied = provider.apply(&zone(), &[Change::add(name("a"), "ours")]).await.unwrap();
    assert_eq!(applied.outcomes, [Outcome::Made]);
    assert_eq!(paper.values(&name("a")).len(), 6);
    // Rivals without an end are told, with the name.
    paper.state().rivals = 99;
    let error = provider.apply(&zone(), &[Change::add(name("a"), "more")]).await.unwrap_err();
    assert!(matches!(&error, Error::Conflict { what, .. } if what == "TXT at a.example.com"), "{error}");

    // Twenty writers in two processes, which no lock of ours keeps apart.
    let paper = Paper::new(WriteClass::SetWithPrecondition);
    let clients = ["one", "other"].map(|account| lawful(&Paper { account, ..paper.clone() }));
    let writes = (0..20).map(|writer| {
        let client = &clients[writer % 2];
        async move { client.apply(&zone(), &[Change::add(name("a"), format!("writer-{writer:02}"))]).await }
    });
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    assert_eq!(paper.values(&name("a")).len(), 20);
}

#[tokio::test]
async fn a_set_that_is_replaced_blindly_is_read_back_until_our_value_is_there() {
    let paper = Paper::new(WriteClass::SetReplaced);
    let provider = lawful(&paper);
    provider.apply(&zone(), &[Change::add(name("a"), "ours")]).await.unwrap();
    assert_eq!(paper.counts(), (2, 1));
    // Somebody undoes what was written, once, before it is read back.
    struct Undone(Paper, Mutex<usize>);
    #[async_trait]
    impl Vendor for Undone {
        fn kind(&self) -> &str {
            "undone"
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }
        async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
            self.0.zone_named(apex).await
        }
    }
    #[async_trait]
    impl SetApi for Undone {
        async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
            SetApi::read(&self.0, zone, name).await
        }
        async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
            let done = self.0.swap(zone, swaps).await;
            let undo = {
                let mut left = self.1.lock().unwrap();
                *left = left.saturating_sub(1);
                *left > 0
            };
            if undo {
                self.0.state().sets.clear();
                self.0.plant(&name("b"), "theirs");
            }
            done
        }
    }
    let paper = Paper::new(WriteClass::SetReplaced);
    let provider = Sets::new(Undone(paper.clone(), Mutex::new(3)), settings());
    provider.apply(&zone(), &[Change::add(name("b"), "ours")]).await.unwrap();
    assert_eq!(paper.values(&name("b")), ["ours", "theirs"]);
    assert_eq!(paper.state().writes, 3);
}

#[tokio::test]
async fn fifty_names_are_one_write_where_the_vendor_can() {
    let changes: Vec<_> = (0..50)
        .flat_map(|number| ["a", "b"].map(|value| Change::add(name(&format!("host{number}")), value)))
        .collect();
    let paper = Paper { per_write: 50, ..Paper::new(WriteClass::SetWithPrecondition) };
    let provider = lawful(&paper);
    let applied = provider.apply(&zone(), &changes).await.unwrap();
    // Nothing was there, so nothing had to be read.
    assert_eq!(paper.counts(), (0, 1));
    assert_eq!((applied.receipts.len(), applied.pending.len()), (100, 1));
    let removals: Vec<_> = applied.receipts.iter().map(crate::Receipt::removal).collect();
    provider.apply(&zone(), &removals).await.unwrap();
    assert_eq!(paper.counts(), (50, 2));
    assert!(paper.state().sets.values().all(|(set, _)| set.is_empty()));
}

#[tokio::test]
async fn waiting_ends_when_all_is_in_sync_or_the_time_is_over() {
    let paper = Paper::new(WriteClass::SetWithPrecondition);
    let provider = lawful(&paper);
    let clock = clock();
    let pending = [Pending::new("paper", &zone(), "3"), Pending::new("paper", &zone(), "0")];
    let minute = Timestamp::from_unix(1_800_000_060);
    wait_in_sync(&*provider, &pending, &clock, minute).await.unwrap();
    // Two looks, then one at what was left: four seconds apart.
    assert_eq!((paper.counts().0, clock.naps().len()), (4, 2));
    let never = [Pending::new("paper", &zone(), "999")];
    let error = wait_in_sync(&*provider, &never, &clock, minute).await.unwrap_err();
    assert!(matches!(error, Error::NotInSync { .. }), "{error}");
    assert!(error.to_string().contains("the change 999 of example.com"), "{error}");
    assert!(minute.since(Timestamp::from_unix(1_800_000_000)) <= Duration::from_secs(60));
}

#[tokio::test]
async fn those_who_ask_about_one_change_at_once_are_one_look() {
    let paper = Paper::new(WriteClass::SetWithPrecondition);
    let provider = lawful(&paper);
    let [one, other] = ["1", "0"].map(|handle| Pending::new("paper", &zone(), handle));
    let look = async |pending| join_all((0..10).map(|_| provider.in_sync(pending))).await;
    assert_eq!(look(&one).await, vec![Ok(false); 10]);
    assert_eq!(paper.counts().0, 1);
    // Who comes later looks anew, and another change is another look.
    assert_eq!(look(&one).await, vec![Ok(true); 10]);
    assert_eq!(look(&other).await, vec![Ok(true); 10]);
    assert_eq!(paper.counts().0, 3);
    // Who is dropped in the middle leaves the others to look.
    let mut first = Box::pin(provider.in_sync(&one));
    assert!((&mut first).now_or_never().is_none());
    let second = provider.in_sync(&one);
    let (_, second) = tokio::join!(async { drop(first) }, second);
    assert_eq!(second, Ok(true));
}

#[tokio::test]
async fn slots_hold_as_many_as_there_are_and_a_batch_of_more_is_refused() {
    let paper = Paper::new(WriteClass::Slots(2));
    let provider = Slots::new(paper.clone(), settings());
    let add = |value: &str| Change::add(name("a"), value);
    provider.apply(&zone(), &[add("one"), add("two")]).await.unwrap();
    let again = provider.apply(&zone(), &[add("one"), Change::remove(name("a"), "two")]).await.unwrap();
    assert_eq!(again.outcomes, [Outcome::AlreadyDone, Outcome::Made]);
    assert_eq!(paper.values(&name("a")), ["one"]);
    let error = provider.apply(&zone(), &[add("x"), add("y"), add("z")]).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let forever = Slots::new(Paper { slots_delete: false, ..paper.clone() }, settings());
    let removed = forever.apply(&zone(), &[Change::remove(name("a"), "one")]).await.unwrap();
    assert_eq!(removed.outcomes, [Outcome::Unknown]);
    assert_eq!(paper.values(&name("a")), ["one"]);
}

#[tokio::test]
async fn a_whole_zone_that_came_back_with_less_is_told_and_left_alone() {
    struct Forgetful(Paper, Mutex<bool>);
    #[async_trait]
    impl Vendor for Forgetful {
        fn kind(&self) -> &str {
            "forgetful"
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities().serial(SerialScope::Zone)
        }
        async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
            self.0.zone_named(apex).await
        }
    }
    #[async_trait]
    impl ZoneApi for Forgetful {
        async fn read(&self, zone: &Zone) -> Result<ZoneContent, Error> {
            let mut content = ZoneApi::read(&self.0, zone).await?;
            if *self.1.lock().unwrap() {
                content.records.remove(0);
            }
            Ok(content)
        }
        async fn replace(&self, zone: &Zone, old: &ZoneContent, new: &ZoneContent) -> Result<(), Error> {
            *self.1.lock().unwrap() = true;
            self.0.replace(zone, old, new).await
        }
    }
    let paper = Paper::new(WriteClass::ZoneReplaced);
    let provider = WholeZones::new(Forgetful(paper.clone(), Mutex::new(false)), settings());
    let error = provider.apply(&zone(), &[Change::add(name("a"), "v")]).await.unwrap_err();
    assert!(error.to_string().contains("was to stay") && error.to_string().contains("MX 10 mail"), "{error}");
    assert_eq!(paper.state().writes, 1);
}
