//! The one loop: claims what is due, gives it slots, and sleeps until something is due again.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use perennial_core::Timestamp;
use tokio::{task::JoinSet, time};

use super::{
    Inner, Workload, board::Surplus, due, lease::Ticket, misplaced, moment::Moment, walk::last_words,
};
use crate::{
    ClockJump, ClockWatch, EventKind, Record, StoreError, budget,
    queue::{Lane, Work},
    schedule::{Life, Spread},
};

/// The loop's own state: nothing in it is about single certificates.
struct Engine {
    inner: Arc<Inner>,
    work: JoinSet<()>,
    /// `None` where the clock cannot tell how long it runs.
    watch: Option<ClockWatch>,
    /// Failures of the store in a row.
    failures: u32,
    /// When handles were refreshed last.
    refreshed: Timestamp,
    /// When the store was asked last what it cannot read.
    inspected: Option<Timestamp>,
    /// When the last of those were put off who crowd.
    crowded: Option<Moment>,
}

/// Works until it is told to end; its future can be dropped at any moment.
pub(super) async fn run(inner: Arc<Inner>) {
    let watch = inner.clock.monotonic().map(|runs| ClockWatch::new(inner.clock.now(), runs));
    let refreshed = inner.clock.now();
    let (work, inspected, crowded) = (JoinSet::new(), None, None);
    let mut engine = Engine { inner, work, watch, failures: 0, refreshed, inspected, crowded };
    engine.look_for_misplaced(None);
    while !engine.inner.leases.is_closing() {
        let next_look = match AssertUnwindSafe(engine.round()).catch_unwind().await {
            Ok(Ok(until)) => engine.store_answers(until),
            Ok(Err(error)) => engine.store_fails(&error.to_string()),
            Err(panic) => engine.store_fails(last_words(&*panic)),
        };
        engine.sleep(next_look).await;
    }
    engine.end().await;
}

impl Engine {
    /// Claims what is due and starts what has a slot; returns when something will be due.
    async fn round(&mut self) -> Result<Timestamp, StoreError> {
        let inner = self.inner.clone();
        self.look_at_clock().await?;
        inner.leases.release_orphans().await?;
        inner.leases.beat().await;
        self.start();
        let (mut put_off, mut handed_back) = (Vec::new(), 0_usize);
        while !self.is_crowded() {
            let most = inner.board.room().min(BATCH);
            if most == 0 {
                break;
            }
            inner.board.begin_look();
            let mut claims = inner.store.claim(&inner.owner, inner.leases.term(), most).await?;
            let all = claims.len() < most;
            // First ones leave room for renewals that have come with them.
            claims.sort_by_key(|claim| claim.record.current.is_none());
            for claim in claims {
                inner.leases.compare(&claim, inner.clock.now());
                let ticket = inner.leases.take(claim);
                let wish = place(&ticket.record, inner.clock.now());
                match inner.board.admit(ticket, wish) {
                    Ok(()) => {}
                    Err(Surplus::HandedBack) => handed_back += 1,
                    Err(Surplus::PutOff(ticket)) => put_off.push(*ticket),
                }
            }
            self.start();
            if all || !put_off.is_empty() || handed_back > 0 {
                break;
            }
        }
        if !put_off.is_empty() || handed_back > 0 {
            self.crowded = Some(Moment::now(&*inner.clock));
        }
        inner.leases.release_orphans().await?;
        self.put_off(put_off).await?;
        let now = inner.clock.now();
        if now.since(self.refreshed) >= REFRESH || now < self.refreshed {
            self.refreshed = now;
            inner.refresh().await;
        }
        if self.inspected.is_none_or(|at| now.since(at) >= INSPECTION || now < at) {
            self.inspected = Some(now);
            // What cannot be told now is told at the next look.
            let _ = inner.look_for_unreadable().await;
        }
        if inner.board.room() == 0 {
            // Who leaves wakes us.
            return Ok(now + LONGEST_NAP);
        }
        let due = inner.store.next_due().await?.unwrap_or(Timestamp::MAX);
        Ok(inner.leases.by_our_clock(due).clamp(now + SHORTEST_NAP, now + LONGEST_NAP))
    }

    /// Whether some were put off or handed back a moment ago, and others wait: those who are put off cost a commit
    /// each, and that must not happen whenever a slot is free.
    fn is_crowded(&self) -> bool {
        let recent = self.crowded.is_some_and(|crowded| crowded.passed(&*self.inner.clock) < CROWDED_PAUSE);
        recent && self.inner.board.counts().waiting > 0
    }

    fn start(&mut self) {
        while let Some((seat, ticket)) = self.inner.board.next() {
            let inner = self.inner.clone();
            self.work.spawn(async move {
                let id = ticket.record.id().clone();
                let _turn = inner.turns.wait(&id).await;
                // Whoever watches is told; here there is nobody else to tell.
                let _ = inner.work(ticket, Some(seat)).await;
            });
        }
    }

