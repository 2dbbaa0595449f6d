//! The DNS-01 challenge (RFC 8555 §8.4): a TXT record at `_acme-challenge` below the name.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use perennial_acme::{ChallengeKind, challenge};
use perennial_core::DomainName;
use perennial_lifecycle::Stage;
use perennial_propagation::{Checker, CheckerBuilder, Error as PropagationError, Report};
use perennial_providers::{Change, DnsProvider, Error as ProviderError, engine};
use tokio::time::Instant;

use super::{Proof, Solver, Task};
use crate::Error;

mod guard;
use guard::{Guard, Place, Sight};

mod janitor;
pub use janitor::{Janitor, Leftover, LeftoverState};

/// Proves names by TXT records, with any [`DnsProvider`].
///
/// `example.com` and `*.example.com` share one TXT name with two values; both are presented in one batch, and
/// each is removed by its value. After presenting, the propagation checker asks the authoritative servers
/// until all have the values: the CA is told only then, since a CA that looks too early counts it as a failed
/// validation.
///
/// Where the challenge name is an alias of another, the record is put there ([`Delegation`]). What somebody else removes
/// while it is waited for is put there again, and told ([`look_again`](Self::look_again)).
///
/// ```no_run
/// use std::{sync::Arc, time::Duration};
/// use perennial_issuers::Dns01;
/// use perennial_propagation::Checker;
/// use perennial_providers::rfc2136::Rfc2136;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let solver = Dns01::new(Arc::new(Rfc2136::from_env()?))
///     .checker(Checker::builder().nameservers(vec!["[2606:4700:4700::1111]:53".parse()?]).build()?)
///     .timeout(Duration::from_secs(300));
/// # let _ = solver; Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dns01 {
    provider: Arc<dyn DnsProvider>,
    checker: Option<Checker>,
    delegation: Delegation,
    look_again: Duration,
    timeout: Duration,
    ttl: Option<Duration>,
    on_report: Option<OnReport>,
}

/// What is done with challenge names that are aliases (CNAME) of names in other zones, as where the zone of the
/// certificate's name is in nobody's reach and its challenges were delegated once and for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delegation {
    /// The record is put at the end of the aliases, as the CA follows them (RFC 8555 §8.4). The default. They are looked
    /// up at the name servers themselves, so not with a checker that asks resolvers alone
    /// ([`Checker::aliases`]).
    #[default]
    Follow,
    /// The record is put at the challenge name, whatever is there.
    Ignore,
}

type OnReport = Arc<dyn Fn(&Report) + Send + Sync>;

/// Ten minutes: secondaries that poll their primary are behind by minutes, and waiting costs nothing.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A minute: controllers that remove what they do not know come round about as often, and a look costs a request or two
/// for each name.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Whoever wants it at once does not want to do nothing else.
const SOONEST: Duration = Duration::from_millis(10);

/// How many names are looked at together before their records are put there.
const TOGETHER: usize = 16;

impl Dns01 {
    /// Proves names with this provider; looks for the records through the system's resolver settings for at
    /// most ten minutes.
    #[must_use]
    pub fn new(provider: Arc<dyn DnsProvider>) -> Self {
        Self {
            provider,
            checker: None,
            delegation: Delegation::default(),
            look_again: LOOK_AGAIN,
            timeout: TIMEOUT,
            ttl: None,
            on_report: None,
        }
    }

    /// Who looks whether the records are visible. Default: a [`Checker`] with the settings of the environment
    /// ([`CheckerBuilder::from_env`]), else over the name servers of `/etc/resolv.conf`.
    #[must_use]
    pub fn checker(mut self, checker: Checker) -> Self {
        self.checker = Some(checker);
        self
    }

    /// What is done with challenge names that are aliases. Default: they are followed.
    #[must_use]
    pub const fn delegation(mut self, delegation: Delegation) -> Self {
        self.delegation = delegation;
        self
    }

    /// How often the provider is asked, while the records are waited for, whether they are still there; they are put
    /// there again where somebody else has removed them, five times at most. Default: every minute, and as soon as a
    /// name server has lost what it had. Ten milliseconds at least.
    #[must_use]
    pub fn look_again(mut self, every: Duration) -> Self {
        self.look_again = every.max(SOONEST);
        self
    }

    /// How long to wait for propagation at most. Default: ten minutes, since secondaries that poll their
    /// primary are behind by minutes.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The time to live of the records. Default: the provider's own choice.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Who is shown each propagation report while the solver waits.
    #[must_use]
    pub fn on_report(mut self, on_report: impl Fn(&Report) + Send + Sync + 'static) -> Self {
        self.on_report = Some(Arc::new(on_report));
        self
    }

    fn usable_checker(&self) -> Result<Checker, Error> {
        match &self.checker {
            Some(checker) => Ok(checker.clone()),
            None => Ok(CheckerBuilder::from_env()?.build()?),
        }
    }

    /// Watches until every place has its values, those too that lost them after they were seen.
    async fn watch_all(&self, checker: &Checker, guard: &Guard<'_>, end: Instant) -> Result<(), Error> {
        let mut left: Vec<&Place> = guard.places().iter().collect();
        while !left.is_empty() {
            let watches = left.iter().map(|place| self.watch(checker, place, guard, end));
            let seen = join_all(watches).await.into_iter().collect::<Result<Vec<u32>, Error>>()?;
            left = guard::lost(left, &seen);
        }
        Ok(())
    }

