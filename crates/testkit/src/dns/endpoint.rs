//! Where a name server listens.

use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, UdpSocket};

use crate::Error;

/// One address and port, taken for UDP and TCP, at which nobody answers yet.
///
/// Taking the endpoints first lets a test write the servers' addresses into its zones before they start.
#[derive(Debug)]
pub struct Endpoint {
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
    address: SocketAddr,
}

impl Endpoint {
    /// Takes the address; port 0 means any that is free for both transports.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address or port cannot be had, or the text is no socket address.
    pub async fn bind(address: &str) -> Result<Self, Error> {
        let address: SocketAddr = address.parse().map_err(|error: std::net::AddrParseError| {
            Error::Scene { reason: format!("{address:?} is no socket address such as 127.0.0.1:0: {error}") }
        })?;
        if address.port() != 0 {
            return Self::take(address).await;
        }
        let mut set = Self::bind_set(&[address.ip()]).await?;
        set.pop().ok_or_else(|| Error::NoCommonPort { addresses: address.ip().to_string(), attempts: 0 })
    }

    /// Takes one common port on all these addresses.
    ///
    /// Who looks for the servers of a zone finds addresses and brings the port along: 53 in the world, one
    /// and the same other port in a test. On Linux the whole of 127.0.0.0/8 is there to be used; elsewhere
    /// 127.0.0.2 and its neighbours must be added to the loopback interface first.
    ///
    /// # Errors
    /// [`Error::NoCommonPort`] when none of many ports was free everywhere.
    pub async fn bind_set(addresses: &[IpAddr]) -> Result<Vec<Self>, Error> {
        for _ in 0..ATTEMPTS {
            if let Some(endpoints) = Self::try_set(addresses).await {
                return Ok(endpoints);
            }
        }
        let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::NoCommonPort { addresses, attempts: ATTEMPTS })
    }

    /// The address and port that were taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    async fn take(address: SocketAddr) -> Result<Self, Error> {
        let unusable = |error: std::io::Error| Error::Bind { address, reason: error.to_string() };
        let udp = UdpSocket::bind(address).await.map_err(unusable)?;
        let address = udp.local_addr().map_err(unusable)?;
        let tcp = TcpListener::bind(address).await.map_err(unusable)?;
        Ok(Self { udp, tcp, address })
    }

    async fn try_set(addresses: &[IpAddr]) -> Option<Vec<Self>> {
        let mut endpoints: Vec<Self> = Vec::with_capacity(addresses.len());
        for address in addresses {
            let port = endpoints.first().map_or(0, |first| first.address.port());
            endpoints.push(Self::take(SocketAddr::new(*address, port)).await.ok()?);
        }
        Some(endpoints)
    }
}

/// A port picked by the system for one address is taken on another only by rare chance; many tests at once
/// make it less rare, and a hundred attempts cost milliseconds.
const ATTEMPTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_set_shares_one_port_on_all_its_addresses() {
        let addresses: Vec<IpAddr> = (2..=5).map(|last| IpAddr::from([127, 0, 0, last])).collect();
        let set = Endpoint::bind_set(&addresses).await.unwrap();
        let found: Vec<IpAddr> = set.iter().map(|endpoint| endpoint.address().ip()).collect();
        assert_eq!(found, addresses);
        assert!(set.iter().all(|endpoint| endpoint.address().port() == set[0].address().port()));
        assert_eq!(set[0].tcp.local_addr().unwrap(), set[0].udp.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let first = Endpoint::bind("127.0.0.1:0").await.unwrap();
        let error = Endpoint::bind(&first.address().to_string()).await.unwrap_err();
        assert!(matches!(error, Error::Bind { address, .. } if address == first.address()), "{error}");
    }
}
