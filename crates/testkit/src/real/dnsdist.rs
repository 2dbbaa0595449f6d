//! dnsdist, which stands before name servers and treats questions by rules: real packets of a real program,
//! late, lost or cut short.

use std::{
    collections::BTreeSet,
    fmt::Write,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use tempfile::TempDir;

use super::{Components, Error, Tool, ask, certificate, launch, port::Port};
use crate::ChildGuard;

/// A running dnsdist; stopped when dropped.
///
/// It has any number of faces: addresses, each with rules of its own. What no rule treats otherwise goes to
/// the name servers behind it.
///
/// ```no_run
/// use perennial_testkit::real::{Bind, Dnsdist};
///
/// # async fn test() -> Result<(), perennial_testkit::real::Error> {
/// let bind = Bind::builder().zone("example.test").start().await?;
/// let slow = Dnsdist::builder()
///     .backend("", bind.socket_addr())
///     .rule([127, 0, 0, 1], "TCPRule(false)", "DelayAction(300)")
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Dnsdist {
    guard: ChildGuard,
    port: u16,
    certificate_pem: Option<String>,
    _directory: TempDir,
    _port: Port,
}

impl Dnsdist {
    /// Begins to describe one without faces.
    #[must_use]
    pub const fn builder() -> DnsdistBuilder {
        DnsdistBuilder {
            faces: BTreeSet::new(),
            rules: Vec::new(),
            backends: Vec::new(),
            port: None,
            https: None,
        }
    }

    /// The port of all its faces.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The certificate to trust where it answers over HTTPS, as PEM, if it was told to
    /// [do so](DnsdistBuilder::https).
    #[must_use]
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }
}

/// Describes a dnsdist; see [`Dnsdist::builder`].
#[derive(Clone, Debug)]
pub struct DnsdistBuilder {
    faces: BTreeSet<IpAddr>,
    rules: Vec<(IpAddr, String, String)>,
    backends: Vec<(String, SocketAddr)>,
    port: Option<u16>,
    https: Option<(SocketAddr, String)>,
}

impl DnsdistBuilder {
    /// An address to listen on; one that its [rules](Self::rule) name need not be named here.
    #[must_use]
    pub fn face(mut self, address: impl Into<IpAddr>) -> Self {
        self.faces.insert(address.into());
        self
    }

    /// What is done with questions that come to this address and meet this condition. Both are written as
    /// dnsdist's own configuration has them: `AllRule()`, `DropAction()`. The first rule that ends a
    /// question's way wins.
    #[must_use]
    pub fn rule(mut self, address: impl Into<IpAddr>, condition: &str, action: &str) -> Self {
        let address = address.into();
        self.rules.push((address, condition.to_owned(), action.to_owned()));
        self.face(address)
    }

    /// A name server behind it, in a pool. Questions go to the pool without a name unless a rule says
    /// otherwise, and to the servers of a pool in turns.
    #[must_use]
    pub fn backend(mut self, pool: &str, server: SocketAddr) -> Self {
        self.backends.push((pool.to_owned(), server));
        self
    }

    /// The port of all faces; a free one by default, since 53 is rarely ours.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Takes questions over HTTPS (RFC 8484, at `/dns-query`) for the servers of a pool, with a certificate of
    /// its own for this address, which is no face and has no rules.
    #[must_use]
    pub fn https(mut self, address: SocketAddr, pool: &str) -> Self {
        self.https = Some((address, pool.to_owned()));
        self
    }

    /// Starts it and waits until all its faces answer.
    ///
    /// # Errors
    /// [`Error::Missing`] without dnsdist; otherwise what its log says.
    pub async fn start(self) -> Result<Dnsdist, Error> {
        let components = Components::locate();
        let mut log = String::new();
        for _ in 0..launch::ATTEMPTS {
            let identity = launch::identity();
            let mut dnsdist = self.spawn(&components, &identity)?;
            let (port, faces, identity) = (dnsdist.port, &self.faces, identity.as_str());
            if launch::becomes_ready(&mut dnsdist.guard, || answers(faces, port, identity)).await? {
                return Ok(dnsdist);
            }
            log = dnsdist.log();
        }
        Err(Error::PortsTaken { program: "dnsdist", attempts: launch::ATTEMPTS, log })
    }

    fn spawn(&self, components: &Components, identity: &str) -> Result<Dnsdist, Error> {
        let program = components.find(Tool::Dnsdist)?;
        // The faces share one number, so it has to be free on one of them at least.
        let first = self.faces.first().copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let port = self.port.map_or_else(|| Port::free(first), |port| Ok(Port::fixed(port)))?;
        let directory = launch::directory()?;
        let home = directory.path();
        let file = home.join("dnsdist.conf");
        let https = self.https.as_ref();
        let certificate_pem = https.map(|(address, _)| certificate::make(home, address.ip())).transpose()?;
        launch::write(&file, &self.configuration(home, identity, port.number()))?;
        let mut command = program.command();
        command.args(["--supervised", "--disable-syslog", "-C"]).arg(file);
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        Ok(Dnsdist { guard, port: port.number(), certificate_pem, _directory: directory, _port: port })
    }

