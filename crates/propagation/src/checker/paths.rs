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

use super::resolver::Resolver;
use crate::{
    Error, Host, NameServer, Nat64, Protocol,
    nat64::{Prefix, discover},
    resolv_conf,
    target::{self, Route, Target},
    transport::{Endpoint, Exchange},
    wire::{Answer, Data, Query, RecordType},
    zone::ZoneServer,
};

/// What this host can reach, and how.
pub(super) struct Paths {
    exchange: Arc<dyn Exchange>,
    routable: fn(IpAddr) -> bool,
    nameservers: Vec<NameServer>,
    /// The operating system's resolvers: a DNS64 is the network's own (RFC 7050 §3), whoever else is asked.
    system: Vec<NameServer>,
    nat64: Nat64,
    prefixes: Remembered<Vec<Prefix>>,
    resolvers: Remembered<Arc<[Target]>>,
}

impl Paths {
    /// The ways of a host whose routing table says `routable`.
    pub(super) const fn new(exchange: Arc<dyn Exchange>, routable: fn(IpAddr) -> bool, nat64: Nat64) -> Self {
        Self {
            exchange,
            routable,
            nat64,
            nameservers: Vec::new(),
            system: Vec::new(),
            prefixes: Remembered::new(),
            resolvers: Remembered::new(),
        }
    }

    /// These are the resolvers to use, and those of the operating system.
    pub(super) fn with_resolvers(mut self, nameservers: Vec<NameServer>, system: Vec<NameServer>) -> Self {
        self.nameservers = nameservers;
        self.system = system;
        self
    }

    /// The addresses of these name servers that are to be asked.
    pub(super) async fn plan(&self, servers: &[ZoneServer], port: u16) -> Vec<Target> {
        let v4 = servers.iter().flat_map(|server| &server.v4).map(|v4| IpAddr::V4(*v4));
        let prefixes = self.prefixes_for(v4).await;
        target::plan(servers, port, &prefixes, &self.routable)
    }

    /// The configured resolvers, each of their addresses.
    pub(super) async fn resolvers(&self) -> Arc<[Target]> {
        if let Some(known) = self.resolvers.get() {
            return known;
        }
        let targets: Arc<[Target]> = self.targets(&self.nameservers).await.into();
        // A resolver whose name was not found may be found next time.
        if targets.iter().any(|target| target.route == Route::Exists) {
            self.resolvers.set(targets.clone());
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

    /// Where to ask the configured resolvers.
    pub(super) async fn resolver_endpoints(&self) -> Vec<Endpoint> {
        let targets = self.resolvers().await;
        let reachable = targets.iter().filter(|target| target.route == Route::Exists);
        reachable.map(|target| target.endpoint.clone()).collect()
    }

    /// The resolvers by the text that the operator wrote.
    pub(super) fn resolver_names(&self) -> Vec<String> {
        self.nameservers.iter().map(ToString::to_string).collect()
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
        let endpoints = self.direct(&self.nameservers);
        if endpoints.is_empty() {
            let found = time::timeout(SYSTEM_LIMIT, net::lookup_host((name.as_str(), port))).await;
            return found.ok().and_then(Result::ok).into_iter().flatten().take(MAX_BOOTSTRAP).collect();
        }
        let resolver = Resolver::new(&*self.exchange, &endpoints);
        let found = addresses(&resolver, name).await;
        found.into_iter().take(MAX_BOOTSTRAP).map(|address| SocketAddr::new(address, port)).collect()
    }

    /// The NAT64 prefixes, where one of these addresses needs them.
    async fn prefixes_for(&self, addresses: impl Iterator<Item = IpAddr>) -> Vec<Prefix> {
        match &self.nat64 {
            Nat64::Off => Vec::new(),
            Nat64::Prefixes(prefixes) => prefixes.clone(),
            Nat64::Auto => {
                let mut v4 = addresses.filter(IpAddr::is_ipv4);
                if v4.any(|address| !(self.routable)(address)) { self.discovered().await } else { Vec::new() }
            }
        }
    }

    /// The network's prefixes (RFC 7050): what the first resolver shows that shows any.
    async fn discovered(&self) -> Vec<Prefix> {
        if let Some(known) = self.prefixes.get() {
            return known;
        }
        let mut endpoints = self.direct(&self.nameservers);
        for endpoint in self.direct(&self.system) {
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        let Ok(name) = DomainName::parse(discover::WELL_KNOWN_NAME) else { return Vec::new() };
        let query = Query::recursive(name, RecordType::Aaaa);
        let ask = |endpoint| self.exchange.exchange(endpoint, &query);
        let replies = future::join_all(endpoints.iter().map(ask)).await;
        let shown = replies.into_iter().flatten().map(|reply| discover::prefixes(&v6(&reply.answer)));
        let prefixes = shown.into_iter().find(|prefixes| !prefixes.is_empty()).unwrap_or_default();
        tracing::debug!(?prefixes, "looked for the NAT64 prefix (RFC 7050)");
        self.prefixes.set(prefixes.clone());
        prefixes
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

/// The addresses of a host, from resolvers; A and AAAA at once.
pub(super) async fn addresses(resolver: &Resolver<'_>, name: &DomainName) -> Vec<IpAddr> {
    let (v6_heard, v4_heard) =
        tokio::join!(resolver.ask(name, RecordType::Aaaa), resolver.ask(name, RecordType::A));
    let heard = [v6_heard, v4_heard].into_iter().flatten();
    heard
        .flat_map(|heard| heard.answer.answers)
        .filter_map(|record| match record.data {
            Data::A(v4) => Some(IpAddr::V4(v4)),
            Data::Aaaa(v6) => Some(IpAddr::V6(v6)),
            _ => None,
        })
        .collect()
}

fn v6(answer: &Answer) -> Vec<std::net::Ipv6Addr> {
    let of = |record: &crate::wire::Record| match record.data {
        Data::Aaaa(v6) => Some(v6),
        _ => None,
    };
    answer.answers.iter().filter_map(of).collect()
}

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

const MEMORY: Duration = Duration::from_secs(300);

impl<T: Clone> Remembered<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn get(&self) -> Option<T> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|(at, _)| at.elapsed() < MEMORY).map(|(_, value)| value.clone())
    }

    fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), value));
    }
}
