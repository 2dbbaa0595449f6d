//! Ports that no other fixture takes at the same time.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use crate::Error;

/// A port for UDP and TCP that a server is told to listen on.
///
/// Between looking and listening another process may take the port. Fixtures keep out of each other's way,
/// in one process and between processes, by holding a socket with the same port number on an address that
/// nobody serves on; against everybody else a server that finds its port taken is started again.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _claim: Option<UdpSocket>,
}

/// Fixtures meet here to agree on ports; loopback, and nobody's address (RFC 1122 §3.2.1.3).
const CLAIMS: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

/// How many ports are tried: among the tens of thousands of ephemeral ones hardly any is taken.
const ATTEMPTS: usize = 64;

impl Port {
    /// A port that is free on `address`, claimed as long as the value lives.
    pub(super) fn free(address: IpAddr) -> Result<Self, Error> {
        (0..ATTEMPTS)
            .find_map(|_| Self::claim(address))
            .ok_or_else(|| Error::NoCommonPort { addresses: address.to_string(), attempts: ATTEMPTS })
    }

    /// A port that the test itself has chosen.
    pub(super) const fn fixed(number: u16) -> Self {
        Self { number, _claim: None }
    }

    pub(super) const fn number(&self) -> u16 {
        self.number
    }

    fn claim(address: IpAddr) -> Option<Self> {
        // Some systems give 127.0.0.1 alone to the loopback interface; there the claim is done without.
        let claim = UdpSocket::bind((CLAIMS, 0)).ok();
        let wanted = claim.as_ref().and_then(|claim| claim.local_addr().ok()).map_or(0, |claim| claim.port());
        let udp = UdpSocket::bind((address, wanted)).ok()?;
        let number = udp.local_addr().ok()?.port();
        TcpListener::bind((address, number)).ok()?;
        Some(Self { number, _claim: claim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fixtures_get_the_same_port() {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ports: Vec<_> = (0..200).map(|_| Port::free(localhost).unwrap()).collect();
        let numbers: std::collections::BTreeSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
    }
}
