//! Pebble, the certificate authority that Let's Encrypt gives to those who test ACME clients (RFC 8555).

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Components, Error, Tool, launch, port::Port};
use crate::ChildGuard;

/// A running Pebble on 127.0.0.1; stopped when dropped.
///
/// It really validates: over DNS at the server that [`dns_server`](PebbleBuilder::dns_server) names, over HTTP
/// and TLS-ALPN at the ports that [`http_port`](Self::http_port) and [`tls_port`](Self::tls_port) name. Two
/// things that it does by chance are off: it does not wait before it validates, and it does not reuse
/// authorizations; and it rejects good nonces only if told to.
#[derive(Debug)]
pub struct Pebble {
    guard: ChildGuard,
    ports: Ports,
    identity: Identity,
    _directory: TempDir,
}

#[derive(Debug)]
struct Ports {
    acme: Port,
    management: Port,
    http: Port,
    tls: Port,
}

impl Pebble {
    /// Begins to describe a certificate authority.
    #[must_use]
    pub fn builder() -> PebbleBuilder {
        PebbleBuilder {
            dns_server: None,
            rejected_nonces: 0,
            reused_authorizations: 0,
            retry_after: Duration::from_secs(1),
            blocked: Vec::new(),
            profiles: Vec::new(),
            external_accounts: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The URL of its directory (RFC 8555 §7.1.1).
    #[must_use]
    pub fn directory_url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.ports.acme.number())
    }

    /// The URL of its management interface, for what ACME has no words for.
    #[must_use]
    pub fn management_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.management.number())
    }

    /// The root certificate, in PEM, that a client must trust to speak with it over HTTPS.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.identity.root_pem
    }

    /// The root certificate, in PEM, under which it issues: another one every time that it starts.
    ///
    /// # Errors
    /// [`Error::Answer`] when the management interface does not say.
    pub async fn issuer_root_pem(&self) -> Result<String, Error> {
        let pem = self.identity.get(self.ports.management.number(), "/roots/0").await?;
        Ok(String::from_utf8_lossy(&pem).into_owned())
    }

    /// Where it looks for an http-01 challenge instead of port 80 (RFC 8555 §8.3).
    #[must_use]
    pub const fn http_port(&self) -> u16 {
        self.ports.http.number()
    }

    /// Where it looks for a tls-alpn-01 challenge instead of port 443 (RFC 8737 §3).
    #[must_use]
    pub const fn tls_port(&self) -> u16 {
        self.ports.tls.number()
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }
}

/// Describes a Pebble; see [`Pebble::builder`].
#[derive(Clone, Debug)]
pub struct PebbleBuilder {
    dns_server: Option<SocketAddr>,
    rejected_nonces: u8,
    reused_authorizations: u8,
    retry_after: Duration,
    blocked: Vec<String>,
    profiles: Vec<(String, Duration)>,
    external_accounts: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl PebbleBuilder {
    /// The resolver that it validates through. Without one it asks the machine's own.
    #[must_use]
    pub const fn dns_server(mut self, resolver: SocketAddr) -> Self {
        self.dns_server = Some(resolver);
        self
    }

    /// How many of a hundred good nonces it rejects (RFC 8555 §6.5), drawn at random; none by default.
    #[must_use]
    pub const fn rejected_nonces(mut self, percent: u8) -> Self {
        self.rejected_nonces = percent;
        self
    }

    /// How many of a hundred valid authorizations it reuses for a new order (RFC 8555 §7.1.4), drawn at
    /// random; none by default.
    #[must_use]
    pub const fn reused_authorizations(mut self, percent: u8) -> Self {
        self.reused_authorizations = percent;
        self
    }

    /// What it asks clients to wait between polls, in whole seconds; one by default, the least that
    /// `Retry-After` can say.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait;
        self
    }

    /// A domain for which it issues nothing (`rejectedIdentifier`), nor for names below it.
    ///
    /// Pebble 2.10 crashes on an order for a name with fewer labels than a blocked domain has, and drops the
    /// connection; the client then sees its nonce spent.
    #[must_use]
    pub fn block(mut self, domain: impl Into<String>) -> Self {
        self.blocked.push(domain.into());
        self
    }

