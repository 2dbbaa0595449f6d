//! Having what was delivered taken up: a debt on record from the delivery on, paid after a crash too.

use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{FutureExt as _, future::join_all};
use perennial_core::{Clock, Retry, Timestamp};

use super::{
    Inner,
    desk::{Desk, Page},
    walk::last_words,
};
use crate::{
    CertificateId, EventKind, Failures, HookError, IssueError, IssueErrorClass, Record, Reload, ReloadHook,
    SinkName, StoreError, facts::printable, ladder, schedule::Spread,
};

/// The hooks that are to be called after a delivery of everything.
pub(super) fn owed(inner: &Inner, record: &Record) -> BTreeMap<SinkName, Option<Failures>> {
    let sinks = record.spec.outputs().iter().map(|output| &output.sink);
    sinks.filter(|sink| inner.hooks.contains_key(*sink)).map(|sink| (sink.clone(), None)).collect()
}

/// Calls the hooks whose time has come, and writes down how that went. One that nobody knows any more is forgotten: it
/// would be waited for without end.
pub(super) async fn reload(desk: Desk<'_>, page: &mut Page) -> Result<(), StoreError> {
    if page.record.reloads.is_empty() {
        return Ok(());
    }
    let Some(facts) = page.record.current.as_ref().map(|current| current.facts.clone()) else {
        page.record.reloads.clear();
        page.noted = true;
        return Ok(());
    };
    let now = desk.now();
    let is_due = |failures: &Option<Failures>| failures.as_ref().is_none_or(|it| it.retry_at <= now);
    let due = page.record.reloads.iter().filter(|(_, failures)| is_due(failures));
    let due: Vec<(SinkName, Option<Failures>)> =
        due.map(|(sink, failed)| (sink.clone(), failed.clone())).collect();
    let mut calls = Vec::new();
    for (name, failed) in due {
        let Some(hook) = desk.inner.hooks.get(&name).cloned() else {
            page.record.reloads.remove(&name);
            page.noted = true;
            continue;
        };
        let place = desk.inner.sinks.get(&name).and_then(|sink| sink.place(page.id()));
        let delivery = Reload::new(page.id().clone(), name.clone(), place, facts.clone());
        calls.push(async move {
            let (round, result) = hook.call(&delivery, failed.as_ref(), &*desk.inner.clock).await;
            (name, hook, round, result)
        });
    }
    if calls.is_empty() {
        return Ok(());
    }
    // One that hangs keeps no other server waiting.
    for (name, hook, round, result) in desk.hold.left_while(join_all(calls)).await {
        note(desk, page, name.clone(), result).await?;
        hook.rounds.hear(page, &name, round);
    }
    Ok(())
}

/// Writes down how one hook went, and tells it.
async fn note(
    desk: Desk<'_>,
    page: &mut Page,
    sink: SinkName,
    result: Result<String, HookError>,
) -> Result<(), StoreError> {
    let (now, record) = (desk.now(), &mut page.record);
    let kind = match result {
        Ok(said) => {
            record.reloads.remove(&sink);
            EventKind::Reloaded { sink, said: printable(&said) }
        }
        Err(error) => {
            let message = printable(&error.message);
            let failed = IssueError::new(IssueErrorClass::Local, message.as_str(), error.retry());
            let expires = record.current.as_ref().map(|current| current.facts.not_after);
            let before = record.reloads.get(&sink).cloned().flatten();
            let spread = Spread::of(record.id());
            let failures = ladder::fail(before.as_ref(), &failed, now, expires, spread);
            let retry_at = failures.retry_at;
            record.reloads.insert(sink.clone(), Some(failures));
            EventKind::ReloadFailed { sink, message, retry_at }
        }
    };
    desk.save(page).await?;
    desk.tell(page.id(), kind);
    Ok(())
}

/// A hook, and its calls.
#[derive(Clone)]
pub(super) struct Bell {
    hook: Arc<dyn ReloadHook>,
    rounds: Arc<Rounds>,
}

