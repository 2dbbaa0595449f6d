//! Knot DNS, the authoritative server that signs its zones by itself (RFC 4033) and takes dynamic updates
//! (RFC 2136).

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use super::{Components, Error, Tool, Tsig, ZoneFile, ask, launch, port::Port};
use crate::ChildGuard;

/// A running Knot with its zones; stopped when dropped.
///
/// Updates of its zones are taken with the key that [`tsig`](Self::tsig) names and, unless it is told to
/// [take signed ones only](KnotBuilder::signed_updates_only), from loopback addresses without a key: nobody else
/// reaches it.
#[derive(Debug)]
pub struct Knot {
    guard: ChildGuard,
    socket_addr: SocketAddr,
    tsig: Tsig,
    components: Components,
    directory: TempDir,
    _port: Port,
}

impl Knot {
    /// Begins to describe a server.
    #[must_use]
    pub const fn builder() -> KnotBuilder {
        KnotBuilder {
            zones: Vec::new(),
            signed: Vec::new(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            workers: 1,
            signed_updates_only: false,
        }
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub const fn socket_addr(&self) -> SocketAddr {
        self.socket_addr
    }

    /// The key for updates.
    #[must_use]
    pub const fn tsig(&self) -> &Tsig {
        &self.tsig
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }

    /// Its process, for those who measure how much of the machine it takes.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// The texts of the TXT records at a name, as this server has them now.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer or refuses to.
    pub async fn txt_values(&self, name: &str) -> Result<Vec<String>, Error> {
        ask::texts(self.socket_addr, name).await
    }

    /// The DS records (RFC 4034 §5) that the zone above should have for a [signed](KnotBuilder::signed) zone,
    /// as lines of a master file. It tells them by its CDS records (RFC 7344).
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer, or has no key for the zone.
    pub async fn delegation_signers(&self, zone: &str) -> Result<Vec<String>, Error> {
        let records = ask::records(self.socket_addr, zone, RecordType::CDS).await?;
        let signers: Vec<String> = records
            .iter()
            .filter(|record| record.record_type() == RecordType::CDS)
            .map(|record| format!("{} DS {}", record.name, record.data))
            .collect();
        if signers.is_empty() {
            return Err(Error::Answer {
                server: self.socket_addr,
                question: format!("{zone} CDS"),
                reason: "it does not sign the zone".to_owned(),
            });
        }
        Ok(signers)
    }

    /// The zone's serial number (SOA, RFC 1035 §3.3.13), as this server has it now.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer or does not serve the zone.
    pub async fn serial(&self, zone: &str) -> Result<u32, Error> {
        ask::serial(self.socket_addr, zone).await
    }

    /// Updates the zone through `nsupdate`: `update add _acme-challenge.example.test 60 TXT v`.
    ///
    /// # Errors
    /// [`Error::Control`] with what `nsupdate` says, [`Error::Missing`] without that program.
    pub async fn update(&self, zone: &str, lines: &str) -> Result<(), Error> {
        let home = self.directory.path();
        launch::update(&self.components, self.socket_addr, zone, lines, home, None).await
    }
}

/// Describes a Knot; see [`Knot::builder`].
#[derive(Clone, Debug)]
pub struct KnotBuilder {
    zones: Vec<ZoneFile>,
    signed: Vec<ZoneFile>,
    address: IpAddr,
    port: Option<u16>,
    workers: usize,
    signed_updates_only: bool,
}

impl KnotBuilder {
    /// One more zone to serve. A name alone makes a zone with this server as its name server `ns1`.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<ZoneFile>) -> Self {
        self.zones.push(zone.into());
        self
    }

    /// One more zone, which it signs with a key of its own (ECDSA P-256), updates included.
    #[must_use]
    pub fn signed(mut self, zone: impl Into<ZoneFile>) -> Self {
        self.signed.push(zone.into());
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

    /// How many threads answer over UDP; one by default, so that a test leaves the machine to others.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Takes updates with its [key](Knot::tsig) only, as servers on a network should.
    #[must_use]
    pub const fn signed_updates_only(mut self) -> Self {
        self.signed_updates_only = true;
        self
    }

    /// Starts the server and waits until it answers for all its zones.
    ///
    /// # Errors
    /// [`Error::Missing`] without Knot; otherwise what its log says.
    pub async fn start(self) -> Result<Knot, Error> {
        let origins: Vec<&str> = self.zones.iter().chain(&self.signed).map(ZoneFile::origin).collect();
        let spawn = |components: &Components, identity: &str| self.spawn(components, identity);
        launch::serving("knotd", &origins, spawn, |knot| (&mut knot.guard, knot.socket_addr)).await
    }

    fn spawn(&self, components: &Components, identity: &str) -> Result<Knot, Error> {
        let knotd = components.find(Tool::Knotd)?;
        let port = self.port.map_or_else(|| Port::free(self.address), |port| Ok(Port::fixed(port)))?;
        let directory = launch::directory()?;
        let home = directory.path();
        let zones = self.zones.iter().chain(&self.signed);
        for (number, zone) in zones.enumerate() {
            let text = zone.clone().served_at(self.address).render();
            launch::write(&home.join(format!("{number}.zone")), &text)?;
        }
        let tsig = Tsig::generate();
        let configuration = self.configuration(home, identity, port.number(), &tsig);
        launch::write(&home.join("knot.conf"), &configuration)?;
        let mut command = knotd.command();
        command.arg("-c").arg(home.join("knot.conf"));
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        let socket_addr = SocketAddr::new(self.address, port.number());
        Ok(Knot { guard, socket_addr, tsig, components: components.clone(), directory, _port: port })
    }

    fn configuration(&self, home: &Path, identity: &str, port: u16, tsig: &Tsig) -> String {
        let (home, address, workers) = (home.display(), self.address, self.workers);
        let (algorithm, secret) = (&tsig.algorithm, &tsig.secret_base64);
        let unsigned = if self.signed_updates_only { "transfer" } else { "update, transfer" };
        // Keys are told from the first moment: nobody looks whether the zone above has them already.
        let mut text = format!(
            "server:
    rundir: \"{home}\"
    identity: \"{identity}\"
    nsid: \"{identity}\"
    listen: {address}@{port}
    udp-workers: {workers}
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: \"{home}\"
policy:
  - id: one-key
    algorithm: ecdsap256sha256
    single-type-signing: on
    cds-cdnskey-publish: always
key:
  - id: acme-key
    algorithm: {algorithm}
    secret: {secret}
acl:
  - id: loopback
    address: [127.0.0.0/8, ::1]
    action: [{unsigned}]
  - id: signed
    key: acme-key
    action: [update]
template:
  - id: default
    storage: \"{home}\"
    acl: [loopback, signed]
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
zone:
"
        );
        let plain = self.zones.iter().map(|zone| (zone, ""));
        let signed =
            self.signed.iter().map(|zone| (zone, "    dnssec-signing: on\n    dnssec-policy: one-key\n"));
        for (number, (zone, more)) in plain.chain(signed).enumerate() {
            let origin = zone.origin();
            let _ = write!(text, "  - domain: {origin}\n    file: \"{number}.zone\"\n{more}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require;

    const CHALLENGE: &str = "_acme-challenge.example.test";

    #[tokio::test]
    async fn it_serves_its_zones_and_takes_updates() {
        let Some(_) = require(&[Tool::Knotd, Tool::Nsupdate]) else { return };
        let zone = ZoneFile::new("example.test").record("www TXT here");
        let knot = Knot::builder().zone(zone).zone("other.test").start().await.unwrap();
        assert_eq!(knot.txt_values("www.example.test").await.unwrap(), ["here"]);
        let before = knot.serial("example.test").await.unwrap();
        knot.update("example.test", "update add _acme-challenge.example.test 60 TXT one").await.unwrap();
        assert_eq!(knot.txt_values(CHALLENGE).await.unwrap(), ["one"]);
        assert!(knot.serial("example.test").await.unwrap() > before);
        let error = knot.update("third.test", "update add www.third.test 60 A 127.0.0.1").await.unwrap_err();
        assert!(error.to_string().contains("NOTAUTH"), "{error}");
    }

    #[tokio::test]
    async fn a_signed_zone_tells_what_the_zone_above_should_have() {
        let Some(_) = require(&[Tool::Knotd]) else { return };
        let knot = Knot::builder().signed("example.test").zone("other.test").start().await.unwrap();
        let signers = knot.delegation_signers("example.test").await.unwrap();
        assert!(signers[0].starts_with("example.test. DS "), "{signers:?}");
        let error = knot.delegation_signers("other.test").await.unwrap_err();
        assert!(error.to_string().contains("does not sign"), "{error}");
    }
}
