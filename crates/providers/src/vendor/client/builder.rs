//! How a client is put together.

use std::sync::{Arc, LazyLock};

use http::Uri;
use perennial_core::{Clock, HttpClient, SystemClock};

use super::{Client, Complaints, Inner};
use crate::{
    ConfigError, Error, Rate,
    vendor::{
        Answer, Authorize, Complaint,
        pace::{Pace, Sharer},
    },
};

/// A client in the making: see [`Client::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    kind: &'static str,
    base_url: String,
    authorize: Arc<dyn Authorize>,
    http: Option<Arc<dyn HttpClient>>,
    clock: Arc<dyn Clock>,
    complaints: Complaints,
    needs: &'static str,
    rate: Option<Rate>,
    plain_http: bool,
}

impl ClientBuilder {
    pub(super) fn new(kind: &'static str, base_url: String, authorize: Arc<dyn Authorize>) -> Self {
        Self {
            kind,
            base_url,
            authorize,
            http: None,
            clock: Arc::clone(&SYSTEM),
            complaints: Complaint::of_status,
            needs: "",
            rate: None,
            plain_http: false,
        }
    }

    /// Another base URL: an emulator, a proxy, a private cloud.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Who carries the requests; by default the client of `perennial-core`, where the feature `reqwest` is on.
    /// It must keep to the contract of [`HttpClient`], and not follow redirects above all.
    pub fn http(mut self, http: Arc<dyn HttpClient>) -> Self {
        self.http = Some(http);
        self
    }

    /// Who tells the time and waits; the operating system by default. Clients that are to keep one rate together
    /// need one clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How the vendor's complaints are read; by its status alone by default. It is asked about every answer,
    /// since some vendors complain with 200.
    pub fn complaints(mut self, complaints: fn(&Answer) -> Option<Complaint>) -> Self {
        self.complaints = complaints;
        self
    }

    /// What a credential has to be granted, for the error when it is not: `Zone:Read and DNS:Edit`.
    pub const fn needs(mut self, permissions: &'static str) -> Self {
        self.needs = permissions;
        self
    }

    /// The most requests that the vendor takes of a credential; without a limit by default.
    pub const fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Lets a base URL be plain `http` that is not on loopback: for interfaces in a network of one's own that
    /// have nothing else. Whoever can listen there has the credential.
    pub const fn plain_http(mut self, allowed: bool) -> Self {
        self.plain_http = allowed;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`Error::Config`] when the base URL is none that requests with credentials may go to, or there is
    /// nobody to carry them.
    pub fn build(self) -> Result<Client, Error> {
        let base = self.checked_base()?;
        let http = match self.http {
            Some(http) => http,
            None => default_http(self.kind, base.starts_with("http://"))?,
        };
        let pace = match self.authorize.fingerprint() {
            Some(who) => Pace::shared(Sharer::new(self.kind, base.clone(), who, &self.clock), self.rate),
            None => Pace::of_its_own(self.rate),
        };
        Ok(Client(Arc::new(Inner {
            kind: self.kind,
            base,
            authorize: self.authorize,
            http,
            clock: self.clock,
            complaints: self.complaints,
            needs: self.needs,
            pace,
        })))
    }

    fn checked_base(&self) -> Result<String, ConfigError> {
        let bad = |reason: &str| ConfigError::BadOption {
            provider: self.kind.to_owned(),
            option: "base-url".to_owned(),
            reason: reason.to_owned(),
        };
        let base = self.base_url.trim().trim_end_matches('/');
        let url: Uri =
            base.parse().map_err(|_| bad("it is not a URL; write it like https://api.example.com"))?;
        let host = url.host().ok_or_else(|| bad("it has no host; write it like https://api.example.com"))?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad("it holds a user or password; give them as options of their own"));
        }
        if url.query().is_some() || base.contains('#') {
            return Err(bad("it has a query or a fragment; give it without"));
        }
        match url.scheme_str() {
            Some("https") => Ok(base.to_owned()),
            Some("http") if self.plain_http || is_loopback(host) => Ok(base.to_owned()),
            Some("http") => Err(bad(
                "it is plain http, where anybody on the way can read the credential; use https, or allow it \
                 with `plain-http` where the network is yours",
            )),
            _ => Err(bad("it is not an https URL")),
        }
    }
}

/// One for all who ask for none of their own, since paces are shared by the clock.
static SYSTEM: LazyLock<Arc<dyn Clock>> = LazyLock::new(|| Arc::new(SystemClock::new()));

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(feature = "reqwest")]
fn default_http(kind: &str, plain: bool) -> Result<Arc<dyn HttpClient>, Error> {
    let mut builder = perennial_core::ReqwestClient::builder().body_limit(super::BODY_LIMIT).timeout(TIMEOUT);
    if plain {
        builder = builder.dangerous_allow_http();
    }
    let client = builder.build().map_err(|error| Error::Network {
        provider: kind.to_owned(),
        server: "any server".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Arc::new(client))
}

/// A vendor's interface answers within seconds or not at all; a zone of many records may take longer.
#[cfg(feature = "reqwest")]
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

#[cfg(not(feature = "reqwest"))]
fn default_http(kind: &str, _: bool) -> Result<Arc<dyn HttpClient>, Error> {
    Err(ConfigError::MissingOption {
        provider: kind.to_owned(),
        option: "http".to_owned(),
        meaning: "who carries requests; give an HttpClient, or turn on the feature `reqwest`".to_owned(),
    }
    .into())
}
