//! PowerDNS, the authoritative server before a database; here before plain zone files.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Component, Components, Error, Tool, ZoneFile, ask, launch, port::Port};
use crate::ChildGuard;

/// A running PowerDNS with its zones; stopped when dropped. It takes no updates.
#[derive(Debug)]
pub struct Pdns {
    guard: ChildGuard,
    socket_addr: SocketAddr,
    _directory: TempDir,
    _port: Port,
}

impl Pdns {
    /// Begins to describe a server.
    #[must_use]
    pub const fn builder() -> PdnsBuilder {
        PdnsBuilder { zones: Vec::new(), address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None }
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

    /// The texts of the TXT records at a name.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer or refuses to.
    pub async fn txt_values(&self, name: &str) -> Result<Vec<String>, Error> {
        ask::texts(self.socket_addr, name).await
    }
}

/// Describes a PowerDNS; see [`Pdns::builder`].
#[derive(Clone, Debug)]
pub struct PdnsBuilder {
    zones: Vec<ZoneFile>,
    address: IpAddr,
    port: Option<u16>,
}

impl PdnsBuilder {
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
    /// [`Error::Missing`] without PowerDNS; otherwise what its log says.
    pub async fn start(self) -> Result<Pdns, Error> {
        let origins: Vec<&str> = self.zones.iter().map(ZoneFile::origin).collect();
        let spawn = |components: &Components, identity: &str| self.spawn(components, identity);
        launch::serving("pdns_server", &origins, spawn, |pdns| (&mut pdns.guard, pdns.socket_addr)).await
    }

    fn spawn(&self, components: &Components, identity: &str) -> Result<Pdns, Error> {
        let server = components.find(Tool::Pdns)?;
        let port = self.port.map_or_else(|| Port::free(self.address), |port| Ok(Port::fixed(port)))?;
        let directory = launch::directory()?;
        let home = directory.path();
        let mut zones = String::new();
        for (number, zone) in self.zones.iter().enumerate() {
            let file = home.join(format!("{number}.zone"));
            launch::write(&file, &zone.clone().served_at(self.address).render())?;
            let (origin, file) = (without_dot(zone.origin()), file.display());
            let _ = writeln!(zones, "zone \"{origin}\" {{ type master; file \"{file}\"; }};");
        }
        launch::write(&home.join("named.conf"), &zones)?;
        let configuration = self.configuration(home, plugins(server).as_deref(), identity, port.number());
        launch::write(&home.join("pdns.conf"), &configuration)?;
        let mut command = server.command();
        command.arg(format!("--config-dir={}", home.display()));
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        let socket_addr = SocketAddr::new(self.address, port.number());
        Ok(Pdns { guard, socket_addr, _directory: directory, _port: port })
    }

    fn configuration(&self, home: &Path, plugins: Option<&Path>, identity: &str, port: u16) -> String {
        let (home, address) = (home.display(), self.address);
        // security-poll-suffix: without it the server asks its makers over the DNS whether it is out of date.
        let mut text = format!(
            "launch=bind
bind-config={home}/named.conf
local-address={address}
local-port={port}
server-id={identity}
socket-dir={home}
daemon=no
guardian=no
setuid=
setgid=
disable-syslog=yes
write-pid=no
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
receiver-threads=1
distributor-threads=1
security-poll-suffix=
"
        );
        if let Some(plugins) = plugins {
            let _ = writeln!(text, "module-dir={}", plugins.display());
        }
        text
    }
}

/// Where its backends lie, when it was unpacked somewhere instead of installed.
pub(super) fn plugins(server: &Component) -> Option<PathBuf> {
    server.libraries.iter().map(|libraries| libraries.join("pdns")).find(|path| path.is_dir())
}

/// It wants names without the dot, except for the root.
fn without_dot(origin: &str) -> &str {
    if origin == "." { origin } else { origin.trim_end_matches('.') }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require;

    #[tokio::test]
    async fn it_serves_its_zones() {
        let Some(_) = require(&[Tool::Pdns]) else { return };
        let zone = ZoneFile::new("example.test").record("_acme-challenge TXT \"two \" \"parts\"");
        let pdns = Pdns::builder().zone(zone).zone("other.test").start().await.unwrap();
        assert_eq!(pdns.txt_values("_acme-challenge.example.test").await.unwrap(), ["two parts"]);
        assert_eq!(pdns.txt_values("www.other.test").await.unwrap(), [""; 0]);
        assert!(pdns.txt_values("www.third.test").await.is_err());
    }
}
