//! How this provider is put together.

use std::sync::Arc;

use super::{
    Api, BASE_URL, Inwx, KIND, NEEDS, RATE,
    session::{Login, Session},
    wire,
};
use crate::{
    Error,
    engine::{self, Records, Settings},
    vendor::{Client, ClientBuilder, Credential},
};

/// A provider in the making: see [`Inwx::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct InwxBuilder {
    /// For login and second factor.
    client: ClientBuilder,
    settings: Settings,
    shared_secret: Option<Credential>,
}

engine::setters!(InwxBuilder: base_url, clock, http, options, ttl, zone);

impl InwxBuilder {
    pub(super) fn new(user: String, password: Credential) -> Self {
        let login = Login { user, password };
        let desk = Client::builder(KIND, BASE_URL, login).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        Self { client: desk, settings: Settings::new(), shared_secret: None }
    }

    /// The shared secret of the account's second factor (RFC 6238), in base32: the text under the QR code.
    pub fn shared_secret(mut self, secret: impl Into<Credential>) -> Self {
        self.shared_secret = Some(secret.into());
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the base URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<Inwx, Error> {
        let desk = self.client.build()?;
        let client = desk.authorized_by(Session::new(desk.clone(), self.shared_secret));
        Ok(Inwx(Arc::new(Records::new(Api { client }, self.settings))))
    }
}
