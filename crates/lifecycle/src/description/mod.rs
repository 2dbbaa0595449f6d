//! All that a store knows of one certificate, as a person wants to read it: pure, and the same after a restart.

use std::collections::BTreeMap;

use perennial_core::Timestamp;
use serde::Serialize;

use crate::{
    CertificateId, Conditions, Denied, Event, EventKind, Failures, Generation, Holding, IssuerName,
    KeyAlgorithm, Material, OrderRecord, Record, SinkName, Stage, conditions, failures_with, renews_at,
};

mod text;

/// All that a store knows of one certificate, secrets apart. Its `Display` is laid out like `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// Which certificate.
    pub certificate: CertificateId,
    /// Its names of all kinds, as text.
    pub names: Vec<String>,
    /// Who is to issue it.
    pub issuer: IssuerName,
    /// Which [generation of the spec](Record::spec_generation) this is.
    pub spec_generation: u64,
    /// How it stands.
    pub conditions: Conditions,
    /// The certificate that serves, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingDescription>,
    /// The request under way, or else the one that the certificate came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestDescription>,
    /// The order of that request, with its challenges, as far as the issuer told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderRecord>,
    /// The attempts that failed since the last success, by who was asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<IssuerName, Failures>,
    /// The sinks whose hooks have not taken up what was delivered last, and how that failed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reloads: BTreeMap<SinkName, Option<Failures>>,
    /// How many things were presented for it that are still to be removed.
    pub debts: usize,
    /// What happened to that request, in the order of time, told again from what is on record.
    pub events: Vec<Event>,
}

/// The certificate that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServingDescription {
    /// Which generation it is (cert-manager: `revision`).
    pub revision: Generation,
    /// Its first valid moment.
    pub not_before: Timestamp,
    /// Its last valid moment.
    pub not_after: Timestamp,
    /// When it will be renewed.
    pub renewal_time: Timestamp,
    /// Its serial number, lower-case hex.
    pub serial: String,
    /// Who signed it, as its own text has it.
    pub signed_by: String,
}

/// What was asked of an issuer (cert-manager: `CertificateRequest`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestDescription {
    /// Which generation it is for; its key is of the same.
    pub revision: Generation,
    /// Who is asked.
    pub issuer: IssuerName,
    /// The kind of key.
    pub key_algorithm: KeyAlgorithm,
    /// When it was made; unknown of an old one that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// In whose name it was made, if somebody has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// Who said that it might be made, if somebody had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// What became of it.
    pub state: RequestState,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum RequestState {
    /// Somebody has said no.
    Denied,
    /// The last attempt at it failed, and another will be made.
    Failed,
    /// The certificate is there.
    Issued,
    /// The issuer works on it, or somebody will ask it to.
    Pending,
}

/// Describes a certificate at `now`, whose key and chain were found like `material`.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_lifecycle::{CertificateSpec, Material, Record, describe};
///
/// let record = Record::new(CertificateSpec::new("site", ["example.com"])?);
/// let description = describe(&record, Material::Missing, Timestamp::from_unix(1_800_000_000));
/// assert!(description.to_string().contains("Ready    False    DoesNotExist"));
/// # Ok::<(), perennial_lifecycle::SpecError>(())
/// ```
#[must_use]
pub fn describe(record: &Record, material: Material, now: Timestamp) -> Description {
    let request = request(record);
    let order = match (&record.attempt, &record.current) {
        (Some(attempt), _) => attempt.order.clone(),
        (None, current) => current.as_ref().and_then(|current| current.order.clone()),
    };
    Description {
        certificate: record.id().clone(),
        names: names(record),
        issuer: record.spec.issuer_name().clone(),
        spec_generation: record.spec_generation,
        conditions: conditions(record, material, now),
        serving: serving(record, material, now),
        events: events(record, order.as_ref()),
        request,
        order,
        failures: failures(record),
        reloads: record.reloads.clone(),
        debts: record.debts.len(),
    }
}

fn names(record: &Record) -> Vec<String> {
    let spec = &record.spec;
    let dns = spec.names().iter().map(ToString::to_string);
    let addresses = spec.addresses().iter().map(ToString::to_string);
    dns.chain(addresses).chain(spec.uris().iter().cloned()).chain(spec.emails().iter().cloned()).collect()
}

