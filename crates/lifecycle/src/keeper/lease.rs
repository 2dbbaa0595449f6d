//! What this keeper holds: leases that are extended while somebody works under them, and work that ends when one
//! is lost.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use perennial_core::{Clock, Timestamp};
use tokio::sync::{Notify, watch};

use super::{board::Seat, moment::Moment};
use crate::{
    CertificateId, ClockJump, Record, Store, StoreError, Version,
    store::{Batch, Claim, Held, Owner},
};

/// The leases of one keeper.
pub(super) struct Leases {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    term: Duration,
    kept: Mutex<Kept>,
    /// When they were extended last; one task does it for all.
    beaten: tokio::sync::Mutex<Moment>,
    closing: AtomicBool,
    /// By how many seconds the store's clock is ahead of ours.
    skew: AtomicI64,
    /// How many work under a lease, in the loop or not.
    working: watch::Sender<usize>,
}

#[derive(Default)]
struct Kept {
    held: HashMap<CertificateId, (Held, Arc<Signals>)>,
    /// Held for nobody: the work was dropped where it stood.
    orphans: Vec<Held>,
}

/// What ends work from outside.
#[derive(Default)]
struct Signals {
    lost: Notify,
    stopped: Notify,
    parked: AtomicBool,
    /// It ends at its next commit.
    ending: AtomicBool,
}

/// How work under a lease ended.
pub(super) enum Ended<T> {
    /// By itself.
    Done(T),
    /// Somebody else has the certificate now.
    Lost,
    /// The keeper is shut down, or the certificate is to be removed, and all that was done is written down.
    Stopped,
}

/// A claim in the care of this keeper, and the record as it was claimed.
pub(super) struct Ticket {
    pub(super) hold: Hold,
    pub(super) version: Version,
    pub(super) record: Record,
}

impl Leases {
    pub(super) fn new(store: Arc<dyn Store>, term: Duration, clock: Arc<dyn Clock>) -> Arc<Self> {
        let beaten = tokio::sync::Mutex::new(Moment::now(&*clock));
        Arc::new(Self {
            store,
            clock,
            term,
            kept: Mutex::default(),
            beaten,
            closing: AtomicBool::new(false),
            skew: AtomicI64::new(0),
            working: watch::Sender::new(0),
        })
    }

    /// Notes what the store's clock shows, as a claim tells it.
    pub(super) fn compare(&self, claim: &Claim, now: Timestamp) {
        let theirs = (claim.until - self.term).unix();
        let skew = theirs.saturating_sub(now.unix());
        // Whole seconds are read here and there, and a round trip lies between.
        let skew = if skew.unsigned_abs() <= TOLERATED { 0 } else { skew };
        self.skew.store(skew, Ordering::SeqCst);
    }

    /// Our clock has jumped; the store's has not, as far as we know.
    pub(super) fn jumped(&self, jump: ClockJump) {
        let seconds = |by: Duration| i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        let by = match jump {
            ClockJump::Ahead(by) => -seconds(by),
            ClockJump::Back(by) => seconds(by),
        };
        self.skew.store(self.skew.load(Ordering::SeqCst).saturating_add(by), Ordering::SeqCst);
    }

    /// A moment by our clock as the store's will show it: what is due is due by that.
    pub(super) fn by_store_clock(&self, moment: Timestamp) -> Timestamp {
        shifted(moment, self.skew.load(Ordering::SeqCst))
    }

    /// The other way round.
    pub(super) fn by_our_clock(&self, moment: Timestamp) -> Timestamp {
        shifted(moment, self.skew.load(Ordering::SeqCst).saturating_neg())
    }

    /// Returns when nobody works under a lease any more.
    pub(super) async fn idle(&self) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.working.subscribe().wait_for(|working| *working == 0).await;
    }

    /// How long a lease lasts without being extended.
    pub(super) const fn term(&self) -> Duration {
        self.term
    }

    /// Takes a claim into care. Work under an older claim of the same certificate is ended by it.
    pub(super) fn take(self: &Arc<Self>, claim: Claim) -> Ticket {
        let Claim { held, version, record, .. } = claim;
        let signals = Arc::new(Signals::default());
        let replaced = self.kept().held.insert(held.id.clone(), (held.clone(), signals.clone()));
        if let Some((_, replaced)) = replaced {
            replaced.lost.notify_one();
        }
        let hold = Hold { leases: self.clone(), held, signals, seat: None };
        Ticket { hold, version, record }
    }

    /// Claims one certificate, due or not; `None` while another keeper holds it. What this one holds of it, for
    /// work that was dropped or has not begun, is let go first: the caller has the certificate's turn.
    pub(super) async fn claim_one(
        self: &Arc<Self>,
        owner: &Owner,
        id: &CertificateId,
        now: Timestamp,
    ) -> Result<Option<Ticket>, StoreError> {
        let own = {
            let mut kept = self.kept();
            let waiting = kept.held.remove(id);
            let orphans = kept.orphans.extract_if(.., |held| held.id == *id).collect::<Vec<_>>();
            let waiting = waiting.map(|(held, signals)| {
                signals.lost.notify_one();
                held
            });
            orphans.into_iter().chain(waiting).collect::<Vec<_>>()
        };
        if !own.is_empty() {
            self.store.release(&own).await?;
        }
        let claim = self.store.claim_one(owner, self.term, id).await?;
        Ok(claim.map(|claim| {
            self.compare(&claim, now);
            self.take(claim)
        }))
    }

    /// Lets go of what is held for nobody.
    pub(super) async fn release_orphans(&self) -> Result<(), StoreError> {
        let orphans = std::mem::take(&mut self.kept().orphans);
        if orphans.is_empty() { Ok(()) } else { self.store.release(&orphans).await }
    }

    /// Extends all leases, unless that was done a short while ago. A store that is gone extends nothing: whether a
    /// lease has run out is told by the next commit.
    pub(super) async fn beat(&self) {
        // Another task is at it.
        let Ok(mut beaten) = self.beaten.try_lock() else { return };
        if beaten.passed(&*self.clock) < self.term / 4 {
            return;
        }
        let held: Vec<Held> = self.kept().held.values().map(|(held, _)| held.clone()).collect();
        if !held.is_empty()
            && let Ok(lost) = self.store.extend(&held, self.term).await
        {
            let kept = self.kept();
            // One that was claimed anew meanwhile is another.
            let asked = held.iter().filter(|held| lost.contains(&held.id));
            for (_, signals) in asked.filter_map(|old| kept.held.get(&old.id).filter(|(held, _)| held == old))
            {
                signals.lost.notify_one();
            }
        }
        *beaten = Moment::now(&*self.clock);
    }

    /// Ends all work at its next commit, and what waits for something at once.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for (_, signals) in self.kept().held.values() {
            if signals.parked.load(Ordering::SeqCst) {
                signals.stopped.notify_one();
            }
        }
    }

    /// Ends the work on one certificate, as [`close`](Self::close) ends all of it.
    pub(super) fn end(&self, id: &CertificateId) {
        if let Some((_, signals)) = self.kept().held.get(id) {
            signals.ending.store(true, Ordering::SeqCst);
            if signals.parked.load(Ordering::SeqCst) {
                signals.stopped.notify_one();
            }
        }
    }

    /// Lets work begin again.
    pub(super) fn open(&self) {
        self.closing.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// No code of others runs under this lock: what a panic leaves is whole.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one out of care; tells whether it was in.
    fn forget(&self, held: &Held) -> bool {
        let mut kept = self.kept();
        let own = kept.held.get(&held.id).is_some_and(|(kept, _)| kept == held);
        own && kept.held.remove(&held.id).is_some()
    }
}

