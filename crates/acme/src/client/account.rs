//! The handle of an account (RFC 8555 §7.3).

use std::sync::Arc;

use crate::{
    AccountState, Client, Error, NewOrder, Order, Session, Thumbprint, Url,
    call::{self, Call},
};

/// An account at a server, with its key.
///
/// Cheap to clone. To take it up in another process keep its [`url`](Self::url) and its key.
#[derive(Clone, Debug)]
pub struct Account(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    session: Session,
    thumbprint: Option<Thumbprint>,
    state: Option<AccountState>,
}

impl Account {
    pub(super) fn new(client: Client, session: Session, state: Option<AccountState>) -> Self {
        let thumbprint = session.jwk().map(crate::Jwk::thumbprint);
        Self(Arc::new(Inner { client, session, thumbprint, state }))
    }

    /// The account's URL: its identity at the server, and what CAA's `accounturi` (RFC 8657) names.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.session.account().map_or("", Url::as_str)
    }

    /// The thumbprint of the account's key (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        self.0.thumbprint.as_ref().map_or("", Thumbprint::as_str)
    }

    /// What the server said when the account was registered or found; `None` when it was taken up by its URL.
    #[must_use]
    pub fn state(&self) -> Option<&AccountState> {
        self.0.state.as_ref()
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Makes an order. **Write its [`url`](Order::url) down before anything else**: it is the only way back
    /// to it, and servers count orders.
    ///
    /// # Errors
    /// [`Error::Misuse`] for an order without names or with a profile that the server does not offer;
    /// [`Error::CaaForbids`] when the client has a CAA check that says so; [`Error::Server`] when it is
    /// refused.
    pub async fn new_order(&self, request: &NewOrder) -> Result<Order, Error> {
        self.check_caa_if_set(request).await?;
        let created = self.run(call::new_order(request)).await?;
        Ok(Order::new(self.clone(), created.url, created.state))
    }

    /// Takes an order up again by its URL: looks at it once.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the URL is not this server's, [`Error::Server`] when it does not know the order
    /// any more.
    pub async fn order(&self, url: &str) -> Result<Order, Error> {
        let url = self.0.session.server().readmit(url)?;
        let state = self.run(call::order(url.clone())).await?;
        Ok(Order::new(self.clone(), url, state))
    }

    pub(super) fn key_thumbprint(&self) -> Option<&Thumbprint> {
        self.0.thumbprint.as_ref()
    }

    pub(super) async fn run<T>(&self, call: Call<T>) -> Result<T, Error> {
        self.0.client.run(&self.0.session, call).await
    }

    pub(super) async fn sleep_until(&self, moment: perennial_core::Timestamp) {
        self.0.client.clock.sleep_until(moment).await;
    }

    pub(super) fn now(&self) -> perennial_core::Timestamp {
        self.0.client.clock.now()
    }
}
