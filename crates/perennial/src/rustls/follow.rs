//! How a resolver hears of renewals.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use perennial_lifecycle::{
    Certificate, CertificateId, Error, EventKind, Events, Generation, Heard, Issued, Keeper, Store,
    StoreError,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    CertificateResolver, ServedCertificate, ServingError, UnknownNames,
    resolver::{CertificateResolverBuilder, Inner},
};
use crate::Manager;

/// A kept certificate for a TLS server.
pub trait Serve {
    /// A resolver that serves this certificate to every client, whatever name it asks for, and each renewal of it
    /// as soon as it is there. It refuses connections until the first certificate is there.
    ///
    /// It hears of certificates in a task of its own, so a moment after those who wait for them
    /// ([`Certificate::ready`]). Where no first connection may be refused, wait first, and call this then: what serves
    /// already is served when this returns.
    ///
    /// Must be called within a tokio runtime. The certificate is kept for as long as the resolver lives.
    fn rustls(&self) -> CertificateResolver;
}

impl Serve for Certificate {
    fn rustls(&self) -> CertificateResolver {
        let resolver = CertificateResolverBuilder::default()
            .default_certificate(self.id().clone())
            .unknown_names(UnknownNames::Default)
            .build();
        resolver.follow(self);
        resolver
    }
}

/// Those who tell a resolver of renewals, for as long as it lives.
#[derive(Default)]
pub(super) struct Followers {
    tasks: Mutex<JoinSet<()>>,
    faults: Mutex<BTreeMap<CertificateId, ServingError>>,
}

impl Followers {
    fn faults(&self) -> MutexGuard<'_, BTreeMap<CertificateId, ServingError>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CertificateResolver {
    /// Serves a kept certificate for its names, and each renewal of it as soon as it is there.
    ///
    /// What serves already is served when this returns. A renewal whose key and chain do not belong together is
    /// not served, but [told](Self::faults), and the certificate before it stays. Must be called within a tokio
    /// runtime; the certificate is kept for as long as the resolver lives.
    pub fn follow(&self, certificate: &Certificate) {
        let current = certificate.current();
        if let Some(issued) = &current {
            self.take(certificate.id(), issued);
        }
        let task = follow_one(certificate.clone(), current, Arc::downgrade(&self.inner));
        let mut tasks = self.inner.followers.tasks();
        // Those of keepers that have ended.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Serves all certificates that the manager's store holds, for their names, as they are issued, renewed and
    /// removed. All that are there are served when this returns.
    ///
    /// What this process issues is served as soon as it is there. What others who share the store have issued or
    /// removed is seen within half a minute, and where there are many certificates when their turn has come: a
    /// thousand every half minute. Where so much happens here at once that some of it goes unheard, the store is looked
    /// through, a thousand every tenth of a second. Must be called within a tokio runtime; the manager goes on for as long as the
    /// resolver lives.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say what it holds. A single certificate that cannot be read is left
    /// out, [told](Self::faults), and looked at again.
    pub async fn follow_all(&self, manager: &Manager) -> Result<(), StoreError> {
        let mut follower = Follower {
            // From now on, so that nothing happens unheard while the store is read.
            events: manager.keeper().events(),
            keeper: manager.keeper().clone(),
            store: manager.store().clone(),
            known: BTreeMap::new(),
            turn: None,
            rounds: Rounds::default(),
        };
        loop {
            follower.look(self).await?;
            if follower.turn.is_none() {
                break;
            }
        }
        self.inner.followers.tasks().spawn(follower.follow(Arc::downgrade(&self.inner)));
        Ok(())
    }

    /// Which renewals are not served, and why: the certificate before them is, if there was one. Among them is what
    /// [`follow_all`](Self::follow_all) cannot even read in the store, until it can ([`ServingError::Unreadable`]). That
    /// the store does not answer at all is no fault of a certificate.
    #[must_use]
    pub fn faults(&self) -> Vec<(CertificateId, ServingError)> {
        self.inner.followers.faults().iter().map(|(id, fault)| (id.clone(), fault.clone())).collect()
    }

    fn take(&self, id: &CertificateId, issued: &Issued) {
        let mut faults = self.inner.followers.faults();
        match ServedCertificate::from_issued(issued) {
            Ok(certificate) => {
                faults.remove(id);
                self.insert(id.clone(), certificate);
            }
            Err(fault) => drop(faults.insert(id.clone(), fault)),
        }
    }

    /// What the store has of it cannot be read; or can, where it could not.
    fn note_reading(&self, id: &CertificateId, fault: Option<ServingError>) {
        let mut faults = self.inner.followers.faults();
        match fault {
            Some(fault) => drop(faults.insert(id.clone(), fault)),
            None if matches!(faults.get(id), Some(ServingError::Unreadable { .. })) => {
                drop(faults.remove(id))
            }
            None => {}
        }
    }

    fn lose(&self, id: &CertificateId) {
        self.inner.followers.faults().remove(id);
        self.remove(id);
    }
}

async fn follow_one(certificate: Certificate, mut last: Option<Arc<Issued>>, resolver: Weak<Inner>) {
    while let Ok(issued) = certificate.other_than(last.as_deref()).await {
        let Some(inner) = resolver.upgrade() else { return };
        CertificateResolver { inner }.take(certificate.id(), &issued);
        last = Some(issued);
    }
}

/// Follows all certificates of a store.
struct Follower {
    events: Events,
    keeper: Keeper,
    store: Arc<dyn Store>,
    /// Which generation of each is served; `None` for one that has no certificate yet.
    known: BTreeMap<CertificateId, Option<Generation>>,
    /// Up to where the store was looked through; `None` when the next look begins at its beginning.
    turn: Option<CertificateId>,
    rounds: Rounds,
}

/// How often the end of the store has to be reached soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rounds(u8);

impl Rounds {
    /// Something was missed: once for the round that is under way, and once for a whole one.
    const fn missed(&mut self) {
        self.0 = 2;
    }

