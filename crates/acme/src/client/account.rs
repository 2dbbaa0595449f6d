//! The handle of an account (RFC 8555 §7.3).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    AccountState, AccountUpdate, Client, Error, Misbehaved, Misuse, NewOrder, Order, OrdersPage, Session,
    Thumbprint, Url,
    call::{self, Call},
};

/// An account at a server, with its key.
///
/// Cheap to clone; clones share what the server last said, and the key, also after it was changed. To take it
/// up in another process keep its [`credentials`](Self::credentials), or its [`url`](Self::url) where the key
/// lives elsewhere.
#[derive(Clone, Debug)]
pub struct Account(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    url: Url,
    /// In whose name requests are signed. Never held across an await: a request takes a copy along.
    session: Mutex<Arc<Session>>,
    state: Mutex<Option<AccountState>>,
}

impl Account {
    /// The account at that URL, for a session that has its key.
    pub(super) fn new(client: Client, session: Session, url: Url, state: Option<AccountState>) -> Self {
        let session = Mutex::new(Arc::new(session.with_account(url.clone())));
        Self(Arc::new(Inner { client, url, session, state: Mutex::new(state) }))
    }

    /// The account's URL: its identity at the server, and what CAA's `accounturi` (RFC 8657) names.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.url.as_str()
    }

    /// The thumbprint of the account's key (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.key_thumbprint().map(|thumbprint| thumbprint.to_string()).unwrap_or_default()
    }

    /// What the server last said about it; `None` when it was taken up by its URL and not looked at since.
    #[must_use]
    pub fn state(&self) -> Option<AccountState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, state: AccountState) -> AccountState {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state.clone());
        state
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Looks at the account.
    ///
    /// # Errors
    /// [`Error::Server`] when the server does not know it any more, or it was deactivated.
    pub async fn refresh(&self) -> Result<AccountState, Error> {
        Ok(self.remember(self.run(call::account(self.0.url.clone())).await?))
    }

    /// Changes the contacts, or agrees to new terms of service.
    ///
    /// # Errors
    /// [`Error::Server`] when the CA does not want what is changed (`invalidContact`, `unsupportedContact`).
    pub async fn update(&self, update: &AccountUpdate) -> Result<AccountState, Error> {
        Ok(self.remember(self.run(call::update_account(self.0.url.clone(), update)).await?))
    }

    /// Gives the account up for good: nothing can be done in its name any more, and the CA forgets what it
    /// has proven. Certificates that it obtained stay valid.
    ///
    /// # Errors
    /// Anything but the server's word that the account is `deactivated` now: then take it to be alive. A
    /// repetition after a lost answer is refused with `unauthorized` when the first had its effect.
    pub async fn deactivate(&self) -> Result<AccountState, Error> {
        Ok(self.remember(self.run(call::deactivate_account(self.0.url.clone())).await?))
    }

    /// The URLs of the account's orders, all pages of them: a request for each page, and one before if the
    /// account was not looked at yet.
    ///
    /// # Errors
    /// [`Misuse::NotOffered`] when the CA has no such list, as the largest has none;
    /// [`Error::Misbehaved`] when the pages go round in a circle, or are more than 1,000 or hold more than
    /// 100,000 orders: use [`orders_page`](Self::orders_page) for those.
    pub async fn orders(&self) -> Result<Vec<Url>, Error> {
        let (mut orders, mut seen) = (Vec::new(), HashSet::new());
        let mut next = Some(self.first_page().await?);
        while let Some(url) = next {
            if !seen.insert(url.clone()) {
                return Err(Misbehaved::OrdersLoop { url: url.to_string() }.into());
            }
            let page = self.orders_page(Some(&url)).await?;
            orders.extend(page.orders);
            next = page.next;
            for (field, count, limit) in [
                ("orders", orders.len(), MAX_ORDERS),
                ("next", seen.len() + usize::from(next.is_some()), MAX_PAGES),
            ] {
                if count > limit {
                    return Err(
                        Misbehaved::TooMany { resource: "list of orders", field, count, limit }.into()
                    );
                }
            }
        }
        Ok(orders)
    }

    /// One page of the list of orders: the first for `None`, otherwise the one that
    /// [`next`](OrdersPage::next) of the page before named.
    ///
    /// # Errors
    /// [`Misuse::NotOffered`] when the CA has no such list.
    pub async fn orders_page(&self, page: Option<&Url>) -> Result<OrdersPage, Error> {
        let url = match page {
            Some(url) => url.clone(),
            None => self.first_page().await?,
        };
        self.run(call::orders(url)).await
    }

    async fn first_page(&self) -> Result<Url, Error> {
        let state = match self.state() {
            Some(state) if state.orders.is_some() => state,
            // What is answered to newAccount is often less than the account has.
            _ => self.refresh().await?,
        };
        Ok(state.orders.ok_or(Misuse::NotOffered { what: "a list of orders" })?)
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
        let url = self.0.client.server.readmit(url)?;
        let state = self.run(call::order(url.clone())).await?;
        Ok(Order::new(self.clone(), url, state))
    }

    pub(super) fn key_thumbprint(&self) -> Option<Arc<Thumbprint>> {
        self.session().thumbprint().cloned()
    }

    /// In whose name the next request is signed.
    pub(super) fn session(&self) -> Arc<Session> {
        self.0.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs with another key from now on, in all clones.
    pub(super) fn follow(&self, session: Session) {
        let session = Arc::new(session.with_account(self.0.url.clone()));
        *self.0.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// Drives one call in the name of the account, for verbs of one's own choice.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn run<T>(&self, call: Call<T>) -> Result<T, Error> {
        self.0.client.run(&self.session(), call).await
    }

    pub(super) async fn sleep_until(&self, moment: perennial_core::Timestamp) {
        self.0.client.clock.sleep_until(moment).await;
    }

    pub(super) fn now(&self) -> perennial_core::Timestamp {
        self.0.client.clock.now()
    }
}

/// More than any account of a public CA has open; a server that names more is read page by page.
const MAX_ORDERS: usize = 100_000;
/// A request each: a server must not keep us busy for hours.
const MAX_PAGES: usize = 1_000;
