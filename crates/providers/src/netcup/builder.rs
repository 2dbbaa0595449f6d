//! How this provider is put together.

use std::sync::Arc;

use super::{
    Api, BASE_URL, KIND, NEEDS, Netcup, RATE,
    session::{Login, Session},
    wire,
};
use crate::{
    Error,
    engine::{self, Records, Settings},
    vendor::{Client, ClientBuilder, Credential},
};

/// A provider in the making: see [`Netcup::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct NetcupBuilder {
    /// For logins.
    client: ClientBuilder,
    settings: Settings,
    customer: String,
    key: Credential,
}

engine::setters!(NetcupBuilder: base_url, clock, http, options, zone);

impl NetcupBuilder {
    pub(super) fn new(customer: String, key: Credential, password: Credential) -> Self {
        let login = Login { customer: customer.clone(), key: key.clone(), password };
        let desk = Client::builder(KIND, BASE_URL, login).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        Self { client: desk, settings: Settings::new(), customer, key }
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the base URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<Netcup, Error> {
        let desk = self.client.build()?;
        let client = desk.authorized_by(Session::new(desk.clone(), self.customer, self.key));
        Ok(Netcup(Arc::new(Records::new(Api { client }, self.settings))))
    }
}
