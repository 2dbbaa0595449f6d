//! What a scrape says of the certificates: aggregates always, and a series a certificate where there are few of
//! them or something is wrong with them.

use std::{collections::BTreeMap, fmt, time::Duration};

use perennial_core::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder},
    metrics::MetricType,
};

use super::{
    Detail,
    fleet::{CLASSES, Errors, Fleet, Known},
    groups::Group,
    table::{Flags, Row},
};
use crate::{Status, budget::BudgetKey};

/// The fleet at the moment of a scrape.
#[derive(Debug)]
pub(super) struct Scrape(pub(super) std::sync::Arc<Fleet>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (known, now) = (self.0.snapshot(), self.0.now());
        let detail = self.0.settings.detail_for(known.table.len());
        certificates(&mut encoder, &known, detail, now)?;
        errors(&mut encoder, &known, detail, now)?;
        aggregates(&mut encoder, &known, now)?;
        workload(&mut encoder, &known)?;
        issuers(&mut encoder, &known)?;
        budgets(&mut encoder, &self.0, &known, now)
    }
}

/// Whether a certificate is the one that is wanted, and valid.
pub(super) fn ready(row: &Row, now: Timestamp) -> Status {
    if row.flags.has(Flags::UNREADABLE) {
        return Status::Unknown;
    }
    let valid = row.not_after.get().is_some_and(|not_after| now <= not_after);
    if valid && row.flags.has(Flags::WANTED) { Status::True } else { Status::False }
}

/// Whether somebody may have to look: it is not ready, its last attempt or delivery failed or was denied, or it has been
/// due for an hour.
fn is_unhealthy(row: &Row, now: Timestamp) -> bool {
    ready(row, now) != Status::True
        || row.flags.has(Flags::FAILING)
        || row.renews_at.get().is_some_and(|due| due + HOUR <= now)
}

const HOUR: Duration = Duration::from_secs(3_600);

/// The labels of cert-manager's series.
struct Labels<'a> {
    name: &'a str,
    group: &'a Group,
    condition: Option<Status>,
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let mut label = |key: &str, value: &str| (key, value).encode(encoder.encode_label());
        if let Some(condition) = self.condition {
            label("condition", condition.as_str())?;
        }
        label("issuer_group", &self.group.issuer_group)?;
        label("issuer_kind", &self.group.issuer_kind)?;
        label("issuer_name", self.group.issuer.as_str())?;
        label("name", self.name)?;
        label("namespace", &self.group.namespace)
    }
}

/// Names and values of labels of one series.
type Pairs<'a, const N: usize> = [(&'static str, &'a str); N];

fn certificates(
    encoder: &mut DescriptorEncoder<'_>,
    known: &Known,
    detail: Detail,
    now: Timestamp,
) -> fmt::Result {
    if detail == Detail::None {
        return Ok(());
    }
    let rows = || {
        let rows = known.table.iter().filter(|(_, row)| detail == Detail::Every || is_unhealthy(row, now));
        rows.filter_map(|(name, row)| Some((name, row, known.groups.get(row.group)?)))
    };
    type Value = fn(&Row) -> Option<Timestamp>;
    let moments: [(&str, &str, Value); 4] = [
        (EXPIRATION, "The end of the certificate, in Unix seconds", |row| row.not_after.get()),
        (NOT_AFTER, "The last valid moment of the certificate, in Unix seconds", |row| row.not_after.get()),
        (NOT_BEFORE, "The first valid moment of the certificate, in Unix seconds", |row| {
            row.not_before.get()
        }),
        (RENEWAL, "When the certificate is due for renewal, in Unix seconds", |row| row.renews_at.get()),
    ];
    for (metric, help, value) in moments {
        let mut family = encoder.encode_descriptor(metric, help, None, MetricType::Gauge)?;
        for (name, row, group) in rows() {
            // One that was never issued has no end: 0 would be an alert for each new certificate.
            if let Some(at) = value(row) {
                let labels = Labels { name, group, condition: None };
                family.encode_family(&labels)?.encode_gauge(&at.unix())?;
            }
        }
    }
    let help = "Whether the certificate is ready: 1 for the condition that holds, 0 for the others";
    let mut family = encoder.encode_descriptor(READY, help, None, MetricType::Gauge)?;
    for (name, row, group) in rows() {
        let ready = ready(row, now);
        for condition in Status::ALL {
            let labels = Labels { name, group, condition: Some(condition) };
            family.encode_family(&labels)?.encode_gauge(&i64::from(condition == ready))?;
        }
    }
    Ok(())
}

