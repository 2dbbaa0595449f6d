//! The certificates that prove names, while they are to be proven.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use perennial_acme::{Error as AcmeError, Identifier, challenge::tls_alpn01};
use perennial_core::DomainName;
use rustls::{
    ServerConfig,
    crypto::ring::{default_provider, sign::any_supported_type},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::Error;

/// The certificates that prove names to CAs right now, shared by a solver and whoever answers handshakes. Cloning is
/// cheap; all clones show the same.
///
/// It takes the solver's side too: as a [`ResolvesServerCert`] of its own it answers those who ask for proofs, and
/// refuses all others.
#[derive(Clone, Default)]
pub struct ChallengeCertificates {
    /// By the name that a CA asks for. Replaced whole: there are few.
    shown: Arc<ArcSwap<Shown>>,
}

type Shown = BTreeMap<String, Vec<Entry>>;

/// Two CAs, or two orders, may want one name proven at once. Nobody can tell them apart in a handshake: the last one
/// that was presented is shown, and the other again when it is gone.
#[derive(Clone)]
struct Entry {
    digest: [u8; 32],
    certified: Arc<CertifiedKey>,
}

impl ChallengeCertificates {
    /// Nothing to prove.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a client is a CA that looks for a proof: it offers the protocol `acme-tls/1` and no other (RFC 8737 §3).
    #[must_use]
    pub fn are_asked(hello: &ClientHello<'_>) -> bool {
        hello.alpn().is_some_and(|mut offered| {
            offered.next() == Some(tls_alpn01::PROTOCOL) && offered.next().is_none()
        })
    }

    /// The proof of a name, in any case of letters.
    #[must_use]
    pub fn find(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.load();
        let entries = match shown.get(server_name) {
            Some(entries) => entries,
            None => shown.get(&server_name.to_ascii_lowercase())?,
        };
        entries.last().map(|entry| entry.certified.clone())
    }

    /// Whether there is nothing to prove.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shown.load().is_empty()
    }

    /// A configuration for connections of CAs: those certificates, and their protocol alone.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        #[expect(clippy::expect_used, reason = "it fails for providers that have no suite for a version")]
        let builder = builder.with_safe_default_protocol_versions().expect("ring has both versions");
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![tls_alpn01::PROTOCOL.to_vec()];
        Arc::new(config)
    }

    /// Shows a proof from now on; one that is shown already stays as it is.
    pub(super) fn present(&self, server_name: &str, digest: &[u8; 32]) -> Result<(), Error> {
        let of_name = |entry: &&Entry| entry.digest == *digest;
        if self.shown.load().get(server_name).is_some_and(|entries| entries.iter().any(|it| of_name(&it))) {
            return Ok(());
        }
        let certified = certified(server_name, digest)?;
        self.shown.rcu(|shown| {
            let mut shown = Shown::clone(shown);
            let entries = shown.entry(server_name.to_owned()).or_default();
            if !entries.iter().any(|it| of_name(&it)) {
                entries.push(Entry { digest: *digest, certified: certified.clone() });
            }
            shown
        });
        Ok(())
    }

    /// Shows a proof no more.
    pub(super) fn remove(&self, server_name: &str, digest: &[u8; 32]) {
        self.shown.rcu(|shown| {
            let mut shown = Shown::clone(shown);
            if let Some(entries) = shown.get_mut(server_name) {
                entries.retain(|entry| entry.digest != *digest);
                if entries.is_empty() {
                    shown.remove(server_name);
                }
            }
            shown
        });
    }
}

/// Makes the certificate of a proof.
fn certified(server_name: &str, digest: &[u8; 32]) -> Result<Arc<CertifiedKey>, Error> {
    let unusable = |reason: &dyn ToString| Error::Configuration {
        reason: format!("no certificate that proves {server_name} can be made: {}", reason.to_string()),
    };
    let name = DomainName::parse(server_name).map_err(|error| unusable(&error))?;
    let made = tls_alpn01::certificate_of_digest(&Identifier::from(&name), digest);
    let made = made.map_err(AcmeError::from)?;
    let key = PrivatePkcs8KeyDer::from(made.private_key.expose());
    let key = any_supported_type(&key.into()).map_err(|error| unusable(&error))?;
    Ok(Arc::new(CertifiedKey::new(vec![made.certificate], key)))
}

impl fmt::Debug for ChallengeCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.shown.load().keys()).finish()
    }
}

impl ResolvesServerCert for ChallengeCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if Self::are_asked(&hello) { self.find(hello.server_name()?) } else { None }
    }
}
