//! Records that were left behind.

use std::{fmt, sync::Arc, time::Duration};

use perennial_acme::ChallengeKind;
use perennial_core::{Clock, DomainName, SystemClock, Timestamp};
use perennial_lifecycle::{
    CertificateId, Debt, Record, Store, StoreError,
    store::{Batch, Claim, Held, Owner},
};
use perennial_providers::{Change, DnsProvider, Error as ProviderError, engine};
use serde::Serialize;
use tokio::time::{self, Instant};

use super::owner_of;
use crate::{Error, Proof, Selector};

/// Removes challenge records that were presented and never removed: the solver was taken out of the configuration, the
/// provider refused for long, a machine was given up. A keeper pays what it owes by itself as long as it has the solver;
/// this is for the rest.
///
/// It knows records by what the store has on record as owed, and touches nothing else: a value that somebody else has
/// put at the same name stays, whatever it looks like. [`look`](Self::look) changes nothing anywhere.
///
/// ```
/// use std::sync::Arc;
/// use perennial_issuers::solver::dns01::Janitor;
/// use perennial_lifecycle::MemoryStore;
/// use perennial_providers::MemoryProvider;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let provider = MemoryProvider::new(["example.com".parse()?]);
/// let janitor = Janitor::new(Arc::new(MemoryStore::new()), Arc::new(provider));
/// for leftover in janitor.look().await? {
///     println!("{leftover}");
/// }
/// janitor.sweep().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Janitor {
    store: Arc<dyn Store>,
    provider: Arc<dyn DnsProvider>,
    clock: Arc<dyn Clock>,
    older_than: Duration,
    selector: Option<Selector>,
    owner: Owner,
}

/// A record that should have been removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Leftover {
    /// For which certificate it was presented.
    pub certificate: CertificateId,
    /// At which name it is.
    pub at: DomainName,
    /// Which of the values there.
    pub value: String,
    /// Since when it is on record; an old record does not know.
    pub since: Option<Timestamp>,
    /// What has become of it.
    pub state: LeftoverState,
}

/// What has become of a [`Leftover`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeftoverState {
    /// It is not there any more.
    Absent,
    /// It could not be looked at, or not be removed.
    Failed {
        /// Why.
        reason: String,
    },
    /// It is there.
    Found,
    /// Somebody works on the certificate, and knows what he owes.
    Held,
    /// This provider has no zone that holds it.
    OutOfReach,
    /// It was there, and was removed.
    Removed,
}

/// A day: no issuance is given that long, and nobody is in a hurry.
const OLDER_THAN: Duration = Duration::from_secs(86_400);

/// For one certificate, and longer while the janitor lives: one that dies holds it up for a minute.
const HOLD: Duration = Duration::from_secs(60);

/// A store that does not answer once or twice takes nothing away.
const BEAT: Duration = Duration::from_secs(15);

const PAGE: usize = 500;

