//! The walk to a new certificate: key, budgets, attempt, issuer, verification, chain, record.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use perennial_core::{Retry, SecretBytes, SecretString, Timestamp};

use super::{
    approving,
    desk::{Desk, Page},
    failing::Failure,
    material::{self, chain_slot, key_slot},
    pass, rehearsal, settling,
    spending::of_failures,
};
use crate::{
    Attempt, Contract, Current, Error, EventKind, Facts, Generation, IssueError, IssueErrorClass,
    IssuedChain, Issuer, IssuerName, Material, PrivateKey, Reason, SigningRequest, StoreError,
    budget::{Demand, Purpose, Refusal},
    contract,
    schedule::Spread,
};

/// What an attempt came to, if it did not fail.
pub(super) enum Issuance {
    /// Somebody has said no, and that is on record.
    Denied,
    /// A new certificate is in place.
    Issued(Box<Page>),
    /// Nothing was asked of anybody.
    PutOff { page: Box<Page>, error: Error, until: Timestamp },
}

/// Takes up the attempt on record, or begins one, and walks it to its end; where that is wished for, another issuer
/// is asked first whether it works at all.
pub(super) async fn issue(
    desk: Desk<'_>,
    mut page: Page,
    issuer: &IssuerName,
    why: Reason,
) -> Result<Issuance, Failure> {
    if let Some(stage) = desk.inner.stage_for(&page.record, issuer) {
        let wanted = page.record.spec.clone();
        match ask(desk, page, &stage, why).await {
            Err(failure) if failure.error.is_the_stores() => return Err(failure),
            Err(failure) if rehearsal::says_nothing(&failure.error) => {
                page = desk.page(wanted.id()).await?;
                if page.record.spec != wanted {
                    return Err(failure);
                }
                desk.inner.give_back(failure.unspent(), &desk.hold.batch()).await;
            }
            Err(failure) => return Err(failure),
            Ok(Asked::Denied) => return Ok(Issuance::Denied),
            Ok(Asked::PutOff { page, refusal }) => return Ok(put_off(desk, page, refusal)),
            Ok(Asked::Signed(signed)) => page = rehearsed(desk, signed.page, issuer).await?,
        }
    }
    let signed = match ask(desk, page, issuer, why).await? {
        Asked::Denied => return Ok(Issuance::Denied),
        Asked::PutOff { page, refusal } => return Ok(put_off(desk, page, refusal)),
        Asked::Signed(signed) => signed,
    };
    let Signed { page, generation, chain } = *signed;
    let poll_at = desk.inner.issuer(page.id(), issuer)?.suggests_windows().then(|| desk.now());
    let page = finish(desk, page, generation, (issuer, poll_at), &chain).await?;
    Ok(Issuance::Issued(Box::new(page)))
}

/// What asking an issuer came to, if it did not fail.
enum Asked {
    Denied,
    PutOff { page: Box<Page>, refusal: Refusal },
    Signed(Box<Signed>),
}

/// A chain that is what was asked for, and not in place yet.
struct Signed {
    page: Page,
    generation: Generation,
    chain: IssuedChain,
}

async fn ask(desk: Desk<'_>, page: Page, issuer: &IssuerName, why: Reason) -> Result<Asked, Failure> {
    let spec = page.record.spec.clone();
    let agent = desk.inner.issuer(spec.id(), issuer)?.clone();
    desk.inner.ask_ready(issuer, &*agent).await.map_err(Error::from)?;
    let walk = match take_up(desk, page, issuer, &agent).await? {
        Begun::Denied => return Ok(Asked::Denied),
        Begun::PutOff { page, refusal } => return Ok(Asked::PutOff { page, refusal }),
        Begun::Walk(walk) => walk,
    };
    let Walk { page, generation, key, resumed, demands } = *walk;
    desk.tell(spec.id(), EventKind::Issuing { why, resumed });
    let request = request(desk, &page, issuer, (&key, agent.needs_key())).await;
    let request = request.map_err(|error| Failure::before_asking(error, demands.clone()))?;

    let journal = desk.journal(issuer, page).issuing();
    let issued = guarded(agent.issue(&request, &journal)).await;
    if issued.is_err() {
        // What the issuer told is not worth another failure.
        let _ = journal.keep_told().await;
    }
    let ordered = journal.has_ordered();
    let page = desk.close(journal).await;
    let chain = issued.map_err(|error| {
        desk.inner.rests().failed(issuer, &error, desk.now());
        Failure::of_issuer(error, &page.record, demands.clone(), ordered)
    })?;
    desk.inner.rests().answered(issuer);
    desk.inner.give_back(&of_failures(&demands), &desk.hold.batch()).await;

    contract::check(chain.facts(), &request, &Facts::fingerprint_of(&key), desk.now())
        .map_err(|fault| Error::Contract { id: spec.id().clone(), fault })?;
    Ok(Asked::Signed(Box::new(Signed { page, generation, chain })))
}