    /// A part of the store was looked through, or its end; when to go on. One that does not answer is not pressed.
    const fn looked(&mut self, answers: bool, reached_end: bool) -> Duration {
        if answers && reached_end {
            self.0 = self.0.saturating_sub(1);
        }
        if answers && self.0 > 0 { SOON } else { EACH }
    }
}

/// What a store holds of one certificate.
enum Found {
    Gone,
    /// Nobody knows: the store does not answer.
    Nothing,
    Same,
    Serves(Option<Box<Issued>>),
    /// What served before serves on.
    Unreadable(ServingError),
}

impl Follower {
    async fn follow(mut self, resolver: Weak<Inner>) {
        let mut next_look = Instant::now() + EACH;
        loop {
            let heard = timeout_at(next_look, self.events.next()).await;
            let Some(inner) = resolver.upgrade() else { return };
            let resolver = CertificateResolver { inner };
            match heard {
                Ok(Some(Heard::Event(event))) => {
                    let is_news = matches!(
                        event.kind,
                        EventKind::Adopted { .. } | EventKind::Issued { .. } | EventKind::Removed
                    );
                    if let Some(id) = event.certificate.as_ref().filter(|_| is_news) {
                        self.refresh(&resolver, vec![id.clone()]).await;
                    }
                }
                // The round goes on where it is: to begin it anew each time, under load, would never end it.
                Ok(Some(Heard::Missed(_))) => {
                    self.rounds.missed();
                    next_look = next_look.min(Instant::now() + SOON);
                }
                Ok(None) => return,
                Err(_) => {}
            }
            if Instant::now() >= next_look {
                // A store that does not answer takes nothing away from those who serve.
                let answers = self.look(&resolver).await.is_ok();
                next_look = Instant::now() + self.rounds.looked(answers, self.turn.is_none());
            }
        }
    }