impl Janitor {
    /// Looks after what the certificates in this store have put into this provider's zones.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, provider: Arc<dyn DnsProvider>) -> Self {
        let (clock, owner) = (Arc::new(SystemClock::new()), Owner::unique());
        Self { store, provider, clock, older_than: OLDER_THAN, selector: None, owner }
    }

    /// Whose time counts. Default: the operating system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long a record has to be owed before it counts as left behind. Default: a day, which is longer than any
    /// issuance takes.
    #[must_use]
    pub const fn older_than(mut self, age: Duration) -> Self {
        self.older_than = age;
        self
    }

    /// Looks after the records of the solver with this selector only. Default: those of all.
    ///
    /// It has to be said where two providers have zones of the same name, as a public and an internal one do: what is
    /// not at the one may be at the other, and would be struck out.
    #[must_use]
    pub fn selector(mut self, selector: Selector) -> Self {
        self.selector = Some(selector);
        self
    }

    /// What was left behind, certificate by certificate. Nothing is changed, neither in a zone nor in the store.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read. What the provider refuses stands in the state of each.
    pub async fn look(&self) -> Result<Vec<Leftover>, Error> {
        self.round(Mode::Look).await
    }

    /// Removes what was left behind, and strikes out what is owed no longer. A certificate that somebody works on is
    /// left alone, and nobody works on one whose records are being removed, however long the provider takes. Where the
    /// store lets go of it all the same, as one that cannot be reached for a minute does, what is left is for whoever has
    /// it then ([`LeftoverState::Held`]). Nothing is written where nothing is struck out.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read or written. What the provider refuses stands in the state of
    /// each, and stays on record.
    pub async fn sweep(&self) -> Result<Vec<Leftover>, Error> {
        self.round(Mode::Sweep).await
    }

    async fn round(&self, mode: Mode) -> Result<Vec<Leftover>, Error> {
        let mut leftovers = Vec::new();
        let mut last = None;
        loop {
            let page = self.store.list(last.as_ref(), PAGE).await?;
            for id in &page {
                match self.store.load(id).await {
                    Ok(Some((_, record))) => leftovers.extend(self.of_certificate(&record, mode).await?),
                    // What cannot be read is the store's own matter, and tells of no debts.
                    Ok(None) | Err(StoreError::Damaged { .. } | StoreError::NewerSchema { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match page.into_iter().next_back() {
                Some(id) => last = Some(id),
                None => return Ok(leftovers),
            }
        }
    }

    async fn of_certificate(&self, record: &Record, mode: Mode) -> Result<Vec<Leftover>, Error> {
        let now = self.clock.now();
        let mut found = self.leftovers(record, now);
        if found.is_empty() || mode == Mode::Look {
            for (_, leftover) in &mut found {
                leftover.state = self.examined(leftover, mode).await;
            }
            return Ok(found.into_iter().map(|(_, leftover)| leftover).collect());
        }
        let Some(claim) = self.store.claim_one(&self.owner, HOLD, record.id()).await? else {
            let held = |(_, leftover)| Leftover { state: LeftoverState::Held, ..leftover };
            return Ok(found.into_iter().map(held).collect());
        };
        // Somebody may have worked on it before it was claimed.
        let Claim { held, version, mut record, .. } = claim;
        let mut found = self.leftovers(&record, now);
        found.iter_mut().for_each(|(_, leftover)| leftover.state = LeftoverState::Held);
        let examine_all = async {
            for (_, leftover) in &mut found {
                leftover.state = self.examined(leftover, mode).await;
            }
        };
        tokio::select! {
            () = examine_all => {}
            () = self.loses(&held) => {}
        }
        let is_over =
            |leftover: &Leftover| matches!(leftover.state, LeftoverState::Absent | LeftoverState::Removed);
        let struck: Vec<&Debt> =
            found.iter().filter(|(_, leftover)| is_over(leftover)).map(|(debt, _)| debt).collect();
        let written = if struck.is_empty() {
            Ok(())
        } else {
            record.debts.retain(|debt| !struck.contains(&debt));
            let batch = Batch::new().change(record, Some(version)).held(&held);
            self.store.apply(&batch).await.map(drop)
        };
        self.store.release(&[held]).await?;
        match written {
            // Whoever has taken it over, or changed the wish, strikes it out in his turn.
            Ok(()) | Err(StoreError::Conflict { .. } | StoreError::Fenced { .. }) => {
                Ok(found.into_iter().map(|(_, leftover)| leftover).collect())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Holds a certificate for as long as this is waited for, and returns when it is lost, or nobody can tell any more.
    async fn loses(&self, held: &Held) {
        let mut end = Instant::now() + HOLD;
        loop {
            time::sleep(BEAT).await;
            let begun = Instant::now();
            match time::timeout_at(end, self.store.extend(std::slice::from_ref(held), HOLD)).await {
                Ok(Ok(lost)) if lost.is_empty() => end = begun + HOLD,
                Ok(Err(_)) if begun + BEAT < end => {}
                _ => return,
            }
        }
    }

    async fn examined(&self, leftover: &Leftover, mode: Mode) -> LeftoverState {
        match self.examine(leftover, mode).await {
            Ok(state) => state,
            Err(ProviderError::ZoneNotFound { .. }) => LeftoverState::OutOfReach,
            Err(error) => LeftoverState::Failed { reason: error.to_string() },
        }
    }

    async fn examine(&self, leftover: &Leftover, mode: Mode) -> Result<LeftoverState, ProviderError> {
        let Leftover { at, value, .. } = leftover;
        let zone = self.provider.zone(at).await?;
        match self.provider.values(&zone, at).await {
            Ok(there) if !there.contains(value) => return Ok(LeftoverState::Absent),
            // A hook can remove and not look; to remove what is not there does nothing.
            Err(ProviderError::Unsupported { .. }) if mode == Mode::Sweep => {}
            there => drop(there?),
        }
        if mode == Mode::Look {
            return Ok(LeftoverState::Found);
        }
        engine::apply(&*self.provider, &[Change::remove(at.clone(), value)]).await?;
        Ok(LeftoverState::Removed)
    }

    /// What a certificate has owed for so long.
    fn leftovers(&self, record: &Record, now: Timestamp) -> Vec<(Debt, Leftover)> {
        let is_old = |debt: &&Debt| debt.since.is_none_or(|since| since + self.older_than <= now);
        let is_own =
            |proof: &Proof| self.selector.as_ref().is_none_or(|selector| *selector == proof.selector);
        let read = |debt: &Debt| {
            let proof: Proof = debt.what.decode().filter(is_own)?;
            let at = owner_of(&proof).ok().filter(|_| proof.kind == ChallengeKind::Dns01.to_string())?;
            let (certificate, since, state) = (record.id().clone(), debt.since, LeftoverState::Found);
            Some((debt.clone(), Leftover { certificate, at, value: proof.value, since, state }))
        };
        record.debts.iter().filter(is_old).filter_map(read).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Look,
    Sweep,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate, at, value, since, state } = self;
        write!(f, "{at} TXT {value:?} of certificate {certificate}")?;
        if let Some(since) = since {
            write!(f, ", since {since}")?;
        }
        match state {
            LeftoverState::Absent => f.write_str(": is not there any more"),
            LeftoverState::Failed { reason } => write!(f, ": {reason}"),
            LeftoverState::Found => f.write_str(": is still there"),
            LeftoverState::Held => f.write_str(": somebody works on the certificate"),
            LeftoverState::OutOfReach => f.write_str(": this provider has no zone for it"),
            LeftoverState::Removed => f.write_str(": removed"),
        }
    }
}

impl fmt::Debug for Janitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { older_than, owner, .. } = self;
        f.debug_struct("Janitor")
            .field("older_than", older_than)
            .field("owner", owner)
            .finish_non_exhaustive()
    }
}
