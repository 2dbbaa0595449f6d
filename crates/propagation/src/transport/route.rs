//! Whether the operating system has a way to an address: a routing question, no packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether the operating system would send a packet to this address. Connecting a UDP socket consults the
/// routing table and sends nothing, so this neither waits nor proves that anybody answers. A host with
/// 464XLAT (RFC 6877) says yes for IPv4, rightly.
pub(crate) fn exists(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // An address that cannot be asked about (a link-local one without its zone) is left to fail by itself.
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    link_local
        || UdpSocket::bind(SocketAddr::new(any, 0))
            .and_then(|socket| socket.connect(SocketAddr::new(address, 53)))
            .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_way_to_oneself() {
        assert!(exists(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn there_is_no_way_to_nowhere() {
        // 240.0.0.0/4 is reserved (RFC 1112 §4) and no kernel routes to the broadcast address unasked.
        assert!(!exists(Ipv4Addr::BROADCAST.into()));
    }
}
