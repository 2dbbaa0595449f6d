//! Ways to servers from this host: resolvers by name, IPv4 through NAT64.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future;
use perennial_core::DomainName;
use tokio::{
    net,
    time::{self, Instant},
};

use super::{prefixes::Prefixes, resolver::Resolver};
use crate::{
    Error, Host, NameServer, Nat64, Protocol,
    nat64::Prefix,
    resolv_conf,
    target::{self, Route, Target},
    transport::{Endpoint, Exchange},
    wire::{Data, RecordType},
    zone::ZoneServer,
};

/// What this host can reach, and how.
pub(super) struct Paths {
    exchange: Arc<dyn Exchange>,
    routable: fn(IpAddr) -> bool,
    /// Those for a zone of their own, the longest names first; last those for everything.
    resolvers: Vec<Resolvers>,
    /// The operating system's resolvers: a DNS64 is the network's own (RFC 7050 §3), whoever else is asked.
    system: Vec<NameServer>,
    prefixes: Prefixes,
}

/// The resolvers for one zone and what lies below, or for everything.
struct Resolvers {
    zone: Option<DomainName>,
    servers: Vec<NameServer>,
    targets: Remembered<Arc<[Target]>>,
}

impl Resolvers {
    const fn new(zone: Option<DomainName>, servers: Vec<NameServer>) -> Self {
        Self { zone, servers, targets: Remembered::new() }
    }

    fn are_for(&self, name: &DomainName) -> bool {
        self.zone.as_ref().is_none_or(|zone| name.is_at_or_below(zone))
    }
}

impl Paths {
    /// The ways of a host whose routing table says `routable`.
    pub(super) fn new(exchange: Arc<dyn Exchange>, routable: fn(IpAddr) -> bool, nat64: Nat64) -> Self {
        let prefixes = Prefixes::new(nat64);
        Self { exchange, routable, resolvers: Vec::new(), system: Vec::new(), prefixes }
    }

    /// These are the resolvers to use, those for zones of their own, and those of the operating system.
    pub(super) fn with_resolvers(
        mut self,
        everything: Vec<NameServer>,
        zones: Vec<(DomainName, Vec<NameServer>)>,
        system: Vec<NameServer>,
    ) -> Self {
        let zones = zones.into_iter().map(|(zone, servers)| Resolvers::new(Some(zone), servers));
        self.resolvers = zones.collect();
        self.resolvers
            .sort_by_key(|one| std::cmp::Reverse(one.zone.as_ref().map_or(0, |zone| zone.labels().count())));
        self.resolvers.push(Resolvers::new(None, everything));
        self.system = system;
        self
    }

    /// The addresses of these name servers that are to be asked.
    pub(super) async fn plan(&self, servers: &[ZoneServer], port: u16) -> Vec<Target> {
        let v4 = servers.iter().flat_map(|server| &server.v4).map(|v4| IpAddr::V4(*v4));
        let prefixes = if target::is_dns64_likely(servers) {
            self.prefixes().await
        } else {
            self.prefixes_for(v4).await
        };
        target::plan(servers, port, &prefixes, &self.routable)
    }

    /// Whether the routing table has a way to an address.
    pub(super) fn is_routable(&self, address: IpAddr) -> bool {
        (self.routable)(address)
    }

    /// Where to ask a name server that has this address; `None` when there is no way to it.
    pub(super) async fn reach(&self, address: IpAddr, port: u16) -> Option<Endpoint> {
        let prefixes = self.prefixes_for(std::iter::once(address)).await;
        let (address, _, route) = target::reach(address, &prefixes, &self.routable);
        (route == Route::Exists).then(|| Endpoint::Udp(SocketAddr::new(address, port)))
    }

    /// The configured resolvers for a name, each of their addresses.
    pub(super) async fn resolvers(&self, name: &DomainName) -> Arc<[Target]> {
        let Some(resolvers) = self.resolvers_for(name) else { return Arc::default() };
        if let Some(known) = resolvers.targets.get() {
            return known;
        }
        let targets: Arc<[Target]> = self.targets(&resolvers.servers).await.into();
        // A resolver whose name was not found may be found next time.
        if targets.iter().any(|target| target.route == Route::Exists) {
            resolvers.targets.set(targets.clone());
        }
        targets
    }

