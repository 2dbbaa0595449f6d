//! A whole scene: a domain, its name servers, a resolver and a certificate authority.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use perennial_core::{Clock, DomainName, SystemClock};

use crate::{
    Error,
    ca::{CertificateAuthority, CertificateAuthorityBuilder},
    dns::{
        AuthoritativeServer, Behaviour, Endpoint, Freshness, RecursiveServer, TsigAlgorithm, TsigKey,
        UpdatePolicy, Zone,
    },
};

/// A whole scene; everything in it stops when it is dropped.
///
/// There is one zone with its authoritative servers on 127.0.0.2, 127.0.0.3 and so on, a server for the
/// parents up to the root on 127.0.0.254, all of them on one port; a resolver that starts at the root; and a
/// certificate authority that looks challenges up at every authoritative server. The first server is the
/// primary: it takes RFC 2136 updates, signed with [`tsig`](Self::tsig), below `_acme-challenge` only.
///
/// ```
/// use perennial_testkit::World;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), perennial_testkit::Error> {
/// let world = World::builder()
///     .zone("example.com")
///     .servers(2)
///     .lag(1, Duration::from_secs(3)) // the second server shows every change three seconds late
///     .liar("app.site.example.com") // and the resolver answers for this by itself
///     .build()
///     .await?;
/// assert_eq!(world.servers().len(), 2);
/// assert_eq!(world.primary().port(), world.authoritative_port());
/// assert!(world.zone().txt_values("_acme-challenge.app.site.example.com").is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct World {
    zone: Zone,
    servers: Vec<AuthoritativeServer>,
    parents: AuthoritativeServer,
    resolver: RecursiveServer,
    ca: CertificateAuthority,
    tsig: TsigKey,
}

/// What the scene is to be like.
#[must_use]
pub struct WorldBuilder {
    zone: String,
    servers: usize,
    behaviours: Vec<(usize, Behaviour)>,
    lags: Vec<(usize, Duration)>,
    liar: Option<String>,
    remembers_absence: bool,
    algorithm: TsigAlgorithm,
    clock: Option<Arc<dyn Clock>>,
    authority: CertificateAuthorityBuilder,
}

impl WorldBuilder {
    /// The zone that certificates are wanted for. By default `example.com`.
    pub fn zone(mut self, origin: &str) -> Self {
        self.zone = origin.into();
        self
    }

    /// How many authoritative servers it has: 1 to 100. By default 2, the fewest that a registry takes.
    pub const fn servers(mut self, count: usize) -> Self {
        self.servers = count;
        self
    }

    /// Makes a server, counted from 0, show every change so much later.
    pub fn lag(mut self, server: usize, lag: Duration) -> Self {
        self.lags.push((server, lag));
        self
    }

    /// Makes a server, counted from 0, behave like this.
    pub fn behaviour(mut self, server: usize, behaviour: Behaviour) -> Self {
        self.behaviours.push((server, behaviour));
        self
    }

    /// Makes the resolver answer for this name and everything below it by itself, with SOA and NS records of
    /// its own and nothing else: what the DNS of a cluster does whose own domain is the certificate's.
    pub fn liar(mut self, domain: &str) -> Self {
        self.liar = Some(domain.into());
        self
    }

    /// Makes the resolver keep negative answers (RFC 2308). By default it keeps nothing.
    pub const fn resolver_remembers_absence(mut self) -> Self {
        self.remembers_absence = true;
        self
    }

