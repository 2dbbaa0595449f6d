//! The world around the servers that are measured: a registry that delegates to them, and a resolver.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr},
};

use perennial_propagation::{Checker, NameServer, Wanted};
use perennial_testkit::dns::{AuthoritativeServer, Endpoint, RecursiveServer, Zone};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// The zone `test` and a resolver that knows it. The zones below it are served at [`ADDRESSES`].
pub(crate) struct Laboratory {
    registry: AuthoritativeServer,
    resolver: RecursiveServer,
}

/// Where zones are served: four addresses, four name servers.
pub(crate) const ADDRESSES: [IpAddr; 4] = [loopback(2), loopback(3), loopback(4), loopback(5)];
const REGISTRY: IpAddr = loopback(6);

const fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

impl Laboratory {
    /// Begins with zones below `test`. Also gives one endpoint for each of their addresses, on one port.
    pub(crate) async fn new(zones: &[String]) -> Outcome<(Self, Vec<Endpoint>)> {
        let top = Zone::new("test")?;
        top.add_name_server("ns.test", &[REGISTRY])?;
        for zone in zones {
            for (host, address) in name_servers(zone) {
                top.delegate(zone, &host, &[address])?;
            }
        }
        let mut addresses = ADDRESSES.to_vec();
        addresses.push(REGISTRY);
        let mut endpoints = Endpoint::bind_set(&addresses).await?;
        let endpoint = endpoints.pop().ok_or("an endpoint for each address")?;
        let registry = AuthoritativeServer::builder().zone(&top).start(endpoint);
        let resolver = RecursiveServer::builder().hint(".", &[registry.address()])?;
        let resolver = resolver.start(Endpoint::bind("127.0.0.1:0").await?);
        Ok((Self { registry, resolver }, endpoints))
    }

    pub(crate) fn port(&self) -> u16 {
        self.registry.address().port()
    }

    pub(crate) fn checker(&self) -> Outcome<Checker> {
        let resolver = NameServer::at(self.resolver.address());
        Ok(Checker::builder().nameservers([resolver]).authoritative_port(self.port()).build()?)
    }
}

/// The name servers of a zone and their addresses.
pub(crate) fn name_servers(zone: &str) -> impl Iterator<Item = (String, IpAddr)> {
    (1..).zip(ADDRESSES).map(move |(number, address)| (format!("ns{number}.{zone}"), address))
}

/// A name, and the value that is published there: as long as the digest of RFC 8555 §8.4.
pub(crate) fn wanted(index: usize, zone: &str) -> Outcome<Wanted> {
    let name = format!("_acme-challenge.h{index}.{zone}").parse()?;
    Ok(Wanted::new(name, [value(index)]))
}

pub(crate) fn value(index: usize) -> String {
    format!("{index:0>43}")
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
