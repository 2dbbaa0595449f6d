//! One slot of the store: who writes there, and who looks.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use perennial_core::SecretBytes;
use perennial_lifecycle::{Slot, Store, StoreError};
use tokio::{
    sync::Mutex,
    time::{self, Instant},
};

use super::answers::Answers;
use crate::Error;

/// One slot of the store, and what was seen there last.
pub(super) struct Shelf {
    slot: Slot,
    seen: RwLock<Seen>,
    /// How many looks have begun.
    begun: AtomicU64,
    looking: Mutex<Look>,
    /// The writers of this process come one after the other: those of others are enough to lose against.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Seen {
    answers: Arc<Answers>,
    at: Option<Instant>,
}

/// The last look that has ended.
#[derive(Default)]
struct Look {
    number: u64,
    /// What it has found, unless it has failed. What was seen last may be older: by a writer that began before this look
    /// did, and ended after it.
    found: Option<Arc<Answers>>,
}

/// When any shelf was looked at last.
#[derive(Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

/// Nobody looks, whoever asks: the store has better things to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blind;

/// So long an answer is shown without another look. It may have been removed, which harms nobody.
pub(super) const FRESH: Duration = Duration::from_secs(10);
/// Twenty looks a second, for all shelves together.
const PAUSE: Duration = Duration::from_millis(50);
/// Whoever asks waits for ten seconds at most.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// Of as many processes that write to a shelf at once the last one gets its turn.
const TRIES: usize = 64;

impl Shelf {
    pub(super) fn new(slot: Slot) -> Self {
        let (seen, begun, looking, writing) = Default::default();
        Self { slot, seen, begun, looking, writing }
    }

    /// What is shown for a token: what was put there before this was called, by whomever, is seen.
    ///
    /// Somebody looks: one for all who ask meanwhile, and never more often than the pace allows. Each is answered by what
    /// that look has found.
    pub(super) async fn looked_for(
        &self,
        token: &str,
        store: &dyn Store,
        pace: &Pace,
    ) -> Result<Option<String>, Blind> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut look = self.looking.lock().await;
        if look.number <= begun {
            pace.turn().await;
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let found = time::timeout(LONGEST_LOOK, self.found(store)).await;
            let found = found.ok().and_then(Result::ok).map(|(_, answers)| Arc::new(answers));
            if let Some(answers) = &found {
                self.has_seen(answers.clone());
            }
            *look = Look { number, found };
        }
        let found = look.found.as_ref().ok_or(Blind)?;
        Ok(found.shown(token).map(str::to_owned))
    }

    /// What was seen for a token a moment ago: nobody has to look, whoever else is in the queue.
    pub(super) fn fresh(&self, token: &str) -> Option<String> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = seen.at.is_some_and(|at| Instant::now() < at + FRESH);
        seen.answers.shown(token).filter(|_| is_fresh).map(str::to_owned)
    }

    /// What was seen for a token at all, for those who cannot have a look.
    pub(super) fn remembered(&self, token: &str) -> Option<String> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.answers.shown(token).map(str::to_owned)
    }

    fn has_seen(&self, answers: Arc<Answers>) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen { answers, at: Some(Instant::now()) };
    }

    /// Changes what lies there, whoever else does at the same time.
    pub(super) async fn change(
        &self,
        store: &dyn Store,
        change: impl Fn(&mut Answers) + Send + Sync,
    ) -> Result<(), Error> {
        let _turn = self.writing.lock().await;
        let mut conflict = Ok(());
        for _ in 0..TRIES {
            let (kept, mut answers) = self.found(store).await?;
            let before = answers.clone();
            change(&mut answers);
            if answers == before {
                self.has_seen(Arc::new(answers));
                return Ok(());
            }
            let bytes = answers.to_bytes().map_err(|reason| self.unreadable(&reason))?;
            match store.write_if(&self.slot, kept.as_ref(), &SecretBytes::new(bytes)).await {
                Ok(()) => {
                    self.has_seen(Arc::new(answers));
                    return Ok(());
                }
                Err(error @ StoreError::SlotConflict { .. }) => conflict = Err(error),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(conflict?)
    }

    async fn found(&self, store: &dyn Store) -> Result<(Option<SecretBytes>, Answers), Error> {
        let kept = store.read(&self.slot).await?;
        let answers = Answers::read(kept.as_ref().map(SecretBytes::expose));
        Ok((kept, answers.map_err(|reason| self.unreadable(&reason))?))
    }

    fn unreadable(&self, reason: &str) -> Error {
        let reason = format!(
            "{} holds something else than answers to http-01 challenges: {reason}; give `Http01Shared` a name that no \
             issuer has, or empty it",
            self.slot
        );
        Error::Configuration { reason }
    }
}

impl Pace {
    async fn turn(&self) {
        let mut last = self.0.lock().await;
        if let Some(last) = *last {
            time::sleep_until(last + PAUSE).await;
        }
        *last = Some(Instant::now());
    }
}
