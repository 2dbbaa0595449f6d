//! How this provider is put together.

use std::sync::Arc;

use perennial_core::{Clock, DomainName, HttpClient};

use super::{
    Api, BASE_URL, KIND, NEEDS, Netcup, RATE,
    session::{Login, Session},
    wire,
};
use crate::{
    Error, Options,
    engine::{Records, Settings},
    registry,
    vendor::{Client, ClientBuilder, Credential},
};

/// A provider in the making: see [`Netcup::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct NetcupBuilder {
    /// For logins.
    desk: ClientBuilder,
    settings: Settings,
    customer: String,
    key: Credential,
}

impl NetcupBuilder {
    pub(super) fn new(customer: String, key: Credential, password: Credential) -> Self {
        let login = Login { customer: customer.clone(), key: key.clone(), password };
        let desk = Client::builder(KIND, BASE_URL, login).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        Self { desk, settings: Settings::new(), customer, key }
    }

    /// Another base URL: an emulator, a proxy.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.desk = self.desk.base_url(url);
        self
    }

    /// Who carries the requests; the client of `perennial-core` by default.
    pub fn http(mut self, http: Arc<dyn HttpClient>) -> Self {
        self.desk = self.desk.http(http);
        self
    }

    /// Who tells the time and waits; the operating system by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.desk = self.desk.clock(Arc::clone(&clock));
        self.settings = self.settings.clock(clock);
        self
    }

    /// The zone of all names; without it the zone of each name is found.
    pub fn zone(mut self, apex: DomainName) -> Self {
        self.settings = self.settings.zone(apex);
        self
    }

    /// What the options say that many kinds of providers have.
    pub(super) fn options(mut self, options: &Options) -> Result<Self, Error> {
        self.settings = registry::settings(KIND, options)?;
        if let Some(url) = options.text(&registry::BASE_URL) {
            self.desk = self.desk.base_url(url);
        }
        Ok(self)
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the base URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<Netcup, Error> {
        let desk = self.desk.build()?;
        let client = desk.authorized_by(Session::new(desk.clone(), self.customer, self.key));
        Ok(Netcup(Arc::new(Records::new(Api { client }, self.settings))))
    }
}
