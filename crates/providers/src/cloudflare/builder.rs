//! How a provider is put together.

use std::{sync::Arc, time::Duration};

use perennial_core::{Clock, DomainName, HttpClient};

use super::{Api, Cloudflare, KIND, RATE, message};
use crate::{
    Error, Options,
    engine::{Records, Settings},
    registry,
    vendor::{Bearer, Client, ClientBuilder, Credential},
};

pub(super) const BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// A provider in the making: see [`Cloudflare::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct CloudflareBuilder {
    client: ClientBuilder,
    zones: Option<ClientBuilder>,
    settings: Settings,
}

fn client(token: Credential, needs: &'static str) -> ClientBuilder {
    Client::builder(KIND, BASE_URL, Bearer::new(token)).complaints(message::complaint).needs(needs).rate(RATE)
}

impl CloudflareBuilder {
    pub(super) fn new(token: Credential) -> Self {
        let needs = "Zone / DNS / Edit, and Zone / Zone / Read unless the option `zone-id` is given";
        Self { client: client(token, needs), zones: None, settings: Settings::new() }
    }

    /// Another token to look for zones with, which needs Zone / Zone / Read; that of the builder needs
    /// Zone / DNS / Edit only, then. Call it before [`base_url`](Self::base_url), [`http`](Self::http) and
    /// [`clock`](Self::clock).
    pub fn zone_token(mut self, token: impl Into<Credential>) -> Self {
        self.zones = Some(client(token.into(), "Zone / Zone / Read"));
        self
    }

    fn each(mut self, change: impl Fn(ClientBuilder) -> ClientBuilder) -> Self {
        self.client = change(self.client);
        self.zones = self.zones.map(change);
        self
    }

    /// Another base URL: an emulator, a proxy.
    pub fn base_url(self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.each(|client| client.base_url(url.clone()))
    }

    /// Who carries the requests; the client of `perennial-core` by default.
    pub fn http(self, http: Arc<dyn HttpClient>) -> Self {
        self.each(|client| client.http(http.clone()))
    }

    /// Who tells the time and waits; the operating system by default.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        let mut builder = self.each(|client| client.clock(clock.clone()));
        builder.settings = builder.settings.clock(clock);
        builder
    }

    /// The zone of all names; without it the zone of each name is found.
    pub fn zone(mut self, apex: DomainName) -> Self {
        self.settings = self.settings.zone(apex);
        self
    }

    /// The identifier of the zone of all names, 32 hexadecimal digits from the dashboard. With
    /// [`zone`](Self::zone) nothing is looked up, and no token needs to read zones.
    pub fn zone_id(mut self, id: impl Into<String>) -> Self {
        self.settings = self.settings.zone_id(id);
        self
    }

    /// The time to live of new records, in whole seconds; a minute by default, which is also the least.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings = self.settings.ttl(ttl);
        self
    }

    /// What the options say that many kinds of providers have.
    pub(super) fn options(mut self, options: &Options) -> Result<Self, Error> {
        self.settings = registry::settings(KIND, options)?;
        Ok(match options.text(&registry::BASE_URL) {
            Some(url) => self.base_url(url),
            None => self,
        })
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the base URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<Cloudflare, Error> {
        let client = self.client.build()?;
        let zones = self.zones.map(ClientBuilder::build).transpose()?.unwrap_or_else(|| client.clone());
        Ok(Cloudflare(Arc::new(Records::new(Api { client, zones }, self.settings))))
    }
}
