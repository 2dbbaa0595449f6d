//! Whether what really serves a name serves the current certificate.
//!
//! A certificate may be renewed, stored and delivered, and the server go on with the old one, because nobody had it read its
//! files again; its clients notice on the day that the old one ends. A [`Probe`] notices before: it connects to what serves
//! the name, as a client does, and holds what it is shown against the certificate that should be served.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use perennial_core::DomainName;
use perennial_lifecycle::{Certificate, Issued};
use perennial_propagation::Checker;

use crate::{
    Error,
    handshake::{Destinations, Possession, Question},
};

mod compare;
use compare::Expected;
pub use compare::Served;

mod report;
pub use report::{Glance, ServedReport};

/// How to look at what serves a name.
///
/// ```no_run
/// use perennial_issuers::Probe;
///
/// # async fn example(certificate: perennial_lifecycle::Certificate) -> Result<(), perennial_issuers::Error> {
/// for report in Probe::new().certificate(&certificate).await? {
///     if !report.is_current() {
///         eprintln!("{report}"); // what is served at which address, and what to do about it
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// It trusts nobody and judges no dates: whether clients trust the certificate is another question. That the server holds
/// the key of what it shows is looked at.
#[derive(Clone, Debug)]
pub struct Probe {
    destinations: Destinations,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// Looks at all addresses of a name, on port 443.
    #[must_use]
    pub const fn new() -> Self {
        Self { destinations: Destinations::new() }
    }

    /// Who looks addresses up, with its resolvers and its NAT64. Default: a [`Checker`] with the settings of the
    /// environment ([`CheckerBuilder::from_env`](perennial_propagation::CheckerBuilder::from_env)), else over the name
    /// servers of `/etc/resolv.conf`.
    #[must_use]
    pub fn checker(mut self, checker: Checker) -> Self {
        self.destinations.checker = Some(checker);
        self
    }

    /// Connects there instead of to the addresses of the name, and asks for it all the same: at each server behind a load
    /// balancer. Default: nowhere else.
    #[must_use]
    pub fn connect_to(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.destinations.connect_to = addresses.into_iter().collect();
        self
    }

    /// The port of the name's addresses. Default: 443.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.destinations.port = port;
        self
    }

    /// Looks at all names of a kept certificate, wildcards apart, which are no hosts: see [`look`](Self::look). There is
    /// no report where there is no certificate yet.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub async fn certificate(&self, certificate: &Certificate) -> Result<Vec<ServedReport>, Error> {
        let Some(current) = certificate.current() else { return Ok(Vec::new()) };
        let hosts: Vec<_> =
            current.facts().names.iter().filter(|name| !name.is_wildcard()).cloned().collect();
        let looks: Vec<_> = hosts.iter().map(|name| self.look(name, &current)).collect();
        let reports: Vec<_> = stream::iter(looks).buffered(TOGETHER).collect().await;
        reports.into_iter().collect()
    }

    /// Looks at what serves a name, at each of its addresses, and whether it is this certificate, which is the current one.
    /// Takes 40 seconds at most where nobody answers, usually well under a second.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a name that the certificate is not for, or that is no host; another [`Error`] when the
    /// resolvers of this machine cannot be used at all. What was seen, or not, is in the report.
    pub async fn look(&self, name: &DomainName, current: &Issued) -> Result<ServedReport, Error> {
        let expected = Expected::of(current)?;
        if name.is_wildcard() || !expected.is_for(name) {
            return Err(Error::Configuration {
                reason: format!(
                    "the certificate with serial {} cannot be looked for at {name}: probe a host that it is for",
                    current.facts().serial
                ),
            });
        }
        let question = Question { name: name.as_str(), protocol: None, possession: Possession::Shown };
        let sightings = self.destinations.look(name, question).await?;
        let glances = sightings.map(|sightings| {
            sightings.into_iter().map(|sighting| Glance::of(sighting, name, &expected)).collect()
        });
        Ok(ServedReport::new(name.clone(), current.facts(), glances))
    }
}

/// How many names are looked at together.
const TOGETHER: usize = 16;
