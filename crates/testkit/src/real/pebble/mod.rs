//! Pebble, the certificate authority that Let's Encrypt gives to those who test ACME clients (RFC 8555).

use tempfile::TempDir;

use super::{identity::Identity, port::Port};
use crate::ChildGuard;

mod builder;
pub use builder::PebbleBuilder;

mod management;
pub use management::CertificateStatus;

/// A running Pebble on 127.0.0.1; stopped when dropped.
///
/// It really validates: over DNS at the server that [`dns_server`](PebbleBuilder::dns_server) names, over HTTP
/// and TLS-ALPN at the ports that [`http_port`](Self::http_port) and [`tls_port`](Self::tls_port) name. Two
/// things that it does by chance are off: it does not wait before it validates, and it does not reuse
/// authorizations (of a hundred it still reuses one); and it rejects good nonces only if told to.
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
        PebbleBuilder::new()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::real::{Tool, require};

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

    #[tokio::test]
    async fn it_shows_a_root_for_every_chain_and_no_more() {
        let Some(_) = require(&[Tool::Pebble]) else { return };
        let pebble = Pebble::builder().alternate_roots(2).chain_length(2).strict().start().await.unwrap();
        let mut roots = std::collections::BTreeSet::new();
        for number in 0..3 {
            roots.insert(pebble.root_pem(number).await.unwrap());
            assert!(pebble.intermediate_pem(number).await.unwrap().contains("BEGIN CERTIFICATE"));
        }
        assert_eq!(roots.len(), 3);
        assert!(pebble.root_pem(3).await.unwrap_err().to_string().contains("404"));
    }

    #[tokio::test]
    async fn a_certificate_that_it_did_not_issue_has_no_status_and_no_renewal_info() {
        let Some(_) = require(&[Tool::Pebble]) else { return };
        let pebble = Pebble::builder().start().await.unwrap();
        assert!(pebble.certificate_status("00ff").await.unwrap_err().to_string().contains("404"));
        let error = pebble.set_renewal_info(pebble.ca_pem(), "{}").await.unwrap_err();
        assert!(error.to_string().contains("/set-renewal-info/: 404"), "{error}");
    }

    #[tokio::test]
    async fn the_older_dialect_knows_neither_renewal_info_nor_profiles() {
        let Some(_) = require(&[Tool::PebbleOld]) else { return };
        let pebble = Pebble::builder().older_dialect().start().await.unwrap();
        let directory = pebble.identity.get(pebble.ports.acme.number(), "/dir").await.unwrap();
        let directory: Value = serde_json::from_slice(&directory).unwrap();
        assert!(directory["newOrder"].is_string(), "{directory}");
        assert!(directory["renewalInfo"].is_null() && directory["meta"]["profiles"].is_null(), "{directory}");
        assert!(pebble.root_pem(0).await.unwrap().contains("BEGIN CERTIFICATE"));
    }
}