    /// Where these servers are reached, each of their addresses.
    pub(super) async fn targets(&self, servers: &[NameServer]) -> Vec<Target> {
        let each = servers.iter().map(|server| self.resolver_targets(server));
        let mut targets = Vec::new();
        future::join_all(each).await.into_iter().flatten().for_each(|one| target::add(&mut targets, one));
        targets
    }

    /// Where to ask the configured resolvers about a name.
    pub(super) async fn resolver_endpoints(&self, name: &DomainName) -> Vec<Endpoint> {
        let targets = self.resolvers(name).await;
        let reachable = targets.iter().filter(|target| target.route == Route::Exists);
        reachable.map(|target| target.endpoint.clone()).collect()
    }

    /// The resolvers for a name by the text that the operator wrote.
    pub(super) fn resolver_names(&self, name: &DomainName) -> Vec<String> {
        let resolvers = self.resolvers_for(name).map(|one| one.servers.as_slice()).unwrap_or_default();
        resolvers.iter().map(ToString::to_string).collect()
    }

    /// Has the network's prefixes and the addresses of resolvers that are given by name looked up again before
    /// they are used again: they may be the trouble.
    pub(super) fn look_again(&self) {
        self.resolvers.iter().for_each(|one| one.targets.forget());
        self.prefixes.look_again();
    }

    /// Those through which nobody answered are tried last from now on.
    pub(super) fn doubt(&self, prefix: Prefix) {
        self.prefixes.doubt(prefix);
    }

    fn resolvers_for(&self, name: &DomainName) -> Option<&Resolvers> {
        self.resolvers.iter().find(|one| one.are_for(name))
    }

    async fn resolver_targets(&self, server: &NameServer) -> Vec<Target> {
        let label = || vec![server.to_string()];
        if let Some(url) = server.url() {
            let endpoint = Endpoint::Https { url };
            return vec![Target { servers: label(), endpoint, nat64: None, route: Route::Exists }];
        }
        let addresses = match server.host() {
            Host::Name(name) => self.bootstrap(name, server.port()).await,
            Host::V4(_) | Host::V6(..) => server.socket_address().into_iter().collect(),
        };
        let prefixes = self.prefixes_for(addresses.iter().map(SocketAddr::ip)).await;
        let target = |address: &SocketAddr| {
            let (ip, nat64, route) = target::reach(address.ip(), &prefixes, &self.routable);
            // Only a translated address is another one; the zone id of the original must stay.
            let address = if ip == address.ip() { *address } else { SocketAddr::new(ip, address.port()) };
            Target { servers: label(), endpoint: endpoint(server, address), nat64, route }
        };
        addresses.iter().map(target).collect()
    }

    /// The addresses of a resolver that is given by name: from the resolvers that are given by address, or,
    /// where there are none, from the operating system, since nobody else is left to ask.
    async fn bootstrap(&self, name: &DomainName, port: u16) -> Vec<SocketAddr> {
        let own = self.resolvers_for(name).map(|one| self.direct(&one.servers));
        let endpoints = own.filter(|own| !own.is_empty()).unwrap_or_else(|| self.direct(self.everything()));
        if endpoints.is_empty() {
            let found = time::timeout(SYSTEM_LIMIT, net::lookup_host((name.as_str(), port))).await;
            return found.ok().and_then(Result::ok).into_iter().flatten().take(MAX_BOOTSTRAP).collect();
        }
        let resolver = Resolver::new(&*self.exchange, &endpoints);
        let (v6, v4) = tokio::join!(resolver.ask(name, RecordType::Aaaa), resolver.ask(name, RecordType::A));
        let records = [v6, v4].into_iter().flatten().flat_map(|heard| heard.answer.answers);
        let addresses = records.filter_map(|record| match record.data {
            Data::A(v4) => Some(IpAddr::V4(v4)),
            Data::Aaaa(v6) => Some(IpAddr::V6(v6)),
            _ => None,
        });
        addresses.take(MAX_BOOTSTRAP).map(|address| SocketAddr::new(address, port)).collect()
    }

