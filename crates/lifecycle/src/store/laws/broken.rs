//! Stores that break one law each: the laws must tell.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use perennial_core::{SecretBytes, Timestamp};

use crate::{
    CertificateId, Generation, MemoryStore, StoreError,
    store::{Batch, Claim, Due, Fence, Held, Overlay, Owner, Slot, Store, Version},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breach {
    AppliesInPieces,
    ClaimsAnyway,
    ClaimsBackwards,
    ClaimsByTimeAlone,
    ClaimsForEver,
    ClaimsForNobody,
    ClaimsMoreThanAsked,
    ClaimsOneAnyway,
    ClaimsRenewalsFirst,
    ClaimsWhatIsNotDue,
    ComparesNoBucket,
    ComparesNoSlot,
    ComparesNoVersion,
    ExtendsInWordsOnly,
    FavoursRenewalsByOne,
    FencesNoRemoval,
    FencesNobody,
    FencesWithOneNumber,
    FixesTheLine,
    ForgetsNothing,
    ForgetsTheNext,
    KeepsMaterial,
    KeepsTheFirstInASlot,
    ListsBackwards,
    ListsFromTheBeginning,
    ListsMoreThanAsked,
    LosesBuckets,
    LosesCommits,
    LosesSomeOfTheDue,
    MovesNothing,
    NeverDue,
    ReleasesNothing,
    ReleasesWhatIsLost,
    RemovesAnything,
    RefusesWishes,
    SaysNothingIsLost,
    ScansBackwards,
    ScansFromTheBeginning,
    ScansTooFar,
    SwapsOnlyWhatIsThere,
    VersionsStandStill,
    WritesAfterLettingGo,
    WritesForNothing,
}

/// A memory store that breaks one law.
struct Broken {
    inner: MemoryStore,
    breach: Breach,
    held: Mutex<Vec<Held>>,
    /// Who had a certificate when they were first seen.
    lines: Mutex<BTreeMap<CertificateId, bool>>,
    released: Mutex<BTreeSet<Held>>,
}

impl Broken {
    fn is(&self, breach: Breach) -> bool {
        self.breach == breach
    }

    /// The same batch without its claims, and with versions as they are.
    async fn changed(&self, batch: &Batch) -> Batch {
        let released = batch.holds().iter().any(|held| self.released.lock().unwrap().contains(held));
        let mut changed = Batch::new();
        for change in batch.changes() {
            let found = self.inner.load(change.record.id()).await.unwrap().map(|(version, _)| version);
            let expected = if self.is(Breach::ComparesNoVersion) { found } else { change.expected };
            changed = changed.change(change.record.clone(), expected);
        }
        for (slot, bytes) in batch.writes() {
            changed = changed.write(slot.clone(), bytes.clone());
        }
        for change in batch.buckets() {
            let found = self.inner.buckets(std::slice::from_ref(&change.key)).await.unwrap();
            let found = found[0].map(|(version, _)| version);
            let expected = if self.is(Breach::ComparesNoBucket) { found } else { change.expected };
            if !self.is(Breach::LosesBuckets) {
                changed = changed.bucket(change.key.clone(), expected, change.bucket);
            }
        }
        let lets_go = self.is(Breach::WritesAfterLettingGo) && released;
        let is_fenced = !self.is(Breach::FencesNobody) && !lets_go;
        if is_fenced {
            changed = batch.holds().iter().fold(changed, |changed, held| changed.held(held));
        }
        changed
    }

    /// Of all that are due those that this store would have come first.
    async fn chosen(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let mut all = self.inner.claim(owner, ttl, usize::MAX).await?;
        all.sort_by_key(|claim| (claim.record.next_at, claim.held.id.clone()));
        let mut lines = self.lines.lock().unwrap().clone();
        let turn = self.is(Breach::FixesTheLine) && self.held.lock().unwrap().len() % 2 == 1;
        let mut places = [0, 0];
        let mut order = Vec::new();
        for claim in &all {
            let now = claim.record.current.is_some();
            let line = if self.is(Breach::FixesTheLine) {
                *lines.entry(claim.held.id.clone()).or_insert(now)
            } else {
                now
            };
            places[usize::from(line)] += 1;
            let place = places[usize::from(line)];
            order.push(match self.breach {
                Breach::ClaimsByTimeAlone => (0, Reverse(false)),
                Breach::ClaimsRenewalsFirst => (0, Reverse(line)),
                _ => (place, Reverse(line != turn)),
            });
        }
        let mut all: Vec<_> = order.into_iter().zip(all).collect();
        all.sort_by_key(|(order, _)| *order);
        let mut claims: Vec<_> = all.into_iter().map(|(_, claim)| claim).collect();
        let rest = claims.split_off(most.min(claims.len()));
        let rest: Vec<_> = rest.into_iter().map(|claim| claim.held).collect();
        self.inner.release(&rest).await?;
        Ok(claims)
    }

    async fn handed_out(&self, mut claims: Vec<Claim>) -> Vec<Claim> {
        for claim in &mut claims {
            self.held.lock().unwrap().push(claim.held.clone());
            if self.is(Breach::FencesWithOneNumber) {
                claim.held.fence = Fence::from_number(1);
            }
        }
        claims
    }
}

#[async_trait]
impl Overlay for Broken {
    type Below = MemoryStore;

    fn below(&self) -> &MemoryStore {
        &self.inner
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        match self.breach {
            Breach::LosesCommits => return Ok(vec![Version::FIRST; batch.changes().len()]),
            Breach::AppliesInPieces => {
                let mut versions = Vec::new();
                for change in batch.changes() {
                    versions.push(self.inner.commit(&change.record, change.expected).await?);
                }
                let rest = Batch::new();
                let rest = batch
                    .writes()
                    .iter()
                    .fold(rest, |rest, (slot, bytes)| rest.write(slot.clone(), bytes.clone()));
                self.inner.apply(&rest).await?;
                return Ok(versions);
            }
            Breach::RefusesWishes if batch.holds().is_empty() => {
                let held = self.held.lock().unwrap().clone();
                for change in batch.changes() {
                    let holder = held.iter().rev().find(|held| held.id == *change.record.id());
                    if let Some(holder) = holder
                        && self
                            .inner
                            .extend(std::slice::from_ref(holder), Duration::from_secs(60))
                            .await?
                            .is_empty()
                    {
                        let (id, held, newest) = (holder.id.clone(), Fence::default(), Some(holder.fence));
                        return Err(StoreError::Fenced { id, held, newest });
                    }
                }
            }
            Breach::MovesNothing => {
                // What is there already stays where it is in the index.
                let mut still = Batch::new();
                for change in batch.changes() {
                    let mut record = change.record.clone();
                    if let Some((_, found)) = self.inner.load(record.id()).await? {
                        record.next_at = found.next_at;
                    }
                    still = still.change(record, change.expected);
                }
                if batch.holds().is_empty() && batch.writes().is_empty() && batch.buckets().is_empty() {
                    return self.inner.apply(&still).await;
                }
            }
            Breach::WritesForNothing if batch.is_empty() => return Ok(vec![Version::FIRST]),
            _ => {}
        }
        for change in batch.changes() {
            let has_one = change.record.current.is_some();
            self.lines.lock().unwrap().entry(change.record.id().clone()).or_insert(has_one);
        }
        let versions = self.inner.apply(&self.changed(batch).await).await?;
        let still = self.is(Breach::VersionsStandStill);
        Ok(if still { vec![Version::FIRST; versions.len()] } else { versions })
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        let after = after.filter(|_| !self.is(Breach::ListsFromTheBeginning));
        let most = if self.is(Breach::ListsMoreThanAsked) { most.saturating_add(1) } else { most };
        let mut ids = self.inner.list(after, most).await?;
        if self.is(Breach::ListsBackwards) {
            ids.reverse();
        }
        Ok(ids)
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let ttl = if self.is(Breach::ClaimsForEver) { Duration::from_secs(1_000_000) } else { ttl };
        let more = usize::from(self.is(Breach::ClaimsMoreThanAsked));
        let mut claims = match self.breach {
            Breach::ClaimsByTimeAlone
            | Breach::ClaimsRenewalsFirst
            | Breach::FavoursRenewalsByOne
            | Breach::FixesTheLine => self.chosen(owner, ttl, most).await?,
            _ => self.inner.claim(owner, ttl, most.saturating_add(more)).await?,
        };
        match self.breach {
            Breach::ClaimsBackwards => claims.reverse(),
            Breach::ClaimsAnyway => {
                for claim in &claims {
                    self.inner.release(std::slice::from_ref(&claim.held)).await?;
                }
            }
            Breach::LosesSomeOfTheDue if claims.len() == 3 => drop(claims.pop()),
            Breach::ClaimsForNobody => {
                let nobody: Owner = "nobody".parse().unwrap();
                claims.iter_mut().for_each(|claim| claim.held.owner = nobody.clone());
            }
            Breach::ClaimsWhatIsNotDue => {
                let never = "due-never".parse().unwrap();
                claims.extend(self.inner.claim_one(owner, ttl, &never).await?);
            }
            _ => {}
        }
        Ok(self.handed_out(claims).await)
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        let claim = self.inner.claim_one(owner, ttl, id).await?;
        if let Some(claim) = claim.iter().find(|_| self.is(Breach::ClaimsOneAnyway)) {
            self.inner.release(std::slice::from_ref(&claim.held)).await?;
        }
        Ok(self.handed_out(claim.into_iter().collect()).await.pop())
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        if self.is(Breach::ExtendsInWordsOnly) {
            return Ok(Vec::new());
        }
        let lost = self.inner.extend(held, ttl).await?;
        Ok(if self.is(Breach::SaysNothingIsLost) { Vec::new() } else { lost })
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        self.released.lock().unwrap().extend(held.iter().cloned());
        match self.breach {
            Breach::ReleasesNothing => Ok(()),
            Breach::ReleasesWhatIsLost => {
                let all = self.held.lock().unwrap().clone();
                self.inner.release(&all).await
            }
            _ => self.inner.release(held).await,
        }
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let until = if self.is(Breach::ScansTooFar) { Timestamp::MAX } else { until };
        let after = after.filter(|_| !self.is(Breach::ScansFromTheBeginning));
        let mut rows = self.inner.scan_due(until, after, most).await?;
        if self.is(Breach::ScansBackwards) {
            rows.reverse();
        }
        Ok(rows)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.inner.next_due().await?.filter(|_| !self.is(Breach::NeverDue)))
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        if self.is(Breach::KeepsTheFirstInASlot) && self.inner.read(slot).await?.is_some() {
            return Ok(());
        }
        self.inner.write(slot, bytes).await
    }

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        match self.breach {
            Breach::ComparesNoSlot => return self.inner.write(slot, bytes).await,
            Breach::SwapsOnlyWhatIsThere if expected.is_none() => return self.inner.write(slot, bytes).await,
            _ => {}
        }
        self.inner.write_if(slot, expected, bytes).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        if self.is(Breach::ForgetsTheNext) {
            self.inner.forget(id, generation.next()).await?;
        }
        if self.is(Breach::ForgetsNothing) { Ok(()) } else { self.inner.forget(id, generation).await }
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        let slot = Slot::PrivateKey { certificate: id.clone(), generation: Generation::from_number(1) };
        let key = self.inner.read(&slot).await?;
        let found = self.inner.load(id).await?.map(|(version, _)| version);
        let expected = found.filter(|_| self.is(Breach::RemovesAnything)).unwrap_or(expected);
        let held = held.filter(|_| !self.is(Breach::FencesNoRemoval));
        self.inner.remove(id, expected, held).await?;
        match key.filter(|_| self.is(Breach::KeepsMaterial)) {
            Some(key) => self.inner.write(&slot, &key).await,
            None => Ok(()),
        }
    }
}