    /// What updates are signed with. By default `hmac-sha256`.
    pub const fn tsig_algorithm(mut self, algorithm: TsigAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Lets lags, signatures and certificates go by this clock. By default by the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Tells the certificate authority more, such as profiles. Its clock and where it validates are set by
    /// [`build`](Self::build).
    pub fn authority(mut self, authority: CertificateAuthorityBuilder) -> Self {
        self.authority = authority;
        self
    }

    /// Puts the scene up.
    ///
    /// # Errors
    /// [`Error::Scene`] when the scene contradicts itself, [`Error::Name`] when a name is none,
    /// [`Error::NoCommonPort`] when there is no port, and those of
    /// [`CertificateAuthorityBuilder::start`].
    pub async fn build(self) -> Result<World, Error> {
        self.check()?;
        let addresses: Vec<IpAddr> =
            (2..).take(self.servers).map(|last| IpAddr::from([127, 0, 0, last])).collect();
        let all: Vec<IpAddr> = addresses.iter().copied().chain([PARENTS]).collect();
        let mut endpoints = Endpoint::bind_set(&all).await?;
        let parents_endpoint = endpoints.pop().ok_or_else(|| scene("there are no servers".into()))?;
        let tsig = TsigKey::generate("testkit-key", self.algorithm)?;
        let zone = self.make_zone(&addresses)?;
        let servers: Vec<AuthoritativeServer> = endpoints
            .into_iter()
            .enumerate()
            .map(|(index, endpoint)| self.start_server(index, endpoint, &zone, &tsig))
            .collect();
        let parents = start_parents(&self.zone, &addresses, parents_endpoint)?;
        let resolver = self.start_resolver(parents.address()).await?;
        let asked: Vec<SocketAddr> = servers.iter().map(AuthoritativeServer::address).collect();
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let ca = self.authority.clock(clock).validate_through(&asked).start().await?;
        Ok(World { zone, servers, parents, resolver, ca, tsig })
    }

    fn check(&self) -> Result<(), Error> {
        if !(1..=100).contains(&self.servers) {
            return Err(scene(format!("a zone has 1 to 100 servers here, not {}", self.servers)));
        }
        let lags = self.lags.iter().map(|(server, _)| *server);
        let behaviours = self.behaviours.iter().map(|(server, _)| *server);
        if let Some(server) = lags.chain(behaviours).find(|server| *server >= self.servers) {
            let last = self.servers - 1;
            return Err(scene(format!("there is no server {server}: they are counted from 0 to {last}")));
        }
        let zone: DomainName = self.zone.parse()?;
        if let Some(liar) = &self.liar
            && !liar.parse::<DomainName>()?.is_at_or_below(&zone)
        {
            return Err(scene(format!("a lie about {liar}, which is not in {zone}, would never be seen")));
        }
        Ok(())
    }

    fn make_zone(&self, addresses: &[IpAddr]) -> Result<Zone, Error> {
        let zone = match &self.clock {
            Some(clock) => Zone::with_clock(&self.zone, Arc::clone(clock))?,
            None => Zone::new(&self.zone)?,
        };
        for (index, address) in addresses.iter().enumerate() {
            zone.add_name_server(&name_server(index, &self.zone), &[*address])?;
        }
        Ok(zone)
    }

    fn start_server(
        &self,
        index: usize,
        endpoint: Endpoint,
        zone: &Zone,
        tsig: &TsigKey,
    ) -> AuthoritativeServer {
        let mut server = AuthoritativeServer::builder().zone(zone);
        if let Some(clock) = &self.clock {
            server = server.clock(Arc::clone(clock));
        }
        if index == 0 {
            server = server.updates(UpdatePolicy::challenges_only(tsig));
        }
        if let Some((_, lag)) = self.lags.iter().rev().find(|(server, _)| *server == index) {
            server = server.freshness(Freshness::Behind(*lag));
        }
        if let Some((_, behaviour)) = self.behaviours.iter().rev().find(|(server, _)| *server == index) {
            server = server.behaviour(*behaviour);
        }
        server.start(endpoint)
    }

    async fn start_resolver(&self, root: SocketAddr) -> Result<RecursiveServer, Error> {
        let endpoint = Endpoint::bind("127.0.0.1:0").await?;
        let mut resolver = RecursiveServer::builder().hint(".", &[root])?;
        if self.remembers_absence {
            resolver = resolver.remember_absence();
        }
        if let Some(domain) = &self.liar {
            let lie = Zone::new(domain)?;
            lie.add_name_server(&format!("ns.dns.{domain}"), &[endpoint.address().ip()])?;
            resolver = resolver.lie(&lie);
        }
        Ok(resolver.start(endpoint))
    }
}

impl World {
    /// Begins a scene.
    pub fn builder() -> WorldBuilder {
        WorldBuilder {
            zone: "example.com".into(),
            servers: 2,
            behaviours: Vec::new(),
            lags: Vec::new(),
            liar: None,
            remembers_absence: false,
            algorithm: TsigAlgorithm::default(),
            clock: None,
            authority: CertificateAuthority::builder(),
        }
    }