    /// A profile and how long its certificates are valid. Without one it has `default` with 90 days alone: of
    /// several, Pebble draws one at random for an order that names none.
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>, validity: Duration) -> Self {
        self.profiles.push((name.into(), validity));
        self
    }

    /// An account to bind to (RFC 8555 §7.3.4): its key identifier, and its MAC key in base64url. With one
    /// of them it takes no account without a binding.
    #[must_use]
    pub fn external_account(mut self, key_id: impl Into<String>, mac_key: impl Into<String>) -> Self {
        self.external_accounts.push((key_id.into(), mac_key.into()));
        self
    }

    /// One more variable in its environment: `PEBBLE_ALTERNATE_ROOTS`, `PEBBLE_CHAIN_LENGTH`,
    /// `PEBBLE_WFE_ORDERS_PER_PAGE`, …
    #[must_use]
    pub fn environment(mut self, variable: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((variable.into(), value.into()));
        self
    }

    /// Starts the certificate authority and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Missing`] without Pebble; otherwise what its log says.
    pub async fn start(self) -> Result<Pebble, Error> {
        let components = Components::locate();
        let mut log = String::new();
        for _ in 0..launch::ATTEMPTS {
            let mut pebble = self.spawn(&components)?;
            let (identity, ports) = (pebble.identity.clone(), [&pebble.ports.acme, &pebble.ports.management]);
            let [acme, management] = ports.map(Port::number);
            let probe = || async {
                identity.get(acme, "/dir").await.is_ok() && identity.get(management, "/roots/0").await.is_ok()
            };
            if launch::becomes_ready(&mut pebble.guard, probe).await? {
                return Ok(pebble);
            }
            log = pebble.log();
        }
        Err(Error::PortsTaken { program: "pebble", attempts: launch::ATTEMPTS, log })
    }

    fn spawn(&self, components: &Components) -> Result<Pebble, Error> {
        let component = components.find(Tool::Pebble)?;
        let free = || Port::free(Ipv4Addr::LOCALHOST.into());
        let ports = Ports { acme: free()?, management: free()?, http: free()?, tls: free()? };
        let directory = launch::directory()?;
        let home = directory.path();
        let identity = Identity::create(home)?;
        launch::write(&home.join("pebble.json"), &self.configuration(home, &ports).to_string())?;
        let mut command = component.command();
        command.arg("-config").arg(home.join("pebble.json"));
        if let Some(resolver) = self.dns_server {
            command.arg("-dnsserver").arg(resolver.to_string());
        }
        command
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", self.rejected_nonces.to_string())
            .env("PEBBLE_AUTHZREUSE", self.reused_authorizations.to_string())
            .envs(self.environment.iter().map(|(variable, value)| (variable, value)));
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        Ok(Pebble { guard, ports, identity, _directory: directory })
    }

    fn configuration(&self, home: &Path, ports: &Ports) -> Value {
        let address = |port: &Port| format!("127.0.0.1:{}", port.number());
        let usual = [("default".to_owned(), Duration::from_secs(90 * 24 * 3600))];
        let profiles = if self.profiles.is_empty() { usual.as_slice() } else { self.profiles.as_slice() };
        let profiles: serde_json::Map<_, _> = profiles
            .iter()
            .map(|(name, validity)| {
                let profile = json!({ "description": name, "validityPeriod": validity.as_secs() });
                (name.clone(), profile)
            })
            .collect();
        let accounts: serde_json::Map<_, _> =
            self.external_accounts.iter().map(|(key_id, key)| (key_id.clone(), json!(key))).collect();
        // ECDSA: it starts in 40 ms instead of a second.
        json!({ "pebble": {
            "listenAddress": address(&ports.acme),
            "managementListenAddress": address(&ports.management),
            "certificate": home.join("certificate.pem"),
            "privateKey": home.join("key.pem"),
            "httpPort": ports.http.number(),
            "tlsPort": ports.tls.number(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !accounts.is_empty(),
            "externalAccountMACKeys": accounts,
            "domainBlocklist": self.blocked,
            "retryAfter": { "authz": self.retry_after.as_secs(), "order": self.retry_after.as_secs() },
            "keyAlgorithm": "ecdsa",
            "profiles": profiles,
        } })
    }
}

/// Who the server is towards HTTPS clients: a root of its own for every start, so that whoever is trusted
/// under it is the server that was started.
#[derive(Clone, Debug)]
struct Identity {
    root: CertificateDer<'static>,
    root_pem: String,
}

