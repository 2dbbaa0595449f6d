//! Failures, and what they leave on record.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use perennial_core::{Retry, Timestamp};

use super::{
    Outcome,
    desk::{Desk, Page},
    pass,
};
use crate::{
    CertificateId, CertificateSpec, Contract, Error, IssueError, IssueErrorClass, IssuerName, KeyError,
    Record, StoreError,
    budget::{Charge, Demand},
    ladder,
    schedule::Spread,
};

/// An attempt that failed.
pub(super) struct Failure {
    pub(super) error: Error,
    /// What it took from the budgets and has not spent.
    unspent: Vec<Demand>,
    /// What the issuer says is used up.
    used_up: Vec<Demand>,
}

impl Failure {
    /// One of the issuer's, which has `ordered` something or not. Only a proof that was not seen spends what is
    /// for failed proofs, and what was never ordered costs nothing: else an hour without a network would use up
    /// the week's orders.
    pub(super) fn of_issuer(error: IssueError, record: &Record, demands: Vec<Demand>, ordered: bool) -> Self {
        let progress = record.attempt.as_ref().and_then(|attempt| attempt.progress.as_ref());
        let (ordered, refuted) = (ordered || progress.is_some(), error.class == IssueErrorClass::Validation);
        let used_up = error.counted().map_or_else(Vec::new, |counted| {
            let meant = |demand: &&Demand| counted.is_of(&demand.key, &error.message);
            demands.iter().filter(meant).cloned().collect()
        });
        let unspent = demands.into_iter().filter(|demand| match demand.charge {
            Charge::Always => !ordered,
            Charge::OnFailure => !refuted,
        });
        Self { unspent: unspent.collect(), used_up, error: error.into() }
    }
}

impl Failure {
    /// What it took from the budgets and has not spent.
    pub(super) fn unspent(&self) -> &[Demand] {
        &self.unspent
    }
}

impl Failure {
    /// One that came before anything was asked of anybody: nothing is spent.
    pub(super) const fn before_asking(error: Error, demands: Vec<Demand>) -> Self {
        Self { error, unspent: demands, used_up: Vec::new() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, unspent: Vec::new(), used_up: Vec::new() }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Error::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

/// Whether a failure says nothing about the certificate: the store is busy or gone, or somebody has written something
/// into the record that changes nothing about the certificate.
pub(super) const fn says_nothing(error: &Error) -> bool {
    error.is_the_stores() || matches!(error, Error::Store(StoreError::Conflict { .. }))
}

/// Writes the failure down and returns when to try again; `None` when something else is wanted by now, which the
/// failure says nothing about.
pub(super) async fn remember(
    desk: Desk<'_>,
    tried: &CertificateSpec,
    issuer: &IssuerName,
    failure: Failure,
) -> Result<Option<(Page, Timestamp)>, Error> {
    let Failure { error, unspent, used_up } = failure;
    if let Error::Store(StoreError::Fenced { .. }) = error {
        // Whoever has it now writes down what becomes of it.
        return Err(error);
    }
    desk.inner.give_back(&unspent, &desk.hold.batch()).await;
    desk.inner.used_up(&used_up).await;
    let refunded = unspent.iter().any(|demand| demand.charge == Charge::Always);
    loop {
        let mut page = desk.page(tried.id()).await?;
        if page.record.spec != *tried {
            match (&mut page.record.attempt, refunded) {
                // The next order is paid for again.
                (Some(attempt), true) if attempt.spent => attempt.spent = false,
                _ => return Ok(None),
            }
            match desk.save(&mut page).await {
                Ok(()) | Err(StoreError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        let now = desk.now();
        note(&mut page.record, issuer, &error, now);
        let retry_at = pass::next_attempt(desk.inner, &page.record, now);
        let outcome = Outcome::Failed { error: error.clone(), until: retry_at };
        page.record.next_at = pass::next_at(desk.inner, &page.record, &outcome, now);
        match desk.save(&mut page).await {
            Ok(()) => return Ok(Some((page, retry_at))),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes down that work on a certificate has panicked: a store, or a mistake of ours. It costs this certificate
/// one attempt and no other anything.
pub(super) async fn panicked(desk: Desk<'_>, id: &CertificateId, words: &str) -> Result<Outcome, Error> {
    let message = format!("the work on it panicked: {words}");
    let error = Error::Issue(IssueError::new(IssueErrorClass::Local, message, Retry::Backoff));
    let remembered = async {
        let spec = desk.page(id).await?.record.spec;
        remember(desk, &spec, spec.issuer_name(), error.clone().into()).await
    };
    // Whoever panics once may do it again.
    match AssertUnwindSafe(remembered).catch_unwind().await {
        Ok(Ok(Some((_, until)))) => Ok(Outcome::Failed { error, until }),
        Ok(Err(error)) => Err(error),
        Ok(Ok(None)) | Err(_) => Err(error),
    }
}

/// Notes a failure in the record.
pub(super) fn note(record: &mut Record, issuer: &IssuerName, error: &Error, now: Timestamp) {
    if let Some(attempt) = &mut record.attempt {
        if matches!(error, Error::Contract { fault, .. } if !matches!(fault, Contract::NotYetValid { .. })) {
            // What the issuer returned will not get better: it has to begin anew.
            attempt.progress = None;
        }
        // Without an order the next attempt makes one, and pays for it.
        attempt.spent &= attempt.progress.is_some();
    }
    let expires = record.current.as_ref().map(|current| current.facts.not_after);
    let failed = match error {
        Error::Issue(error) => error.clone(),
        _ => IssueError::new(class_of(error), error.to_string(), error.retry()),
    };
    let wished_for = issuer == record.spec.issuer_name();
    let before = crate::failures_with(record, issuer);
    let failures = ladder::fail(before, &failed, now, expires, Spread::of(record.id()));
    if wished_for {
        record.failures = Some(failures);
    } else {
        record.elsewhere.insert(issuer.clone(), failures);
    }
}

pub(super) const fn class_of(error: &Error) -> IssueErrorClass {
    match error {
        Error::Issue(error) => error.class,
        Error::Contract { .. } => IssueErrorClass::Contract,
        _ => IssueErrorClass::Local,
    }
}