    /// How often the values had been put there again when they were seen.
    async fn watch(
        &self,
        checker: &Checker,
        place: &Place,
        guard: &Guard<'_>,
        end: Instant,
    ) -> Result<u32, Error> {
        let mut sight = Sight::default();
        let mut show = |report: &Report| {
            if sight.loses(report) {
                guard.alarm();
            }
            if let Some(on_report) = &self.on_report {
                on_report(report);
            }
        };
        let left = end.saturating_duration_since(Instant::now());
        checker.watch(&place.wanted(), left, &mut show).await?;
        Ok(place.restored())
    }

    fn changes(&self, owner: &DomainName, values: impl IntoIterator<Item = String>) -> Vec<Change> {
        let add = |value| {
            let change = Change::add(owner.clone(), value);
            match self.ttl {
                Some(ttl) => change.with_ttl(ttl),
                None => change,
            }
        };
        values.into_iter().map(add).collect()
    }

    /// The name where a record for `owner` is put.
    async fn end_of_aliases(&self, checker: &Checker, owner: &DomainName) -> Result<DomainName, Error> {
        let names = match checker.aliases(owner).await {
            Ok(names) => names,
            Err(error @ PropagationError::AliasesLeadNowhere { .. }) => return Err(error.into()),
            // Nobody knows whether it is an alias, and a record beside an alias would be refused for good. It passes.
            Err(
                error @ (PropagationError::NobodyKnows { .. }
                | PropagationError::ResolversSilent { .. }
                | PropagationError::ResolversUnwilling { .. }
                | PropagationError::TooSlow { .. }),
            ) => return Err(error.into()),
            // Where the provider has the name itself, whoever waits for the record says better what is wrong.
            Err(error) => {
                return self.provider.zone(owner).await.map(|_| owner.clone()).map_err(|_| error.into());
            }
        };
        let Some(target) = names.last().filter(|target| *target != owner) else { return Ok(owner.clone()) };
        match self.provider.zone(target).await {
            Ok(_) => Ok(target.clone()),
            Err(ProviderError::ZoneNotFound { provider, name, tried, reason }) => {
                let way: Vec<&str> = names.iter().map(DomainName::as_str).collect();
                let reason = format!(
                    "{reason}; the aliases {} lead there: give the solver a provider that has that zone, or \
                     `Delegation::Ignore`",
                    way.join(" -> ")
                );
                Err(ProviderError::ZoneNotFound { provider, name, tried, reason }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Values by the TXT name that they are put at.
fn by_owner(proofs: &[Proof]) -> Result<BTreeMap<DomainName, Vec<String>>, Error> {
    let mut owners = BTreeMap::<DomainName, Vec<String>>::new();
    for proof in proofs {
        owners.entry(owner_of(proof)?).or_default().push(proof.value.clone());
    }
    Ok(owners)
}

pub(super) fn owner_of(proof: &Proof) -> Result<DomainName, Error> {
    DomainName::parse(&proof.at)
        .map_err(|error| Error::Configuration { reason: format!("a proof on record is damaged: {error}") })
}

#[async_trait]
impl Solver for Dns01 {
    fn kind(&self) -> ChallengeKind {
        ChallengeKind::Dns01
    }

    fn provider(&self) -> Option<String> {
        Some(self.provider.kind().to_owned())
    }

    fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
        let owner = challenge::dns01::record_name(task.name)
            .map_err(|error| Error::Configuration { reason: error.to_string() })?;
        let value = challenge::dns01::value(task.key_authorization);
        Ok(Proof::new(&self.kind(), task.name.base(), owner.as_str(), value))
    }

    async fn locate(&self, mut proofs: Vec<Proof>) -> Result<Vec<Proof>, Error> {
        if self.delegation == Delegation::Ignore {
            return Ok(proofs);
        }
        let checker = self.usable_checker()?;
        let owners: Vec<DomainName> = by_owner(&proofs)?.into_keys().collect();
        let ends: Vec<_> = owners.iter().map(|owner| self.end_of_aliases(&checker, owner)).collect();
        let ends: Vec<DomainName> = stream::iter(ends).buffered(TOGETHER).try_collect().await?;
        for proof in &mut proofs {
            let end = owners.iter().zip(&ends).find(|(owner, _)| owner.as_str() == proof.at);
            if let Some((_, end)) = end {
                proof.at = end.to_string();
            }
        }
        Ok(proofs)
    }

    async fn present(&self, proofs: &[Proof]) -> Result<(), Error> {
        let owners = by_owner(proofs)?;
        let changes: Vec<Change> =
            owners.into_iter().flat_map(|(owner, values)| self.changes(&owner, values)).collect();
        engine::apply(self.provider.as_ref(), &changes).await?;
        Ok(())
    }

    async fn wait(&self, proofs: &[Proof], deadline: Duration) -> Result<(), Error> {
        self.wait_and_tell(proofs, deadline, &|_| ()).await
    }

    async fn wait_and_tell(
        &self,
        proofs: &[Proof],
        deadline: Duration,
        tell: &(dyn Fn(Stage) + Send + Sync),
    ) -> Result<(), Error> {
        let checker = self.usable_checker()?;
        let end = Instant::now() + deadline.min(self.timeout);
        let guard = Guard::new(self, by_owner(proofs)?);
        tokio::select! {
            watched = self.watch_all(&checker, &guard, end) => watched,
            contested = guard.keep(tell) => Err(contested),
        }
    }

    async fn clean_up(&self, proofs: &[Proof]) -> Result<(), Error> {
        let mut changes = Vec::new();
        for (owner, values) in by_owner(proofs)? {
            changes.extend(values.into_iter().map(|value| Change::remove(owner.clone(), value)));
        }
        engine::apply(self.provider.as_ref(), &changes).await?;
        Ok(())
    }
}
