//! A little internet: `com` on one server, `example.com` on two, a resolver that knows where `com` is.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use perennial_propagation::{Checker, CheckerBuilder, NameServer, Propagated, Wanted};
use perennial_testkit::dns::{
    AuthoritativeServer, Data, Endpoint, RecursiveServer, RecursiveServerBuilder, Zone,
};

pub(crate) const NAME: &str = "_acme-challenge.www.example.com";
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Where [`Scene::start_spare`] starts.
pub(crate) const SPARE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));

pub(crate) struct Scene {
    pub(crate) com: Zone,
    pub(crate) zone: Zone,
    pub(crate) registry: AuthoritativeServer,
    pub(crate) servers: Vec<AuthoritativeServer>,
    pub(crate) resolver: RecursiveServer,
    /// On the same port, for one more server.
    pub(crate) spare: Option<Endpoint>,
}

impl Scene {
    /// Everybody honest.
    pub(crate) async fn new() -> Self {
        Self::with(|resolver| resolver).await
    }

    /// A resolver of one's own choice.
    pub(crate) async fn with(amend: impl FnOnce(RecursiveServerBuilder) -> RecursiveServerBuilder) -> Self {
        let addresses = [2, 3, 4, 5].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        let zone = Zone::new("example.com").unwrap();
        let com = Zone::new("com").unwrap();
        com.add_name_server("gtld.com", &[addresses[2]]).unwrap();
        for (host, address) in [("ns1.example.com", addresses[0]), ("ns2.example.com", addresses[1])] {
            zone.add_name_server(host, &[address]).unwrap();
            com.delegate("example.com", host, &[address]).unwrap();
        }
        zone.add("www.example.com", Data::A(Ipv4Addr::LOCALHOST)).unwrap();
        let mut endpoints = Endpoint::bind_set(&addresses).await.unwrap().into_iter();
        let mut start =
            |zone: &Zone| AuthoritativeServer::builder().zone(zone).start(endpoints.next().unwrap());
        let servers = vec![start(&zone), start(&zone)];
        let registry = start(&com);
        let resolver = RecursiveServer::builder().hint(".", &[registry.address()]).unwrap();
        let resolver = amend(resolver).start(Endpoint::bind("127.0.0.1:0").await.unwrap());
        Self { com, zone, registry, servers, resolver, spare: endpoints.next() }
    }

    pub(crate) fn publish(&self, name: &str, value: &str) {
        self.zone.add(name, Data::txt(value)).unwrap();
    }

    /// One more server, with this zone.
    pub(crate) fn start_spare(&mut self, zone: &Zone) -> AuthoritativeServer {
        AuthoritativeServer::builder().zone(zone).start(self.spare.take().unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.registry.address().port()
    }

    pub(crate) fn builder(&self) -> CheckerBuilder {
        Checker::builder()
            .nameservers([NameServer::at(self.resolver.address())])
            .authoritative_port(self.port())
    }

    pub(crate) fn checker(&self) -> Checker {
        self.builder().build().unwrap()
    }

    pub(crate) async fn watch(&self, name: &str) -> Propagated {
        let watched = self.checker().watch(&token(name), DEADLINE, &mut |_| ()).await;
        watched.unwrap_or_else(|error| panic!("{error}"))
    }

    /// How often anybody asked the resolver about a name with an underscore.
    pub(crate) fn challenge_names_at_the_resolver(&self) -> usize {
        self.resolver.queries().iter().filter(|query| query.name.contains('_')).count()
    }
}

pub(crate) fn token(name: &str) -> Wanted {
    Wanted::new(name.parse().unwrap(), ["token".to_owned()])
}

/// Where a server of the scene is asked, as reports write it.
pub(crate) fn endpoint(address: SocketAddr) -> String {
    address.to_string()
}