/// Throws away what the rehearsal brought but its key, which is nobody else's business, and writes down that it went
/// well.
async fn rehearsed(desk: Desk<'_>, mut page: Page, issuer: &IssuerName) -> Result<Page, Error> {
    page.record.rehearsed_at = Some(desk.now());
    if let Some(attempt) = &mut page.record.attempt {
        attempt.issuer = Some(issuer.clone());
        attempt.progress = None;
        attempt.order = None;
        attempt.spent = false;
    }
    desk.save(&mut page).await?;
    Ok(page)
}

/// What the issuer is asked to sign.
async fn request(
    desk: Desk<'_>,
    page: &Page,
    issuer: &IssuerName,
    (key, hands_over): (&PrivateKey, bool),
) -> Result<SigningRequest, Error> {
    let mut request = SigningRequest::of(&page.record.spec, key)?;
    if hands_over {
        request = request.with_key(PrivateKey::from_pem(&key.to_pem())?);
    }
    request.replaces = replaced(desk, page, issuer).await?;
    Ok(request)
}

fn put_off(desk: Desk<'_>, page: Box<Page>, refusal: Refusal) -> Issuance {
    let now = desk.now();
    let id = page.id().clone();
    desk.tell(&id, EventKind::OverBudget { budget: refusal.key.to_string(), until: refusal.until });
    let expires = page.record.current.as_ref().map(|current| current.facts.not_after);
    let until = refusal.returns_at(Spread::of(&id), expires, now);
    Issuance::PutOff { page, error: Error::OverBudget { id, refusal }, until }
}

/// The certificate that the new one replaces, if this issuer has issued it: who is told counts it as a renewal.
async fn replaced(
    desk: Desk<'_>,
    page: &Page,
    issuer: &IssuerName,
) -> Result<Option<IssuedChain>, StoreError> {
    let own = page.record.current.as_ref().filter(|current| current.is_ours_from(issuer));
    match own {
        Some(current) => match material::chain(desk.inner, page.id(), current.generation).await {
            // Without it the new one counts as a first one, and is better than none.
            Err(error) if material::is_of_one_slot(&error) => Ok(None),
            chain => chain,
        },
        None => Ok(None),
    }
}

/// How an attempt began.
enum Begun {
    Denied,
    PutOff { page: Box<Page>, refusal: Refusal },
    Walk(Box<Walk>),
}

/// An issuance that can go on: its attempt is on record and its key at hand.
struct Walk {
    page: Page,
    generation: Generation,
    key: PrivateKey,
    resumed: bool,
    /// What it has taken from the budgets.
    demands: Vec<Demand>,
}

/// Takes up the attempt on record, unless another certificate or another issuer is wanted by now, or its key is
/// gone or in other hands: then what it owes is paid and a new one begins.
async fn take_up(
    desk: Desk<'_>,
    page: Page,
    issuer: &IssuerName,
    agent: &Arc<dyn Issuer>,
) -> Result<Begun, Error> {
    if let Some(attempt) = &page.record.attempt {
        let wanted = attempt.asked_for.asks_same_certificate(&page.record.spec)
            && attempt.issuer() == issuer
            && !page.record.is_compromised(attempt.generation);
        match material::key(desk.inner, page.id(), attempt.generation).await {
            Ok(key) if wanted => {
                let attempt = attempt.clone();
                return resume(desk, page, issuer, agent, (attempt, key)).await;
            }
            Ok(_) | Err(Error::Key(_) | Error::Store(StoreError::SlotMissing { .. })) => {}
            Err(Error::Store(error)) if material::is_of_one_slot(&error) => {}
            Err(error) => return Err(error),
        }
        if attempt.issuer() != issuer
            && !desk.inner.is_stage(attempt.issuer())
            && !desk.inner.is_stage(issuer)
        {
            let (from, to) = (attempt.issuer().clone(), issuer.clone());
            desk.tell(page.id(), EventKind::IssuerChanged { from, to });
        }
    }
    let page = settling::drop_attempt(desk, page).await?;
    // What cannot be removed now must not hold a new certificate back; it stays on record.
    let page = settling::settle(desk, page).await.0;
    begin(desk, page, issuer, agent).await
}

async fn resume(
    desk: Desk<'_>,
    mut page: Page,
    issuer: &IssuerName,
    agent: &Arc<dyn Issuer>,
    (attempt, key): (Attempt, PrivateKey),
) -> Result<Begun, Error> {
    let generation = attempt.generation;
    let demands = desk.inner.demands(&page.record, issuer, &**agent, attempt.spent, desk.now());
    let (mut batch, mut record) = (desk.hold.batch(), page.record.clone());
    if !attempt.spent {
        // Its order failed for good, and the next one counts again.
        record.attempt = Some(Attempt { spent: true, ..attempt });
        batch = batch.change(record.clone(), Some(page.version));
    }
    match desk.inner.spend(&demands, batch).await? {
        Err(refusal) => return Ok(Begun::PutOff { page: Box::new(page), refusal }),
        Ok(versions) => {
            let version = versions.first().copied().unwrap_or(page.version);
            page = Page::new(version, record);
        }
    }
    Ok(Begun::Walk(Box::new(Walk { page, generation, key, resumed: true, demands })))
}

