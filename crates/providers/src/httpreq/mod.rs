//! A web service of yours that makes each change, spoken to as lego's `httpreq` speaks.
//!
//! ```text
//! POST {endpoint}/present    {"fqdn": "_acme-challenge.example.com.", "value": "…"}
//! POST {endpoint}/cleanup    {"fqdn": "_acme-challenge.example.com.", "value": "…"}
//! ```
//!
//! A status of 2xx means that the value is there, or gone, whether it was so before or not; other values at the
//! name MUST stay. A request whose answer is lost is sent again.
//!
//! ```
//! use perennial_providers::{DnsProvider, httpreq::HttpReq};
//!
//! let provider = HttpReq::builder("https://dns.example.com/hook").credentials("acme", "s3cret").build()?;
//! assert_eq!(provider.kind(), "httpreq");
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::sync::Arc;

use async_trait::async_trait;
use perennial_core::{Clock, DomainName, HttpClient};
use serde::Serialize;

use crate::{
    Action, Change, Error, Zone, engine,
    hook::{Hook, Hooked},
    vendor::{Anonymous, Basic, Client, Credential},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "httpreq";

/// A web service that makes each change.
#[derive(Clone)]
pub struct HttpReq(Arc<Hooked<Endpoint>>);

engine::forward!(HttpReq, "HttpReq");

impl HttpReq {
    /// Begins a provider that posts to `{endpoint}/present` and `{endpoint}/cleanup`.
    pub fn builder(endpoint: impl Into<String>) -> HttpReqBuilder {
        HttpReqBuilder {
            endpoint: endpoint.into(),
            credentials: None,
            zones: Vec::new(),
            http: None,
            clock: None,
            plain_http: false,
        }
    }
}

/// A provider in the making: see [`HttpReq::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct HttpReqBuilder {
    endpoint: String,
    credentials: Option<(String, Credential)>,
    zones: Vec<Zone>,
    http: Option<Arc<dyn HttpClient>>,
    clock: Option<Arc<dyn Clock>>,
    plain_http: bool,
}

impl HttpReqBuilder {
    /// For Basic authentication (RFC 7617); none by default.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<Credential>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// One more zone that names may be in; any name when no zone is given.
    pub fn zone(mut self, apex: DomainName) -> Self {
        self.zones.push(Zone::new(apex));
        self
    }

    /// Lets the URL be plain `http` that is not on loopback: whoever can listen there has the credential.
    pub fn plain_http(mut self, allowed: bool) -> Self {
        self.plain_http = allowed;
        self
    }

    /// Who carries the requests; the client of `perennial-core` by default.
    pub fn http(mut self, http: Arc<dyn HttpClient>) -> Self {
        self.http = Some(http);
        self
    }

    /// Who tells the time and waits; the operating system by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<HttpReq, Error> {
        let mut client = match self.credentials {
            Some((user, password)) => Client::builder(KIND, self.endpoint, Basic::new(user, password)),
            None => Client::builder(KIND, self.endpoint, Anonymous),
        };
        if let Some(http) = self.http {
            client = client.http(http);
        }
        if let Some(clock) = self.clock {
            client = client.clock(clock);
        }
        let client = client.plain_http(self.plain_http).build()?;
        Ok(HttpReq(Arc::new(Hooked { hook: Endpoint { client }, zones: self.zones })))
    }
}

struct Endpoint {
    client: Client,
}

#[derive(Serialize)]
struct Message<'c> {
    fqdn: String,
    value: &'c str,
}

#[async_trait]
impl Hook for Endpoint {
    fn kind(&self) -> &str {
        KIND
    }

    async fn tell(&self, _: &Zone, change: &Change) -> Result<(), Error> {
        let path = match change.action {
            Action::Add => "/present",
            Action::Remove => "/cleanup",
        };
        let message = Message { fqdn: format!("{}.", change.name), value: &change.value };
        self.client.post(path).json(&message).repeatable().send().await.map(drop)
    }
}
