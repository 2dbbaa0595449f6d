//! The name servers of the root: the file `named.root` of the IANA, <https://www.iana.org/domains/root/servers>.

use std::net::{Ipv4Addr, Ipv6Addr};

use perennial_core::DomainName;

use super::ZoneServer;

/// The thirteen. Their addresses have changed a dozen times in thirty years, each time with years of notice, and one
/// that still answers is enough.
pub(crate) fn servers() -> Vec<ZoneServer> {
    let named = |(letter, v4, v6): &(&str, Ipv4Addr, Ipv6Addr)| {
        let mut server = ZoneServer::new(DomainName::parse(&format!("{letter}.root-servers.net")).ok()?);
        server.add((*v4).into());
        server.add((*v6).into());
        Some(server)
    };
    ROOTS.iter().filter_map(named).collect()
}

const ROOTS: [(&str, Ipv4Addr, Ipv6Addr); 13] = [
    ("a", v4(198, 41, 0, 4), v6([0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30])),
    ("b", v4(170, 247, 170, 2), v6([0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb])),
    ("c", v4(192, 33, 4, 12), v6([0x2001, 0x500, 2, 0, 0, 0, 0, 0xc])),
    ("d", v4(199, 7, 91, 13), v6([0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd])),
    ("e", v4(192, 203, 230, 10), v6([0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe])),
    ("f", v4(192, 5, 5, 241), v6([0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf])),
    ("g", v4(192, 112, 36, 4), v6([0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d])),
    ("h", v4(198, 97, 190, 53), v6([0x2001, 0x500, 1, 0, 0, 0, 0, 0x53])),
    ("i", v4(192, 36, 148, 17), v6([0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53])),
    ("j", v4(192, 58, 128, 30), v6([0x2001, 0x503, 0xc27, 0, 0, 0, 2, 0x30])),
    ("k", v4(193, 0, 14, 129), v6([0x2001, 0x7fd, 0, 0, 0, 0, 0, 1])),
    ("l", v4(199, 7, 83, 42), v6([0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42])),
    ("m", v4(202, 12, 27, 33), v6([0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35])),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const fn v6(segments: [u16; 8]) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_servers_have_an_address_of_each_family() {
        let servers = servers();
        assert_eq!(servers.len(), 13);
        assert!(servers.iter().all(|server| server.v4.len() == 1 && server.v6.len() == 1));
        let mut all: Vec<_> = servers.iter().flat_map(|server| &server.v6).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 13);
    }
}
