//! How this provider is put together.

use std::{sync::Arc, time::Duration};

use perennial_core::{Clock, DomainName, HttpClient, SystemClock};

use super::{
    Api, BASE_URL, Inwx, KIND, NEEDS, RATE,
    session::{Login, Session},
    wire,
};
use crate::{
    Error, Options,
    engine::{Records, Settings},
    registry,
    vendor::{Client, ClientBuilder, Credential},
};

/// A provider in the making: see [`Inwx::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct InwxBuilder {
    /// For login and second factor.
    desk: ClientBuilder,
    settings: Settings,
    shared_secret: Option<Credential>,
    clock: Arc<dyn Clock>,
}

impl InwxBuilder {
    pub(super) fn new(user: String, password: Credential) -> Self {
        let login = Login { user, password };
        let desk = Client::builder(KIND, BASE_URL, login).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        Self { desk, settings: Settings::new(), shared_secret: None, clock: Arc::new(SystemClock::new()) }
    }

    /// The shared secret of the account's second factor (RFC 6238), in base32: the text under the QR code.
    pub fn shared_secret(mut self, secret: impl Into<Credential>) -> Self {
        self.shared_secret = Some(secret.into());
        self
    }

    /// Another base URL: the vendor's own place for tests (`https://api.ote.domrobot.com`), an emulator.
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
        self.settings = self.settings.clock(Arc::clone(&clock));
        self.clock = clock;
        self
    }

    /// The zone of all names; without it the zone of each name is found.
    pub fn zone(mut self, apex: DomainName) -> Self {
        self.settings = self.settings.zone(apex);
        self
    }

    /// The time to live of new record sets, in whole seconds; five minutes by default, the vendor's least.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings = self.settings.ttl(ttl);
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
    pub fn build(self) -> Result<Inwx, Error> {
        let desk = self.desk.build()?;
        let client = desk.authorized_by(Session::new(desk.clone(), self.shared_secret, self.clock));
        Ok(Inwx(Arc::new(Records::new(Api { client }, self.settings))))
    }
}
