//! Group commit: what several callers want of one zone at the same time goes to the vendor in one write.
//!
//! Nobody waits for company. A caller who finds no write on its way makes its own at once; whoever comes while one is
//! on its way waits for it, and all who waited go together in the next. So a vendor sees two writes of a zone where all
//! of them fit into one and none is refused, however many certificates come at once, and a caller alone is as fast as
//! ever.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex as SyncMutex, MutexGuard as SyncMutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use perennial_core::DomainName;
use tokio::sync::{Mutex, MutexGuard, oneshot};

use crate::{Action, Applied, Change, Error, Outcome, Zone};

type Answer = Result<Applied, Error>;

/// Who makes a write.
#[async_trait]
pub(crate) trait Commit: Sync {
    /// Makes these changes, as [`apply`](crate::DnsProvider::apply) does, one caller's or those of many.
    async fn commit(&self, zone: &Zone, changes: &[Change]) -> Answer;

    /// Whether a credential may be good for some names of a zone and not for others
    /// ([`Vendor::permits_by_name`](super::Vendor::permits_by_name)).
    fn permits_by_name(&self) -> bool {
        true
    }
}

/// How much one write of a vendor's can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A record set.
    Set,
    /// Any sets of a zone.
    Zone,
}

/// The callers of one provider.
#[derive(Default)]
pub(crate) struct Gather(SyncMutex<HashMap<Place, Weak<Line>>>);

/// What a write is about: a zone, and a name where a write reaches no further.
type Place = (Zone, Option<DomainName>);

/// Names come and go with certificates; their lines need not stay.
const SWEEP_AT: usize = 1024;

/// The most bytes of values in one write for several: half of the least that an interface is known to take (Route 53,
/// 32 000 characters). It is a hundred challenges three times over.
const MOST_BYTES: usize = 16 * 1024;

impl Gather {
    /// Makes these changes, with those of others if there are any: at most `most` together. What comes of them is
    /// what would have come of them alone.
    pub(crate) async fn write(
        &self,
        by: &dyn Commit,
        reach: Reach,
        most: usize,
        zone: &Zone,
        changes: &[Change],
    ) -> Answer {
        let Some(first) = changes.first() else { return by.commit(zone, changes).await };
        let name = match reach {
            Reach::Zone => None,
            Reach::Set if changes.iter().all(|change| change.name == first.name) => Some(first.name.clone()),
            // Each set is a write of its own anyway.
            Reach::Set => return by.commit(zone, changes).await,
        };
        self.line((zone.clone(), name)).write(by, most, zone, changes).await
    }

    fn line(&self, place: Place) -> Arc<Line> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&place).and_then(Weak::upgrade) {
            return line;
        }
        if lines.len() >= SWEEP_AT {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::new(Line::default());
        lines.insert(place, Arc::downgrade(&line));
        line
    }
}

/// Those who write to one place.
#[derive(Default)]
struct Line {
    /// Held by whoever writes.
    turn: Mutex<()>,
    waiting: SyncMutex<Vec<Waiting>>,
    /// The last number that was given out: to somebody who waits, or to a party.
    last: AtomicU64,
    /// How many in succession were refused by themselves, of those who were refused together before.
    refused: AtomicU32,
}

/// After so many it looks as if everybody were refused, and to go by halves would only add to the writes.
const MOST_REFUSED: u32 = 2;

struct Waiting {
    number: u64,
    party: Option<u64>,
    /// Whether somebody has begun to write them: if he was dropped, nobody knows how far he came.
    tried: bool,
    changes: Vec<Change>,
    answer: oneshot::Sender<Answer>,
}

/// What waiting came to.
enum Waited<'l> {
    /// Somebody else made the changes.
    Answered(Answer),
    /// They are still to be made, and it is our turn.
    Turn(MutexGuard<'l, ()>),
}

