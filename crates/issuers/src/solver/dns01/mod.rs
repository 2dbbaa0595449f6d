//! The DNS-01 challenge (RFC 8555 §8.4): a TXT record at `_acme-challenge` below the name.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;
use perennial_acme::{ChallengeKind, challenge};
use perennial_core::DomainName;
use perennial_propagation::{Checker, CheckerBuilder, Report, Wanted};
use perennial_providers::{Change, DnsProvider, engine};

use super::{Proof, Solver, Task};
use crate::Error;

/// Proves names by TXT records, with any [`DnsProvider`].
///
/// `example.com` and `*.example.com` share one TXT name with two values; both are presented in one batch, and
/// each is removed by its value. After presenting, the propagation checker asks the authoritative servers
/// until all have the values: the CA is told only then, since a CA that looks too early counts it as a failed
/// validation.
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
    timeout: Duration,
    ttl: Option<Duration>,
    on_report: Option<OnReport>,
}

type OnReport = Arc<dyn Fn(&Report) + Send + Sync>;

/// Ten minutes: secondaries that poll their primary are behind by minutes, and waiting costs nothing.
const TIMEOUT: Duration = Duration::from_secs(600);

impl Dns01 {
    /// Proves names with this provider; looks for the records through the system's resolver settings for at
    /// most ten minutes.
    #[must_use]
    pub fn new(provider: Arc<dyn DnsProvider>) -> Self {
        Self { provider, checker: None, timeout: TIMEOUT, ttl: None, on_report: None }
    }

    /// Who looks whether the records are visible. Default: a [`Checker`] with the settings of the environment
    /// ([`CheckerBuilder::from_env`]), else over the name servers of `/etc/resolv.conf`.
    #[must_use]
    pub fn checker(mut self, checker: Checker) -> Self {
        self.checker = Some(checker);
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

    async fn watch(&self, checker: &Checker, wanted: &Wanted, deadline: Duration) -> Result<(), Error> {
        let mut show = |report: &Report| {
            if let Some(on_report) = &self.on_report {
                on_report(report);
            }
        };
        checker.watch(wanted, deadline, &mut show).await?;
        Ok(())
    }
}

/// Values by the TXT name that they are put at.
fn by_owner(proofs: &[Proof]) -> Result<BTreeMap<DomainName, Vec<String>>, Error> {
    let mut owners = BTreeMap::<DomainName, Vec<String>>::new();
    for proof in proofs {
        let owner = DomainName::parse(&proof.at).map_err(|error| Error::Configuration {
            reason: format!("a proof on record is damaged: {error}"),
        })?;
        owners.entry(owner).or_default().push(proof.value.clone());
    }
    Ok(owners)
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

    async fn present(&self, proofs: &[Proof]) -> Result<(), Error> {
        let mut changes = Vec::new();
        for (owner, values) in by_owner(proofs)? {
            changes.extend(values.into_iter().map(|value| {
                let change = Change::add(owner.clone(), value);
                match self.ttl {
                    Some(ttl) => change.with_ttl(ttl),
                    None => change,
                }
            }));
        }
        engine::apply(self.provider.as_ref(), &changes).await?;
        Ok(())
    }

    async fn wait(&self, proofs: &[Proof], deadline: Duration) -> Result<(), Error> {
        let checker = self.usable_checker()?;
        let deadline = deadline.min(self.timeout);
        let wanted: Vec<Wanted> =
            by_owner(proofs)?.into_iter().map(|(owner, values)| Wanted::new(owner, values)).collect();
        let watches = wanted.iter().map(|wanted| self.watch(&checker, wanted, deadline));
        join_all(watches).await.into_iter().collect()
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
