//! The laws hold for the provider that keeps them, and catch those that do not.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::*;
use crate::{Action, Applied, Capabilities, Change, MemoryProvider, Receipt, WriteClass, Zone, txt};

/// What is wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Removing one value removes the whole set.
    RemovesTheSet,
    /// Removing takes the first value there is, whatever was asked.
    IgnoresTheValue,
    /// Adding replaces the set.
    ReplacesTheSet,
    /// Adding what is there makes a second record.
    Duplicates,
    /// Removing what is absent is an error.
    AbsentIsAnError,
    /// Reads the set, lets others run, writes the set back.
    LosesUpdates,
    /// Values are compared without regard to case.
    IgnoresCase,
    /// Long values are cut.
    Cuts,
    /// Echoes values in quotes, as the vendor's interface does.
    EchoesQuotes,
    /// Looks the value up in the whole zone.
    ForgetsTheName,
    /// Puts the apex behind every name.
    RelativeNames,
    /// No receipt for a value that was there.
    ForgetsReceipts,
    /// Writes wherever it is told to.
    NoLimits,
}

/// A provider with a fault. Its set of records is a list, as many vendors' is.
struct Faulty {
    fault: Fault,
    zone: Zone,
    records: Mutex<BTreeMap<DomainName, Vec<String>>>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { fault, zone: Zone::new("example.com".parse().unwrap()), records: Mutex::default() }
    }

    fn key(&self, name: &DomainName) -> DomainName {
        match self.fault {
            Fault::RelativeNames => format!("{name}.{}", self.zone.apex).parse().unwrap(),
            _ => name.clone(),
        }
    }

    fn set(&self, key: &DomainName) -> Vec<String> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    fn add(&self, set: &mut Vec<String>, value: &str) {
        if self.fault == Fault::ReplacesTheSet {
            set.clear();
        }
        if self.fault == Fault::Duplicates || !set.iter().any(|other| self.same(other, value)) {
            let length = if self.fault == Fault::Cuts { value.len().min(255) } else { value.len() };
            set.push(value[..length].to_owned());
        }
    }

    fn remove(&self, set: &mut Vec<String>, value: &str) -> Result<(), Error> {
        let place = set.iter().position(|other| self.same(other, value));
        match (self.fault, place) {
            (Fault::AbsentIsAnError, None) => {
                let reason = "no such record".to_owned();
                return Err(Error::InvalidRequest { provider: "faulty".into(), reason, fault: None });
            }
            (Fault::RemovesTheSet, _) => set.clear(),
            (Fault::IgnoresTheValue, _) if !set.is_empty() => drop(set.remove(0)),
            (_, Some(place)) => drop(set.remove(place)),
            (_, None) => {}
        }
        Ok(())
    }

    fn same(&self, one: &str, other: &str) -> bool {
        if self.fault == Fault::IgnoresCase { one.eq_ignore_ascii_case(other) } else { one == other }
    }
}

#[async_trait]
impl DnsProvider for Faulty {
    fn kind(&self) -> &str {
        "faulty"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::SetReplaced).batch_max(10)
    }

    async fn zone(&self, _: &DomainName) -> Result<Zone, Error> {
        Ok(self.zone.clone())
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        if self.fault != Fault::NoLimits {
            changes.iter().try_for_each(|change| change.check("faulty", zone))?;
        }
        let mut receipts = Vec::new();
        for change in changes {
            let key = self.key(&change.name);
            let mut set = self.set(&key);
            if self.fault == Fault::LosesUpdates {
                tokio::task::yield_now().await;
            }
            match change.action {
                Action::Add => {
                    if self.fault != Fault::ForgetsReceipts || !set.contains(&change.value) {
                        receipts.push(Receipt::new("faulty", zone, change));
                    }
                    self.add(&mut set, &change.value);
                }
                Action::Remove => self.remove(&mut set, &change.value)?,
            }
            let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            if change.action == Action::Remove && self.fault == Fault::ForgetsTheName {
                records.values_mut().for_each(|set| set.retain(|value| *value != change.value));
            } else {
                records.insert(key, set);
            }
        }
        Ok(Applied::new(receipts))
    }

    async fn values(&self, _: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        // What a vendor shows is read by absolute names, whatever the writing did.
        let shown = self.set(name).into_iter();
        let quoted =
            |value: String| if self.fault == Fault::EchoesQuotes { txt::quote(&value) } else { value };
        Ok(shown.map(quoted).collect())
    }
}

fn scratch() -> DomainName {
    "_scratch.example.com".parse().unwrap()
}

async fn broken(fault: Fault) -> Vec<Law> {
    let report = check(&Faulty::new(fault), &scratch()).await;
    report.breaches().map(|(law, _)| law).collect()
}

#[tokio::test]
async fn a_provider_without_a_fault_keeps_all_laws() {
    assert_eq!(broken(Fault::None).await, []);
}

#[tokio::test]
async fn foreign_siblings_are_there_before_and_after() {
    let provider = MemoryProvider::new(["example.com".parse().unwrap()]);
    provider.put(scratch(), "foreign", Duration::from_secs(300));
    let report = check(&provider, &scratch()).await;
    assert!(report.is_kept(), "{report}");
    assert_eq!(provider.records(&scratch()).keys().collect::<Vec<_>>(), ["foreign"]);
    assert_eq!(provider.names(), [scratch()]);
}

#[tokio::test]
async fn a_provider_that_removes_the_whole_set_is_caught() {
    let laws = broken(Fault::RemovesTheSet).await;
    assert!(laws.contains(&Law::RemoveTakesOneValue), "{laws:?}");
    assert!(laws.contains(&Law::WritersConverge), "{laws:?}");
}

#[tokio::test]
async fn a_provider_that_ignores_the_value_is_caught() {
    let laws = broken(Fault::IgnoresTheValue).await;
    assert!(laws.contains(&Law::RemoveTakesOneValue), "{laws:?}");
    assert!(laws.contains(&Law::RemoveOfAbsentIsNothing), "{laws:?}");
}

#[tokio::test]
async fn each_other_fault_breaks_the_law_that_forbids_it() {
    for (fault, law) in [
        (Fault::ReplacesTheSet, Law::ValuesCoexist),
        (Fault::Duplicates, Law::AddIsIdempotent),
        (Fault::AbsentIsAnError, Law::RemoveOfAbsentIsNothing),
        (Fault::LosesUpdates, Law::WritersConverge),
        (Fault::IgnoresCase, Law::CaseMatters),
        (Fault::Cuts, Law::LongValueIsWhole),
        (Fault::EchoesQuotes, Law::AddedIsThere),
        (Fault::ForgetsTheName, Law::NamesAreApart),
        (Fault::RelativeNames, Law::NamesAreAbsolute),
        (Fault::ForgetsReceipts, Law::ReceiptsAreComplete),
        (Fault::NoLimits, Law::ZoneIsTheLimit),
    ] {
        let laws = broken(fault).await;
        assert!(laws.contains(&law), "{fault:?} should break {law:?}, broke {laws:?}");
    }
}

#[tokio::test]
async fn a_report_says_what_was_seen() {
    let report = check(&Faulty::new(Fault::RemovesTheSet), &scratch()).await;
    let text = report.to_string();
    assert!(text.contains("faulty: AddedIsThere: kept"), "{text}");
    assert!(
        text.contains(
            "faulty: RemoveTakesOneValue: BROKEN: after removing the second of two values: expected \
             [\"perennial-law-a\"] at _scratch.example.com, found []"
        ),
        "{text}"
    );
}