/// One lease, for as long as somebody cares for it.
pub(crate) struct Hold {
    leases: Arc<Leases>,
    held: Held,
    signals: Arc<Signals>,
    seat: Option<Seat>,
}

impl Hold {
    /// With the slot that the work has.
    pub(super) fn sit(&mut self, seat: Seat) {
        self.seat = Some(seat);
    }

    /// A batch that is refused when somebody else has the certificate.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new().held(&self.held)
    }

    /// Lets go: the certificate is due again when its record says. Nothing more can be written under the lease.
    pub(super) async fn release(&self) -> Result<(), StoreError> {
        if self.leases.forget(&self.held) {
            self.leases.store.release(std::slice::from_ref(&self.held)).await?;
        }
        Ok(())
    }

    /// Removes the certificate from the store, if the version there is `expected`, and the lease with it.
    pub(super) async fn remove(&self, expected: Version) -> Result<(), StoreError> {
        self.leases.store.remove(&self.held.id, expected, Some(&self.held)).await
    }

    /// Leaves the lease to its end: nobody looks at the certificate until then.
    pub(super) fn leave(&self) {
        self.leases.forget(&self.held);
    }

    /// What was done is durable: where the keeper is shut down, the work ends here, and this never returns.
    pub(crate) async fn reached_commit(&self) {
        if self.leases.is_closing() || self.signals.ending.load(Ordering::SeqCst) {
            self.signals.stopped.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// A note was refused because somebody else has the certificate: the work ends here, and this never returns.
    pub(crate) async fn was_lost(&self) {
        self.signals.lost.notify_one();
        std::future::pending::<()>().await;
    }

    /// Waits for something outside without a slot, and may be stopped meanwhile.
    pub(crate) async fn left_while<F: Future>(&self, wait: F) -> F::Output {
        let Some(seat) = &self.seat else { return wait.await };
        // A wait that is dropped is over too.
        let _parked = Parked::new(&self.signals.parked);
        // All that was done so far is durable, or it would not be waited for.
        self.reached_commit().await;
        seat.left_while(wait).await
    }

    /// Works until it is done, the lease is lost, or the keeper is shut down; extends all leases meanwhile.
    pub(super) async fn under<T>(&self, work: impl Future<Output = T>) -> Ended<T> {
        let _working = Working::new(&self.leases.working);
        let beats = async {
            loop {
                tokio::time::sleep(self.leases.term / 3).await;
                self.leases.beat().await;
            }
        };
        tokio::select! {
            biased;
            () = self.signals.lost.notified() => Ended::Lost,
            done = work => Ended::Done(done),
            () = self.signals.stopped.notified() => Ended::Stopped,
            () = beats => Ended::Lost, // It never ends.
        }
    }
}

/// Says that it waits for something outside, until it is dropped.
struct Parked<'a>(&'a AtomicBool);

impl<'a> Parked<'a> {
    fn new(parked: &'a AtomicBool) -> Self {
        parked.store(true, Ordering::SeqCst);
        Self(parked)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Counts as one who works, until it is dropped.
struct Working<'a>(&'a watch::Sender<usize>);

impl<'a> Working<'a> {
    fn new(working: &'a watch::Sender<usize>) -> Self {
        working.send_modify(|working| *working += 1);
        Self(working)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|working| *working -= 1);
    }
}

fn shifted(moment: Timestamp, by: i64) -> Timestamp {
    // The ends of time are no moments.
    if moment == Timestamp::MIN || moment == Timestamp::MAX {
        return moment;
    }
    Timestamp::from_unix(moment.unix().saturating_add(by))
}

/// Seconds.
const TOLERATED: u64 = 5;

impl Drop for Hold {
    fn drop(&mut self) {
        if self.leases.forget(&self.held) {
            self.leases.kept().orphans.push(self.held.clone());
        }
    }
}
