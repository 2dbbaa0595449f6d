//! One pass over a certificate under its claim: decide, do it, and write down when to look again.

use std::time::Duration;

use perennial_core::Timestamp;

use super::{
    Inner, Outcome, adopting, boxed, delivering,
    desk::{Desk, Page},
    due, failing, material, reloading, revoking, settling,
    spending::of_failures,
    suggested,
    walk::{self, Issuance},
};
use crate::{
    Current, Decision, Delivery, Error, EventKind, Failures, IssuerName, Material, Reason, Record,
    Redelivery, StoreError, decide_record,
    failover::{self, Candidate, Choice},
    failures_with, rest,
    schedule::Spread,
};

/// Passes over it again in a moment while the store is busy or gone, which is no fault of the certificate's: with its
/// slot, so that a store that has too much to do is asked for less.
pub(super) async fn patiently(desk: Desk<'_>, page: Page) -> Result<Outcome, Error> {
    let id = page.id().clone();
    let mut passed = boxed(|| pass(desk, page)).await;
    for pause in PAUSES {
        if !passed.as_ref().is_err_and(Error::is_the_stores) {
            break;
        }
        tokio::time::sleep(pause + Spread::of(&id).of_width(pause)).await;
        // A keeper that is shut down waits no longer.
        desk.hold.reached_commit().await;
        passed = match desk.page(&id).await {
            Ok(page) => boxed(|| pass(desk, page)).await,
            Err(error) => Err(error),
        };
    }
    passed
}

