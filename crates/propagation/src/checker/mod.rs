//! The driver: sockets and timers around the pure parts.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use perennial_core::{DomainName, HttpClient};
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};

use crate::{
    Error, Exchange, NameServer, Nat64, Policy, Propagated, Protocol, Report, Wanted, ZoneView,
    transport::{Network, route},
    verdict::GRACE,
    watch::{Outcome, Place, Settings, Sweep},
    zone::{ZoneServer, roots},
};

mod aliases;
mod caa;
mod calls;
mod connectivity;
pub use connectivity::Connectivity;
mod drive;
mod environment;
mod examine;
mod finder;
mod flights;
mod given;
mod hosts;
pub use hosts::HostAddress;
mod locator;
mod paths;
mod prefixes;
mod resolver;
mod walker;
mod watches;
pub use watches::{Checks, Watches};
mod zone_cache;

#[cfg(test)]
mod tests;

use calls::{Calls, Drivers, Hears};
use examine::{Demands, Examiner, reserve};
use given::Given;
use locator::{Locator, Means};
use paths::Paths;

/// Says whether TXT values are visible where a CA will look.
///
/// Cloning is cheap, and clones share what they have learnt about zones and routes. Every method may be called
/// from any number of tasks at once, and dropping a future abandons the work and leaves nothing behind. All
/// checks and watches of one runtime go through one [engine](crate::watch::engine), in a task that ends when
/// there is nothing to watch: many names cost little more than one, and two calls that want to know the same ask
/// once.
///
/// ```no_run
/// use std::time::Duration;
/// use perennial_propagation::{Checker, Wanted};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let checker = Checker::builder().build()?; // the operating system's resolvers
/// let name = "_acme-challenge.example.com".parse()?;
/// let wanted = Wanted::new(name, ["gfj9Xq...Rg85nM".to_owned()]);
/// let propagated = checker.watch(&wanted, Duration::from_secs(120), &mut |report| eprintln!("{report}")).await?;
/// println!("{}", propagated.report());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Checker {
    shared: Arc<Shared>,
}

struct Shared {
    exchange: Arc<dyn Exchange>,
    policy: Policy,
    grace: Duration,
    settle: Duration,
    port: u16,
    paths: Arc<Paths>,
    locator: Arc<Locator>,
    drivers: Drivers,
    demands: Demands,
}

/// How long [`Checker::check`] and [`Checker::zone`] may take: well over what dead resolvers and name servers
/// can cost in tries, and within what a person waits.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest deadline: no clock counts on for ever, and nobody waits longer for a record than a certificate lasts.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

impl Checker {
    /// Starts a checker; see [`CheckerBuilder`] for the defaults.
    pub fn builder() -> CheckerBuilder {
        CheckerBuilder::default()
    }

    /// Asks everybody once, and reports. A name server that is still silent at the end counts as dead. Takes
    /// 30 seconds at most, usually well under one.
    ///
    /// Where the values are not seen, a few questions more say why; where they are, vantage points are heard.
    ///
    /// # Errors
    /// [`Error`] when the question makes no sense or the zone cannot be found. That the values are not there
    /// is no error: the report's [`verdict`](Report::verdict) says so.
    ///
    /// # Panics
    /// When the [`Exchange`] does.
    pub async fn check(&self, wanted: &Wanted) -> Result<Report, Error> {
        let end = Instant::now() + LIMIT;
        let mut calls = self.calls(vec![wanted.clone()], Sweep::Once, LIMIT, Hears::End);
        let outcome = calls.outcome(&mut |_| ()).await;
        self.shared.conclude_check(wanted, outcome, end, None).await
    }

