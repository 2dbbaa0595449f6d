//! Its certificate authority.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Openbao;
use crate::real::Error;

/// Ten years, for whoever signs others.
const LONGEST: &str = "87600h";

impl Openbao {
    /// A mount with an intermediate that a root at `{mount}_root` has certified; the root in PEM.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn pki(&self, mount: &str) -> Result<String, Error> {
        let root_mount = format!("{mount}_root");
        let root = self.pki_root(&root_mount).await?;
        self.mount_pki(mount).await?;
        let path = format!("{mount}/intermediate/generate/internal");
        let subject = json!({ "common_name": "intermediate", "key_type": "ec", "key_bits": 256 });
        let request = self.write(&path, subject).await?;
        let request = self.text(&request["data"]["csr"], &path)?;
        let path = format!("{root_mount}/root/sign-intermediate");
        let wanted = json!({ "csr": request, "common_name": "intermediate", "ttl": "80000h" });
        let signed = self.write(&path, wanted).await?;
        let certificate = self.text(&signed["data"]["certificate"], &path)?;
        let chain = json!({ "certificate": format!("{certificate}\n{root}") });
        self.write(&format!("{mount}/intermediate/set-signed"), chain).await?;
        Ok(root)
    }

    /// A mount that signs with a root itself; the root in PEM.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn pki_root(&self, mount: &str) -> Result<String, Error> {
        self.mount_pki(mount).await?;
        let path = format!("{mount}/root/generate/internal");
        let subject = json!({ "common_name": "root", "ttl": LONGEST, "key_type": "ec", "key_bits": 256 });
        let root = self.write(&path, subject).await?;
        self.text(&root["data"]["certificate"], &path)
    }

    /// A role of a mount: who may have what signed.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn role(&self, mount: &str, role: &str, properties: Value) -> Result<(), Error> {
        self.write(&format!("{mount}/roles/{role}"), properties).await.map(drop)
    }

    /// Lets so many requests a minute pass below a path.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn quota(&self, name: &str, path: &str, a_minute: u32) -> Result<(), Error> {
        let quota = json!({ "path": path, "rate": a_minute, "interval": "60s" });
        self.write(&format!("sys/quotas/rate-limit/{name}"), quota).await.map(drop)
    }

    /// Opens the ACME directory of a mount (RFC 8555), which validates through this resolver; its URL.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn acme(&self, mount: &str, resolver: SocketAddr) -> Result<String, Error> {
        // What is in these headers is the protocol; without this they are not passed on.
        let headers = ["Last-Modified", "Location", "Replay-Nonce", "Link", "Retry-After"];
        let tune = json!({
            "passthrough_request_headers": ["If-Modified-Since"],
            "allowed_response_headers": headers,
        });
        self.write(&format!("sys/mounts/{mount}/tune"), tune).await?;
        let path = format!("{}/v1/{mount}", self.url());
        self.write(&format!("{mount}/config/cluster"), json!({ "path": path, "aia_path": path })).await?;
        let acme = json!({
            "enabled": true,
            "dns_resolver": resolver.to_string(),
            "eab_policy": "not-required",
        });
        self.write(&format!("{mount}/config/acme"), acme).await?;
        Ok(format!("{path}/acme/directory"))
    }

    /// Lets nobody register at the ACME directory of a mount who is not known already (RFC 8555 §7.3.4); the key
    /// identifier of one who is, and the MAC key in base64url.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn acme_external_account(&self, mount: &str) -> Result<(String, String), Error> {
        let path = format!("{mount}/config/acme");
        let mut acme = self.read(&path).await?["data"].take();
        acme["eab_policy"] = "always-required".into();
        self.write(&path, acme).await?;
        let path = format!("{mount}/acme/new-eab");
        let made = self.write(&path, json!({})).await?;
        Ok((self.text(&made["data"]["id"], &path)?, self.text(&made["data"]["key"], &path)?))
    }

    async fn mount_pki(&self, mount: &str) -> Result<(), Error> {
        let properties = json!({ "type": "pki", "config": { "max_lease_ttl": LONGEST } });
        self.write(&format!("sys/mounts/{mount}"), properties).await.map(drop)
    }
}