/// A pool of connections is free again within moments; whoever waits for longer is left to the end of its lease.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Works on one certificate until there is nothing to do for now, and writes down when there will be.
async fn pass(desk: Desk<'_>, page: Page) -> Result<Outcome, Error> {
    let id = page.id().clone();
    let mut at_hand = Some(page);
    let mut last = None;
    loop {
        let page = match at_hand.take() {
            Some(page) => page,
            None => desk.page(&id).await?,
        };
        match boxed(|| look(desk, page)).await {
            Ok(Some((outcome, mut page))) => match rest(desk, &mut page, &outcome).await {
                // What a wish that came in between does not change has still happened.
                Ok(()) => return Ok(worth_telling(last, outcome)),
                Err(StoreError::Conflict { .. }) => last = Some(outcome),
                Err(error) => return Err(error.into()),
            },
            // The wish was changed while the old one was worked on.
            Ok(None) | Err(Error::Store(StoreError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}

fn worth_telling(before: Option<Outcome>, last: Outcome) -> Outcome {
    match (before, last) {
        (Some(Outcome::Issued { .. }), Outcome::Kept { until }) => Outcome::Issued { until },
        (_, last) => last,
    }
}

/// Writes down when to look again, unless that is on record already.
async fn rest(desk: Desk<'_>, page: &mut Page, outcome: &Outcome) -> Result<(), StoreError> {
    let next_at = next_at(desk.inner, &page.record, outcome, desk.now());
    if page.record.next_at == next_at && !page.noted {
        return Ok(());
    }
    page.record.next_at = next_at;
    desk.save(page).await
}

/// When somebody should look at it again, by the store's clock: when the outcome says, or sooner if something else is
/// to be done.
pub(super) fn next_at(inner: &Inner, record: &Record, outcome: &Outcome, now: Timestamp) -> Timestamp {
    let is_new = matches!(outcome, Outcome::Issued { .. });
    let pause = if is_new { ISSUANCE_PAUSE } else { SHORTEST_PAUSE };
    let mut at = sooner(record, outcome.until(), now);
    let poll_at = record.current.as_ref().and_then(|current| suggested::poll_at(current, now));
    let is_over = record.denied.is_some() || matches!(outcome, Outcome::GivenUp { .. });
    let poll_at = poll_at.filter(|_| !is_over);
    let undelivered = record.undelivered.as_ref().map(|failures| failures.retry_at);
    // What has passed was looked at just now, and nothing came of it: it must not be looked at for ever.
    let reloads = record.reloads.values().map(|failures| failures.as_ref().map_or(now, |it| it.retry_at));
    for moment in
        poll_at.into_iter().chain(undelivered).chain(reloads).filter(|moment| is_new || *moment > now)
    {
        at = at.min(moment);
    }
    if is_new && delivering::is_due(inner, record) {
        // Whoever dies before it is delivered is followed soon.
        at = now;
    }
    inner.leases.by_store_clock(at.max(now + pause))
}

/// When to look again at a certificate that has nothing to do until then, but perhaps debts.
fn sooner(record: &Record, until: Timestamp, now: Timestamp) -> Timestamp {
    if record.is_to_revoke() {
        return until.min(now + DEBT_PAUSE);
    }
    // What was owed for long is owed a while longer.
    let oldest = record.debts.iter().map(|debt| debt.since.unwrap_or(now)).min();
    oldest.map_or(until, |oldest| until.min(now + (now.since(oldest) / 8).clamp(DEBT_PAUSE, LONGEST_PAUSE)))
}

/// How long to leave a debt that could not be paid: a DNS provider is down for minutes, seldom for days.
pub(super) const DEBT_PAUSE: Duration = Duration::from_secs(600);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);
/// An issuer whose certificates end within seconds must not be asked for the next one every second.
const ISSUANCE_PAUSE: Duration = Duration::from_secs(60);
/// Whatever was decided, it is not decided again in the same second.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

async fn look(desk: Desk<'_>, mut page: Page) -> Result<Option<(Outcome, Page)>, Error> {
    if let Some(denied) = &page.record.denied {
        let (id, reason) = (page.id().clone(), denied.reason.clone());
        let page = boxed(|| wind_up(desk, page)).await?;
        let until = sooner(&page.record, Timestamp::MAX, desk.now());
        return Ok(Some((Outcome::GivenUp { error: Error::Denied { id, reason }, until }, page)));
    }
    boxed(|| suggested::ask(desk, &mut page)).await?;
    boxed(|| reloading::reload(desk, &mut page)).await?;
    let material = match material::found(desk.inner, &page.record).await {
        Err(Error::Store(error)) if material::is_of_one_slot(&error) => {
            let message = format!("{error}; the certificate is renewed by its dates");
            desk.tell(page.id(), EventKind::Quarantined { message });
            Material::Whole
        }
        material => material?,
    };
    forget_what_nobody_does(desk, &mut page, material);
    let now = desk.now();
    page.observe(material, now);
    let delivery = delivering::found(desk.inner, &page.record).await;
    let Plan { decision, issuer, until: stands } = plan(desk.inner, &page.record, material, delivery, now);
    match decision {
        Decision::GiveUp { why } => {
            let page = boxed(|| wind_up(desk, page)).await?;
            desk.tell(page.id(), EventKind::GivenUp { why });
            let error = Error::GivenUp { id: page.id().clone(), why };
            let until = sooner(&page.record, Timestamp::MAX, now);
            Ok(Some((Outcome::GivenUp { error, until }, page)))
        }
        Decision::Redeliver { why } => {
            boxed(|| delivering::deliver(desk, &mut page, why)).await?;
            Ok(None)
        }
        Decision::Keep { until } => {
            let page = boxed(|| wind_up(desk, page)).await?;
            let until = sooner(&page.record, until, now);
            Ok(Some((Outcome::Kept { until }, page)))
        }
        Decision::Wait { until, why } => {
            let failures = failures_with(&page.record, &issuer).or(page.record.failures.as_ref());
            let Some(error) = failures.map(Failures::error) else {
                // Nothing has failed: there is no wait.
                return boxed(|| renew(desk, page, &issuer, why)).await;
            };
            let error = error.into();
            let page = settling::settle(desk, page).await.0;
            let until = sooner(&page.record, until.min(stands), now);
            Ok(Some((Outcome::Waiting { error, until }, page)))
        }
        Decision::Renew { why } => {
            if why == Reason::DoesNotExist && boxed(|| adopting::from_outputs(desk, &mut page)).await? {
                return Ok(None);
            }
            let expires = page.record.current.as_ref().map(|current| current.facts.not_after);
            let rest = desk.inner.rest_of(&issuer, now);
            let held = rest.and_then(|rest| Some((rest::holds_back(&rest, expires, now)?, rest)));
            let Some((asked_at, rest)) = held else {
                return boxed(|| renew(desk, page, &issuer, why)).await;
            };
            let page = settling::settle(desk, page).await.0;
            // Not all at the moment at which it is asked again.
            let until = asked_at + Spread::of(page.id()).of_width(APART.min(now.until(asked_at)));
            let until = sooner(&page.record, until.min(stands), now);
            let error = Error::Resting { issuer, until: asked_at, message: rest.message };
            Ok(Some((Outcome::Waiting { error, until }, page)))
        }
    }
}

/// Forgets questions that there is nobody to ask, and deliveries that there is no place for or nothing to deliver:
/// they would be waited for without end.
fn forget_what_nobody_does(desk: Desk<'_>, page: &mut Page, material: Material) {
    let now = desk.now();
    let record = &mut page.record;
    let mut serves = false;
    if let Some(current) = &mut record.current {
        serves = material == Material::Whole && now <= current.facts.not_after;
        page.noted |= current.poll_at.take_if(|poll_at| *poll_at <= now).is_some();
    }
    let wanted = serves && !desk.inner.sinks.is_empty() && !record.spec.outputs().is_empty();
    page.noted |= record.undelivered.take_if(|_| !wanted).is_some();
}

/// Ten minutes: as long as a CA that comes back needs to be sure of it.
const APART: Duration = Duration::from_secs(600);

/// Ends what nobody wants any more, and pays what is owed.
async fn wind_up(desk: Desk<'_>, page: Page) -> Result<Page, Error> {
    let page = settling::drop_attempt(desk, page).await?;
    // What cannot be removed now stays on record, and is looked after soon.
    let mut page = settling::settle(desk, page).await.0;
    boxed(|| revoking::revoke(desk, &mut page)).await?;
    Ok(page)
}

/// What to do, by whom, and until when that stands.
struct Plan {
    decision: Decision,
    issuer: IssuerName,
    until: Timestamp,
}

fn plan(
    inner: &Inner,
    record: &Record,
    material: Material,
    delivery: Option<Delivery<'_>>,
    now: Timestamp,
) -> Plan {
    let issuers: Vec<&IssuerName> = record.spec.issuers().collect();
    let rests: Vec<Option<Failures>> = issuers.iter().map(|name| inner.rest_of(name, now)).collect();
    let candidates: Vec<Candidate<'_>> = issuers
        .iter()
        .zip(&rests)
        .map(|(name, rest)| Candidate {
            failures: failures_with(record, name),
            rest: rest.as_ref(),
            open: record.attempt.as_ref().is_some_and(|it| it.issuer() == *name && it.progress.is_some()),
        })
        .collect();
    let expires = record.current.as_ref().map(|current| current.facts.not_after);
    let Choice { which, until } = failover::choose(&candidates, expires, now);
    let issuer = issuers.get(which).copied().unwrap_or_else(|| record.spec.issuer_name());
    let failures = candidates.get(which).and_then(|candidate| candidate.failures);
    Plan { decision: decide_record(record, material, delivery, failures, now), issuer: issuer.clone(), until }
}

/// When the next attempt is due, by whichever issuer.
pub(super) fn next_attempt(inner: &Inner, record: &Record, now: Timestamp) -> Timestamp {
    let Plan { issuer, until, .. } = plan(inner, record, Material::Missing, None, now);
    let allowed = failures_with(record, &issuer).map_or(now, |failures| failures.retry_at);
    allowed.min(until)
}

async fn renew(
    desk: Desk<'_>,
    page: Page,
    issuer: &IssuerName,
    why: Reason,
) -> Result<Option<(Outcome, Page)>, Error> {
    let wanted = page.record.spec.clone();
    let id = wanted.id().clone();
    let was_due_at = page.record.current.is_some().then(|| due(&page.record, desk.now()));
    match boxed(|| walk::issue(desk, page, issuer, why)).await {
        Ok(Issuance::Issued(mut page)) => {
            let until = due(&page.record, desk.now());
            if let Some(Current { generation, facts, .. }) = &page.record.current {
                let (issuer, generation, not_after) = (issuer.clone(), *generation, facts.not_after);
                let renews_at = until;
                desk.tell(&id, EventKind::Issued { issuer, generation, was_due_at, not_after, renews_at });
            }
            if !page.record.spec.outputs().is_empty() {
                boxed(|| delivering::deliver(desk, &mut page, Redelivery::NotYet)).await?;
            }
            boxed(|| revoking::revoke(desk, &mut page)).await?;
            Ok(Some((Outcome::Issued { until }, *page)))
        }
        // It is on record, and the next look says so.
        Ok(Issuance::Denied) => Ok(None),
        Ok(Issuance::PutOff { page, error, until }) => {
            let until = sooner(&page.record, until, desk.now());
            Ok(Some((Outcome::Waiting { error, until }, *page)))
        }
        Err(failure) if failing::says_nothing(&failure.error) => {
            // Its attempt is on record as paid for, if it is on record; only what a failed proof would cost is not
            // spent.
            let unspent = of_failures(failure.unspent());
            desk.inner.give_back(&unspent, &desk.hold.batch()).await;
            Err(failure.error)
        }
        Err(failure) => {
            let error = failure.error.clone();
            let Some((page, retry_at)) = failing::remember(desk, &wanted, issuer, failure).await? else {
                return Ok(None);
            };
            let (class, message) = (failing::class_of(&error), error.to_string());
            desk.tell(&id, EventKind::Failed { issuer: issuer.clone(), class, message, retry_at });
            let until = sooner(&page.record, retry_at, desk.now());
            Ok(Some((Outcome::Failed { error, until }, page)))
        }
    }
}
