//! What a Pebble is to be like, and its start.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use super::{Pebble, Ports};
use crate::{
    ChildGuard,
    real::{Components, Error, Tool, identity::Identity, launch, port::Port},
};

/// Describes a Pebble; see [`Pebble::builder`].
#[derive(Clone, Debug)]
pub struct PebbleBuilder {
    tool: Tool,
    strict: bool,
    dns_server: Option<SocketAddr>,
    rejected_nonces: u8,
    reused_authorizations: u8,
    retry_after: Duration,
    blocked: Vec<String>,
    caa_identities: Vec<String>,
    profiles: Vec<(String, Duration)>,
    external_accounts: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl PebbleBuilder {
    pub(super) const fn new() -> Self {
        Self {
            tool: Tool::Pebble,
            strict: false,
            dns_server: None,
            rejected_nonces: 0,
            reused_authorizations: 0,
            retry_after: Duration::from_secs(1),
            blocked: Vec::new(),
            caa_identities: Vec::new(),
            profiles: Vec::new(),
            external_accounts: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Starts Pebble 2.4 instead, which speaks as CAs did before renewal information, profiles, `Retry-After`
    /// on orders and subproblems: [`Tool::PebbleOld`]. It knows three challenge types, issues under RSA keys
    /// (and takes a second to make them), and asks its [resolver](Self::dns_server) over UDP, where the newer
    /// one asks over TCP. Of the settings it passes over what it does not know; of [`profile`](Self::profile)
    /// it takes the validity of the first.
    #[must_use]
    pub const fn older_dialect(mut self) -> Self {
        self.tool = Tool::PebbleOld;
        self
    }

    /// Makes it refuse what clients should no longer send, such as a challenge's answer that is not `{}`.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

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

    /// How many of a hundred valid authorizations it reuses for a new order (RFC 8555 §7.1.4), drawn at random. One
    /// more than is said, as Pebble draws from 0 and reuses up to this (`makeAuthorizations` in its `wfe/wfe.go`): by
    /// default one of a hundred. A test that wants a name proven again must not lean on it.
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

    /// A name of its own that CAA records may have (RFC 8659): `caaIdentities` of the directory, and what
    /// dns-persist-01 records begin with. Without one it has `pebble.letsencrypt.org`.
    #[must_use]
    pub fn caa_identity(mut self, domain: impl Into<String>) -> Self {
        self.caa_identities.push(domain.into());
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

    /// How many other roots its intermediates chain up to, each an alternate chain (RFC 8555 §7.4.2); none by
    /// default.
    #[must_use]
    pub fn alternate_roots(self, count: usize) -> Self {
        self.environment("PEBBLE_ALTERNATE_ROOTS", count.to_string())
    }

    /// How many intermediates a chain has; one by default.
    #[must_use]
    pub fn chain_length(self, intermediates: usize) -> Self {
        self.environment("PEBBLE_CHAIN_LENGTH", intermediates.to_string())
    }

    /// How many orders it lists on a page (RFC 8555 §7.1.2.1); three by default.
    #[must_use]
    pub fn orders_per_page(self, count: usize) -> Self {
        self.environment("PEBBLE_WFE_ORDERS_PER_PAGE", count.to_string())
    }

    /// One more variable in its environment: `PEBBLE_VA_ALWAYS_VALID`, `PEBBLE_VA_SLEEPTIME`, …
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
        let component = components.find(self.tool)?;
        let free = || Port::free(Ipv4Addr::LOCALHOST.into());
        let ports = Ports { acme: free()?, management: free()?, http: free()?, tls: free()? };
        let directory = launch::directory()?;
        let home = directory.path();
        let identity = Identity::create(home)?;
        launch::write(&home.join("pebble.json"), &self.configuration(home, &ports).to_string())?;
        let mut command = component.command();
        command.arg("-config").arg(home.join("pebble.json"));
        if self.strict {
            command.arg("-strict");
        }
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
        let validity = profiles.first();
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
            "caaIdentities": self.caa_identities,
            // The older dialect's word for all certificates; the newer one passes over it.
            "certificateValidityPeriod": validity.map(|(_, validity)| validity.as_secs()),
        } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
