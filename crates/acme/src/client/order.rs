//! The handle of an order (RFC 8555 §7.4): from names to a certificate.

use std::sync::{Arc, Mutex, PoisonError};

use perennial_core::Timestamp;

use super::{Account, Authorization};
use crate::{
    AuthorizationState, AuthorizationStatus, Error, Misbehaved, Misuse, OrderState, OrderStatus, Url,
    call::{self, Settled},
    error::{Deadline, OrderInvalid},
    flow::{Finalization, Next},
};

/// An order at a server.
///
/// It remembers what the server last said; clones share that memory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Order(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    account: Account,
    url: Url,
    state: Mutex<Arc<OrderState>>,
}

impl Order {
    pub(super) fn new(account: Account, url: Url, state: OrderState) -> Self {
        Self(Arc::new(Inner { account, url, state: Mutex::new(Arc::new(state)) }))
    }

    /// The order's URL: all that another process needs to take it up.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.url.as_str()
    }

    pub(super) fn location(&self) -> &Url {
        &self.0.url
    }

    /// The account whose order it is.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// What the server last said about it.
    #[must_use]
    pub fn state(&self) -> OrderState {
        OrderState::clone(&self.latest())
    }

    /// The same, shared.
    pub(super) fn latest(&self) -> Arc<OrderState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remember(&self, state: OrderState) -> OrderState {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(state.clone());
        state
    }

    /// Looks at the order.
    ///
    /// # Errors
    /// [`Error::Server`], [`Error::Misbehaved`] or [`Error::Network`]. That the order is invalid is no error
    /// here.
    pub async fn refresh(&self) -> Result<OrderState, Error> {
        let state = self.0.account.run(call::order(self.0.url.clone())).await?;
        Ok(self.remember(state))
    }

    /// Fetches all authorizations, one request each, at once as far as there are nonces for them (see
    /// [`Account::send`]). An order that is `ready` does not need it.
    ///
    /// # Errors
    /// The first request's that failed; [`Misbehaved::AuthorizationName`] when one is for a name that the order
    /// does not have: a server must not make us prove anything else.
    pub async fn authorizations(&self) -> Result<Vec<Authorization>, Error> {
        let order = self.latest();
        let calls = order.authorizations.iter().cloned().map(call::authorization).collect();
        let states = self.0.account.send(calls).await;
        let handle = |(url, state): (&Url, Result<AuthorizationState, Error>)| {
            let state = state?;
            if !order.needs(&state.identifier) {
                return Err(Misbehaved::authorization_name(url, &state).into());
            }
            Ok(Authorization::new(self.0.account.clone(), url.clone(), state))
        };
        order.authorizations.iter().zip(states).map(handle).collect()
    }

    /// Gives up the authorizations that are still pending (RFC 8555 §7.5.2), and with them the order: CAs limit how
    /// many an account may have. For orders that will not be finalized; what a CA cannot give up stays.
    ///
    /// # Errors
    /// The first request's that failed, after all were sent.
    pub async fn give_up(&self) -> Result<(), Error> {
        let pending = self.authorizations().await?.into_iter();
        let pending = pending.filter(|it| *it.status() == AuthorizationStatus::Pending);
        let calls = pending.map(|it| call::deactivate_authorization(it.location().clone())).collect();
        self.0.account.send(calls).await.into_iter().try_for_each(|outcome| outcome.map(drop))
    }

    /// Waits until the order is ready to be finalized, at the server's pace. Looks at once, unless the server
    /// named a moment; sends nothing when the order is known to be ready.
    ///
    /// # Errors
    /// [`Error::OrderInvalid`] with the reasons of all names that failed; [`Error::Deadline`] when the next
    /// look would come after `deadline`.
    pub async fn wait_ready(&self, deadline: Timestamp) -> Result<OrderState, Error> {
        self.wait(Settled::Validated, deadline).await
    }

    /// Sends the certificate signing request, in DER, if that has not been done yet.
    ///
    /// It can be repeated after a crash or a lost answer with the same request: an order that is being
    /// processed, or is valid, is left as it is. The answer may be `valid` at once.
    ///
    /// # Errors
    /// [`Error::Misuse`] while authorizations are missing, [`Error::OrderInvalid`], or [`Error::Server`] when
    /// the request is refused (`badCSR`).
    pub async fn finalize(&self, csr_der: &[u8]) -> Result<OrderState, Error> {
        let mut state = self.state();
        if matches!(state.status, OrderStatus::Pending) {
            state = self.refresh().await?;
        }
        match state.status {
            OrderStatus::Processing | OrderStatus::Valid => return Ok(state),
            OrderStatus::Canceled | OrderStatus::Invalid => return Err(self.explain(state).await),
            OrderStatus::Pending => return Err(self.not_ready("finalize", state.status)),
            OrderStatus::Ready | OrderStatus::Unknown(_) => {}
        }
        let mut finalization = Finalization::default();
        loop {
            let next = if finalization.is_in_doubt() {
                finalization.handle_look(self.refresh().await)
            } else {
                let call = call::finalize(self.latest().finalize.clone(), csr_der);
                finalization.handle_answer(self.0.account.run(call).await)
            };
            if let Next::Settled(state) = next? {
                let state = self.remember(*state);
                return if matches!(state.status, OrderStatus::Canceled | OrderStatus::Invalid) {
                    Err(self.explain(state).await)
                } else {
                    Ok(state)
                };
            }
        }
    }

    /// Waits until the certificate is there, at the server's pace. Sends nothing when the order is known to be
    /// valid.
    ///
    /// # Errors
    /// [`Error::Misuse`] when it was not finalized, [`Error::OrderInvalid`], or [`Error::Deadline`].
    pub async fn wait_valid(&self, deadline: Timestamp) -> Result<OrderState, Error> {
        let state = self.wait(Settled::Issued, deadline).await?;
        if state.status == OrderStatus::Valid {
            return Ok(state);
        }
        Err(self.not_ready("the certificate", state.status))
    }

    async fn wait(&self, settled: Settled, deadline: Timestamp) -> Result<OrderState, Error> {
        let mut state = self.state();
        if settled.awaits(&state.status) {
            if let Some(at) = state.retry_at.filter(|at| *at > self.0.account.now()) {
                if at > deadline {
                    let (url, status) = (self.url().to_owned(), state.status);
                    return Err(Error::Deadline(Deadline { url, status, deadline, again_at: at }));
                }
                self.0.account.sleep_until(at).await;
            }
            let call = call::wait_for_order(self.0.url.clone(), settled, deadline);
            state = self.remember(self.0.account.run(call).await?);
        }
        if matches!(state.status, OrderStatus::Canceled | OrderStatus::Invalid) {
            return Err(self.explain(state).await);
        }
        Ok(state)
    }

    pub(super) fn not_ready(&self, verb: &'static str, status: OrderStatus) -> Error {
        Misuse::NotReady { url: self.url().to_owned(), status, verb }.into()
    }

    /// Why the order is invalid. If it does not say so itself, its authorizations do; a request each is worth
    /// it now.
    async fn explain(&self, state: OrderState) -> Error {
        let authorizations = match state.error {
            None => self.authorizations().await.unwrap_or_default(),
            Some(_) => Vec::new(),
        };
        let states = authorizations.iter().map(Authorization::state);
        OrderInvalid::explained(self.url().to_owned(), state.error, states).into()
    }
}
