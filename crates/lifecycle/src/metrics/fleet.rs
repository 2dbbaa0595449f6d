//! All certificates, as far as a scrape has to know them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use perennial_core::{Clock, Timestamp};
use tokio::sync::watch;

use super::{
    Detail, Settings,
    groups::{Group, Groups},
    table::{Flags, Moment, Row, Table},
};
use crate::{
    ConditionReason, Holding, IssueErrorClass, IssuerName, Material, Record, Workload,
    budget::{Bucket, BudgetKey},
    conditions,
    keeper::Standing,
    renews_at,
};

/// All certificates, as far as a scrape has to know them: written by whoever writes records, read by scrapes.
pub(super) struct Fleet {
    clock: Arc<dyn Clock>,
    pub(super) settings: Settings,
    known: Mutex<Known>,
}

/// What is known, of which a scrape takes a copy: that costs a few pointers for each 256 certificates.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) table: Table,
    pub(super) groups: Groups,
    /// Failed attempts by certificate and class, of those that have failed since the start.
    pub(super) errors: Arc<HashMap<String, Errors>>,
    /// Those that were counted without their certificate's name.
    pub(super) nameless_errors: Errors,
    pub(super) buckets: BTreeMap<BudgetKey, Bucket>,
    pub(super) quarantined: u64,
    pub(super) claimed_at: Option<Timestamp>,
    pub(super) workload: Option<watch::Receiver<Workload>>,
    pub(super) standing: Option<Standing>,
}

/// Failed attempts by class, in the order of [`CLASSES`].
pub(super) type Errors = [u64; CLASSES.len()];

/// All classes of failures, with the words that labels have for them.
pub(super) const CLASSES: [(IssueErrorClass, &str); 6] = [
    (IssueErrorClass::Auth, "auth"),
    (IssueErrorClass::Contract, "contract"),
    (IssueErrorClass::Local, "local"),
    (IssueErrorClass::Policy, "policy"),
    (IssueErrorClass::Transient, "transient"),
    (IssueErrorClass::Validation, "validation"),
];

/// The word of a class.
pub(super) fn class_label(class: IssueErrorClass) -> &'static str {
    CLASSES.iter().find(|(known, _)| *known == class).map_or("other", |(_, word)| *word)
}

/// For so many certificates failures are counted by name: a CA that fails a million of them must not cost a
/// million series.
const MOST_NAMED_ERRORS: usize = 10_000;

