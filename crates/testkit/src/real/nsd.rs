//! NSD, the authoritative server that serves its zones and does nothing else.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use tempfile::TempDir;

use super::{Components, Error, Tool, ZoneFile, ask, launch, port::Port};
use crate::ChildGuard;

/// A running NSD with its zones; stopped when dropped. It takes no updates.
#[derive(Debug)]
pub struct Nsd {
    guard: ChildGuard,
    socket_addr: SocketAddr,
    _directory: TempDir,
    _port: Port,
}

impl Nsd {
    /// Begins to describe a server.
    #[must_use]
    pub const fn builder() -> NsdBuilder {
        NsdBuilder { zones: Vec::new(), address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None }
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub const fn socket_addr(&self) -> SocketAddr {
        self.socket_addr
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }

    /// Its process, for those who measure how much of the machine it takes: the parent of those that answer.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// The texts of the TXT records at a name.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer or refuses to.
    pub async fn txt_values(&self, name: &str) -> Result<Vec<String>, Error> {
        ask::texts(self.socket_addr, name).await
    }
}

/// Describes an NSD; see [`Nsd::builder`].
#[derive(Clone, Debug)]
pub struct NsdBuilder {
    zones: Vec<ZoneFile>,
    address: IpAddr,
    port: Option<u16>,
}

impl NsdBuilder {
    /// One more zone to serve. A name alone makes a zone with this server as its name server `ns1`.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<ZoneFile>) -> Self {
        self.zones.push(zone.into());
        self
    }

    /// The address to listen on; 127.0.0.1 by default.
    #[must_use]
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// The port to listen on; a free one by default, since 53 is rarely ours.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Starts the server and waits until it answers for all its zones.
    ///
    /// # Errors
    /// [`Error::Missing`] without NSD; otherwise what its log says.
    pub async fn start(self) -> Result<Nsd, Error> {
        let origins: Vec<&str> = self.zones.iter().map(ZoneFile::origin).collect();
        let spawn = |components: &Components, identity: &str| self.spawn(components, identity);
        launch::serving("nsd", &origins, spawn, |nsd| (&mut nsd.guard, nsd.socket_addr)).await
    }

    fn spawn(&self, components: &Components, identity: &str) -> Result<Nsd, Error> {
        let nsd = components.find(Tool::Nsd)?;
        let port = self.port.map_or_else(|| Port::free(self.address), |port| Ok(Port::fixed(port)))?;
        let directory = launch::directory()?;
        let home = directory.path();
        for (number, zone) in self.zones.iter().enumerate() {
            let text = zone.clone().served_at(self.address).render();
            launch::write(&home.join(format!("{number}.zone")), &text)?;
        }
        launch::write(&home.join("nsd.conf"), &self.configuration(home, identity, port.number()))?;
        let mut command = nsd.command();
        command.arg("-d").arg("-c").arg(home.join("nsd.conf"));
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        let socket_addr = SocketAddr::new(self.address, port.number());
        Ok(Nsd { guard, socket_addr, _directory: directory, _port: port })
    }

    fn configuration(&self, home: &Path, identity: &str, port: u16) -> String {
        let (home, address) = (home.display(), self.address);
        // rrl-ratelimit: it would answer a benchmark every second time only (RRL), and a test that repeats
        // itself now and then.
        let mut text = format!(
            "server:
    ip-address: {address}@{port}
    identity: \"{identity}\"
    nsid: \"ascii_{identity}\"
    username: \"\"
    chroot: \"\"
    zonesdir: \"{home}\"
    database: \"\"
    pidfile: \"{home}/nsd.pid\"
    xfrdfile: \"{home}/xfrd.state\"
    zonelistfile: \"{home}/zone.list\"
    xfrdir: \"{home}\"
    server-count: 1
    rrl-ratelimit: 0
    verbosity: 1
remote-control:
    control-enable: no
"
        );
        for (number, zone) in self.zones.iter().enumerate() {
            let origin = zone.origin();
            let _ = write!(text, "zone:\n    name: \"{origin}\"\n    zonefile: \"{number}.zone\"\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require;

    #[tokio::test]
    async fn it_serves_its_zones() {
        let Some(_) = require(&[Tool::Nsd]) else { return };
        let zone = ZoneFile::new("example.test").record("_acme-challenge TXT \"two \" \"parts\"");
        let nsd = Nsd::builder().zone(zone).zone("other.test").start().await.unwrap();
        assert_eq!(nsd.txt_values("_acme-challenge.example.test").await.unwrap(), ["two parts"]);
        assert_eq!(nsd.txt_values("www.other.test").await.unwrap(), [""; 0]);
        assert!(nsd.txt_values("www.third.test").await.is_err());
    }
}