    /// Looks at those whose turn it is.
    async fn look(&mut self, resolver: &CertificateResolver) -> Result<(), StoreError> {
        let page = self.store.list(self.turn.as_ref(), TURN).await?;
        let last = page.last().filter(|_| page.len() >= TURN).cloned();
        // Those that were known in this part of the store, and are not listed there any more.
        let is_of_part = |id: &CertificateId| {
            self.turn.as_ref().is_none_or(|turn| id > turn) && last.as_ref().is_none_or(|last| id <= last)
        };
        let gone: Vec<CertificateId> = self
            .known
            .keys()
            .filter(|id| is_of_part(id) && page.binary_search(id).is_err())
            .cloned()
            .collect();
        for id in gone {
            self.known.remove(&id);
            resolver.lose(&id);
        }
        self.refresh(resolver, page).await;
        self.turn = last;
        Ok(())
    }

    /// Serves what the store holds of these.
    async fn refresh(&mut self, resolver: &CertificateResolver, ids: Vec<CertificateId>) {
        let this = &*self;
        let reads = ids.into_iter().map(|id| async move {
            let found = this.found(&id).await;
            (id, found)
        });
        let all: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
        for (id, found) in all {
            match found {
                Found::Gone => {
                    self.known.remove(&id);
                    resolver.lose(&id);
                }
                Found::Serves(issued) => {
                    resolver.note_reading(&id, None);
                    let generation = issued.as_ref().map(|issued| issued.generation());
                    if let Some(issued) = issued {
                        resolver.take(&id, &issued);
                    }
                    self.known.insert(id, generation);
                }
                Found::Same => resolver.note_reading(&id, None),
                Found::Unreadable(fault) => resolver.note_reading(&id, Some(fault)),
                Found::Nothing => {}
            }
        }
    }

    async fn found(&self, id: &CertificateId) -> Found {
        let record = match self.store.load(id).await {
            Ok(Some((_, record))) => record,
            Ok(None) => return Found::Gone,
            Err(error) => return Found::failed(&error),
        };
        let generation = record.current.as_ref().map(|current| current.generation);
        if self.known.get(id) == Some(&generation) {
            return Found::Same;
        }
        match self.keeper.current(id).await {
            Ok(issued) if issued.is_some() || generation.is_none() => Found::Serves(issued.map(Box::new)),
            Ok(_) => Found::unreadable("its key or its chain is gone, or they do not belong together"),
            Err(Error::Store(error)) => Found::failed(&error),
            Err(error) => Found::unreadable(error),
        }
    }
}

impl Found {
    fn unreadable(reason: impl ToString) -> Self {
        Self::Unreadable(ServingError::Unreadable { reason: reason.to_string() })
    }

    /// A look in vain: whose fault it is says whether it is one of the certificate.
    fn failed(error: &StoreError) -> Self {
        match error {
            StoreError::Damaged { .. }
            | StoreError::Io { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::Sealed { .. } => Self::unreadable(error),
            _ => Self::Nothing,
        }
    }
}

/// How often the store is looked at for what others have written: as often as keepers look.
const EACH: Duration = Duration::from_secs(30);

/// How soon it is looked at again while something was missed.
const SOON: Duration = Duration::from_millis(100);

/// How many are looked at each time.
const TURN: usize = 1_000;

/// How many are read at once: round trips to a database overlap.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_something_was_missed_the_round_under_way_and_a_whole_one_come_soon() {
        let mut rounds = Rounds::default();
        assert_eq!([rounds.looked(true, false), rounds.looked(true, true)], [EACH; 2]);
        rounds.missed();
        // The rest of a round of three parts, a store that is away for a while, and a whole round.
        for (answers, reached_end) in [(true, false), (true, true), (true, false)] {
            assert_eq!(rounds.looked(answers, reached_end), SOON);
        }
        assert_eq!(rounds.looked(false, false), EACH);
        assert_eq!(rounds.looked(true, false), SOON);
        assert_eq!(rounds.looked(true, true), EACH);
    }
}
