//! One pass over a certificate: load, decide, and walk an issuance step by step.

use std::{any::Any, collections::BTreeSet, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use perennial_core::{Retry, SecretBytes, SecretString, Timestamp};

use super::{Inner, Issued, Outcome, due};
use crate::{
    Attempt, CertificateId, CertificateSpec, Contract, Current, Decision, Error, EventKind, Facts, Failures,
    Generation, Holding, IssueError, IssueErrorClass, IssuedChain, IssuerName, KeyAlgorithm, KeyError,
    KeyRotation, Material, PrivateKey, Reason, Record, SigningRequest, Slot, StoreError, Version, contract,
    decide, ladder, schedule::Spread,
};

/// How long to leave a debt that could not be paid: a DNS provider is down for minutes, seldom for days.
const DEBT_PAUSE: Duration = Duration::from_secs(600);

pub(super) async fn step(inner: &Inner, id: &CertificateId) -> Result<Outcome, Error> {
    let _turn = inner.turn(id).await;
    loop {
        // `None`: the wish was changed while the old one was worked on.
        if let Some(outcome) = look(inner, id).await? {
            return Ok(outcome);
        }
    }
}

async fn look(inner: &Inner, id: &CertificateId) -> Result<Option<Outcome>, Error> {
    let (version, mut record) = inner.record(id).await?;
    let material = material(inner, &record).await?;
    record.observe(Some(material), inner.clock.now());
    let holding = record.current.as_ref().map(|current| Holding::new(current, material));
    match decide(&record.spec, holding, record.failures.as_ref(), inner.clock.now()) {
        Decision::GiveUp { why } => {
            let (version, record) = drop_attempt(inner, version, record).await?;
            inner.tell(id, EventKind::GivenUp { why });
            let settled = settle(inner, version, record).await.2;
            let until = next_look(inner, Timestamp::MAX, settled.is_err());
            Ok(Some(Outcome::GivenUp { error: Error::GivenUp { id: id.clone(), why }, until }))
        }
        // It is not told how outputs were found: until somebody delivers, the store is all there is.
        Decision::Redeliver { .. } => Ok(Some(Outcome::Kept { until: due(&record, inner.clock.now()) })),
        Decision::Keep { until } => {
            // An attempt that nobody wants any more, and debts that could not be paid in their time.
            let (version, record) = drop_attempt(inner, version, record).await?;
            let settled = settle(inner, version, record).await.2;
            Ok(Some(Outcome::Kept { until: next_look(inner, until, settled.is_err()) }))
        }
        Decision::Wait { until, why } => {
            let Some(error) = record.failures.as_ref().map(Failures::error) else {
                return renew(inner, version, record, why).await; // Nothing has failed: there is no wait.
            };
            let error = error.into();
            let settled = settle(inner, version, record).await.2;
            Ok(Some(Outcome::Waiting { error, until: next_look(inner, until, settled.is_err()) }))
        }
        Decision::Renew { why } => renew(inner, version, record, why).await,
    }
}

/// When to look again at a certificate that has nothing to do until then, but perhaps debts.
fn next_look(inner: &Inner, until: Timestamp, owes: bool) -> Timestamp {
    if owes { until.min(inner.clock.now() + DEBT_PAUSE) } else { until }
}

async fn renew(
    inner: &Inner,
    version: Version,
    record: Record,
    why: Reason,
) -> Result<Option<Outcome>, Error> {
    let wanted = record.spec.clone();
    let (id, issuer) = (wanted.id().clone(), wanted.issuer_name().clone());
    let was_due_at = record.current.is_some().then(|| due(&record, inner.clock.now()));
    match issue(inner, version, record, why).await {
        Ok(record) => {
            let until = due(&record, inner.clock.now());
            let not_after = record.current.as_ref().map_or(until, |current| current.facts.not_after);
            let generation =
                record.current.as_ref().map_or(record.last_generation, |current| current.generation);
            inner
                .tell(&id, EventKind::Issued { issuer, generation, was_due_at, not_after, renews_at: until });
            Ok(Some(Outcome::Issued { until }))
        }
        Err(error) => {
            let Some((retry_at, owes)) = remember_failure(inner, &wanted, &error).await? else {
                return Ok(None);
            };
            let (class, message) = (class_of(&error), error.to_string());
            inner.tell(&id, EventKind::Failed { issuer, class, message, retry_at });
            Ok(Some(Outcome::Failed { error, until: next_look(inner, retry_at, owes) }))
        }
    }
}

/// The walk: key, record, issuer, verification, chain, record.
async fn issue(inner: &Inner, version: Version, record: Record, why: Reason) -> Result<Record, Error> {
    let spec = record.spec.clone();
    let issuer = inner.issuer(&spec)?.clone();
    let Walk { version, record, generation, key, resumed } = take_up(inner, version, record).await?;
    inner.tell(spec.id(), EventKind::Issuing { why, resumed });
    let request = SigningRequest::of(&spec, &key)?;

    let journal = inner.journal(spec.issuer_name(), (version, record));
    let issued = guarded(issuer.issue(&request, &journal)).await;
    if issued.is_err() {
        // What the issuer told is not worth another failure.
        let _ = journal.keep_told().await;
    }
    let (version, record) = journal.into_state().await;
    let chain = issued?;

    let now = inner.clock.now();
    contract::check(chain.facts(), &request, &Facts::fingerprint_of(&key), now)
        .map_err(|fault| Error::Contract { id: spec.id().clone(), fault })?;
    finish(inner, version, record, generation, &chain).await
}

/// An issuance that can go on: its attempt is on record and its key at hand.
struct Walk {
    version: Version,
    record: Record,
    generation: Generation,
    key: PrivateKey,
    resumed: bool,
}

/// Takes up the attempt on record, unless another certificate is wanted by now or its key is gone: then what
/// it owes is paid and a new one begins.
async fn take_up(inner: &Inner, version: Version, record: Record) -> Result<Walk, Error> {
    if let Some(attempt) = &record.attempt {
        let generation = attempt.generation;
        let wanted = attempt.asked_for.asks_same_certificate(&record.spec);
        match read_key(inner, record.id(), generation).await {
            Ok(key) if wanted => return Ok(Walk { version, record, generation, key, resumed: true }),
            Ok(_) | Err(Error::Key(_) | Error::Store(StoreError::SlotMissing { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    let (version, record) = drop_attempt(inner, version, record).await?;
    // What cannot be removed now must not hold a new certificate back; it stays on record.
    let (version, record, _) = settle(inner, version, record).await;
    begin(inner, version, record).await
}

/// Makes the key, writes it, and only then the attempt that names it.
async fn begin(inner: &Inner, version: Version, mut record: Record) -> Result<Walk, Error> {
    let (generation, algorithm) = (record.last_generation.next(), record.spec.key());
    let kept = kept_key(inner, &record).await?;
    let kind = match kept {
        Some(_) => EventKind::Reused { generation },
        None => EventKind::Generated { generation, algorithm },
    };
    let key = match kept {
        Some(key) => key,
        None => fresh_key(algorithm).await?,
    };
    let slot = Slot::PrivateKey { certificate: record.id().clone(), generation };
    inner.store.write(&slot, &SecretBytes::new(key.expose().as_bytes())).await?;
    record.last_generation = generation;
    record.attempt = Some(Attempt::new(generation, record.spec.clone(), inner.clock.now()));
    let version = inner.store.commit(&record, Some(version)).await?;
    let (id, issuer) = (record.id(), record.spec.issuer_name().clone());
    inner.tell(id, kind);
    inner.tell(id, EventKind::Requested { issuer, generation });
    let key = PrivateKey::from_pem(&key)?;
    Ok(Walk { version, record, generation, key, resumed: false })
}

async fn fresh_key(algorithm: KeyAlgorithm) -> Result<SecretString, Error> {
    let made = tokio::task::spawn_blocking(move || PrivateKey::generate(algorithm).map(|key| key.to_pem()));
    let made = made.await.map_err(|error| KeyError::Generate { algorithm, reason: error.to_string() })?;
    Ok(made?)
}

/// The key that serves now, where the spec wants to keep it and it is what the certificate says. One that is
/// gone or of another kind is replaced: a certificate with a new key is better than none.
async fn kept_key(inner: &Inner, record: &Record) -> Result<Option<SecretString>, Error> {
    let keeps = record.spec.rotation() == KeyRotation::Never;
    let Some(current) = record.current.as_ref().filter(|_| keeps) else { return Ok(None) };
    if current.issued_for.key() != record.spec.key() {
        return Ok(None);
    }
    match read_key(inner, record.id(), current.generation).await {
        Ok(key) if current.facts.has_key(&key) => Ok(Some(key.to_pem())),
        Ok(_) | Err(Error::Key(_) | Error::Store(StoreError::SlotMissing { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the chain, flips the record to it, and forgets what is too old.
async fn finish(
    inner: &Inner,
    version: Version,
    mut record: Record,
    generation: Generation,
    chain: &IssuedChain,
) -> Result<Record, Error> {
    // What the store holds is what will serve: a key that another process has overwritten must not.
    let key = read_key(inner, record.id(), generation).await?;
    if !chain.facts().has_key(&key) {
        return Err(Error::Contract { id: record.id().clone(), fault: Contract::Key });
    }
    let slot = Slot::Chain { certificate: record.id().clone(), generation };
    inner.store.write(&slot, &SecretBytes::new(chain.pem().as_bytes())).await?;
    let replaced = record.current.as_ref().map(|current| current.generation);
    let forgotten = std::mem::replace(&mut record.previous, replaced);
    let attempt = record.attempt.take();
    let attempt = attempt.unwrap_or_else(|| Attempt::new(generation, record.spec.clone(), inner.clock.now()));
    record.current = Some(Current {
        generation,
        issued_for: attempt.asked_for,
        facts: chain.facts().clone(),
        issued_at: inner.clock.now(),
        window: None,
        order: attempt.order,
        approved_by: attempt.approved_by,
    });
    record.failures = None;
    record.observe(Some(Material::Whole), inner.clock.now());
    inner.store.commit(&record, Some(version)).await?;
    if let Some(old) = forgotten {
        // That an old generation stays a little longer harms nobody.
        let _ = inner.store.forget(record.id(), old).await;
    }
    Ok(record)
}

/// Forgets an attempt that will not be continued, its key too.
pub(super) async fn drop_attempt(
    inner: &Inner,
    version: Version,
    mut record: Record,
) -> Result<(Version, Record), Error> {
    let Some(attempt) = record.attempt.take() else { return Ok((version, record)) };
    let version = inner.store.commit(&record, Some(version)).await?;
    let _ = inner.store.forget(record.id(), attempt.generation).await;
    Ok((version, record))
}

/// Lets each issuer pay what it owes; returns the first failure, after all have been asked.
pub(super) async fn settle(
    inner: &Inner,
    version: Version,
    record: Record,
) -> (Version, Record, Result<(), Error>) {
    let owing: BTreeSet<IssuerName> = record.debts.iter().map(|debt| debt.issuer.clone()).collect();
    let (mut state, mut result) = ((version, record), Ok(()));
    for name in owing {
        let Some(issuer) = inner.issuers.get(&name) else {
            result = result.and_then(|()| Err(inner.unknown_issuer(state.1.id(), &name)));
            continue;
        };
        let journal = inner.journal(&name, state);
        let settled = guarded(issuer.settle(&journal)).await;
        let left = journal.debts().await.len();
        state = journal.into_state().await;
        let settled = settled.and_then(|()| if left == 0 { Ok(()) } else { Err(unpaid(&name, left)) });
        result = result.and_then(|()| settled.map_err(Error::from));
    }
    (state.0, state.1, result)
}

fn unpaid(issuer: &IssuerName, left: usize) -> IssueError {
    let message = format!("issuer {issuer} has not removed {left} of the things that it presented");
    IssueError::new(IssueErrorClass::Local, message, Retry::Backoff)
}

/// Runs the code of an issuer, which is not ours: that it panics must not end the task that keeps the
/// certificate.
async fn guarded<T>(work: impl Future<Output = Result<T, IssueError>>) -> Result<T, IssueError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let message = format!("the issuer panicked: {}", last_words(&*panic));
        Err(IssueError::new(IssueErrorClass::Local, message, Retry::Backoff))
    })
}

fn last_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

const fn class_of(error: &Error) -> IssueErrorClass {
    match error {
        Error::Issue(error) => error.class,
        Error::Contract { .. } => IssueErrorClass::Contract,
        _ => IssueErrorClass::Local,
    }
}

/// Writes the failure down and returns when to try again, and whether something is still to be removed; `None`
/// when something else is wanted by now, which the failure says nothing about.
async fn remember_failure(
    inner: &Inner,
    tried: &CertificateSpec,
    error: &Error,
) -> Result<Option<(Timestamp, bool)>, Error> {
    let id = tried.id();
    loop {
        let (version, mut record) = inner.record(id).await?;
        if record.spec != *tried {
            return Ok(None);
        }
        if let (Error::Contract { fault, .. }, Some(attempt)) = (error, &mut record.attempt)
            && !matches!(fault, Contract::NotYetValid { .. })
        {
            // What the issuer returned will not get better: it has to begin anew.
            attempt.progress = None;
        }
        let now = inner.clock.now();
        let expires = record.current.as_ref().map(|current| current.facts.not_after);
        let failed = IssueError::new(class_of(error), error.to_string(), error.retry());
        let failures = ladder::fail(record.failures.as_ref(), &failed, now, expires, Spread::of(id));
        let retry_at = failures.retry_at;
        record.failures = Some(failures);
        record.observe(None, now);
        match inner.store.commit(&record, Some(version)).await {
            Ok(_) => return Ok(Some((retry_at, !record.debts.is_empty()))),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn material(inner: &Inner, record: &Record) -> Result<Material, Error> {
    let Some(current) = &record.current else { return Ok(Material::Missing) };
    let certificate = record.id().clone();
    let generation = current.generation;
    let key = inner.store.read(&Slot::PrivateKey { certificate: certificate.clone(), generation }).await?;
    let chain = inner.store.read(&Slot::Chain { certificate, generation }).await?;
    let (Some(key), Some(chain)) = (key, chain) else { return Ok(Material::Missing) };
    Ok(belong_together(&current.facts, &key, &chain))
}

fn belong_together(facts: &Facts, key: &SecretBytes, chain: &SecretBytes) -> Material {
    let same_certificate =
        Facts::from_pem(chain.expose()).is_ok_and(|found| found.fingerprint == facts.fingerprint);
    let own_key = private_key(key).is_ok_and(|key| facts.has_key(&key));
    if same_certificate && own_key { Material::Whole } else { Material::Mismatched }
}

pub(super) async fn load_current(inner: &Inner, record: &Record) -> Result<Option<Issued>, Error> {
    let Some(current) = &record.current else { return Ok(None) };
    let (certificate, generation) = (record.id().clone(), current.generation);
    let key = inner.store.read(&Slot::PrivateKey { certificate: certificate.clone(), generation }).await?;
    let chain = inner.store.read(&Slot::Chain { certificate, generation }).await?;
    let (Some(key), Some(chain)) = (key, chain) else { return Ok(None) };
    if belong_together(&current.facts, &key, &chain) != Material::Whole {
        return Ok(None);
    }
    Ok(Some(Issued {
        generation,
        facts: current.facts.clone(),
        issued_at: current.issued_at,
        chain_pem: String::from_utf8_lossy(chain.expose()).into_owned(),
        private_key_pem: private_key(&key)?.to_pem(),
    }))
}

async fn read_key(inner: &Inner, id: &CertificateId, generation: Generation) -> Result<PrivateKey, Error> {
    let slot = Slot::PrivateKey { certificate: id.clone(), generation };
    let bytes = inner.store.read(&slot).await?.ok_or(StoreError::SlotMissing { slot })?;
    Ok(private_key(&bytes)?)
}

fn private_key(bytes: &SecretBytes) -> Result<PrivateKey, KeyError> {
    let text = std::str::from_utf8(bytes.expose())
        .map_err(|_| KeyError::Unreadable { reason: "it is not text".to_owned() })?;
    PrivateKey::from_pem(&SecretString::new(text))
}