    /// Checks many names at once. Results come as they are known, through [`Checks::next`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn check_all(&self, wanted: impl IntoIterator<Item = Wanted>) -> Checks {
        let wanted: Vec<Wanted> = wanted.into_iter().collect();
        let end = Instant::now() + LIMIT;
        let calls = self.calls(wanted.clone(), Sweep::Once, LIMIT, Hears::End);
        Checks::new(self.shared.clone(), wanted, calls, end)
    }

    /// Asks until the values are visible, confirms it, and returns the proof; or gives up after `deadline`.
    /// `on_report` sees every change on the way, the first answers included, and the last report in any case.
    ///
    /// A zone that cannot be found is looked for again until the deadline, a year at most: resolvers come back too.
    /// Of the time
    /// the last tenth, two seconds at most, is kept for the questions that explain a failure.
    ///
    /// # Errors
    /// [`Error::NotPropagated`] with the diagnosis at the deadline; another [`Error`] when the question makes
    /// no sense.
    ///
    /// # Panics
    /// When the [`Exchange`] does.
    pub async fn watch(
        &self,
        wanted: &Wanted,
        deadline: Duration,
        on_report: &mut (dyn FnMut(&Report) + Send),
    ) -> Result<Propagated, Error> {
        let deadline = deadline.min(LONGEST);
        let end = Instant::now() + deadline;
        let mut calls = self.calls(vec![wanted.clone()], Sweep::UntilReady, deadline, Hears::Changes);
        let outcome = calls.outcome(on_report).await;
        let result = self.shared.conclude_watch(wanted, outcome, end, None, on_report).await;
        match &result {
            Ok(propagated) => on_report(propagated.report()),
            Err(Error::NotPropagated(report)) => on_report(report),
            Err(_) => {}
        }
        result
    }

    /// Watches many names at once, each until it is visible or `deadline` has passed. Results come as they are
    /// known, through [`Watches::next`]. Names of one zone share its look-up and, where many wait for one name
    /// server, their questions; see [`watch::engine`](crate::watch::engine).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use perennial_propagation::{Checker, Wanted};
    /// # async fn example(checker: &Checker, wanted: Vec<Wanted>) {
    /// let mut watches = checker.watch_all(wanted, Duration::from_secs(120));
    /// while let Some((wanted, result)) = watches.next().await {
    ///     match result {
    ///         Ok(_) => println!("{} is there", wanted.name()),
    ///         Err(error) => println!("{error}"),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn watch_all(&self, wanted: impl IntoIterator<Item = Wanted>, deadline: Duration) -> Watches {
        let wanted: Vec<Wanted> = wanted.into_iter().collect();
        let deadline = deadline.min(LONGEST);
        let end = Instant::now() + deadline;
        let calls = self.calls(wanted.clone(), Sweep::UntilReady, deadline, Hears::End);
        Watches::new(self.shared.clone(), wanted, calls, end)
    }

    /// Finds the zone that holds `name`, its name servers, and the evidence for both. `name` itself is never
    /// sent to a resolver.
    ///
    /// # Errors
    /// [`Error`] when no zone is found, or not within 30 seconds.
    pub async fn zone(&self, name: &DomainName) -> Result<ZoneView, Error> {
        let late = |_| Error::TooSlow { name: name.clone(), limit: LIMIT };
        let place = Place::Holding(name.clone());
        let located = time::timeout(LIMIT, self.shared.locator.verified(&place)).await.map_err(late)??;
        located.zone.ok_or_else(|| Error::NoZone { name: name.clone(), tried: Vec::new() })
    }

    /// Has names watched or checked; some of the time until `deadline` is left for what is asked at the end.
    fn calls(&self, wanted: Vec<Wanted>, sweep: Sweep, deadline: Duration, hears: Hears) -> Calls {
        let Shared { policy, grace, settle, .. } = *self.shared;
        let deadline = deadline - reserve(policy, deadline);
        let settings = Settings { policy, sweep, deadline, grace, settle };
        Drivers::begin(&self.shared, wanted, settings, hears)
    }
}

impl Shared {
    /// What a check comes to, when the rest of the world was heard or the failure looked into. Where others do
    /// the same at the same time, `places` are for those who ask.
    async fn conclude_check(
        &self,
        wanted: &Wanted,
        outcome: Result<Outcome, Error>,
        end: Instant,
        places: Option<&Semaphore>,
    ) -> Result<Report, Error> {
        let report = match outcome? {
            Outcome::Expired(report) | Outcome::Finished(report) => *report,
            Outcome::Ready(propagated) => propagated.into_report(),
        };
        let mut examiner = Examiner::new(self, wanted, places);
        Ok(if report.verdict.is_ready() {
            examiner.confirm(report, end).await
        } else {
            examiner.explain(report, end).await
        })
    }