/// Makes the key, and writes it, the attempt that names it and what it takes from the budgets in one.
async fn begin(
    desk: Desk<'_>,
    mut page: Page,
    issuer: &IssuerName,
    agent: &Arc<dyn Issuer>,
) -> Result<Begun, Error> {
    let Some(approved_by) = approving::ask(desk, &mut page, issuer).await? else { return Ok(Begun::Denied) };
    let demands = desk.inner.demands(&page.record, issuer, &**agent, false, desk.now());
    let (generation, algorithm) = (page.record.last_generation.next(), page.record.spec.key());
    let kept = material::kept_key(desk.inner, &page.record).await?;
    let told = match kept {
        Some(_) => EventKind::Reused { generation },
        None => EventKind::Generated { generation, algorithm },
    };
    let key: SecretString = match kept {
        Some(key) => key,
        None => material::fresh_key(algorithm).await?,
    };
    let before = page.record.clone();
    page.record.last_generation = generation;
    page.record.attempt = Some(Attempt {
        issuer: Some(issuer.clone()),
        approved_by,
        spent: true,
        ..Attempt::new(generation, page.record.spec.clone(), desk.now())
    });
    let batch = desk
        .hold
        .batch()
        .write(key_slot(page.id(), generation), SecretBytes::new(key.expose().as_bytes()))
        .change(page.record.clone(), Some(page.version));
    match desk.inner.spend(&demands, batch).await? {
        Err(refusal) => {
            return Ok(Begun::PutOff { page: Box::new(Page { record: before, ..page }), refusal });
        }
        Ok(versions) => page.version = versions.first().copied().unwrap_or(page.version),
    }
    desk.hold.reached_commit().await;
    desk.tell(page.id(), told);
    desk.tell(page.id(), EventKind::Requested { issuer: issuer.clone(), generation });
    let key = PrivateKey::from_pem(&key)?;
    Ok(Begun::Walk(Box::new(Walk { page, generation, key, resumed: false, demands })))
}

/// Writes the chain and flips the record to it in one, and forgets what is too old.
async fn finish(
    desk: Desk<'_>,
    mut page: Page,
    generation: Generation,
    (issuer, poll_at): (&IssuerName, Option<Timestamp>),
    chain: &IssuedChain,
) -> Result<Page, Error> {
    // What the store holds is what will serve: a key that another process has overwritten must not.
    let key = material::key(desk.inner, page.id(), generation).await?;
    if !chain.facts().has_key(&key) {
        return Err(Error::Contract { id: page.id().clone(), fault: Contract::Key });
    }
    let now = desk.now();
    let record = &mut page.record;
    let replaced = record.current.as_ref().map(|current| current.generation);
    let forgotten = std::mem::replace(&mut record.previous, replaced);
    let attempt = record.attempt.take();
    let attempt = attempt.unwrap_or_else(|| Attempt::new(generation, record.spec.clone(), now));
    record.current = Some(Current {
        issued_by: Some(issuer.clone()),
        poll_at,
        order: attempt.order,
        approved_by: attempt.approved_by,
        ..Current::new(generation, attempt.asked_for, chain.facts().clone(), now)
    });
    record.forget_failures();
    record.observe(Some(Material::Whole), now);
    record.next_at =
        pass::next_at(desk.inner, record, &super::Outcome::Issued { until: super::due(record, now) }, now);
    let write = (chain_slot(page.id(), generation), SecretBytes::new(chain.pem().as_bytes()));
    desk.save_with(desk.hold.batch().write(write.0, write.1), &mut page).await?;
    if let Some(old) = forgotten.filter(|old| !page.record.is_compromised(*old)) {
        // That an old generation stays a little longer harms nobody.
        let _ = desk.inner.store.forget(page.id(), old).await;
    }
    Ok(page)
}

/// Runs the code of an issuer, which is not ours: that it panics must not end the work on others, nor keep the
/// failure from being written down.
pub(super) async fn guarded<T>(work: impl Future<Output = Result<T, IssueError>>) -> Result<T, IssueError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let message = format!("the issuer panicked: {}", last_words(&*panic));
        Err(IssueError::new(IssueErrorClass::Local, message, Retry::Backoff))
    })
}

pub(super) fn last_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

/// What an attempt for this certificate is for, as a CA counts it.
pub(super) fn purpose(record: &crate::Record, issuer: &IssuerName, now: Timestamp) -> Purpose {
    let own = record
        .current
        .as_ref()
        .filter(|current| current.is_ours_from(issuer) && record.spec.has_names_of(&current.facts));
    let Some(current) = own else { return Purpose::First };
    let suggested = current.window.as_ref().is_some_and(|window| window.start <= now && now < window.end);
    if suggested { Purpose::SuggestedRenewal } else { Purpose::Renewal }
}