impl Line {
    async fn write(&self, by: &dyn Commit, most: usize, zone: &Zone, changes: &[Change]) -> Answer {
        // With whom one goes: with anybody at first, and after a refusal with half of those who were refused together.
        let (mut party, mut tried) = (None, false);
        let mut held = None;
        loop {
            let turn = match held.take().map_or_else(|| self.turn.try_lock(), Ok) {
                Ok(turn) => turn,
                Err(_) => match self.wait((&mut party, &mut tried), changes).await {
                    Waited::Answered(answer) => return answer,
                    Waited::Turn(turn) => turn,
                },
            };
            if party.is_none() {
                // Those who come in the same moment come along.
                tokio::task::yield_now().await;
            }
            let goes_alone = party.is_some() && self.refused.load(Ordering::Relaxed) >= MOST_REFUSED;
            let company = if goes_alone { Vec::new() } else { self.company(party, most, changes) };
            let is_unsure = party.is_some() || tried || company.iter().any(|other| other.tried);
            if company.is_empty() {
                let answer = by.commit(zone, changes).await;
                match &answer {
                    Err(_) if party.is_some() => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
                    _ => self.refused.store(0, Ordering::Relaxed),
                }
                return answer.map(|applied| sobered(applied, is_unsure));
            }
            let others = company.iter().flat_map(|other| other.changes.iter());
            let all: Vec<_> = changes.iter().chain(others).cloned().collect();
            match by.commit(zone, &all).await {
                Ok(applied) => {
                    self.refused.store(0, Ordering::Relaxed);
                    return Ok(self.share(&sobered(applied, is_unsure), changes, &company));
                }
                // Down to ourselves, before anybody else goes: soon it is known whether it was one of us or all of us.
                Err(error) if may_be_of_one(&error, by, &all) => {
                    party = Some(self.split(&company));
                    held = Some(turn);
                }
                Err(error) => {
                    self.answer(&company, |_| Err(error.clone()));
                    return Err(error);
                }
            }
        }
    }

    /// Waits for one's turn, or for whoever has it to make these changes, too.
    async fn wait(&self, (party, tried): (&mut Option<u64>, &mut bool), changes: &[Change]) -> Waited<'_> {
        let (answer, mut answered) = oneshot::channel();
        let number = self.number();
        self.waiting().push(Waiting {
            number,
            party: *party,
            tried: *tried,
            changes: changes.to_vec(),
            answer,
        });
        let place = Leaves { line: self, number };
        match select(&mut answered, pin!(self.turn.lock())).await {
            Either::Left((Ok(answer), _)) => Waited::Answered(answer),
            // Nobody drops it without an answer but we ourselves.
            Either::Left((Err(_), turn)) => Waited::Turn(turn.await),
            Either::Right((turn, _)) => match answered.try_recv() {
                Ok(answer) => Waited::Answered(answer),
                Err(_) => {
                    if let Some(own) = self.waiting().iter().find(|it| it.number == place.number) {
                        (*party, *tried) = (own.party, own.tried);
                    }
                    Waited::Turn(turn)
                }
            },
        }
    }

    /// Who can go along: those of the same party who wait, speak of other values and do the same, since what only
    /// adds is often written without a look. They stay where they are until there is an answer for them.
    fn company(&self, party: Option<u64>, most: usize, changes: &[Change]) -> Vec<Companion> {
        let adds = only_adds(changes);
        let (mut left, mut bytes) = (most.saturating_sub(changes.len()), length(changes));
        let mut company: Vec<Companion> = Vec::new();
        for it in self.waiting().iter_mut().filter(|it| it.party == party && only_adds(&it.changes) == adds) {
            if left == 0 {
                break;
            }
            let fits = it.changes.len() <= left && bytes + length(&it.changes) <= MOST_BYTES;
            let apart = || {
                are_apart(&it.changes, changes)
                    && company.iter().all(|other| are_apart(&it.changes, &other.changes))
            };
            if fits && apart() {
                left -= it.changes.len();
                bytes += length(&it.changes);
                let tried = std::mem::replace(&mut it.tried, true);
                company.push(Companion { number: it.number, tried, changes: it.changes.clone() });
            }
        }
        company
    }

    /// Makes two parties out of those who were refused together, and tells ours: one of them may be at fault, and is
    /// found by halves.
    fn split(&self, company: &[Companion]) -> u64 {
        let (ours, theirs) = (self.number(), self.number());
        // We are one of the first half.
        let beside_us = company.len().div_ceil(2).saturating_sub(1);
        for it in self.waiting().iter_mut() {
            match company.iter().position(|other| other.number == it.number) {
                Some(place) if place < beside_us => it.party = Some(ours),
                Some(_) => it.party = Some(theirs),
                None => {}
            }
        }
        ours
    }

    /// Gives everybody what is theirs, and returns what is ours.
    fn share(&self, applied: &Applied, changes: &[Change], company: &[Companion]) -> Applied {
        let others = company.iter().map(|other| other.changes.as_slice());
        let mut parts = parts(applied, std::iter::once(changes).chain(others)).into_iter();
        let ours = parts.next().unwrap_or_default();
        self.answer(company, |_| Ok(parts.next().unwrap_or_default()));
        ours
    }

    /// Answers these, in their order, if they still wait.
    fn answer(&self, company: &[Companion], mut answer: impl FnMut(&Companion) -> Answer) {
        let mut waiting = self.waiting();
        for other in company {
            let answer = answer(other);
            if let Some(place) = waiting.iter().position(|it| it.number == other.number) {
                // Whoever has gone meanwhile wants no answer.
                let _ = waiting.remove(place).answer.send(answer);
            }
        }
    }

    fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed)
    }

    fn waiting(&self) -> SyncMutexGuard<'_, Vec<Waiting>> {
        // Whole between any two statements.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who goes along.