/// Failed attempts. A counter that is born at 1 has not increased for anybody who looks at it, so those who are about
/// to be renewed have one of 0 already.
fn errors(encoder: &mut DescriptorEncoder<'_>, known: &Known, detail: Detail, now: Timestamp) -> fmt::Result {
    let help = "Attempts to issue or renew the certificate that failed, by class of failure";
    let mut family = encoder.encode_descriptor(RENEWAL_ERRORS, help, None, MetricType::Counter)?;
    let mut series = |name: &str, namespace: &str, counts: &Errors| {
        for ((_, reason), count) in CLASSES.iter().zip(counts) {
            let labels: Pairs<'_, 3> = [("name", name), ("namespace", namespace), ("reason", *reason)];
            let exemplar = None::<&NoExemplar>;
            family.encode_family(&labels)?.encode_counter(count, exemplar)?;
        }
        Ok(())
    };
    series("", "", &known.nameless_errors)?;
    if detail == Detail::None {
        return Ok(());
    }
    let (soon, nothing) = (now + HOUR, Errors::default());
    for (name, row) in known.table.iter() {
        let counted = known.errors.get(name);
        if counted.is_some() || row.renews_at.get().is_some_and(|due| due <= soon) {
            let namespace = known.groups.get(row.group).map_or("", |group| group.namespace.as_str());
            series(name, namespace, counted.unwrap_or(&nothing))?;
        }
    }
    Ok(())
}

type NoExemplar = prometheus_client::metrics::exemplar::Exemplar<[(&'static str, &'static str); 0], u64>;

/// What is counted of the certificates of one issuer.
#[derive(Default)]
struct Tally {
    ready: [i64; Status::ALL.len()],
    expiring: [i64; HORIZONS.len()],
    life_left: [i64; FRACTIONS.len()],
    failing: i64,
    issuing: i64,
    due: i64,
    overdue: i64,
}

/// Until when certificates are counted as expiring, in seconds.
const HORIZONS: [(u64, &str); 9] = [
    (0, "0s"),
    (86_400, "1d"),
    (3 * 86_400, "3d"),
    (7 * 86_400, "7d"),
    (14 * 86_400, "14d"),
    (21 * 86_400, "21d"),
    (30 * 86_400, "30d"),
    (60 * 86_400, "60d"),
    (90 * 86_400, "90d"),
];

/// Parts of a certificate's life that are left, in twentieths: what is alarming of ninety days is not of six.
const FRACTIONS: [(u64, &str); 5] = [(1, "0.05"), (2, "0.1"), (4, "0.2"), (5, "0.25"), (6, "0.3")];

impl Tally {
    fn count(&mut self, row: &Row, now: Timestamp) {
        let ready = ready(row, now);
        for (count, status) in self.ready.iter_mut().zip(Status::ALL) {
            *count += i64::from(ready == status);
        }
        self.failing += i64::from(row.flags.has(Flags::FAILING));
        self.issuing += i64::from(row.flags.has(Flags::ISSUING));
        if let Some(due) = row.renews_at.get().filter(|due| *due <= now) {
            self.due += 1;
            self.overdue = self.overdue.max(i64::try_from(now.since(due).as_secs()).unwrap_or(i64::MAX));
        }
        let (Some(not_before), Some(not_after)) = (row.not_before.get(), row.not_after.get()) else { return };
        let (left, life) = (not_after.since(now).as_secs(), not_after.since(not_before).as_secs());
        for (count, (horizon, _)) in self.expiring.iter_mut().zip(HORIZONS) {
            *count += i64::from(left <= horizon);
        }
        for (count, (twentieths, _)) in self.life_left.iter_mut().zip(FRACTIONS) {
            *count += i64::from(left.saturating_mul(20) <= life.saturating_mul(twentieths));
        }
    }
}

