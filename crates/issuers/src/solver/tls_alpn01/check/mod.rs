//! A look of one's own before the CA is told: it counts a look in vain as a failed validation.
//!
//! As for [http-01](crate::solver::http01::SelfCheck) it is made as a CA makes it, at every address of the name, and comes to
//! one of three: the proof is shown; it is not, with the evidence; or it cannot be told from here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use perennial_acme::challenge::tls_alpn01::PROTOCOL;
use perennial_core::DomainName;
use perennial_propagation::Checker;

use crate::{
    Error,
    handshake::{Destinations, Possession, Question, look_at},
};

mod found;
pub use found::Found;

mod report;
pub use report::{Observation, TlsAlpn01Report};

/// How to look whether a proof is shown, before the CA is told to.
///
/// ```
/// use perennial_issuers::solver::tls_alpn01::SelfCheck;
///
/// // A load balancer that does not let the machines behind it in by its public address.
/// let check = SelfCheck::new().connect_to(["10.0.0.5:8443".parse()?]);
/// # let _ = check; Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SelfCheck {
    destinations: Destinations,
    locally: Vec<SocketAddr>,
}

impl Default for SelfCheck {
    fn default() -> Self {
        Self::new()
    }
}

impl SelfCheck {
    /// Looks at all addresses of the name, on port 443.
    #[must_use]
    pub const fn new() -> Self {
        Self { destinations: Destinations::new(), locally: Vec::new() }
    }

    /// Who looks addresses up, with its resolvers and its NAT64. Default: a [`Checker`] with the settings of the
    /// environment ([`CheckerBuilder::from_env`](perennial_propagation::CheckerBuilder::from_env)), else over the name
    /// servers of `/etc/resolv.conf`.
    #[must_use]
    pub fn checker(mut self, checker: Checker) -> Self {
        self.destinations.checker = Some(checker);
        self
    }

    /// Connects there instead of to the addresses of the name: to the server behind a load balancer, whose public
    /// address cannot be reached from here. The question is the same. Default: nowhere else.
    #[must_use]
    pub fn connect_to(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.destinations.connect_to = addresses.into_iter().collect();
        self
    }

    /// Where this machine shows the proof: it is looked at when no address of the name does, to tell a server that is
    /// missing from one that cannot be reached by its public address. Default: port 443 of the loopback addresses.
    #[must_use]
    pub fn locally(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.locally = addresses.into_iter().collect();
        self
    }

    /// The port that stands for 443. Default: this; another one is for tests, since no CA asks there.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.destinations.port = port;
        self
    }

    /// Looks once for the proof of a name, which is this [digest](perennial_acme::challenge::tls_alpn01::digest_of) of
    /// its key authorization. Takes 50 seconds at most where nobody answers, usually well under a second.
    ///
    /// # Errors
    /// [`Error`] when the resolvers of this machine cannot be used at all. What was seen, or not, is in the report.
    pub async fn look(&self, name: &DomainName, digest: &[u8; 32]) -> Result<TlsAlpn01Report, Error> {
        let question =
            Question { name: name.as_str(), protocol: Some(PROTOCOL), possession: Possession::Waived };
        let observed = |sightings: Vec<_>| -> Vec<Observation> {
            sightings.into_iter().map(|seen| Observation::of(seen, name, digest)).collect()
        };
        let rows = self.destinations.look(name, question).await?.map(observed);
        let is_seen = rows.as_ref().is_ok_and(|rows| rows.iter().any(|row| row.found.is_right()));
        let local =
            if is_seen { Vec::new() } else { observed(look_at(&self.local_places(), question).await) };
        Ok(TlsAlpn01Report::new(name.clone(), rows, local))
    }

    fn local_places(&self) -> Vec<SocketAddr> {
        if !self.locally.is_empty() {
            return self.locally.clone();
        }
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        loopback.map(|ip| SocketAddr::new(ip, self.destinations.port)).to_vec()
    }
}
