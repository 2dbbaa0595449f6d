//! What this host can reach.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::Serialize;

use super::Checker;
use crate::{nat64::Prefix, zone::list};

/// Which of the internet's two protocols this host has, and what stands in for the missing one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Connectivity {
    /// Whether it has a route to the internet over IPv4.
    pub ipv4: bool,
    /// Whether it has one over IPv6.
    pub ipv6: bool,
    /// The prefixes through which IPv4 is reached (RFC 6052), in the order in which they are tried; none
    /// where none is needed or known.
    pub nat64: Vec<Prefix>,
}

/// The root server A, which is what it takes to be on the internet.
const ROOT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
];

impl Checker {
    /// What this host can reach, by its routing table; and the NAT64 prefix, looked for at the resolvers (RFC
    /// 7050) where there is no route over IPv4. It does not tell whether a firewall lets anything through.
    pub async fn connectivity(&self) -> Connectivity {
        let paths = &self.shared.paths;
        let [v4, v6] = ROOT;
        let (ipv4, ipv6) = (paths.is_routable(v4), paths.is_routable(v6));
        Connectivity { ipv4, ipv6, nat64: paths.prefixes_for(std::iter::once(v4)).await }
    }
}

impl fmt::Display for Connectivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ipv4, self.ipv6) {
            (true, true) => f.write_str("routes over IPv4 and IPv6")?,
            (true, false) => f.write_str("a route over IPv4, none over IPv6")?,
            (false, true) => f.write_str("a route over IPv6, none over IPv4")?,
            (false, false) => return f.write_str("no route to the internet"),
        }
        match self.nat64.as_slice() {
            [] if self.ipv4 => Ok(()),
            [] => f.write_str(", and no NAT64 prefix is known: IPv4 servers cannot be asked"),
            prefixes => write!(f, ", NAT64 in {}", list(prefixes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_prefix_is_told_where_it_is_needed() {
        let connectivity = async |routable: fn(IpAddr) -> bool| {
            let server = "[2001:db8::1]:53".parse().unwrap();
            let checker = Checker::builder().nameservers([server]).nat64("64:ff9b::/96".parse().unwrap());
            checker.routable(routable).build().unwrap().connectivity().await.to_string()
        };
        assert_eq!(connectivity(|_| true).await, "routes over IPv4 and IPv6");
        let only_v6 = connectivity(|address| address.is_ipv6()).await;
        assert_eq!(only_v6, "a route over IPv6, none over IPv4, NAT64 in 64:ff9b::/96");
    }

    #[test]
    fn what_is_missing_is_said() {
        let nat64: Vec<Prefix> = vec!["64:ff9b::/96".parse().unwrap()];
        for (ipv4, ipv6, nat64, text) in [
            (true, true, vec![], "routes over IPv4 and IPv6"),
            (true, false, vec![], "a route over IPv4, none over IPv6"),
            (false, true, nat64, "a route over IPv6, none over IPv4, NAT64 in 64:ff9b::/96"),
            (
                false,
                true,
                vec![],
                "a route over IPv6, none over IPv4, and no NAT64 prefix is known: IPv4 servers cannot be \
                 asked",
            ),
            (false, false, vec![], "no route to the internet"),
        ] {
            assert_eq!(Connectivity { ipv4, ipv6, nat64 }.to_string(), text);
        }
    }
}