fn aggregates(encoder: &mut DescriptorEncoder<'_>, known: &Known, now: Timestamp) -> fmt::Result {
    let mut groups: Vec<Tally> = known.groups.iter().map(|_| Tally::default()).collect();
    for (_, row) in known.table.iter() {
        if let Some(tally) = groups.get_mut(usize::from(row.group)) {
            tally.count(row, now);
        }
    }
    let mut issuers = BTreeMap::<&str, Tally>::new();
    for (group, tally) in known.groups.iter().zip(groups) {
        issuers.entry(group.issuer.as_str()).or_default().add(&tally);
    }
    by_issuer(encoder, &issuers, CERTIFICATES, "Certificates by whether they are ready", |tally| {
        Status::ALL
            .iter()
            .zip(tally.ready)
            .map(|(status, count)| (Some(("condition", status.as_str())), count))
            .collect()
    })?;
    let help = "Certificates that end within this time; those that have ended are in all of them";
    by_issuer(encoder, &issuers, EXPIRING, help, |tally| {
        HORIZONS
            .iter()
            .zip(tally.expiring)
            .map(|((_, within), count)| (Some(("within", *within)), count))
            .collect()
    })?;
    let help = "Certificates of whose life this part or less is left";
    by_issuer(encoder, &issuers, LIFE_LEFT, help, |tally| {
        FRACTIONS
            .iter()
            .zip(tally.life_left)
            .map(|((_, part), count)| (Some(("below", *part)), count))
            .collect()
    })?;
    type Value = fn(&Tally) -> i64;
    let plain: [(&str, &str, Value); 4] = [
        (BACKOFF, "Certificates whose last attempt or delivery failed, or was denied", |tally| tally.failing),
        (ISSUING, "Certificates with an attempt on record", |tally| tally.issuing),
        (DUE, "Certificates that are due for renewal", |tally| tally.due),
        (OVERDUE, "For how long the certificate has been due that is due the longest", |tally| tally.overdue),
    ];
    for (name, help, value) in plain {
        by_issuer(encoder, &issuers, name, help, |tally| vec![(None, value(tally))])?;
    }
    single(
        encoder,
        ENTRIES,
        "Certificates that are known",
        i64::try_from(known.table.len()).unwrap_or(i64::MAX),
    )?;
    let quarantined = i64::try_from(known.quarantined).unwrap_or(i64::MAX);
    single(encoder, QUARANTINED, "Records that cannot be read", quarantined)?;
    match known.claimed_at {
        Some(at) => single(encoder, LAST_CLAIM, "When work was last asked for, in Unix seconds", at.unix()),
        None => Ok(()),
    }
}

/// A value with one more label than the issuer, or without.
type Value = (Option<(&'static str, &'static str)>, i64);

