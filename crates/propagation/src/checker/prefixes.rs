//! The NAT64 prefixes of this host's network: given, or asked for and kept as long as they hold (RFC 7050).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    future::FutureExt as _,
    stream::{FuturesUnordered, StreamExt as _},
};
use perennial_core::DomainName;
use tokio::time::Instant;

use super::flights::Flights;
use crate::{
    Nat64,
    nat64::{Prefix, discover},
    transport::{Endpoint, Exchange},
    wire::{Answer, Data, Query, RecordType},
};

pub(super) struct Prefixes {
    setting: Nat64,
    known: Arc<Mutex<Option<Known>>>,
    search: Flights<(), ()>,
    /// Those through which nobody answered, the latest last.
    doubtful: Mutex<Vec<Prefix>>,
}

/// What was found, and how long that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    prefixes: Vec<Prefix>,
    /// From then on they are asked for anew, and serve until the answer is there.
    refresh: Instant,
    until: Instant,
    /// When somebody last said so.
    told: Instant,
    /// Whether whoever needs them next shall ask first: nobody answers through them, perhaps.
    in_doubt: bool,
}

/// What the resolvers say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    /// Somebody failed, and nobody showed a prefix.
    Failed,
    /// There is no DNS64.
    Nothing,
    Prefixes {
        prefixes: Vec<Prefix>,
        ttl: Duration,
    },
}

/// RFC 7050 §3 wants prefixes to be asked for again "at minimum 10 seconds" before they expire.
const REFRESH_BEFORE: Duration = Duration::from_secs(10);
/// A DNS64 that gives a shorter TTL would be asked again for every zone of a batch.
const LEAST: Duration = Duration::from_secs(20);
/// Networks change more often than their operators believe.
const MOST: Duration = Duration::from_secs(86_400);
/// How long a network is believed to have no DNS64: laptops and pods move.
const ABSENCE: Duration = Duration::from_secs(60);
/// What was told so short a time ago is not asked for again: many look again at once.
const NEW: Duration = Duration::from_secs(1);
/// How long a failure is not repeated: enough for the names of one batch to fail together.
const FAILURE: Duration = Duration::from_secs(1);

/// More prefixes than any network has.
const MAX_DOUBTFUL: usize = 16;

impl Prefixes {
    pub(super) fn new(setting: Nat64) -> Self {
        Self { setting, known: Arc::default(), search: Flights::default(), doubtful: Mutex::default() }
    }

    /// The prefixes in the order in which they should be tried. `resolvers` are asked where nothing is known.
    pub(super) async fn get(
        &self,
        exchange: &Arc<dyn Exchange>,
        resolvers: impl FnOnce() -> Vec<Endpoint>,
    ) -> Vec<Prefix> {
        let mut prefixes = match &self.setting {
            Nat64::Off => return Vec::new(),
            Nat64::Prefixes(prefixes) => prefixes.clone(),
            Nat64::Auto => self.discovered(exchange, resolvers).await,
        };
        let doubtful = lock(&self.doubtful);
        prefixes.sort_by_key(|prefix| doubtful.iter().position(|other| other == prefix).map(|at| at + 1));
        prefixes
    }

    /// Tries the others first from now on; when all are in doubt, the one that was doubted first is the best again.
    pub(super) fn doubt(&self, prefix: Prefix) {
        let mut doubtful = lock(&self.doubtful);
        doubtful.retain(|other| *other != prefix);
        if doubtful.len() >= MAX_DOUBTFUL {
            doubtful.remove(0);
        }
        doubtful.push(prefix);
    }

    /// Has the network asked again before the prefixes are used again.
    pub(super) fn look_again(&self) {
        if let Some(known) = &mut *lock(&self.known) {
            known.in_doubt |= known.told.elapsed() >= NEW;
        }
    }

    async fn discovered(
        &self,
        exchange: &Arc<dyn Exchange>,
        resolvers: impl FnOnce() -> Vec<Endpoint>,
    ) -> Vec<Prefix> {
        let now = Instant::now();
        let known = lock(&self.known).clone();
        if let Some(known) = &known
            && now < known.refresh
            && !known.in_doubt
        {
            return known.prefixes.clone();
        }
        let mut begun = false;
        let search = self.search.join(&(), || {
            begun = true;
            let (exchange, resolvers, known) = (exchange.clone(), resolvers(), self.known.clone());
            async move {
                let shown = ask(&*exchange, &resolvers).await;
                tracing::debug!(?shown, "looked for the NAT64 prefix (RFC 7050)");
                let mut known = lock(&known);
                *known = Some(keep(known.take(), shown, Instant::now()));
            }
            .boxed()
        });
        if let Some(known) = known.filter(|known| now < known.until && !known.in_doubt) {
            // Nobody waits for this answer, so it needs a task of its own; the exchange's patience ends it.
            if begun {
                tokio::spawn(search);
            }
            return known.prefixes;
        }
        search.await;
        lock(&self.known).as_ref().map(|known| known.prefixes.clone()).unwrap_or_default()
    }
}