struct Companion {
    number: u64,
    /// Whether somebody has tried before us.
    tried: bool,
    changes: Vec<Change>,
}

/// Whoever is dropped while it waits is not waited for.
struct Leaves<'l> {
    line: &'l Line,
    number: u64,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.line.waiting().retain(|it| it.number != self.number);
    }
}

fn only_adds(changes: &[Change]) -> bool {
    changes.iter().all(|change| change.action == Action::Add)
}

fn length(changes: &[Change]) -> usize {
    changes.iter().map(|change| change.value.len()).sum()
}

/// Whether no value is spoken of by both. What two say of one value is made in two writes, so that each is told what
/// became of its own word.
fn are_apart(one: &[Change], other: &[Change]) -> bool {
    let same = |change: &Change, other: &Change| change.name == other.name && change.value == other.value;
    !one.iter().any(|change| other.iter().any(|it| same(change, it)))
}

/// What is said of a write as a whole, and may be the fault of one value in it. What is the vendor's own trouble, or
/// that of a credential, would be said of each alone, too.
fn may_be_of_one(error: &Error, by: &dyn Commit, changes: &[Change]) -> bool {
    match error {
        Error::Conflict { .. } | Error::InvalidRequest { .. } | Error::Unsupported { .. } => true,
        // Nobody lets a credential write some values of a name and not others.
        Error::Permission { .. } if by.permits_by_name() => {
            let mut names = changes.iter().map(|change| &change.name);
            let first = names.next();
            names.any(|name| Some(name) != first)
        }
        _ => false,
    }
}

/// After a refusal that may have come when half was done, nobody knows who did what is found.
fn sobered(mut applied: Applied, is_unsure: bool) -> Applied {
    if is_unsure {
        for outcome in applied.outcomes.iter_mut().filter(|it| **it == Outcome::AlreadyDone) {
            *outcome = Outcome::Unknown;
        }
    }
    applied
}

/// What was done, cut by who wanted it. All of them wait for all that is pending.
fn parts<'c>(applied: &Applied, callers: impl Iterator<Item = &'c [Change]>) -> Vec<Applied> {
    let (mut outcomes, mut receipts) = (applied.outcomes.iter(), applied.receipts.iter());
    let cut = |changes: &[Change]| {
        let adds = changes.iter().filter(|change| change.action == Action::Add).count();
        Applied::new(receipts.by_ref().take(adds).cloned().collect())
            .with_outcomes(outcomes.by_ref().take(changes.len()).copied())
            .with_pending(applied.pending.iter().cloned())
    };
    callers.map(cut).collect()
}

#[cfg(test)]
mod tests;
