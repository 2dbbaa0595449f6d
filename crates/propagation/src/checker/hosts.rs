//! The addresses of a host, for those who look at what it serves.

use std::net::{IpAddr, SocketAddr};

use perennial_core::DomainName;
use serde::Serialize;
use tokio::time;

use super::{Checker, LIMIT, resolver::Resolver};
use crate::{
    Error,
    target::{Embedded, Route},
    transport::Endpoint,
    wire::{Answer, Data, RecordType, ResponseCode},
    zone::ZoneServer,
};

/// An address of a host, and the way to it from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HostAddress {
    /// As everybody else knows it.
    pub address: IpAddr,
    /// Where it is reached from here: another one through NAT64.
    pub reached_at: IpAddr,
    /// What lies in between, where it is reached through NAT64.
    pub nat64: Option<Embedded>,
    /// Whether there is a way to it.
    pub route: Route,
}

impl Checker {
    /// The addresses of a host, IPv6 before IPv4, as the resolvers tell them: those that were given for its zone,
    /// else those for everything. What a DNS64 has made up (RFC 6147) is told as the IPv4 address that it stands
    /// for. None where the name has none, or does not exist. Takes 30 seconds at most.
    ///
    /// # Errors
    /// [`Error`] when no resolver answers, or none is willing to.
    pub async fn addresses(&self, host: &DomainName) -> Result<Vec<HostAddress>, Error> {
        let late = |_| Error::TooSlow { name: host.clone(), limit: LIMIT };
        time::timeout(LIMIT, self.look_up(host)).await.map_err(late)?
    }

    async fn look_up(&self, host: &DomainName) -> Result<Vec<HostAddress>, Error> {
        let paths = &self.shared.paths;
        let endpoints = paths.resolver_endpoints(host).await;
        let resolver = Resolver::new(&*self.shared.exchange, &endpoints);
        let ask = async |record_type| {
            let heard = resolver.ask(host, record_type).await?;
            let code = heard.answer.code;
            if code == ResponseCode::NOERROR || code == ResponseCode::NXDOMAIN {
                return Ok(heard.answer);
            }
            let question = format!("{host} {record_type}");
            Err(Error::ResolversUnwilling { question, resolver: heard.resolver, code, walk: None })
        };
        let (v6, v4) = tokio::join!(ask(RecordType::Aaaa), ask(RecordType::A));
        let found = ZoneServer { v6: v6_of(&v6?), v4: v4_of(&v4?), name: host.clone() };
        let targets = paths.plan(&[found], 0).await;
        let address = |endpoint: Endpoint| match endpoint {
            Endpoint::Udp(address) | Endpoint::Tcp(address) => Some(address),
            _ => None,
        };
        let hosts = targets.into_iter().filter_map(|target| {
            let reached_at = address(target.endpoint).as_ref().map(SocketAddr::ip)?;
            let address = target.nat64.map_or(reached_at, |embedded| embedded.v4.into());
            Some(HostAddress { address, reached_at, nat64: target.nat64, route: target.route })
        });
        Ok(hosts.collect())
    }
}

fn v6_of(answer: &Answer) -> Vec<std::net::Ipv6Addr> {
    let records = answer.answers.iter().take(MOST);
    records.filter_map(|record| if let Data::Aaaa(v6) = record.data { Some(v6) } else { None }).collect()
}

fn v4_of(answer: &Answer) -> Vec<std::net::Ipv4Addr> {
    let records = answer.answers.iter().take(MOST);
    records.filter_map(|record| if let Data::A(v4) = record.data { Some(v4) } else { None }).collect()
}

/// More records than a host has, its aliases among them.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::tests::{Scripted, code, name, record, says};
    use super::*;
    use crate::{Nat64, nat64::Prefix, target::NoRoute, wire::Query};
    use std::{sync::Arc, time::Duration};

    fn checker(exchange: Arc<Scripted>, nat64: Nat64, routable: fn(IpAddr) -> bool) -> Checker {
        let resolver = "[2001:db8::53]:53".parse().unwrap();
        let builder = Checker::builder().nameservers([resolver]).exchange(exchange).nat64(nat64);
        builder.routable(routable).build().unwrap()
    }

    fn two(query: &Query) -> Result<Answer, crate::transport::TransportError> {
        let data = match query.record_type {
            RecordType::A => Data::A([198, 51, 100, 7].into()),
            _ => Data::Aaaa("2001:db8::7".parse().unwrap()),
        };
        says(false, vec![record("www.example.com", data)], vec![])
    }

    #[tokio::test(start_paused = true)]
    async fn both_addresses_are_told_and_one_of_the_missing_protocol_by_nat64() {
        let exchange = Scripted::new(|_, query| (Duration::ZERO, two(query)));
        let dual = checker(exchange.clone(), Nat64::Off, |_| true);
        let found = dual.addresses(&name("www.example.com")).await.unwrap();
        let told: Vec<String> = found.iter().map(|it| it.address.to_string()).collect();
        assert_eq!(told, ["2001:db8::7", "198.51.100.7"]);
        assert!(found.iter().all(|it| it.address == it.reached_at && it.route == Route::Exists));

        let prefix: Prefix = "2001:db8:64::/96".parse().unwrap();
        let only_v6 = checker(exchange.clone(), "2001:db8:64::/96".parse().unwrap(), |ip| ip.is_ipv6());
        let found = only_v6.addresses(&name("www.example.com")).await.unwrap();
        assert_eq!(found[1].reached_at.to_string(), "2001:db8:64::c633:6407");
        assert_eq!(found[1].nat64, Some(Embedded { v4: [198, 51, 100, 7].into(), prefix }));
        assert_eq!(found[1].address.to_string(), "198.51.100.7");

        let none = checker(exchange, Nat64::Off, |ip| ip.is_ipv6());
        let found = none.addresses(&name("www.example.com")).await.unwrap();
        assert_eq!(found[1].route, Route::None(NoRoute::NoNat64Prefix));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_does_not_exist_has_none_and_a_resolver_that_fails_is_told() {
        let nobody = Scripted::new(|_, _| (Duration::ZERO, code(ResponseCode::NXDOMAIN)));
        let found = checker(nobody, Nat64::Off, |_| true).addresses(&name("www.example.com")).await;
        assert_eq!(found, Ok(vec![]));
        let failing = Scripted::new(|_, _| (Duration::ZERO, code(ResponseCode::SERVFAIL)));
        let found = checker(failing, Nat64::Off, |_| true).addresses(&name("www.example.com")).await;
        assert!(matches!(found, Err(Error::ResolversUnwilling { code: ResponseCode::SERVFAIL, .. })));
    }
}