/// What an answer may weigh: directories and roots are a few kilobytes.
const LARGEST_BODY: usize = 1 << 20;

impl Identity {
    fn create(home: &Path) -> Result<Self, Error> {
        let (root, certificate_pem, key_pem) = chain().map_err(|error| crate::Error::Certificate {
            what: "the certificate of Pebble's HTTPS",
            reason: error.to_string(),
        })?;
        launch::write(&home.join("certificate.pem"), &certificate_pem)?;
        launch::write(&home.join("key.pem"), &key_pem)?;
        Ok(Self { root: root.der().clone(), root_pem: root.pem() })
    }

    async fn get(&self, port: u16, path: &str) -> Result<Bytes, Error> {
        let unanswered = |reason: Failure| Error::Answer {
            server: (Ipv4Addr::LOCALHOST, port).into(),
            question: path.to_owned(),
            reason: reason.to_string(),
        };
        let answer = tokio::time::timeout(Duration::from_secs(5), self.fetch(port, path)).await;
        answer.map_err(Failure::from).and_then(|answer| answer).map_err(unanswered)
    }

    async fn fetch(&self, port: u16, path: &str) -> Result<Bytes, Failure> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let request = http::Request::get(path)
            .header(http::header::HOST, format!("127.0.0.1:{port}"))
            // Required of ACME clients (RFC 8555 §6.1), and Pebble insists.
            .header(http::header::USER_AGENT, "perennial-testkit")
            .body(Empty::<Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            if response.status() != http::StatusCode::OK {
                return Err(Failure::from(response.status().to_string()));
            }
            Ok(Limited::new(response.into_body(), LARGEST_BODY).collect().await?.to_bytes())
        };
        // The connection has to be driven while the answer is awaited, and ends with it.
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => { ended?; answer.await }
        }
    }
}

/// Only ever turned into text.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn chain() -> Result<(rcgen::Certificate, String, String), rcgen::Error> {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "perennial testkit: Pebble's HTTPS");
    let root_key = KeyPair::generate()?;
    let root_certificate = root.self_signed(&root_key)?;
    let key = KeyPair::generate()?;
    let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
    let certificate = CertificateParams::new(names)?.signed_by(&key, &Issuer::new(root, root_key))?;
    Ok((root_certificate, certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require;

    #[tokio::test]
    async fn it_shows_its_directory_and_its_roots_to_those_who_trust_it() {
        let Some(_) = require(&[Tool::Pebble]) else { return };
        let pebble = Pebble::builder().profile("brief", Duration::from_secs(300)).start().await.unwrap();
        let directory = pebble.identity.get(pebble.ports.acme.number(), "/dir").await.unwrap();
        let directory: Value = serde_json::from_slice(&directory).unwrap();
        let authority = pebble.directory_url().trim_end_matches("dir").to_owned();
        assert!(directory["newOrder"].as_str().unwrap().starts_with(&authority), "{directory}");
        assert!(pebble.issuer_root_pem().await.unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        assert_ne!(pebble.issuer_root_pem().await.unwrap(), pebble.ca_pem());
    }

    #[tokio::test]
    async fn a_stranger_on_its_port_is_not_taken_for_it() {
        let Some(_) = require(&[Tool::Pebble]) else { return };
        let (one, other) = tokio::join!(Pebble::builder().start(), Pebble::builder().start());
        let (one, other) = (one.unwrap(), other.unwrap());
        let error = one.identity.get(other.ports.acme.number(), "/dir").await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }

    #[test]
    fn an_external_account_makes_a_binding_required() {
        let free = || Port::free(Ipv4Addr::LOCALHOST.into()).unwrap();
        let ports = Ports { acme: free(), management: free(), http: free(), tls: free() };
        let home = Path::new("/nowhere");
        let open = Pebble::builder().configuration(home, &ports);
        assert_eq!(open["pebble"]["externalAccountBindingRequired"], false);
        let bound = Pebble::builder().external_account("kid-1", "c2VjcmV0").configuration(home, &ports);
        assert_eq!(bound["pebble"]["externalAccountBindingRequired"], true);
        assert_eq!(bound["pebble"]["externalAccountMACKeys"]["kid-1"], "c2VjcmV0");
    }
}
