//! unbound, the resolver (RFC 1034 §5).

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use tempfile::TempDir;

use super::{Components, Error, Tool, ask, certificate, launch, port::Port, zone_file::absolute};
use crate::ChildGuard;

/// A running unbound; stopped when dropped.
///
/// It knows the zones that it was told of and nothing else: a question for any other name is answered with
/// NXDOMAIN instead of being carried out of the machine. As every resolver it remembers which servers were
/// silent, and asks them less.
#[derive(Debug)]
pub struct Unbound {
    guard: ChildGuard,
    socket_addr: SocketAddr,
    certificate_pem: Option<String>,
    _directory: TempDir,
    _port: Port,
}

impl Unbound {
    /// Begins to describe a resolver.
    #[must_use]
    pub const fn builder() -> UnboundBuilder {
        UnboundBuilder {
            zones: Vec::new(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            cache: Duration::ZERO,
            dns64: None,
            trust_anchors: Vec::new(),
            log_queries: false,
            tls: None,
        }
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub const fn socket_addr(&self) -> SocketAddr {
        self.socket_addr
    }

    /// The certificate to trust where it answers over TLS, as PEM, if it was told to [do so](UnboundBuilder::tls).
    #[must_use]
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// The texts of the TXT records at a name, as it resolves them.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer or cannot resolve.
    pub async fn txt_values(&self, name: &str) -> Result<Vec<String>, Error> {
        ask::texts(self.socket_addr, name).await
    }

    /// What it was asked so far, oldest first, as `www.example.test. TXT`; nothing unless it was told to
    /// [log](UnboundBuilder::log_queries) that.
    ///
    /// # Errors
    /// [`Error::Testkit`] when its log cannot be read.
    pub fn queries(&self) -> Result<Vec<String>, Error> {
        let path = self.guard.log_path();
        let log = std::fs::read(path).map_err(|error| launch::file(path, &error))?;
        Ok(String::from_utf8_lossy(&log).lines().filter_map(query_of).collect())
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }
}

/// Describes an unbound; see [`Unbound::builder`].
#[derive(Clone, Debug)]
pub struct UnboundBuilder {
    zones: Vec<(Kind, String, Vec<SocketAddr>)>,
    address: IpAddr,
    port: Option<u16>,
    cache: Duration,
    dns64: Option<String>,
    trust_anchors: Vec<String>,
    log_queries: bool,
    tls: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Forward,
    Stub,
}

impl UnboundBuilder {
    /// Asks these authoritative servers for the zone and goes on from there along its delegations, always to
    /// port 53. With `.` they are the root.
    #[must_use]
    pub fn stub_zone(mut self, zone: &str, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.zones.push((Kind::Stub, absolute(zone), servers.into_iter().collect()));
        self
    }

    /// Lets these resolvers answer for the zone.
    #[must_use]
    pub fn forward_zone(mut self, zone: &str, resolvers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.zones.push((Kind::Forward, absolute(zone), resolvers.into_iter().collect()));
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

    /// The longest that an answer is cached, in whole seconds; not at all by default, so that what a
    /// certificate authority sees through it is what the zone says now.
    #[must_use]
    pub const fn cache(mut self, longest: Duration) -> Self {
        self.cache = longest;
        self
    }

    /// Makes IPv6 addresses of IPv4 ones for names that have no other (DNS64, RFC 6147), below this prefix,
    /// such as `64:ff9b::/96`; also for `ipv4only.arpa`, if a zone of its own has it.
    #[must_use]
    pub fn dns64(mut self, prefix: &str) -> Self {
        self.dns64 = Some(prefix.to_owned());
        self
    }

    /// Validates (RFC 4035 §5) from this key or its digest on, a DNSKEY or DS record as text, usually of the
    /// test's own root. Without one it validates nothing.
    #[must_use]
    pub fn trust_anchor(mut self, record: &str) -> Self {
        self.trust_anchors.push(record.to_owned());
        self
    }

    /// Notes what it is asked, for [`Unbound::queries`].
    #[must_use]
    pub const fn log_queries(mut self) -> Self {
        self.log_queries = true;
        self
    }

    /// Answers over TLS (RFC 7858) too, at this port, with a certificate of its own for its address.
    #[must_use]
    pub const fn tls(mut self, port: u16) -> Self {
        self.tls = Some(port);
        self
    }

    /// Starts the resolver and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Missing`] without unbound; otherwise what its log says.
    pub async fn start(self) -> Result<Unbound, Error> {
        let components = Components::locate();
        let mut log = String::new();
        for _ in 0..launch::ATTEMPTS {
            let identity = launch::identity();
            let mut unbound = self.spawn(&components, &identity)?;
            let (server, identity) = (unbound.socket_addr, identity.as_str());
            let probe = || async move { ask::identity(server).await.as_deref() == Some(identity) };
            if launch::becomes_ready(&mut unbound.guard, probe).await? {
                return Ok(unbound);
            }
            log = unbound.log();
        }
        Err(Error::PortsTaken { program: "unbound", attempts: launch::ATTEMPTS, log })
    }

    fn spawn(&self, components: &Components, identity: &str) -> Result<Unbound, Error> {
        let unbound = components.find(Tool::Unbound)?;
        let port = self.port.map_or_else(|| Port::free(self.address), |port| Ok(Port::fixed(port)))?;
        let directory = launch::directory()?;
        let home = directory.path();
        let certificate_pem = self.tls.map(|_| certificate::make(home, self.address)).transpose()?;
        launch::write(&home.join("unbound.conf"), &self.configuration(home, identity, port.number()))?;
        let mut command = unbound.command();
        command.arg("-d").arg("-c").arg(home.join("unbound.conf"));
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        let socket_addr = SocketAddr::new(self.address, port.number());
        Ok(Unbound { guard, socket_addr, certificate_pem, _directory: directory, _port: port })
    }

    fn configuration(&self, home: &Path, identity: &str, port: u16) -> String {
        let (home, address, cache) = (home.display(), self.address, self.cache.as_secs());
        let dns64 = self.dns64.as_ref().map(|_| "dns64");
        let validator = (!self.trust_anchors.is_empty()).then_some("validator");
        let modules: Vec<&str> = dns64.into_iter().chain(validator).chain(["iterator"]).collect();
        let (modules, log_queries) = (modules.join(" "), if self.log_queries { "yes" } else { "no" });
        // incoming-num-tcp: of the usual ten connections a certificate authority with several perspectives
        // takes most, and then unbound closes those that wait for a slow name server.
        let mut text = format!(
            "server:
    directory: \"{home}\"
    chroot: \"\"
    username: \"\"
    pidfile: \"\"
    use-syslog: no
    identity: \"{identity}\"
    interface: {address}
    port: {port}
    num-threads: 1
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    do-not-query-localhost: no
    module-config: \"{modules}\"
    log-queries: {log_queries}
    qname-minimisation: no
    prefetch: no
    cache-max-ttl: {cache}
    cache-max-negative-ttl: {cache}
    incoming-num-tcp: 256
"
        );
        if !self.zones.iter().any(|(_, zone, _)| zone == ".") {
            text.push_str("    local-zone: \".\" static\n");
        }
        if let Some(port) = self.tls {
            let _ = writeln!(
                text,
                "    interface: {address}@{port}\n    tls-port: {port}\n    tls-service-pem: \"{home}/tls.pem\"\n    \
                 tls-service-key: \"{home}/tls.key\""
            );
        }
        if let Some(prefix) = &self.dns64 {
            let _ = writeln!(text, "    dns64-prefix: {prefix}");
        }
        for anchor in &self.trust_anchors {
            let _ = writeln!(text, "    trust-anchor: \"{anchor}\"");
        }
        for (_, zone, _) in &self.zones {
            // Some names (`test.`, reverse ones) are answered by unbound itself unless told otherwise.
            let _ = writeln!(text, "    local-zone: \"{zone}\" transparent");
            if zone == "." {
                text.push_str("    local-zone: \"test.\" transparent\n");
            }
        }
        text.push_str("remote-control:\n    control-enable: no\n");
        for (kind, zone, servers) in &self.zones {
            let kind = match kind {
                Kind::Forward => "forward",
                Kind::Stub => "stub",
            };
            let _ = writeln!(text, "{kind}-zone:\n    name: \"{zone}\"");
            for server in servers {
                let _ = writeln!(text, "    {kind}-addr: {}@{}", server.ip(), server.port());
            }
        }
        text
    }
}

/// The question in a line of the log: `[0] unbound[7:0] info: 127.0.0.1 www.example.test. TXT IN`.
fn query_of(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_once("info: ")?.1.split(' ').collect();
    match words[..] {
        [client, name, kind, "IN"] if client.parse::<IpAddr>().is_ok() => Some(format!("{name} {kind}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::{Bind, Signatures, SignedZone, ZoneFile, require};
    use hickory_proto::rr::RecordType;

    #[tokio::test]
    async fn it_resolves_what_the_authoritative_server_has_now_and_knows_nothing_else() {
        let Some(_) = require(&[Tool::Named, Tool::Nsupdate, Tool::Unbound]) else { return };
        let bind = Bind::builder().zone("example.test").start().await.unwrap();
        let unbound =
            Unbound::builder().stub_zone("example.test", [bind.socket_addr()]).start().await.unwrap();
        let name = "_acme-challenge.example.test";
        assert_eq!(unbound.txt_values(name).await.unwrap(), [""; 0]);
        bind.update("example.test", "update add _acme-challenge.example.test 60 TXT one").await.unwrap();
        assert_eq!(unbound.txt_values(name).await.unwrap(), ["one"]);
        bind.update("example.test", "update delete _acme-challenge.example.test TXT").await.unwrap();
        assert_eq!(unbound.txt_values(name).await.unwrap(), [""; 0]);
        assert_eq!(unbound.txt_values("example.com").await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn a_cache_keeps_what_the_authoritative_server_has_changed() {
        let Some(_) = require(&[Tool::Named, Tool::Nsupdate, Tool::Unbound]) else { return };
        let bind = Bind::builder().zone("example.test").start().await.unwrap();
        let caching = Unbound::builder().stub_zone("example.test", [bind.socket_addr()]);
        let caching = caching.cache(Duration::from_secs(3600)).start().await.unwrap();
        let forwarder = Unbound::builder().forward_zone("example.test", [caching.socket_addr()]);
        let forwarder = forwarder.start().await.unwrap();
        bind.update("example.test", "update add www.example.test 3600 TXT old").await.unwrap();
        assert_eq!(forwarder.txt_values("www.example.test").await.unwrap(), ["old"]);
        bind.update(
            "example.test",
            "update delete www.example.test TXT\nupdate add www.example.test 3600 TXT new",
        )
        .await
        .unwrap();
        assert_eq!(bind.txt_values("www.example.test").await.unwrap(), ["new"]);
        assert_eq!(forwarder.txt_values("www.example.test").await.unwrap(), ["old"]);
    }

    #[tokio::test]
    async fn what_it_is_asked_is_noted() {
        let Some(_) = require(&[Tool::Named, Tool::Unbound]) else { return };
        let bind = Bind::builder().zone("example.test").start().await.unwrap();
        let unbound = Unbound::builder().stub_zone("example.test", [bind.socket_addr()]).log_queries();
        let unbound = unbound.start().await.unwrap();
        unbound.txt_values("WWW.example.test").await.unwrap();
        assert_eq!(unbound.queries().unwrap(), ["WWW.example.test. TXT"]);
        assert_eq!(query_of("[0] unbound[7:0] info: start of service (unbound 1.17.1)."), None);
        assert_eq!(query_of("[0] unbound[7:0] info: ::1 a. AAAA IN").as_deref(), Some("a. AAAA"));
    }

    #[tokio::test]
    async fn it_takes_connections_for_tls_with_a_certificate_for_its_address() {
        let Some(_) = require(&[Tool::Unbound]) else { return };
        let port = Port::free(Ipv4Addr::LOCALHOST.into()).unwrap();
        let unbound = Unbound::builder().tls(port.number()).start().await.unwrap();
        assert!(unbound.certificate_pem().unwrap().contains("BEGIN CERTIFICATE"));
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port.number())).await.unwrap();
    }

    #[tokio::test]
    async fn dns64_makes_addresses_below_its_prefix() {
        let Some(_) = require(&[Tool::Named, Tool::Unbound]) else { return };
        let zone = ZoneFile::new("ipv4only.arpa").record("@ A 192.0.0.170").record("@ A 192.0.0.171");
        let bind = Bind::builder().zone(zone).start().await.unwrap();
        let unbound = Unbound::builder().stub_zone("ipv4only.arpa", [bind.socket_addr()]);
        let unbound = unbound.dns64("64:ff9b::/96").start().await.unwrap();
        let records = ask::records(unbound.socket_addr(), "ipv4only.arpa", RecordType::AAAA).await.unwrap();
        let addresses: Vec<String> = records.iter().map(|record| record.data.to_string()).collect();
        assert!(addresses.contains(&"64:ff9b::c000:aa".to_owned()), "{addresses:?}");
    }

    #[tokio::test]
    async fn a_zone_whose_signatures_are_over_is_not_resolved_by_who_validates() {
        let Some(_) = require(&[Tool::DnssecKeygen, Tool::DnssecSignzone, Tool::Named, Tool::Unbound]) else {
            return;
        };
        for (signatures, values) in [(Signatures::Valid, Some("here")), (Signatures::Expired, None)] {
            let zone = ZoneFile::new("example.test").record("www TXT here");
            let signed = SignedZone::sign(&zone, [127, 0, 0, 1], signatures).await.unwrap();
            let bind = Bind::builder().zone(signed.zone().clone()).start().await.unwrap();
            let unbound = Unbound::builder().stub_zone("example.test", [bind.socket_addr()]);
            let unbound = unbound.trust_anchor(signed.key()).start().await.unwrap();
            let found = unbound.txt_values("www.example.test").await;
            assert_eq!(
                found.ok().and_then(|texts| texts.first().cloned()).as_deref(),
                values,
                "{signatures:?}"
            );
        }
    }
}
