//! The certificates that prove names, while they are to be proven.

use std::{collections::BTreeMap, fmt, pin::pin, sync::Arc};

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
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

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
    /// Told when one is removed, or puts itself before others.
    changed: Arc<Notify>,
}

type Shown = BTreeMap<String, Vec<Entry>>;

/// Two CAs, or two orders, may want one name proven at once. Nobody can tell them apart in a handshake: the first one
/// that was presented is shown, and the next when it is gone.
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
        entries.first().map(|entry| entry.certified.clone())
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

    /// Shows proofs from now on, or as soon as those are gone that were presented before; one that is there already keeps
    /// its place. All in one step: of two orders for the same names one is the first for all of them.
    pub(super) fn present(&self, proofs: &[(&str, [u8; 32])]) -> Result<(), Error> {
        let is_there = |shown: &Shown, server_name: &str, digest: &[u8; 32]| {
            shown.get(server_name).is_some_and(|entries| entries.iter().any(|it| it.digest == *digest))
        };
        let shown = self.shown.load();
        let mut made = Vec::new();
        for (server_name, digest) in proofs.iter().filter(|(name, digest)| !is_there(&shown, name, digest)) {
            let certified = certified(server_name, digest)?;
            made.push((*server_name, Entry { digest: *digest, certified }));
        }
        self.shown.rcu(|shown| {
            let mut shown = Shown::clone(shown);
            for (server_name, entry) in &made {
                if !is_there(&shown, server_name, &entry.digest) {
                    shown.entry((*server_name).to_owned()).or_default().push(entry.clone());
                }
            }
            shown
        });
        Ok(())
    }

    /// Waits until these proofs are shown, those of others being gone, and puts them before the others at that moment at
    /// the latest.
    pub(super) async fn turn(&self, proofs: &[(&str, [u8; 32])], limit: Instant) {
        let wait = async {
            loop {
                // Whatever happens from here on is heard.
                let mut changed = pin!(self.changed.notified());
                changed.as_mut().enable();
                if !self.have_others_before(proofs) {
                    return;
                }
                changed.await;
            }
        };
        if timeout_at(limit, wait).await.is_err() {
            self.put_first(proofs);
        }
    }

    fn have_others_before(&self, proofs: &[(&str, [u8; 32])]) -> bool {
        let shown = self.shown.load();
        proofs.iter().any(|(server_name, digest)| {
            let entries = shown.get(*server_name).map_or(&[][..], Vec::as_slice);
            entries.iter().position(|entry| entry.digest == *digest).is_some_and(|place| place > 0)
        })
    }

    fn put_first(&self, proofs: &[(&str, [u8; 32])]) {
        self.shown.rcu(|shown| {
            let mut shown = Shown::clone(shown);
            for (server_name, digest) in proofs {
                if let Some(entries) = shown.get_mut(*server_name)
                    && let Some(place) = entries.iter().position(|entry| entry.digest == *digest)
                {
                    let entry = entries.remove(place);
                    entries.insert(0, entry);
                }
            }
            shown
        });
        self.changed.notify_waiters();
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
        self.changed.notify_waiters();
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