    /// The zone, as the primary sees it.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The zone's servers; the first one is the primary.
    #[must_use]
    pub fn servers(&self) -> &[AuthoritativeServer] {
        &self.servers
    }

    /// The server of the parents: the root and everything between it and the zone.
    #[must_use]
    pub const fn parents(&self) -> &AuthoritativeServer {
        &self.parents
    }

    /// Where updates go, over UDP or TCP.
    #[must_use]
    pub fn primary(&self) -> SocketAddr {
        self.servers.first().unwrap_or(&self.parents).address()
    }

    /// The port of all authoritative servers, which is 53 in the world.
    #[must_use]
    pub const fn authoritative_port(&self) -> u16 {
        self.parents.address().port()
    }

    /// The key that updates are signed with.
    #[must_use]
    pub const fn tsig(&self) -> &TsigKey {
        &self.tsig
    }

    /// Where the resolver answers, over UDP and TCP.
    #[must_use]
    pub const fn resolver(&self) -> SocketAddr {
        self.resolver.address()
    }

    /// The resolver itself, which remembers what it was asked.
    #[must_use]
    pub const fn recursive_server(&self) -> &RecursiveServer {
        &self.resolver
    }

    /// The certificate authority.
    #[must_use]
    pub const fn ca(&self) -> &CertificateAuthority {
        &self.ca
    }
}

/// The root and every zone between it and `zone`, on one server, each delegating the next.
fn start_parents(zone: &str, addresses: &[IpAddr], endpoint: Endpoint) -> Result<AuthoritativeServer, Error> {
    let zone: DomainName = zone.parse()?;
    let mut child = zone.clone();
    let mut server = AuthoritativeServer::builder();
    while let Some(parent) = child.parent() {
        let made = parent_zone(parent.as_str())?;
        delegate(&made, &child, &zone, addresses)?;
        server = server.zone(&made);
        child = parent;
    }
    let root = parent_zone(".")?;
    delegate(&root, &child, &zone, addresses)?;
    Ok(server.zone(&root).start(endpoint))
}

fn parent_zone(origin: &str) -> Result<Zone, Error> {
    let zone = Zone::new(origin)?;
    zone.add_name_server(PARENTS_NAME, &[PARENTS])?;
    Ok(zone)
}

fn delegate(parent: &Zone, child: &DomainName, zone: &DomainName, addresses: &[IpAddr]) -> Result<(), Error> {
    if child != zone {
        return parent.delegate(child.as_str(), PARENTS_NAME, &[PARENTS]);
    }
    for (index, address) in addresses.iter().enumerate() {
        parent.delegate(child.as_str(), &name_server(index, zone.as_str()), &[*address])?;
    }
    Ok(())
}

fn name_server(index: usize, zone: &str) -> String {
    format!("ns{}.{zone}", index + 1)
}

fn scene(reason: String) -> Error {
    Error::Scene { reason }
}

/// Out of the way of the zone's own servers.
const PARENTS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 254));
/// Under a domain that nobody's zone is (RFC 6761 §6.2 keeps `test` for us), so that the root can say where
/// it is.
const PARENTS_NAME: &str = "a.parents.test";
