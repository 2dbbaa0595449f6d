//! Which addresses to ask: native IPv6, native IPv4, else IPv4 through NAT64 (RFC 6052).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use perennial_core::DomainName;
use serde::Serialize;

use crate::{nat64::Prefix, transport::Endpoint, zone::ZoneServer};

/// One address to ask, for all the name servers that share it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Whose address it is: host names of name servers, or the text of a configured resolver.
    pub servers: Vec<String>,
    /// Where to ask.
    pub endpoint: Endpoint,
    /// The IPv4 address behind it, when it is reached through NAT64.
    pub nat64: Option<Embedded>,
    /// Whether there is a way to it.
    pub route: Route,
}

impl Target {
    /// An address that can be asked as it is, of these servers.
    #[must_use]
    pub const fn new(servers: Vec<String>, endpoint: Endpoint) -> Self {
        Self { servers, endpoint, nat64: None, route: Route::Exists }
    }
}

/// An IPv4 address inside an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(clippy::exhaustive_structs)] // RFC 6052 §2.2: a prefix and an address are all there is to it.
pub struct Embedded {
    /// The server's own address.
    pub v4: Ipv4Addr,
    /// The translator's prefix.
    pub prefix: Prefix,
}

/// Whether this host has a way to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Route {
    /// It has.
    Exists,
    /// It has none, and this is why NAT64 does not help.
    None(NoRoute),
}

/// Why there is no way to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoRoute {
    /// The name server calls itself `localhost`: whoever is asked there is this host itself (RFC 6761 §6.3).
    Localhost,
    /// An IPv6 address, and this host has no IPv6.
    NoIpv6,
    /// An IPv4 address, this host has no IPv4, and no NAT64 prefix is known.
    NoNat64Prefix,
    /// An IPv4 address that no known prefix may carry, with the reason.
    NotTranslatable(String),
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => f.write_str("a name server called localhost is this host itself"),
            Self::NoIpv6 => f.write_str("this host has no route to it over IPv6"),
            Self::NoNat64Prefix => {
                f.write_str("this host has no route to it over IPv4, and knows no NAT64 prefix")
            }
            Self::NotTranslatable(reason) => {
                write!(f, "this host has no route to it over IPv4, and {reason}")
            }
        }
    }
}

/// The most addresses of one zone that are asked; every sane zone stays far below.
const MAX_TARGETS: usize = 64;

/// The addresses to ask, each once, IPv6 before IPv4 for each server.
///
/// `routable` says whether the operating system has a way to an address. An IPv6 address that embeds an IPv4
/// address (a DNS64 resolver makes such, RFC 6147) stands for that address, which is asked once: itself where there
/// is a way to it, else through NAT64.
pub(crate) fn plan(
    servers: &[ZoneServer],
    port: u16,
    prefixes: &[Prefix],
    routable: &dyn Fn(IpAddr) -> bool,
) -> Vec<Target> {
    let mut ranked = Vec::new();
    for server in servers {
        let nobody = is_localhost(&server.name);
        let (mut reached, mut missed) = (0, MAX_TARGETS);
        for (address, nat64, route) in addresses(server, prefixes, routable) {
            let route = if nobody { Route::None(NoRoute::Localhost) } else { route };
            let rank = if route == Route::Exists { &mut reached } else { &mut missed };
            *rank += 1;
            let endpoint = Endpoint::Udp(SocketAddr::new(address, port));
            ranked.push((*rank, Target { servers: vec![server.name.to_string()], endpoint, nat64, route }));
        }
    }
    // One of each server in turn, those first that can be asked: nobody is crowded out by those before.
    if ranked.len() > MAX_TARGETS {
        ranked.sort_by_key(|(rank, _)| *rank);
    }
    let mut targets = Vec::new();
    for (_, target) in ranked {
        add(&mut targets, target);
    }
    targets.truncate(MAX_TARGETS);
    targets
}

/// Adds a target, or its servers to the one that asks the same endpoint already.
pub(crate) fn add(targets: &mut Vec<Target>, target: Target) {
    let Some(same) = targets.iter_mut().find(|other| other.endpoint == target.endpoint) else {
        targets.push(target);
        return;
    };
    for server in target.servers {
        if !same.servers.contains(&server) {
            same.servers.push(server);
        }
    }
    same.nat64 = same.nat64.or(target.nat64);
}