/// What is known once this was shown.
fn keep(before: Option<Known>, shown: Shown, now: Instant) -> Known {
    let known = |prefixes, refresh, until| Known { prefixes, refresh, until, told: now, in_doubt: false };
    match (shown, before) {
        (Shown::Prefixes { prefixes, ttl }, _) => {
            let ttl = ttl.clamp(LEAST, MOST);
            known(prefixes, now + (ttl - REFRESH_BEFORE), now + ttl)
        }
        (Shown::Nothing, _) => known(Vec::new(), now + ABSENCE, now + ABSENCE),
        (Shown::Failed, Some(before)) if now < before.until => {
            known(before.prefixes, (now + FAILURE).min(before.until), before.until)
        }
        (Shown::Failed, _) => known(Vec::new(), now + FAILURE, now + FAILURE),
    }
}

/// Asks all at once; who shows a prefix first is believed.
async fn ask(exchange: &dyn Exchange, resolvers: &[Endpoint]) -> Shown {
    let Ok(name) = DomainName::parse(discover::WELL_KNOWN_NAME) else { return Shown::Failed };
    // Neither CD nor DO: with either a DNS64 may not synthesize (RFC 6147 §5.5, RFC 7050 §3).
    let query = Query::recursive(name, RecordType::Aaaa);
    let mut replies: FuturesUnordered<_> =
        resolvers.iter().map(|resolver| exchange.exchange(resolver, &query)).collect();
    let mut failed = resolvers.is_empty();
    while let Some(reply) = replies.next().await {
        match reply.map(|reply| read(&reply.answer)) {
            Ok(shown @ Shown::Prefixes { .. }) => return shown,
            Ok(Shown::Nothing) => {}
            Ok(Shown::Failed) | Err(_) => failed = true,
        }
    }
    if failed { Shown::Failed } else { Shown::Nothing }
}

fn read(answer: &Answer) -> Shown {
    if !answer.code.is_answer() {
        return Shown::Failed;
    }
    let mut addresses = Vec::new();
    let mut ttl = u32::MAX;
    for record in &answer.answers {
        if let Data::Aaaa(v6) = record.data {
            addresses.push(v6);
            ttl = ttl.min(record.ttl);
        }
    }
    let prefixes = discover::prefixes(&addresses);
    if prefixes.is_empty() {
        return Shown::Nothing;
    }
    Shown::Prefixes { prefixes, ttl: Duration::from_secs(ttl.into()) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is known is as good after a panic elsewhere as before.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(ttl: u64) -> Shown {
        Shown::Prefixes { prefixes: vec![Prefix::WELL_KNOWN], ttl: Duration::from_secs(ttl) }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn prefixes_are_kept_for_their_ttl_and_refreshed_ten_seconds_earlier() {
        let now = Instant::now();
        let known = keep(None, shown(300), now);
        assert_eq!((known.refresh, known.until), (now + seconds(290), now + seconds(300)));
        let brief = keep(None, shown(0), now);
        assert_eq!((brief.refresh, brief.until), (now + seconds(10), now + seconds(20)));
        assert_eq!(keep(None, shown(u64::from(u32::MAX)), now).until, now + MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_refresh_is_repeated_soon_and_what_still_holds_is_kept() {
        let now = Instant::now();
        let known = keep(None, shown(300), now);
        let later = now + seconds(295);
        let kept = keep(Some(known.clone()), Shown::Failed, later);
        assert_eq!((kept.prefixes.len(), kept.refresh), (1, later + FAILURE));
        let gone = keep(Some(known), Shown::Failed, now + seconds(300));
        assert_eq!((gone.prefixes.len(), gone.refresh), (0, now + seconds(300) + FAILURE));
        assert_eq!(keep(Some(gone), Shown::Nothing, now).refresh, now + ABSENCE);
    }
}