fn by_issuer(
    encoder: &mut DescriptorEncoder<'_>,
    issuers: &BTreeMap<&str, Tally>,
    name: &str,
    help: &str,
    values: impl Fn(&Tally) -> Vec<Value>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (issuer, tally) in issuers {
        for (label, value) in values(tally) {
            match label {
                Some(label) => {
                    let labels: Pairs<'_, 2> = [("issuer", issuer), label];
                    family.encode_family(&labels)?.encode_gauge(&value)?;
                }
                None => {
                    let labels: Pairs<'_, 1> = [("issuer", issuer)];
                    family.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
        }
    }
    Ok(())
}

fn single(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

impl Tally {
    fn add(&mut self, other: &Self) {
        fn sum<const N: usize>(mine: &mut [i64; N], others: &[i64; N]) {
            mine.iter_mut().zip(others).for_each(|(mine, other)| *mine += other);
        }
        sum(&mut self.ready, &other.ready);
        sum(&mut self.expiring, &other.expiring);
        sum(&mut self.life_left, &other.life_left);
        self.failing += other.failing;
        self.issuing += other.issuing;
        self.due += other.due;
        self.overdue = self.overdue.max(other.overdue);
    }
}

fn workload(encoder: &mut DescriptorEncoder<'_>, known: &Known) -> fmt::Result {
    let Some(workload) = known.workload.as_ref().map(|workload| *workload.borrow()) else { return Ok(()) };
    let help = "Certificates that are claimed: those that wait for a slot, have one, or wait outside";
    let mut family = encoder.encode_descriptor(QUEUE, help, None, MetricType::Gauge)?;
    for (state, count) in
        [("parked", workload.parked), ("running", workload.running), ("waiting", workload.waiting)]
    {
        let labels: Pairs<'_, 1> = [("state", state)];
        family.encode_family(&labels)?.encode_gauge(&i64::try_from(count).unwrap_or(i64::MAX))?;
    }
    Ok(())
}

/// Issuers have no namespace; the label is there for rules that group by it.
fn issuers(encoder: &mut DescriptorEncoder<'_>, known: &Known) -> fmt::Result {
    let Some(standing) = &known.standing else { return Ok(()) };
    let help =
        "Whether the issuer answers and takes our account: 1 for the condition that holds, 0 for the others";
    let mut family = encoder.encode_descriptor(ISSUER_READY, help, None, MetricType::Gauge)?;
    for (issuer, ready) in standing.of_all() {
        for condition in Status::ALL {
            let labels: Pairs<'_, 3> =
                [("condition", condition.as_str()), ("name", issuer.as_str()), ("namespace", "")];
            family.encode_family(&labels)?.encode_gauge(&i64::from(condition == ready))?;
        }
    }
    Ok(())
}

fn budgets(encoder: &mut DescriptorEncoder<'_>, fleet: &Fleet, known: &Known, now: Timestamp) -> fmt::Result {
    type Value = fn(crate::budget::Limit, crate::budget::Bucket, Timestamp) -> u32;
    let families: [(&str, &str, Value); 2] = [
        (BUDGET_LEVEL, "Attempts that the budget allows at once", |limit, bucket, now| {
            bucket.level(limit, now)
        }),
        (BUDGET_BURST, "Attempts that the budget allows at once when it is full", |limit, _, _| {
            limit.burst()
        }),
    ];
    for (name, help, value) in families {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (key, limit) in &fleet.settings.budgets {
            let bucket = known.buckets.get(key).copied().unwrap_or_default();
            let (budget, of) = budget_labels(key);
            let labels: Pairs<'_, 2> = [("budget", budget), ("of", of)];
            family.encode_family(&labels)?.encode_gauge(&i64::from(value(*limit, bucket, now)))?;
        }
    }
    Ok(())
}

fn budget_labels(key: &BudgetKey) -> (&'static str, &str) {
    match key {
        BudgetKey::Account(issuer) => ("account", issuer.as_str()),
        BudgetKey::Domain(_, domain) => ("domain", domain),
        BudgetKey::ExactSet(_, set) => ("exact_set", set),
        BudgetKey::FailedValidations(_, name) => ("failed_validations", name),
        BudgetKey::Fleet => ("fleet", ""),
        BudgetKey::Issuer(issuer) => ("issuer", issuer.as_str()),
        BudgetKey::OnDemand => ("on_demand", ""),
        BudgetKey::Provider(provider) => ("provider", provider),
        // What lines have of it is not shown, or as itself.
        BudgetKey::Share(_, of) | BudgetKey::Waiting(_, of) => budget_labels(of),
    }
}

pub(super) const EXPIRATION: &str = "certmanager_certificate_expiration_timestamp_seconds";
pub(super) const NOT_AFTER: &str = "certmanager_certificate_not_after_timestamp_seconds";
pub(super) const NOT_BEFORE: &str = "certmanager_certificate_not_before_timestamp_seconds";
pub(super) const RENEWAL: &str = "certmanager_certificate_renewal_timestamp_seconds";
pub(super) const READY: &str = "certmanager_certificate_ready_status";
pub(super) const RENEWAL_ERRORS: &str = "certmanager_certificate_renewal_errors";
const ISSUER_READY: &str = "certmanager_issuer_ready_status";
const CERTIFICATES: &str = "perennial_certificates";
const EXPIRING: &str = "perennial_certificates_expiring";
const LIFE_LEFT: &str = "perennial_certificates_life_left";
const BACKOFF: &str = "perennial_backoff_certificates";
const ISSUING: &str = "perennial_issuing_certificates";
const DUE: &str = "perennial_renewals_due";
const OVERDUE: &str = "perennial_renewal_overdue_seconds";
const ENTRIES: &str = "perennial_schedule_entries";
const QUARANTINED: &str = "perennial_quarantined_certificates";
const LAST_CLAIM: &str = "perennial_last_claim_timestamp_seconds";
const QUEUE: &str = "perennial_queue_length";
const BUDGET_LEVEL: &str = "perennial_budget_level";
const BUDGET_BURST: &str = "perennial_budget_burst";
