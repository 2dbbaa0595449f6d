//! Who can serve a zone: the hosts that the corpus names, each with its address and the program behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use perennial_testkit::dns::Behaviour;

/// A name server of the laboratory; its name in NS records is `NAME.host.test`.
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) addresses: &'static [IpAddr],
    pub(super) program: Program,
}

/// What answers at a host's address.
pub(super) enum Program {
    /// BIND, the primary; it takes updates.
    Bind,
    /// dnsdist before [`BIND`], with these conditions and actions.
    Dnsdist(&'static [(&'static str, &'static str)]),
    /// dnsdist before BIND and the secondary that lags, in turns: one address, two machines.
    Flapping,
    /// dnsdist before a resolver, with recursion asked for: a router that catches port 53.
    Intercepted,
    Knot,
    /// BIND, a secondary that nobody notifies.
    Lagging,
    /// Nothing, or somebody else.
    Nobody,
    Nsd,
    Pdns,
    /// BIND, a secondary that is notified.
    Secondary,
    /// dnsdist before [`BIND`]; what comes over IPv6 is lost.
    SilentSix,
    /// A server of the testkit: no real one can be made to do this.
    Testkit(Behaviour),
}

const fn v4(third: u8, last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, third, last))
}

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd53, 0, 0, 0, 0, 0, 0, last))
}

/// The root and `test`.
pub(super) const PARENTS: IpAddr = v4(0, 10);
/// The primary, and what is behind every face of dnsdist.
pub(super) const BIND: IpAddr = v4(1, 1);
pub(super) const LAGGING: IpAddr = v4(1, 3);

/// All hosts that a zone of the corpus may name.
pub(super) const HOSTS: &[Host] = &[
    Host { name: "bind", addresses: &[BIND], program: Program::Bind },
    Host { name: "follow", addresses: &[v4(1, 2)], program: Program::Secondary },
    Host { name: "lag", addresses: &[LAGGING], program: Program::Lagging },
    Host { name: "knot", addresses: &[v4(2, 1)], program: Program::Knot },
    Host { name: "nsd", addresses: &[v4(3, 1)], program: Program::Nsd },
    Host { name: "pdns", addresses: &[v4(4, 1)], program: Program::Pdns },
    // Faces of dnsdist.
    Host {
        name: "slow",
        addresses: &[v4(5, 2)],
        program: Program::Dnsdist(&[("AllRule()", "DelayAction(300)")]),
    },
    Host {
        name: "refusing",
        addresses: &[v4(5, 3)],
        program: Program::Dnsdist(&[("AllRule()", "RCodeAction(DNSRCode.REFUSED)")]),
    },
    Host {
        name: "failing",
        addresses: &[v4(5, 4)],
        program: Program::Dnsdist(&[("AllRule()", "RCodeAction(DNSRCode.SERVFAIL)")]),
    },
    Host {
        name: "truncating",
        addresses: &[v4(5, 5)],
        program: Program::Dnsdist(&[("TCPRule(false)", "TCAction()")]),
    },
    Host {
        name: "udp_lost",
        addresses: &[v4(5, 6)],
        program: Program::Dnsdist(&[("TCPRule(false)", "DropAction()")]),
    },
    Host {
        name: "tcp_closed",
        addresses: &[v4(5, 7)],
        program: Program::Dnsdist(&[("TCPRule(true)", "DropAction()")]),
    },
    Host {
        name: "lossy",
        addresses: &[v4(5, 8)],
        program: Program::Dnsdist(&[("AndRule{TCPRule(false), ProbaRule(0.3)}", "DropAction()")]),
    },
    Host {
        name: "no_edns",
        addresses: &[v4(5, 9)],
        program: Program::Dnsdist(&[(
            "RecordsTypeCountRule(DNSSection.Additional, 41, 1, 1)",
            "RCodeAction(DNSRCode.FORMERR)",
        )]),
    },
    Host {
        name: "silent",
        addresses: &[v4(5, 10)],
        program: Program::Dnsdist(&[("AllRule()", "DropAction()")]),
    },
    Host {
        name: "silent2",
        addresses: &[v4(5, 11)],
        program: Program::Dnsdist(&[("AllRule()", "DropAction()")]),
    },
    Host { name: "flapping", addresses: &[v4(5, 12)], program: Program::Flapping },
    Host { name: "intercepted", addresses: &[v4(5, 13)], program: Program::Intercepted },
    // The name without its record, as a middlebox with an opinion says it.
    Host {
        name: "denying",
        addresses: &[v4(5, 14)],
        program: Program::Dnsdist(&[("AllRule()", "RCodeAction(DNSRCode.NXDOMAIN)")]),
    },
    Host { name: "six", addresses: &[v6(1)], program: Program::Dnsdist(&[]) },
    Host { name: "six_silent", addresses: &[v4(5, 15), v6(2)], program: Program::SilentSix },
    // Nobody listens, nobody is named, somebody else's address.
    Host { name: "dead", addresses: &[v4(9, 1)], program: Program::Nobody },
    Host { name: "ghost", addresses: &[], program: Program::Nobody },
    Host { name: "elsewhere", addresses: &[PARENTS], program: Program::Nobody },
    // The testkit's lies.
    Host { name: "garbage", addresses: &[v4(8, 1)], program: Program::Testkit(Behaviour::Garbage) },
    Host { name: "lower_case", addresses: &[v4(8, 2)], program: Program::Testkit(Behaviour::LowerCase) },
];

/// A resolver that a case can be given.
pub(super) struct Resolver {
    pub(super) name: &'static str,
    pub(super) address: IpAddr,
}

pub(super) const MAIN: IpAddr = v4(0, 20);
pub(super) const ISP: IpAddr = v4(0, 21);
pub(super) const SECURE: IpAddr = v4(0, 25);

/// All of them.
pub(super) const RESOLVERS: &[Resolver] = &[
    // Validates, caches for a minute, and notes what it is asked.
    Resolver { name: "main", address: MAIN },
    // Caches, and belongs to whoever catches port 53.
    Resolver { name: "isp", address: ISP },
    // Of a private cloud or a cluster: sees zones that the rest of the world does not.
    Resolver { name: "vpc", address: v4(0, 22) },
    // Caches, validates, and is asked as somebody else's: a public resolver.
    Resolver { name: "public", address: v4(0, 23) },
    Resolver { name: "dead", address: v4(0, 24) },
    // Is asked over TLS and HTTPS too.
    Resolver { name: "secure", address: SECURE },
    // As name servers they are faces of dnsdist, and as resolvers they are as bad.
    Resolver { name: "denying", address: v4(5, 14) },
    Resolver { name: "failing", address: v4(5, 4) },
    Resolver { name: "refusing", address: v4(5, 3) },
    Resolver { name: "silent", address: v4(5, 10) },
];

/// The host of that name.
pub(super) fn host(name: &str) -> Option<&'static Host> {
    HOSTS.iter().find(|host| host.name == name)
}

/// The address of the resolver of that name.
pub(super) fn resolver(name: &str) -> Option<IpAddr> {
    RESOLVERS.iter().find(|resolver| resolver.name == name).map(|resolver| resolver.address)
}

impl Host {
    /// Its name in NS records.
    pub(super) fn domain(&self) -> String {
        format!("{}.host.test.", self.name.replace('_', "-"))
    }

    /// Whether BIND, the primary, must have its zones.
    pub(super) const fn needs_bind(&self) -> bool {
        matches!(
            self.program,
            Program::Bind
                | Program::Dnsdist(_)
                | Program::Flapping
                | Program::Lagging
                | Program::Secondary
                | Program::SilentSix
        )
    }
}