impl Fleet {
    pub(super) fn new(clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self { clock, settings, known: Mutex::default() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A panic in another thread left it whole: each change is one call.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now; nobody waits for who reads it.
    pub(super) fn snapshot(&self) -> Known {
        self.known().clone()
    }

    /// Takes a record as it is now, and tells whether its issuer is one that was not known.
    pub(super) fn note(&self, record: &Record) -> Option<IssuerName> {
        let group = self.settings.group_of(record);
        let now = self.now();
        let mut known = self.known();
        let groups = known.groups.len();
        let issuer = group.issuer.clone();
        let row = Row { group: known.groups.number(group), ..row(record, now) };
        known.table.set(record.id().as_str(), row);
        (known.groups.len() > groups).then_some(issuer)
    }

    /// Takes note that a record cannot be read.
    pub(super) fn note_unreadable(&self, id: &str) {
        let mut known = self.known();
        let group = known.groups.number(Group {
            namespace: String::new(),
            issuer: IssuerName::default(),
            issuer_kind: String::new(),
            issuer_group: String::new(),
        });
        let never = Moment::new(None);
        let flags = Flags::default().with(Flags::UNREADABLE, true);
        let row = Row { not_before: never, not_after: never, renews_at: never, flags, group };
        known.table.set(id, row);
    }

    /// Forgets a certificate that is gone, and what was counted of it.
    pub(super) fn forget(&self, id: &str) {
        let mut known = self.known();
        known.table.remove(id);
        if known.errors.contains_key(id) {
            Arc::make_mut(&mut known.errors).remove(id);
        }
    }

    /// Forgets the certificates between two that a store has not listed: after `after`, up to `until`.
    pub(super) fn keep_listed<'a>(
        &self,
        after: Option<&str>,
        until: Option<&str>,
        listed: impl Iterator<Item = &'a str>,
    ) {
        let there: std::collections::HashSet<&str> = listed.collect();
        let known = self.known().table.between(after, until);
        known.iter().filter(|id| !there.contains(id.as_str())).for_each(|id| self.forget(id));
    }

    pub(super) fn note_bucket(&self, key: &BudgetKey, bucket: Bucket) {
        if self.settings.budgets.contains_key(key) {
            self.known().buckets.insert(key.clone(), bucket);
        }
    }

    pub(super) fn note_quarantined(&self, count: usize) {
        self.known().quarantined = u64::try_from(count).unwrap_or(u64::MAX);
    }

    pub(super) fn note_look(&self) {
        let now = self.now();
        self.known().claimed_at = Some(now);
    }

    pub(super) fn watch(&self, workload: watch::Receiver<Workload>, standing: Standing) {
        let mut known = self.known();
        (known.workload, known.standing) = (Some(workload), Some(standing));
    }

    /// Counts a failed attempt, by name as long as there are few.
    pub(super) fn count_error(&self, id: Option<&str>, class: IssueErrorClass) {
        let Some(class) = CLASSES.iter().position(|(known, _)| *known == class) else { return };
        let mut known = self.known();
        let named = id.filter(|id| known.errors.contains_key(*id) || known.errors.len() < MOST_NAMED_ERRORS);
        let counts = match named.filter(|_| self.settings.detail != Some(Detail::None)) {
            Some(id) => Arc::make_mut(&mut known.errors).entry(id.to_owned()).or_default(),
            None => &mut known.nameless_errors,
        };
        if let Some(count) = counts.get_mut(class) {
            *count += 1;
        }
    }

    /// Who is to issue a certificate.
    pub(super) fn issuer_of(&self, id: &str) -> Option<IssuerName> {
        let known = self.known();
        let row = known.table.get(id)?;
        known.groups.get(row.group).map(|group| group.issuer.clone())
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("certificates", &self.known().table.len()).finish_non_exhaustive()
    }
}

/// Whether something was tried in vain, with whomever, or may not be tried.
fn is_failing(record: &Record) -> bool {
    record.failures.is_some()
        || !record.elsewhere.is_empty()
        || record.undelivered.is_some()
        || record.reloads.values().any(Option::is_some)
        || record.denied.is_some()
}

/// What a record says that a scrape has to know; of key and chain it says how they were found last.
fn row(record: &Record, now: Timestamp) -> Row {
    let current = record.current.as_ref();
    let found = current.map_or(Material::Missing, |current| current.found);
    let ready = conditions(record, found, now).ready.reason;
    let flags = Flags::default()
        .with(Flags::WANTED, matches!(ready, ConditionReason::Ready | ConditionReason::Expired))
        .with(Flags::FAILING, is_failing(record))
        .with(Flags::ISSUING, record.attempt.is_some());
    let renews_at =
        current.map(|current| renews_at(&record.spec, &Holding::new(current, Material::Whole), now));
    Row {
        not_before: Moment::new(current.map(|current| current.facts.not_before)),
        not_after: Moment::new(current.map(|current| current.facts.not_after)),
        renews_at: Moment::new(renews_at),
        flags,
        group: 0,
    }
}

#[cfg(test)]
mod tests {
    use perennial_core::SystemClock;
    use prometheus_client::{encoding::text, registry::Registry};

    use super::*;
    use crate::metrics::scrape::Scrape;

    fn fleet() -> Fleet {
        Fleet::new(Arc::new(SystemClock::new()), Settings::default())
    }

    #[test]
    fn failures_of_more_certificates_than_have_names_are_counted_without_one() {
        let fleet = fleet();
        for number in 0..MOST_NAMED_ERRORS + 5 {
            fleet.count_error(Some(&format!("c{number}")), IssueErrorClass::Auth);
        }
        fleet.count_error(Some("c0"), IssueErrorClass::Auth);
        let known = fleet.snapshot();
        assert_eq!((known.errors.len(), known.errors["c0"][0]), (MOST_NAMED_ERRORS, 2));
        assert_eq!(known.nameless_errors[0], 5);
    }

    #[test]
    fn a_workload_is_shown_by_what_its_certificates_do() {
        let fleet = Arc::new(fleet());
        let (next_look, store_answers) = (Timestamp::MAX, true);
        let workload = Workload { waiting: 1, running: 2, parked: 3, next_look, store_answers };
        let (_keeper, shown) = watch::channel(workload);
        fleet.known().workload = Some(shown);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(fleet)));
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        for line in ["waiting\"} 1", "running\"} 2", "parked\"} 3"] {
            let line = format!("perennial_queue_length{{state=\"{line}");
            assert!(text.lines().any(|shown| shown == line), "{line} is missing from\n{text}");
        }
    }
}