/// The calls of a hook that takes up all, one after the other.
#[derive(Default)]
struct Rounds {
    /// How many have begun.
    begun: AtomicU64,
    /// The last one that ended.
    last: tokio::sync::Mutex<Option<Round>>,
    /// What each certificate has heard of them that has failed.
    heard: Mutex<HashMap<CertificateId, Heard>>,
}

/// A call that has failed, and which failure on record it is: any later call has seen what was delivered then. Where
/// another process has delivered since, it is another failure.
struct Heard {
    number: u64,
    count: u32,
    at: Timestamp,
}

/// A call that was made for all.
struct Round {
    number: u64,
    ended: Timestamp,
    result: Result<String, HookError>,
}

impl Bell {
    pub(super) fn new(hook: Arc<dyn ReloadHook>) -> Self {
        Self { hook, rounds: Arc::default() }
    }

    /// Calls it, or waits for a call of others that begins after this one was asked for: what was delivered by then it
    /// has seen. Whoever comes again after a failure goes by a call of others that was made meanwhile.
    ///
    /// Returns the number of a call that was made for all, and what has come of it.
    async fn call(
        &self,
        delivery: &Reload,
        failed: Option<&Failures>,
        clock: &dyn Clock,
    ) -> (Option<u64>, Result<String, HookError>) {
        if !self.hook.takes_up_all() {
            return (None, called(&*self.hook, delivery).await);
        }
        let asked = self.rounds.begun.load(Ordering::SeqCst);
        let heard = failed.and_then(|failed| self.rounds.heard(&delivery.id, failed)).unwrap_or(asked);
        // Whoever is dropped with the lock in his hands leaves the call to the next one.
        let mut last = self.rounds.last.lock().await;
        let serves = |round: &Round| {
            round.number > asked || round.number > heard && is_for_again(round, failed, clock.now())
        };
        match &*last {
            Some(round) if serves(round) => (Some(round.number), round.result.clone()),
            _ => {
                let number = self.rounds.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let result = called(&*self.hook, delivery).await;
                *last = Some(Round { number, ended: clock.now(), result: result.clone() });
                (Some(number), result)
            }
        }
    }
}

/// Whether a call that was made after one's own failure is as good as another one: when it has succeeded, for good; when it
/// has failed, for half as long as one waits between two tries. Those that failed together come back within a quarter.
fn is_for_again(round: &Round, failed: Option<&Failures>, now: Timestamp) -> bool {
    let wait = failed.map(|failed| failed.last_at.until(failed.retry_at)).unwrap_or_default();
    round.result.is_ok() || now.since(round.ended) <= wait / 2
}

impl Rounds {
    /// The call that a failure on record is of, if it was made here.
    fn heard(&self, id: &CertificateId, failed: &Failures) -> Option<u64> {
        let kept = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = |heard: &&Heard| (heard.count, heard.at) == (failed.count, failed.last_at);
        kept.get(id).filter(is_this).map(|heard| heard.number)
    }

    /// Notes by which call a failure on record came about, if one did.
    fn hear(&self, page: &Page, sink: &SinkName, round: Option<u64>) {
        let failed = page.record.reloads.get(sink).and_then(Option::as_ref);
        let mut kept = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(number), Some(Failures { count, last_at, .. })) = (round, failed) {
            kept.insert(page.id().clone(), Heard { number, count: *count, at: *last_at });
        } else {
            kept.remove(page.id());
        }
    }
}

/// Runs the code of a hook, which is not ours: that it panics must not keep the failure from being written down.
async fn called(hook: &dyn ReloadHook, delivery: &Reload) -> Result<String, HookError> {
    AssertUnwindSafe(hook.reload(delivery)).catch_unwind().await.unwrap_or_else(|panic| {
        let message = format!("the hook panicked: {}", last_words(&*panic));
        Err(HookError::new(message, Retry::Backoff))
    })
}