/// Whether an IPv6 address of a server holds an IPv4 address of the same server in the way of RFC 6052, outside the
/// well-known prefix: then a DNS64 has probably made it up, and it is worth asking for the prefix.
pub(crate) fn is_dns64_likely(servers: &[ZoneServer]) -> bool {
    let holds = |server: &ZoneServer, v6: Ipv6Addr| {
        Prefix::LENGTHS.into_iter().filter_map(|length| Prefix::split(v6, length)).any(|(prefix, v4)| {
            prefix != Prefix::WELL_KNOWN && prefix.embed(v4) == v6 && server.v4.contains(&v4)
        })
    };
    servers.iter().any(|server| server.v6.iter().any(|v6| holds(server, *v6)))
}

/// How to reach one address: itself, or through NAT64. The first prefix serves that may carry the address and to
/// which there is a route: never several, since a server is not more visible for being reached twice.
pub(crate) fn reach(
    address: IpAddr,
    prefixes: &[Prefix],
    routable: &dyn Fn(IpAddr) -> bool,
) -> (IpAddr, Option<Embedded>, Route) {
    if routable(address) {
        return (address, embedded(address, prefixes), Route::Exists);
    }
    let IpAddr::V4(v4) = address else { return (address, None, Route::None(NoRoute::NoIpv6)) };
    let mut why = NoRoute::NoNat64Prefix;
    for prefix in prefixes {
        match prefix.synthesize(v4) {
            Ok(v6) if routable(v6.into()) => {
                return (v6.into(), Some(Embedded { v4, prefix: *prefix }), Route::Exists);
            }
            Ok(_) => why = NoRoute::NoIpv6,
            Err(error) => why = NoRoute::NotTranslatable(error.to_string()),
        }
    }
    (address, None, Route::None(why))
}

fn embedded(address: IpAddr, prefixes: &[Prefix]) -> Option<Embedded> {
    let IpAddr::V6(v6) = address else { return None };
    prefixes.iter().find_map(|prefix| prefix.extract(v6).map(|v4| Embedded { v4, prefix: *prefix }))
}

fn addresses(
    server: &ZoneServer,
    prefixes: &[Prefix],
    routable: &dyn Fn(IpAddr) -> bool,
) -> Vec<(IpAddr, Option<Embedded>, Route)> {
    // What the well-known prefix embeds is recognised even where no prefix is configured.
    let mut known = prefixes.to_vec();
    known.push(Prefix::WELL_KNOWN);
    let mut v4: Vec<Ipv4Addr> = server.v4.iter().copied().filter(|v4| is_host((*v4).into())).collect();
    let mut made_up = Vec::new();
    let mut found = Vec::new();
    for v6 in server.v6.iter().copied().filter(|v6| is_host((*v6).into())) {
        match embedded(v6.into(), &known) {
            None => found.push(reach(v6.into(), prefixes, routable)),
            Some(inside) => {
                made_up.push((v6, inside));
                if !v4.contains(&inside.v4) {
                    v4.push(inside.v4);
                }
            }
        }
    }
    // One way to each IPv4 address, whether it was told as such, by a DNS64, or both.
    for v4 in v4 {
        let told = made_up.iter().find(|(v6, inside)| inside.v4 == v4 && routable((*v6).into()));
        found.push(match told {
            Some((v6, inside)) if !routable(v4.into()) => translated(*v6, *inside, prefixes, routable),
            _ => reach(v4.into(), prefixes, routable),
        });
    }
    found
}

/// The way that a DNS64 shows, unless no translator may carry the address there.
fn translated(
    v6: Ipv6Addr,
    inside: Embedded,
    prefixes: &[Prefix],
    routable: &dyn Fn(IpAddr) -> bool,
) -> (IpAddr, Option<Embedded>, Route) {
    let Err(error) = inside.prefix.synthesize(inside.v4) else {
        return (v6.into(), Some(inside), Route::Exists);
    };
    let (address, nat64, route) = reach(inside.v4.into(), prefixes, routable);
    match route {
        Route::Exists => (address, nat64, route),
        Route::None(_) => (address, None, Route::None(NoRoute::NotTranslatable(error.to_string()))),
    }
}

/// Whether a name is one of those that every host takes for itself. Resolvers serve such zones (`invalid`, by RFC 6761
/// §6.4) with such name servers. Loopback addresses under other names are somebody's laboratory.
fn is_localhost(name: &DomainName) -> bool {
    name.labels().next_back() == Some("localhost")
}