    /// The resolvers for what has none of its own.
    fn everything(&self) -> &[NameServer] {
        self.resolvers.last().map(|one| one.servers.as_slice()).unwrap_or_default()
    }

    /// The NAT64 prefixes, where one of these addresses needs them.
    pub(super) async fn prefixes_for(&self, mut addresses: impl Iterator<Item = IpAddr>) -> Vec<Prefix> {
        if addresses.any(|address| address.is_ipv4() && !(self.routable)(address)) {
            self.prefixes().await
        } else {
            Vec::new()
        }
    }

    /// The network's prefixes, or those that were given.
    async fn prefixes(&self) -> Vec<Prefix> {
        let resolvers = || {
            let mut endpoints = self.direct(self.everything());
            for endpoint in self.direct(&self.system) {
                if !endpoints.contains(&endpoint) {
                    endpoints.push(endpoint);
                }
            }
            endpoints
        };
        self.prefixes.get(&self.exchange, resolvers).await
    }

    /// Those servers that need neither a name looked up nor NAT64.
    fn direct(&self, servers: &[NameServer]) -> Vec<Endpoint> {
        let of = |server: &NameServer| match server.url() {
            Some(url) => {
                matches!(server.host(), Host::V4(_) | Host::V6(..)).then_some(Endpoint::Https { url })
            }
            None => {
                let address = server.socket_address().filter(|address| (self.routable)(address.ip()))?;
                Some(endpoint(server, address))
            }
        };
        servers.iter().filter_map(of).collect()
    }
}

/// How long the operating system may take to find a resolver's name.
const SYSTEM_LIMIT: Duration = Duration::from_secs(5);
/// The most addresses of a resolver that is given by name.
const MAX_BOOTSTRAP: usize = 4;

fn endpoint(server: &NameServer, address: SocketAddr) -> Endpoint {
    match server.protocol() {
        Protocol::Tcp => Endpoint::Tcp(address),
        Protocol::Tls => {
            let name = match server.host() {
                Host::V4(v4) => v4.to_string(),
                Host::V6(v6, _) => v6.to_string(),
                Host::Name(name) => name.to_string(),
            };
            Endpoint::Tls { address, name }
        }
        // HTTPS servers have URLs and never come here.
        Protocol::Udp | Protocol::Https => Endpoint::Udp(address),
    }
}

/// The resolvers of the operating system's configuration.
pub(super) fn system_resolvers() -> Result<Vec<NameServer>, Error> {
    let fault = |reason: String| Error::NoResolver { path: resolv_conf::PATH.to_owned(), reason };
    let text = fs::read_to_string(resolv_conf::PATH).map_err(|error| fault(error.to_string()))?;
    let servers = resolv_conf::parse(&text, interface_index);
    if servers.is_empty() { Err(fault("it has no nameserver line".to_owned())) } else { Ok(servers) }
}

fn interface_index(name: &str) -> Option<u32> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte));
    let path = (plain && !name.starts_with('.')).then(|| format!("/sys/class/net/{name}/ifindex"))?;
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What was found out about this host's network, for a while: laptops and pods move.
struct Remembered<T>(Mutex<Option<(Instant, T)>>);

const MEMORY: Duration = Duration::from_secs(60);
/// What counts as new: many names look again at once.
const NEW: Duration = Duration::from_secs(1);

impl<T: Clone> Remembered<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn get(&self) -> Option<T> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|(at, _)| at.elapsed() < MEMORY).map(|(_, value)| value.clone())
    }

    /// Forgets what is not as good as new.
    fn forget(&self) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = slot.take().filter(|(at, _)| at.elapsed() < NEW);
    }

    fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), value));
    }
}