/// Each breach, and a word of the law that tells.
const BREACHES: &[(Breach, &str)] = &[
    (Breach::AppliesInPieces, "a refused batch changes no record"),
    (Breach::ClaimsAnyway, "what is held is not claimed again"),
    (Breach::ClaimsBackwards, "the longest due are claimed first"),
    (Breach::ClaimsByTimeAlone, "beside a flood of wishes a renewal"),
    (Breach::ClaimsForEver, "a claim of a second is over after ten"),
    (Breach::ClaimsForNobody, "a claim has its owner"),
    (Breach::ClaimsMoreThanAsked, "no more than asked for"),
    (Breach::ClaimsOneAnyway, "one claim at a time"),
    (Breach::ClaimsRenewalsFirst, "beside a flood of renewals a wish"),
    (Breach::ClaimsWhatIsNotDue, "got [\"due-first\", \"due-second\", \"due-never\"]"),
    (Breach::ComparesNoBucket, "who does not know the bucket as it is"),
    (Breach::ComparesNoSlot, "who does not know the slot as it is"),
    (Breach::ComparesNoVersion, "is refused with a conflict"),
    (Breach::ExtendsInWordsOnly, "held for longer"),
    (Breach::FavoursRenewalsByOne, "one at a time"),
    (Breach::FencesNoRemoval, "a removal of who is late is fenced"),
    (Breach::FencesNobody, "a write of who is late is fenced"),
    (Breach::FencesWithOneNumber, "claim"),
    (Breach::FixesTheLine, "whoever has got a certificate"),
    (Breach::ForgetsNothing, "a forgotten key is gone"),
    (Breach::ForgetsTheNext, "leaves the next"),
    (Breach::KeepsMaterial, "removed with the certificate"),
    (Breach::KeepsTheFirstInASlot, "put there last"),
    (Breach::ListsBackwards, "in order"),
    (Breach::ListsFromTheBeginning, "a page of ids comes after"),
    (Breach::ListsMoreThanAsked, "two ids at most"),
    (Breach::LosesBuckets, "takes from its buckets"),
    (Breach::LosesCommits, "what was committed is loaded"),
    (Breach::LosesSomeOfTheDue, "each of 24 certificates"),
    (Breach::MovesNothing, "what is let go"),
    (Breach::NeverDue, "the first moment"),
    (Breach::RefusesWishes, "a wish while it is held"),
    (Breach::ReleasesNothing, "who has let go writes no more"),
    (Breach::ReleasesWhatIsLost, "letting go of what is lost frees nothing"),
    (Breach::RemovesAnything, "who would remove what has changed"),
    (Breach::SaysNothingIsLost, "who extends learns what is lost"),
    (Breach::ScansBackwards, "the order of time"),
    (Breach::ScansFromTheBeginning, "goes on after its cursor"),
    (Breach::ScansTooFar, "ends where it is told"),
    (Breach::SwapsOnlyWhatIsThere, "who does not know the slot as it is"),
    (Breach::VersionsStandStill, "versions grow"),
    (Breach::WritesAfterLettingGo, "who has let go writes no more"),
    (Breach::WritesForNothing, "an empty batch changes nothing"),
];

#[tokio::test]
async fn a_store_that_breaks_a_law_is_told_which() {
    let checks = BREACHES.iter().map(async |(breach, word)| {
        let inner = MemoryStore::new();
        let broken = Broken {
            inner,
            breach: *breach,
            held: Mutex::default(),
            lines: Mutex::default(),
            released: Mutex::default(),
        };
        match super::check(&broken).await {
            Ok(()) => Some(format!("{breach:?} is not noticed")),
            Err(told) if !told.contains(word) => Some(format!("{breach:?}: {told}")),
            Err(_) => None,
        }
    });
    let wrong: Vec<String> = join_all(checks).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