    fn configuration(&self, home: &Path, identity: &str, port: u16) -> String {
        // Who is asked for its identity tells it whatever the rules are: that is how we know that it has
        // started. The security poll would carry a question out of the machine.
        let mut text = format!(
            "setSecurityPollSuffix('')
setACL({{'0.0.0.0/0', '::/0'}})
setMaxTCPClientThreads(2)
function turns()
  local turn = 0
  return function(servers, question)
    turn = turn + 1
    return servers[turn % #servers + 1]
  end
end
function at(face)
  local group = newNMG()
  group:addMask(face)
  return NetmaskGroupRule(group, false)
end
addAction(AndRule{{QNameRule('id.server.'), QClassRule(DNSClass.CHAOS)}}, SpoofRawAction('\\{:03}{identity}'))
",
            identity.len()
        );
        for face in &self.faces {
            let _ = writeln!(text, "addLocal('{}')", SocketAddr::new(*face, port));
        }
        for (pool, server) in &self.backends {
            let _ = writeln!(text, "newServer({{address='{server}', pool='{pool}'}}):setUp()");
        }
        let pools: BTreeSet<&String> = self.backends.iter().map(|(pool, _)| pool).collect();
        for pool in pools {
            // Its own round robin counts the questions to all pools together.
            let _ = writeln!(text, "setPoolServerPolicyLua('turns', turns(), '{pool}')");
        }
        if let Some((address, pool)) = &self.https {
            let (home, ip) = (home.display(), address.ip());
            let _ = writeln!(
                text,
                "addDOHLocal('{address}', '{home}/tls.pem', '{home}/tls.key', '/dns-query')\n\
                 addAction(at('{ip}'), PoolAction('{pool}'))"
            );
        }
        for (face, condition, action) in &self.rules {
            let _ = writeln!(text, "addAction(AndRule{{at('{face}'), {condition}}}, {action})");
        }
        text
    }
}

async fn answers(faces: &BTreeSet<IpAddr>, port: u16, identity: &str) -> bool {
    for face in faces {
        if ask::identity(SocketAddr::new(*face, port)).await.as_deref() != Some(identity) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::{Bind, Nsd, ZoneFile, require};
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn the_servers_of_a_pool_take_turns_whatever_others_are_asked() {
        let Some(_) = require(&[Tool::Dnsdist, Tool::Nsd]) else { return };
        let zone = |text: &str| ZoneFile::new("example.test").record(format!("www TXT {text}"));
        let one = Nsd::builder().zone(zone("one")).start().await.unwrap();
        let other = Nsd::builder().zone(zone("other")).start().await.unwrap();
        let dnsdist = Dnsdist::builder()
            .backend("", one.socket_addr())
            .backend("both", one.socket_addr())
            .backend("both", other.socket_addr())
            .rule(Ipv4Addr::LOCALHOST, "QTypeRule(DNSQType.TXT)", "PoolAction('both')")
            .start()
            .await
            .unwrap();
        let face = SocketAddr::from((Ipv4Addr::LOCALHOST, dnsdist.port()));
        let mut said = Vec::new();
        for _ in 0..4 {
            said.extend(ask::texts(face, "www.example.test").await.unwrap());
            ask::serial(face, "example.test").await.unwrap();
        }
        assert!(
            said == ["one", "other", "one", "other"] || said == ["other", "one", "other", "one"],
            "{said:?}"
        );
    }

    #[tokio::test]
    async fn a_rule_treats_what_comes_to_its_address_and_the_rest_reaches_the_name_server() {
        let Some(_) = require(&[Tool::Dnsdist, Tool::Named]) else { return };
        let zone = ZoneFile::new("example.test").record("www TXT here").record("lost TXT here");
        let bind = Bind::builder().zone(zone).start().await.unwrap();
        let dnsdist = Dnsdist::builder()
            .backend("", bind.socket_addr())
            .rule(Ipv4Addr::LOCALHOST, "QNameRule('lost.example.test.')", "RCodeAction(DNSRCode.SERVFAIL)")
            .start()
            .await
            .unwrap();
        let face = SocketAddr::from((Ipv4Addr::LOCALHOST, dnsdist.port()));
        assert_eq!(ask::texts(face, "www.example.test").await.unwrap(), ["here"]);
        let error = ask::texts(face, "lost.example.test").await.unwrap_err();
        assert!(error.to_string().contains("Server Failure"), "{error}");
    }
}