    /// Puts those off that failed before and for which there is no room beside the others: the less, the sooner
    /// they end.
    async fn put_off(&self, tickets: Vec<Ticket>) -> Result<(), StoreError> {
        for Ticket { hold, version, mut record } in tickets {
            let now = self.inner.clock.now();
            let left = record.current.as_ref().map(|current| current.facts.not_after.since(now) / 8);
            let pause = left.map_or(CROWDED, |left| left.clamp(SHORTEST_CROWDED, CROWDED));
            let until = now + pause + Spread::of(record.id()).of_width(pause);
            record.next_at = self.inner.leases.by_store_clock(until);
            let batch = hold.batch().change(record, Some(version));
            match self.inner.store.apply(&batch).await {
                // A wish came in between: it is due at once.
                Ok(_) | Err(StoreError::Conflict { .. }) => hold.release().await?,
                Err(StoreError::Fenced { .. }) => hold.leave(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn look_at_clock(&mut self) -> Result<(), StoreError> {
        let clock = &self.inner.clock;
        let (Some(watch), Some(runs)) = (&mut self.watch, clock.monotonic()) else { return Ok(()) };
        let Some(jump) = watch.look(clock.now(), runs) else { return Ok(()) };
        self.inner.tell_all(EventKind::ClockJumped { jump });
        if let ClockJump::Back(by) = jump
            && by >= misplaced::WORTH_A_LOOK
        {
            self.look_for_misplaced(Some(Timestamp::MIN));
        }
        self.inner.clock_jumped(jump).await
    }

    /// Looks, beside all else, for what a clock that was ahead has put off: all that is due after `from`, or what
    /// no clock that is right would put off so far.
    fn look_for_misplaced(&mut self, from: Option<Timestamp>) {
        let inner = self.inner.clone();
        self.work.spawn(async move {
            // What cannot be read now is looked for at the next start.
            let _ = AssertUnwindSafe(misplaced::put_right(&inner, from)).catch_unwind().await;
        });
    }

    fn store_answers(&mut self, next_look: Timestamp) -> Timestamp {
        if std::mem::take(&mut self.failures) > 0 {
            self.inner.tell_all(EventKind::StoreAvailable);
        }
        self.publish(next_look);
        next_look
    }

    /// What serves goes on serving; the store is asked again after a second, and ever more seldom.
    fn store_fails(&mut self, message: &str) -> Timestamp {
        if self.failures == 0 {
            self.inner.tell_all(EventKind::StoreUnavailable { message: message.to_owned() });
        }
        let wait = Duration::from_secs(1 << self.failures.min(6)).min(LONGEST_NAP);
        self.failures = self.failures.saturating_add(1);
        let next_look = self.inner.clock.now() + wait;
        self.publish(next_look);
        next_look
    }

    fn publish(&self, next_look: Timestamp) {
        let counts = self.inner.board.counts();
        self.inner.workload.send_replace(Workload {
            waiting: counts.waiting,
            running: counts.running,
            parked: counts.parked,
            next_look,
            store_answers: self.failures == 0,
        });
    }

    async fn sleep(&mut self, until: Timestamp) {
        let inner = self.inner.clone();
        // A store that panics in here is met again, and caught, in the next round.
        let woken = AssertUnwindSafe(inner.store.woken()).catch_unwind();
        tokio::select! {
            () = inner.clock.sleep_until(until) => {}
            // The moment may go away when the clock is set back.
            () = inner.clock.sleep(LONGEST_NAP) => {}
            () = inner.wake.notified() => {}
            () = inner.board.changed() => {}
            woken = woken => drop(woken),
        }
        while self.work.try_join_next().is_some() {}
    }

    /// Lets what runs come to a commit, and lets go of it.
    async fn end(mut self) {
        self.inner.board.clear();
        let all_done = async { while self.work.join_next().await.is_some() {} };
        // Who does not come to a commit in time is dropped where he stands, as by a crash.
        let _ = time::timeout(self.inner.grace, all_done).await;
        self.work.shutdown().await;
        // What cannot be released ends by its time.
        let _ = self.inner.leases.release_orphans().await;
        self.publish(Timestamp::MAX);
    }
}

/// Where a certificate stands in line.
fn place(record: &Record, now: Timestamp) -> Work<String> {
    let (lane, deadline) = match &record.current {
        Some(current) if now < current.facts.not_after => {
            // Debts that could not be paid are as likely to take their time.
            let only_owes = !record.debts.is_empty() && now < due(record, now);
            let lane = if has_failed(record) || only_owes { Lane::Retry } else { Lane::Renewal };
            (lane, Life::new(&current.facts, current.issued_at).latest())
        }
        // One that is missing or has ended comes after those that can still be saved.
        _ => (if has_failed(record) { Lane::Retry } else { Lane::First }, now),
    };
    Work { index: 0, lane, zone: budget::zone(&record.spec), deadline }
}

fn has_failed(record: &Record) -> bool {
    record.failures.is_some() || !record.elsewhere.is_empty()
}

/// One round trip to a database for so many.
const BATCH: usize = 100;
/// So soon is a wish heard of that another process wrote down and did not tell.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// A store whose index is ahead of what it hands out must not be asked without end.
const SHORTEST_NAP: Duration = Duration::from_secs(1);
/// How far behind handles may be of what other processes do.
const REFRESH: Duration = Duration::from_secs(30);
/// How long a record may be unreadable before somebody hears of it. A store looks at each of them once more then.
const INSPECTION: Duration = Duration::from_secs(300);
/// Retries that crowd are spread over as long again.
const CROWDED: Duration = Duration::from_secs(600);
const SHORTEST_CROWDED: Duration = Duration::from_secs(30);
/// A hundred commits a second are what a disk can do beside its work.
const CROWDED_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateSpec, Debt, Progress, record::tests::current};

    #[test]
    fn what_only_owes_stands_with_those_that_failed_and_what_is_due_with_the_renewals() {
        let at = Timestamp::from_unix;
        let mut record = Record::new(CertificateSpec::new("a", ["a.example"]).unwrap());
        assert_eq!(place(&record, at(0)).lane, Lane::First);
        record.current = Some(current(1)); // from 0 to 1000
        assert_eq!(place(&record, at(0)).lane, Lane::Renewal);
        let (issuer, what) = (record.spec.issuer_name().clone(), Progress::encode(&"txt").unwrap());
        record.debts = vec![Debt { issuer, what, since: None }];
        assert_eq!(place(&record, at(0)).lane, Lane::Retry);
        assert_eq!(place(&record, at(900)).lane, Lane::Renewal);
    }
}