fn serving(record: &Record, material: Material, now: Timestamp) -> Option<ServingDescription> {
    let current = record.current.as_ref()?;
    Some(ServingDescription {
        revision: current.generation,
        not_before: current.facts.not_before,
        not_after: current.facts.not_after,
        renewal_time: renews_at(&record.spec, &Holding::new(current, material), now),
        serial: current.facts.serial.clone(),
        signed_by: current.facts.issuer.clone(),
    })
}

fn failures(record: &Record) -> BTreeMap<IssuerName, Failures> {
    let wished_for = record.failures.iter().map(|failures| (record.spec.issuer_name(), failures));
    let all = wished_for.chain(&record.elsewhere);
    all.map(|(issuer, failures)| (issuer.clone(), failures.clone())).collect()
}

fn request(record: &Record) -> Option<RequestDescription> {
    let requester = record.requester.clone();
    if let Some(attempt) = &record.attempt {
        let since = |failures: &Failures| failures.last_at >= attempt.started_at;
        let failed = failures_with(record, attempt.issuer()).is_some_and(since);
        return Some(RequestDescription {
            revision: attempt.generation,
            issuer: attempt.issuer().clone(),
            key_algorithm: attempt.asked_for.key(),
            created_at: Some(attempt.started_at),
            requester,
            approved_by: attempt.approved_by.clone(),
            state: if failed { RequestState::Failed } else { RequestState::Pending },
        });
    }
    if let Some(denied) = &record.denied {
        return Some(RequestDescription {
            revision: record.last_generation.next(),
            issuer: record.spec.issuer_name().clone(),
            key_algorithm: record.spec.key(),
            created_at: Some(denied.at),
            requester,
            approved_by: None,
            state: RequestState::Denied,
        });
    }
    let current = record.current.as_ref()?;
    Some(RequestDescription {
        revision: current.generation,
        issuer: current.issuer().clone(),
        key_algorithm: current.issued_for.key(),
        created_at: current.order.as_ref().map(|order| order.created_at),
        requester,
        approved_by: current.approved_by.clone(),
        state: RequestState::Issued,
    })
}

/// The classic sequence, as far as moments are on record.
fn events(record: &Record, order: Option<&OrderRecord>) -> Vec<Event> {
    let mut told = Vec::new();
    let mut tell =
        |at: Timestamp, kind: EventKind| told.push(Event::new(at, Some(record.id().clone()), kind));
    if let Some(attempt) = &record.attempt {
        let (issuer, generation) = (attempt.issuer().clone(), attempt.generation);
        tell(attempt.started_at, EventKind::Requested { issuer, generation });
    }
    for (at, stage) in order.into_iter().flat_map(stages) {
        tell(at, EventKind::Stage { stage });
    }
    if let Some(Denied { by, reason, at }) = record.denied.clone() {
        tell(at, EventKind::Denied { by, reason });
    }
    let failures = failures(record);
    if let (true, None, Some(current)) = (failures.is_empty(), &record.attempt, &record.current) {
        let held = Holding::new(current, Material::Whole);
        let kind = EventKind::Issued {
            issuer: current.issuer().clone(),
            generation: current.generation,
            was_due_at: None,
            not_after: current.facts.not_after,
            renews_at: renews_at(&record.spec, &held, current.issued_at),
        };
        tell(current.issued_at, kind);
    }
    for (issuer, Failures { class, message, retry_at, last_at, .. }) in failures {
        tell(last_at, EventKind::Failed { issuer, class, message, retry_at });
    }
    // Stable: what happened in the same second stays in the order in which it comes.
    told.sort_by_key(|event| event.at);
    told
}

fn stages(order: &OrderRecord) -> Vec<(Timestamp, Stage)> {
    let mut stages = vec![(order.created_at, Stage::OrderCreated { url: order.url.clone() })];
    for challenge in &order.challenges {
        let (name, kind) = (challenge.name.clone(), challenge.kind.clone());
        if let (Some(at), Some(place)) = (challenge.presented_at, &challenge.at) {
            let (name, kind) = (name.clone(), kind.clone());
            stages.push((at, Stage::ChallengePresented { name, kind, at: place.clone() }));
        }
        if let Some(at) = challenge.verified_at {
            stages.push((at, Stage::DomainVerified { name, kind }));
        }
    }
    stages.extend(order.finalized_at.map(|at| (at, Stage::Finalized)));
    stages.extend(order.obtained_at.map(|at| (at, Stage::Downloaded)));
    stages
}

#[cfg(test)]
mod tests;