/// Whether a server can have this address. Loopback and private addresses are fine: laboratories and internal
/// zones use them.
fn is_host(address: IpAddr) -> bool {
    let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_multicast() || mapped || broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, addresses: &[&str]) -> ZoneServer {
        let mut server = ZoneServer::new(name.parse().unwrap());
        for address in addresses {
            server.add(address.parse().unwrap());
        }
        server
    }

    fn shown(servers: &[ZoneServer], prefixes: &[&str], routable: &dyn Fn(IpAddr) -> bool) -> Vec<String> {
        let prefixes: Vec<Prefix> = prefixes.iter().map(|text| text.parse().unwrap()).collect();
        plan(servers, 53, &prefixes, routable)
            .iter()
            .map(|target| {
                let nat64 = if target.nat64.is_some() { " nat64" } else { "" };
                let route = if target.route == Route::Exists { "" } else { " no-route" };
                format!("{} {}{nat64}{route}", target.servers.join("+"), target.endpoint)
            })
            .collect()
    }

    fn dual(_: IpAddr) -> bool {
        true
    }

    fn only_v6(address: IpAddr) -> bool {
        address.is_ipv6()
    }

    #[test]
    fn a_dual_stack_host_asks_every_native_address() {
        let servers =
            [server("a.example", &["192.0.2.1", "2001:db8::1"]), server("b.example", &["192.0.2.2"])];
        assert_eq!(
            shown(&servers, &["64:ff9b::/96"], &dual),
            ["a.example [2001:db8::1]:53", "a.example 192.0.2.1:53", "b.example 192.0.2.2:53"]
        );
    }

    #[test]
    fn an_ipv6_only_host_reaches_ipv4_servers_through_the_prefix() {
        let servers = [server("a.example", &["8.8.8.8", "2001:db8::1"])];
        assert_eq!(
            shown(&servers, &["64:ff9b::/96"], &only_v6),
            ["a.example [2001:db8::1]:53", "a.example [64:ff9b::808:808]:53 nat64"]
        );
    }

    #[test]
    fn without_a_prefix_the_missing_way_is_named() {
        let servers = [server("a.example", &["8.8.8.8"])];
        let targets = plan(&servers, 53, &[], &only_v6);
        assert_eq!(targets[0].route, Route::None(NoRoute::NoNat64Prefix));
        let private = [server("a.example", &["10.0.0.1"])];
        let targets = plan(&private, 53, &[Prefix::WELL_KNOWN], &only_v6);
        assert!(
            matches!(&targets[0].route, Route::None(NoRoute::NotTranslatable(why)) if why.contains("8215"))
        );
    }

    #[test]
    fn the_next_prefix_is_tried_where_the_first_may_not_carry_the_address() {
        let servers = [server("a.example", &["10.0.0.1"])];
        assert_eq!(
            shown(&servers, &["64:ff9b::/96", "64:ff9b:1:fffe::/96"], &only_v6),
            ["a.example [64:ff9b:1:fffe::a00:1]:53 nat64"]
        );
    }

    #[test]
    fn what_a_dns64_made_up_is_not_counted_twice() {
        let servers = [server("a.example", &["8.8.8.8", "64:ff9b::808:808"])];
        assert_eq!(shown(&servers, &[], &dual), ["a.example 8.8.8.8:53"]);
        assert_eq!(shown(&servers, &["64:ff9b::/96"], &only_v6), ["a.example [64:ff9b::808:808]:53 nat64"]);
        assert_eq!(shown(&servers, &[], &only_v6), ["a.example [64:ff9b::808:808]:53 nat64"]);
        let other = [server("a.example", &["8.8.8.8", "2001:db8:64::808:808"])];
        let prefixes = ["64:ff9b::/96", "2001:db8:64::/96"];
        assert_eq!(shown(&other, &prefixes, &only_v6), ["a.example [2001:db8:64::808:808]:53 nat64"]);
    }

    #[test]
    fn an_address_that_only_a_dns64_tells_is_asked_over_ipv4_where_that_works() {
        let servers = [server("a.example", &["64:ff9b::808:808"]), server("b.example", &["8.8.8.8"])];
        assert_eq!(shown(&servers, &[], &dual), ["a.example+b.example 8.8.8.8:53"]);
        assert_eq!(
            shown(&servers, &["64:ff9b::/96"], &only_v6),
            ["a.example+b.example [64:ff9b::808:808]:53 nat64"]
        );
    }

    #[test]
    fn a_private_address_that_a_dns64_put_under_the_well_known_prefix_is_refused_with_the_reason() {
        let servers = [server("a.example", &["64:ff9b::10.0.0.1"])];
        let targets = plan(&servers, 53, &[Prefix::WELL_KNOWN], &only_v6);
        assert!(
            matches!(&targets[0].route, Route::None(NoRoute::NotTranslatable(why)) if why.contains("10.0.0.1"))
        );
        assert_eq!(
            shown(&servers, &["64:ff9b:1:fffe::/96"], &only_v6),
            ["a.example [64:ff9b:1:fffe::a00:1]:53 nat64"]
        );
    }

    #[test]
    fn of_several_prefixes_the_first_with_a_route_is_one_target() {
        let servers = [server("a.example", &["8.8.8.8"])];
        let no_way_to_the_first =
            |address: IpAddr| address.is_ipv6() && address.to_string().starts_with("2001:db8:2:");
        let prefixes = ["2001:db8:1::/96", "2001:db8:2::/96"];
        assert_eq!(
            shown(&servers, &prefixes, &no_way_to_the_first),
            ["a.example [2001:db8:2::808:808]:53 nat64"]
        );
    }

    #[test]
    fn a_dns64_with_a_prefix_of_its_own_is_suspected() {
        let suspected = |addresses: &[&str]| is_dns64_likely(&[server("a.example", addresses)]);
        assert!(suspected(&["8.8.8.8", "2001:db8:64::808:808"]));
        assert!(suspected(&["8.8.8.8", "2001:db8:122:808:8:800::"]));
        assert!(!suspected(&["8.8.8.8", "64:ff9b::808:808"]), "known to everybody");
        assert!(!suspected(&["8.8.4.4", "2001:db8:64::808:808"]));
        assert!(!suspected(&["2001:db8::1", "192.0.2.1"]));
    }

    #[test]
    fn servers_that_share_an_address_share_the_question() {
        let servers = [server("a.example", &["192.0.2.1"]), server("b.example", &["192.0.2.1", "192.0.2.2"])];
        assert_eq!(
            shown(&servers, &[], &dual),
            ["a.example+b.example 192.0.2.1:53", "b.example 192.0.2.2:53"]
        );
    }

    #[test]
    fn of_too_many_addresses_every_server_keeps_some_that_can_be_asked() {
        let eight = |net: &str| (1..=8).map(|host| format!("{net}{host}")).collect::<Vec<_>>();
        let all = |name, addresses: &[String]| {
            server(name, &addresses.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let mut servers: Vec<ZoneServer> =
            (1..=7).map(|net| all("a.example", &eight(&format!("192.0.{net}.")))).collect();
        let mut mostly_v6 = eight("2001:db8::");
        mostly_v6.push("192.0.2.200".to_owned());
        servers.extend([all("b.example", &mostly_v6), server("c.example", &["192.0.2.201"])]);
        let shown = shown(&servers, &[], &|address| address.is_ipv4());
        assert_eq!(shown.len(), MAX_TARGETS);
        for least in ["b.example 192.0.2.200:53", "c.example 192.0.2.201:53"] {
            assert!(shown.contains(&least.to_owned()), "{shown:?}");
        }
    }

    #[test]
    fn addresses_of_no_host_are_left_out() {
        let nobody = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "::ffff:192.0.2.1"];
        assert_eq!(shown(&[server("a.example", &nobody)], &[], &dual), Vec::<String>::new());
    }

    #[test]
    fn a_name_server_called_localhost_is_not_asked() {
        let servers = [server("localhost", &["127.0.0.1", "::1"]), server("ns.example", &["127.0.0.2"])];
        let shown = shown(&servers, &[], &dual);
        assert_eq!(
            shown,
            ["localhost [::1]:53 no-route", "localhost 127.0.0.1:53 no-route", "ns.example 127.0.0.2:53"]
        );
    }

    #[test]
    fn an_ipv4_only_host_says_that_it_cannot_ask_ipv6() {
        let servers = [server("a.example", &["192.0.2.1", "2001:db8::1"])];
        assert_eq!(
            shown(&servers, &[], &|address| address.is_ipv4()),
            ["a.example [2001:db8::1]:53 no-route", "a.example 192.0.2.1:53"]
        );
    }
}