    /// What a watch comes to, likewise.
    async fn conclude_watch(
        &self,
        wanted: &Wanted,
        outcome: Result<Outcome, Error>,
        end: Instant,
        places: Option<&Semaphore>,
        on_report: &mut (dyn FnMut(&Report) + Send),
    ) -> Result<Propagated, Error> {
        let mut examiner = Examiner::new(self, wanted, places);
        let concluded = match outcome? {
            Outcome::Ready(propagated) => examiner.hear_the_world(*propagated, end, on_report).await,
            Outcome::Expired(report) | Outcome::Finished(report) => Err(examiner.explain(*report, end).await),
        };
        concluded.map_err(|report| Error::NotPropagated(Box::new(report)))
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { policy, grace, settle, port, .. } = &*self.shared;
        f.debug_struct("Checker")
            .field("policy", policy)
            .field("grace", grace)
            .field("settle", settle)
            .field("authoritative_port", port)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Checker`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct CheckerBuilder {
    demands: Demands,
    exchange: Option<Arc<dyn Exchange>>,
    given: Vec<NameServer>,
    grace: Duration,
    http: Option<Arc<dyn HttpClient>>,
    means: Means,
    nameservers: Vec<NameServer>,
    zone_nameservers: Vec<(DomainName, Vec<NameServer>)>,
    nat64: Nat64,
    policy: Policy,
    port: u16,
    root_hints: Vec<ZoneServer>,
    roots: Vec<u8>,
    routable: fn(IpAddr) -> bool,
    settle: Duration,
}

impl Default for CheckerBuilder {
    fn default() -> Self {
        Self {
            demands: Demands::default(),
            exchange: None,
            given: Vec::new(),
            grace: GRACE,
            http: None,
            means: Means::Resolvers,
            nameservers: Vec::new(),
            zone_nameservers: Vec::new(),
            nat64: Nat64::default(),
            policy: Policy::default(),
            port: 53,
            root_hints: roots::servers(),
            roots: Vec::new(),
            routable: route::exists,
            settle: Duration::ZERO,
        }
    }
}

impl CheckerBuilder {
    /// The resolvers that tell where zones begin, in order of preference. Default: those of
    /// `/etc/resolv.conf`; where that names none, zones are found by a walk from the root, as with
    /// [`iterative`](Self::iterative). Search domains are never used: names are complete.
    pub fn nameservers(mut self, servers: impl IntoIterator<Item = NameServer>) -> Self {
        self.nameservers = servers.into_iter().collect();
        self
    }

    /// The resolvers for `zone` and what lies below it, instead of [`nameservers`](Self::nameservers); repeatable,
    /// and the longest zone that holds a name wins. For a cluster whose own DNS must not be asked about its public
    /// domain, or an office that alone knows a domain.
    ///
    /// They are not believed more than others: the zone above is still asked whether it delegates.
    pub fn nameservers_for(
        mut self,
        zone: DomainName,
        servers: impl IntoIterator<Item = NameServer>,
    ) -> Self {
        self.zone_nameservers.retain(|(other, _)| *other != zone);
        self.zone_nameservers.push((zone, servers.into_iter().collect()));
        self
    }

    /// Finds zones without any resolver, by a walk from the root (RFC 1034 §5.3.3, with names minimised by
    /// RFC 9156). For hosts that reach the internet's name servers and trust no resolver, and for networks whose
    /// resolvers keep answers for too long. By default that is done only while no resolver can be used.
    ///
    /// [`Policy::RecursiveOnly`] asks resolvers all the same.
    pub const fn iterative(mut self) -> Self {
        self.means = Means::Walk;
        self
    }

    /// The name servers of the root, for a root of one's own. Default: the internet's thirteen.
    pub fn root_hints(mut self, servers: impl IntoIterator<Item = ZoneServer>) -> Self {
        self.root_hints = servers.into_iter().collect();
        self
    }

    /// How IPv4 servers are reached from an IPv6-only host. Default: [`Nat64::Auto`].
    pub fn nat64(mut self, nat64: Nat64) -> Self {
        self.nat64 = nat64;
        self
    }

    /// How many name servers must have the values, or what else shall do. Default: [`Policy::All`]: they are whom
    /// a CA asks, and asking them leaves no negative answer in anybody's cache.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How long dead and lame name servers may hold up [`Policy::All`]. Default: [`GRACE`], 5 seconds. Longer
    /// where servers come back by themselves and a warning is worse than the wait.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long to wait between the moment at which enough name servers have the values and the last look, which
    /// confirms it. Default: none, since a CA asks the same servers that have just answered. Where one address is
    /// many machines that do not change at the same moment (anycast), a second or two lets the others catch up:
    /// they are behind it for a CA that asks from elsewhere. Cut short where the deadline comes before.
    pub const fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// On which port name servers of zones listen, for laboratories where that is not 53.
    pub const fn authoritative_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Who carries the questions, instead of [`Network`]: a test's script, or a network of one's own.
    pub fn exchange(mut self, exchange: Arc<dyn Exchange>) -> Self {
        self.exchange = Some(exchange);
        self
    }

    /// The HTTP client for resolvers that speak DNS over HTTPS. There is no default.
    pub fn http(mut self, client: Arc<dyn HttpClient>) -> Self {
        self.http = Some(client);
        self
    }

    /// More roots to trust for DNS over TLS beside the operating system's, as PEM; repeatable.
    pub fn root_certificates_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.extend_from_slice(pem.as_ref());
        self.roots.push(b'\n');
        self
    }

    /// Whose routing table is believed: a test plays a host without IPv4.
    #[cfg(test)]
    fn routable(mut self, routable: fn(IpAddr) -> bool) -> Self {
        self.routable = routable;
        self
    }

    /// Makes the checker.
    ///
    /// # Errors
    /// [`Error::NoResolver`] when resolvers are all that may be asked ([`Policy::RecursiveOnly`]) and neither was
    /// one given nor does the operating system name one, [`Error::NoHttpClient`] when one speaks HTTPS and there is
    /// no client for it, [`Error::TlsRoots`] when one speaks TLS and the roots cannot be used.
    pub fn build(self) -> Result<Checker, Error> {
        let system = paths::system_resolvers();
        let nameservers = match (&system, self.nameservers.is_empty(), self.policy) {
            (_, false, _) => self.nameservers,
            (Err(error), true, Policy::RecursiveOnly) => return Err(error.clone()),
            (system, true, _) => system.clone().unwrap_or_default(),
        };
        let nobody = nameservers.is_empty() && self.zone_nameservers.is_empty();
        let means = if nobody { Means::Walk } else { self.means };
        let exchange = match self.exchange {
            Some(exchange) => exchange,
            None => {
                let for_zones = self.zone_nameservers.iter().flat_map(|(_, servers)| servers);
                let everybody =
                    nameservers.iter().chain(for_zones).chain(&self.demands.points).chain(&self.given);
                network(everybody, self.http, &self.roots)?
            }
        };
        let paths = Arc::new(Paths::new(exchange.clone(), self.routable, self.nat64).with_resolvers(
            nameservers,
            self.zone_nameservers,
            system.unwrap_or_default(),
        ));
        let locator = Locator::new(&exchange, paths.clone(), self.port, means, self.root_hints.into())
            .with_given(Given::new(&exchange, &paths, self.given));
        let shared = Shared {
            exchange,
            policy: self.policy,
            grace: self.grace,
            settle: self.settle,
            port: self.port,
            paths,
            locator: Arc::new(locator),
            drivers: Drivers::default(),
            demands: self.demands,
        };
        Ok(Checker { shared: Arc::new(shared) })
    }
}

fn network<'a>(
    servers: impl Iterator<Item = &'a NameServer> + Clone,
    http: Option<Arc<dyn HttpClient>>,
    roots: &[u8],
) -> Result<Arc<dyn Exchange>, Error> {
    let speaks = |protocol| servers.clone().find(|server| server.protocol() == protocol);
    let mut network = Network::new();
    if speaks(Protocol::Tls).is_some() {
        network = network.with_tls(roots)?;
    }
    match (speaks(Protocol::Https), http) {
        (_, Some(client)) => network = network.with_http(client),
        (Some(server), None) => return Err(Error::NoHttpClient { server: server.to_string() }),
        (None, None) => {}
    }
    Ok(Arc::new(network))
}

#[cfg(test)]
fn _send_and_sync(checker: Checker) -> impl Send + Sync + Clone {
    checker
}
