//! BIND 9, the authoritative server (RFC 1035) that takes dynamic updates (RFC 2136) signed with TSIG
//! (RFC 8945).

use std::{
    fmt::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use super::{Components, Error, Tool, ZoneFile, ask, launch, port::Port};
use crate::ChildGuard;

/// A running BIND with its zones; stopped when dropped.
///
/// Its zones may be transferred and, on a primary, updated below the zone's name with the key that
/// [`tsig`](Self::tsig) names.
#[derive(Debug)]
pub struct Bind {
    guard: ChildGuard,
    socket_addr: SocketAddr,
    control: Port,
    tsig: Tsig,
    components: Components,
    directory: TempDir,
    _port: Port,
}

/// The key that signs updates: what an RFC 2136 client wants to be told.
#[derive(Clone)]
#[non_exhaustive]
pub struct Tsig {
    /// The key's name, `acme-key.`
    pub name: String,
    /// The algorithm's name, `hmac-sha256`: the one that RFC 8945 §6 demands of everyone.
    pub algorithm: String,
    /// The secret in base64, another one for every server.
    pub secret_base64: String,
}

impl Tsig {
    /// `acme-key.` with a new secret.
    pub(super) fn generate() -> Self {
        Self {
            name: "acme-key.".to_owned(),
            algorithm: "hmac-sha256".to_owned(),
            secret_base64: BASE64_STANDARD.encode(rand::random::<[u8; 32]>()),
        }
    }
}

impl fmt::Debug for Tsig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tsig").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Bind {
    /// Begins to describe a server.
    #[must_use]
    pub fn builder() -> BindBuilder {
        BindBuilder {
            zones: Vec::new(),
            fixed: Vec::new(),
            address: Ipv4Addr::LOCALHOST.into(),
            port: None,
            primary: None,
            notified: Vec::new(),
            algorithm: "hmac-sha256".to_owned(),
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

    /// Its file with the key for updates, as `tsig-keygen` would print it.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.file("tsig.key")
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }

    /// The texts of the TXT records at a name, as this server has them now.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer or refuses to.
    pub async fn txt_values(&self, name: &str) -> Result<Vec<String>, Error> {
        ask::texts(self.socket_addr, name).await
    }

    /// Every TXT record at a challenge name (RFC 8555 §8.4) anywhere in the zone, read by a zone transfer:
    /// empty when everything was cleaned up, also what nobody thought of asking for.
    ///
    /// # Errors
    /// [`Error::Answer`] when the zone cannot be transferred.
    pub async fn challenge_records(&self, zone: &str) -> Result<Vec<String>, Error> {
        let records = ask::transfer(self.socket_addr, zone).await?;
        let challenges = records.iter().filter(|record| {
            record.record_type() == RecordType::TXT
                && record.name.to_ascii().to_ascii_lowercase().starts_with("_acme-challenge")
        });
        Ok(challenges.map(ToString::to_string).collect())
    }

    /// The zone's serial number (SOA, RFC 1035 §3.3.13), as this server has it now.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer or does not serve the zone.
    pub async fn serial(&self, zone: &str) -> Result<u32, Error> {
        ask::serial(self.socket_addr, zone).await
    }

    /// Updates the zone through `nsupdate`, with the right key: `update add _acme-challenge.example.test 60 TXT v`.
    ///
    /// # Errors
    /// [`Error::Control`] with what `nsupdate` says, [`Error::Missing`] without that program.
    pub async fn update(&self, zone: &str, lines: &str) -> Result<(), Error> {
        let (home, key) = (self.directory.path(), self.file("tsig.key"));
        launch::update(&self.components, self.socket_addr, zone, lines, home, Some(&key)).await
    }

    /// Has a [secondary](BindBuilder::secondary_of) ask its primary now; for one that lags this ends it. The
    /// transfer itself follows within some 100 ms.
    ///
    /// # Errors
    /// [`Error::Control`] with what `rndc` says, [`Error::Missing`] without that program.
    pub async fn refresh(&self, zone: &str) -> Result<(), Error> {
        let mut command = self.components.find(Tool::Rndc)?.command();
        command.arg("-c").arg(self.file("rndc.conf")).arg("-p").arg(self.control.number().to_string());
        command.args(["refresh", zone]);
        launch::control(command).await
    }

    /// Lets it answer nothing from now on: its sockets are open, questions get lost in them. That is how a
    /// dead name server looks from afar.
    ///
    /// # Errors
    /// [`Error::Control`] when the signal cannot be sent.
    pub async fn pause(&self) -> Result<(), Error> {
        self.signal("STOP").await?;
        // The signal is on its way when `kill` returns; a thread that has not met it yet still answers.
        while !stands_still(self.guard.pid()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Lets it answer again, also what it was asked meanwhile.
    ///
    /// # Errors
    /// [`Error::Control`] when the signal cannot be sent.
    pub async fn resume(&self) -> Result<(), Error> {
        self.signal("CONT").await
    }

    async fn signal(&self, signal: &str) -> Result<(), Error> {
        // The shell's own `kill`: a minimal system has no program of that name.
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("kill -{signal} {}", self.guard.pid()));
        launch::control(command).await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Describes a BIND; see [`Bind::builder`].
#[derive(Clone, Debug)]
pub struct BindBuilder {
    zones: Vec<ZoneFile>,
    fixed: Vec<ZoneFile>,
    address: IpAddr,
    port: Option<u16>,
    primary: Option<SocketAddr>,
    notified: Vec<SocketAddr>,
    algorithm: String,
}

impl BindBuilder {
    /// One more zone to serve. A name alone makes a zone with this server as its name server `ns1`.
    ///
    /// A secondary needs the names only; the contents come from its primary.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<ZoneFile>) -> Self {
        self.zones.push(zone.into());
        self
    }

    /// One more zone, which is served as it is and takes no updates: [signed](super::SignedZone) zones, whose
    /// signatures an update would break.
    #[must_use]
    pub fn fixed_zone(mut self, zone: impl Into<ZoneFile>) -> Self {
        self.fixed.push(zone.into());
        self
    }

    /// The address to listen on; 127.0.0.1 by default. An interface must bear it: `ip addr add` first.
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

    /// A secondary for all its zones (RFC 1034 §4.3.5).
    ///
    /// It learns of a change at once if its primary [notifies](Self::notify) it. Otherwise it lags until
    /// [`Bind::refresh`]: by itself it asks once an hour.
    #[must_use]
    pub const fn secondary_of(mut self, primary: SocketAddr) -> Self {
        self.primary = Some(primary);
        self
    }

    /// A secondary to notify of every change, at once (RFC 1996).
    #[must_use]
    pub fn notify(mut self, secondary: SocketAddr) -> Self {
        self.notified.push(secondary);
        self
    }

    /// The algorithm of its key, as BIND names it; `hmac-sha256` by default.
    #[must_use]
    pub fn key_algorithm(mut self, algorithm: impl Into<String>) -> Self {
        self.algorithm = algorithm.into();
        self
    }

    /// Starts the server and waits until it answers for all its zones; for a secondary that means until it
    /// has them.
    ///
    /// # Errors
    /// [`Error::Missing`] without BIND; otherwise what its log says.
    pub async fn start(self) -> Result<Bind, Error> {
        let origins: Vec<&str> = self.zones.iter().chain(&self.fixed).map(ZoneFile::origin).collect();
        let spawn = |components: &Components, identity: &str| self.spawn(components, identity);
        launch::serving("named", &origins, spawn, |bind| (&mut bind.guard, bind.socket_addr)).await
    }

    fn spawn(&self, components: &Components, identity: &str) -> Result<Bind, Error> {
        let named = components.find(Tool::Named)?;
        let port = self.port.map_or_else(|| Port::free(self.address), |port| Ok(Port::fixed(port)))?;
        let control = Port::free(Ipv4Addr::LOCALHOST.into())?;
        let directory = launch::directory()?;
        let home = directory.path();
        let tsig = Tsig { algorithm: self.algorithm.clone(), ..Tsig::generate() };
        let (algorithm, secret) = (&tsig.algorithm, &tsig.secret_base64);
        let key = format!("key \"acme-key\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n");
        launch::write(&home.join("tsig.key"), &key)?;
        launch::write(
            &home.join("rndc.conf"),
            &format!("{key}options {{ default-server 127.0.0.1; default-key \"acme-key\"; }};\n"),
        )?;
        for (number, zone) in self.zones.iter().chain(&self.fixed).enumerate() {
            if self.primary.is_none() {
                let text = zone.clone().served_at(self.address).render();
                launch::write(&home.join(format!("{number}.zone")), &text)?;
            }
        }
        let configuration = self.configuration(home, identity, [port.number(), control.number()]);
        launch::write(&home.join("named.conf"), &format!("{key}{configuration}"))?;
        let mut command = named.command();
        command.arg("-g").arg("-c").arg(home.join("named.conf"));
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        let socket_addr = SocketAddr::new(self.address, port.number());
        Ok(Bind { guard, socket_addr, control, tsig, components: components.clone(), directory, _port: port })
    }

    fn configuration(&self, home: &Path, identity: &str, [port, control]: [u16; 2]) -> String {
        let home = home.display();
        let address = self.address;
        let (six, here, elsewhere) = if address.is_ipv6() {
            ("-v6", "listen-on-v6", "listen-on")
        } else {
            ("", "listen-on", "listen-on-v6")
        };
        // Which addresses it speaks from matters: a secondary takes a NOTIFY from its primary's only.
        let mut text = format!(
            r#"controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ "acme-key"; }}; }};
options {{
    directory "{home}"; pid-file none; session-keyfile "{home}/session.key"; lock-file none;
    server-id "{identity}";
    {here} port {port} {{ {address}; }}; {elsewhere} {{ none; }};
    transfer-source{six} {address}; notify-source{six} {address};
    allow-transfer {{ 127.0.0.0/8; ::1; }};
    recursion no; dnssec-validation no; empty-zones-enable no; minimal-responses yes;
    notify explicit; notify-delay 0; also-notify {{ {notified}}};
}};
"#,
            notified = self.notified.iter().fold(String::new(), |mut list, secondary| {
                let _ = write!(list, "{} port {}; ", secondary.ip(), secondary.port());
                list
            }),
        );
        let zones = self.zones.iter().map(|zone| (zone, " update-policy { grant acme-key zonesub ANY; };"));
        let zones = zones.chain(self.fixed.iter().map(|zone| (zone, "")));
        for (number, (zone, updates)) in zones.enumerate() {
            let (origin, role) = (zone.origin(), self.role(updates));
            let _ = writeln!(text, "zone \"{origin}\" {{ file \"{number}.zone\"; {role} }};");
        }
        text
    }

    fn role(&self, updates: &str) -> String {
        let Some(primary) = self.primary else { return format!("type primary;{updates}") };
        // Nothing that a secondary is told keeps it from heeding its primary's NOTIFY; so whether one is sent
        // decides whether it lags.
        format!("type secondary; primaries {{ {} port {}; }};", primary.ip(), primary.port())
    }
}

/// Whether all threads of a process are stopped, as far as the system tells (proc(5)).
fn stands_still(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        // A thread that has ended meanwhile has no state.
        status.lines().find(|line| line.starts_with("State:")).is_none_or(|state| state.contains('T'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require;

    const CHALLENGE: &str = "_acme-challenge.example.test";

    #[tokio::test]
    async fn an_update_with_the_key_is_served_and_found_by_the_transfer() {
        let Some(_) = require(&[Tool::Named, Tool::Nsupdate]) else { return };
        let bind = Bind::builder().zone("example.test").start().await.unwrap();
        assert_eq!(bind.challenge_records("example.test").await.unwrap(), [""; 0]);
        bind.update(
            "example.test",
            "update add _acme-challenge.example.test 60 TXT \"one\"\nupdate add _acme-challenge.deep.er.example.test 60 TXT two",
        )
        .await
        .unwrap();
        assert_eq!(bind.txt_values(CHALLENGE).await.unwrap(), ["one"]);
        assert_eq!(bind.challenge_records("example.test").await.unwrap().len(), 2);
        assert_eq!(bind.serial("example.test").await.unwrap(), 2);
    }

    #[tokio::test]
    async fn several_updates_at_a_time_are_all_served() {
        let Some(_) = require(&[Tool::Named, Tool::Nsupdate]) else { return };
        let bind = Bind::builder().zone("example.test").zone("other.test").start().await.unwrap();
        let updates = ["example.test", "other.test"].map(|zone| {
            let bind = &bind;
            async move {
                let line = format!("update add _acme-challenge.{zone} 60 TXT one");
                bind.update(zone, &line).await.unwrap();
                bind.txt_values(&format!("_acme-challenge.{zone}")).await.unwrap()
            }
        });
        let [one, other] = updates;
        assert_eq!(tokio::join!(one, other), (vec!["one".to_owned()], vec!["one".to_owned()]));
    }

    #[tokio::test]
    async fn an_update_of_a_zone_that_is_not_served_is_refused_aloud() {
        let Some(_) = require(&[Tool::Named, Tool::Nsupdate]) else { return };
        let bind = Bind::builder().zone("example.test").start().await.unwrap();
        let error = bind.update("other.test", "update add www.other.test 60 A 127.0.0.1").await.unwrap_err();
        assert!(error.to_string().contains("NOTAUTH"), "{error}");
    }

    #[tokio::test]
    async fn a_secondary_that_is_not_notified_is_stale_until_it_is_refreshed() {
        let Some(_) = require(&[Tool::Named, Tool::Nsupdate, Tool::Rndc]) else { return };
        let primary = Bind::builder().zone("example.test").start().await.unwrap();
        let secondary = Bind::builder().zone("example.test").secondary_of(primary.socket_addr());
        let secondary = secondary.start().await.unwrap();
        primary.update("example.test", "update add _acme-challenge.example.test 60 TXT one").await.unwrap();
        assert_eq!(primary.serial("example.test").await.unwrap(), 2);
        assert_eq!(secondary.serial("example.test").await.unwrap(), 1);
        secondary.refresh("example.test").await.unwrap();
        while secondary.txt_values(CHALLENGE).await.unwrap() != ["one"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_secondary_that_is_notified_follows() {
        let Some(_) = require(&[Tool::Named, Tool::Nsupdate]) else { return };
        let port = Port::free(Ipv4Addr::LOCALHOST.into()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let primary = Bind::builder().zone("example.test").notify(address).start().await.unwrap();
        let secondary = Bind::builder().zone("example.test").secondary_of(primary.socket_addr());
        let secondary = secondary.port(port.number()).start().await.unwrap();
        primary.update("example.test", "update add _acme-challenge.example.test 60 TXT one").await.unwrap();
        while secondary.txt_values(CHALLENGE).await.unwrap() != ["one"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_paused_server_keeps_silent() {
        let Some(_) = require(&[Tool::Named]) else { return };
        let bind = Bind::builder().zone("example.test").start().await.unwrap();
        bind.pause().await.unwrap();
        let silence = Duration::from_millis(200);
        assert!(tokio::time::timeout(silence, bind.txt_values(CHALLENGE)).await.is_err());
        bind.resume().await.unwrap();
        assert_eq!(bind.txt_values(CHALLENGE).await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn many_servers_start_at_once_without_taking_each_others_ports() {
        let Some(_) = require(&[Tool::Named]) else { return };
        let starts: Vec<_> =
            (0..4).map(|_| tokio::spawn(Bind::builder().zone("example.test").start())).collect();
        let mut servers = Vec::new();
        for start in starts {
            servers.push(start.await.unwrap().unwrap());
        }
        let addresses: std::collections::BTreeSet<_> = servers.iter().map(Bind::socket_addr).collect();
        assert_eq!(addresses.len(), 4);
    }
}
