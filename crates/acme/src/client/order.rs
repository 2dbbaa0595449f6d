//! The handle of an order (RFC 8555 §7.4): from names to a certificate.

use std::sync::{Arc, Mutex, PoisonError};

use perennial_core::Timestamp;

use super::{Account, Authorization};
use crate::{
    AuthorizationStatus, CertificateChain, Error, Misbehaved, Misuse, OrderState, OrderStatus, ProblemType,
    Url,
    call::{self, Download, Settled},
    error::{AuthorizationFailure, Deadline, OrderInvalid},
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
    state: Mutex<OrderState>,
}

impl Order {
    pub(super) fn new(account: Account, url: Url, state: OrderState) -> Self {
        Self(Arc::new(Inner { account, url, state: Mutex::new(state) }))
    }

    /// The order's URL: all that another process needs to take it up.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.url.as_str()
    }

    /// The account whose order it is.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// What the server last said about it.
    #[must_use]
    pub fn state(&self) -> OrderState {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remember(&self, state: OrderState) -> OrderState {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&state);
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

    /// Fetches all authorizations, one request each, one after the other: each uses the nonce that the one
    /// before brought. An order that is `ready` does not need it.
    ///
    /// # Errors
    /// The first request's that fails.
    pub async fn authorizations(&self) -> Result<Vec<Authorization>, Error> {
        let urls = self.state().authorizations;
        let mut authorizations = Vec::with_capacity(urls.len());
        for url in urls {
            let state = self.0.account.run(call::authorization(url.clone())).await?;
            authorizations.push(Authorization::new(self.0.account.clone(), url, state));
        }
        Ok(authorizations)
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
        let mut attempts = 0;
        loop {
            match state.status {
                OrderStatus::Processing | OrderStatus::Valid => return Ok(state),
                OrderStatus::Canceled | OrderStatus::Invalid => return Err(self.explain(state).await),
                OrderStatus::Pending => return Err(self.not_ready("finalize", state.status)),
                OrderStatus::Ready | OrderStatus::Unknown(_) => {}
            }
            attempts += 1;
            let call = call::finalize(state.finalize.clone(), csr_der);
            let error = match self.0.account.run(call).await {
                Ok(answer) => {
                    state = self.remember(answer);
                    if state.status == OrderStatus::Invalid {
                        return Err(self.explain(state).await);
                    }
                    return Ok(state);
                }
                Err(error) => error,
            };
            if attempts == MAX_FINALIZATIONS || !may_have_arrived(&error) {
                return Err(error);
            }
            // The order itself knows best what has become of it.
            let Ok(current) = self.refresh().await else {
                return Err(error);
            };
            if current.status == OrderStatus::Pending {
                return Err(error);
            }
            state = current;
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
            state = self.0.account.run(call).await?;
            self.remember(state.clone());
        }
        if matches!(state.status, OrderStatus::Canceled | OrderStatus::Invalid) {
            return Err(self.explain(state).await);
        }
        Ok(state)
    }

    /// Fetches the server's default chain. [`verify`](CertificateChain::verify) it before it replaces
    /// anything.
    ///
    /// # Errors
    /// [`Error::Misuse`] while the order is not valid; [`Error::Certificate`] when what comes is no chain.
    pub async fn certificate(&self) -> Result<CertificateChain, Error> {
        Ok(self.download().await?.chain)
    }

    /// Fetches the first chain with an issuer of that common name, such as `ISRG Root X1`; the server's
    /// default chain when there is none. Alternates are fetched only until one fits.
    ///
    /// # Errors
    /// As [`certificate`](Self::certificate); [`Misbehaved::AlternateLeaf`] when an alternate is for another
    /// certificate.
    pub async fn certificate_by_issuer(&self, common_name: &str) -> Result<CertificateChain, Error> {
        let default = self.download().await?;
        if default.chain.has_issuer(common_name) {
            return Ok(default.chain);
        }
        for url in default.alternates {
            let alternate = self.0.account.run(call::certificate(url.clone())).await?.chain;
            if alternate.leaf() != default.chain.leaf() {
                return Err(Misbehaved::AlternateLeaf { url: url.to_string() }.into());
            }
            if alternate.has_issuer(common_name) {
                return Ok(alternate);
            }
        }
        Ok(default.chain)
    }

    async fn download(&self) -> Result<Download, Error> {
        let state = self.state();
        if state.status != OrderStatus::Valid {
            return Err(self.not_ready("the certificate", state.status));
        }
        let missing = Misbehaved::Field { resource: "order", field: "certificate", expected: "a URL" };
        self.0.account.run(call::certificate(state.certificate.ok_or(missing)?)).await
    }

    pub(super) fn not_ready(&self, verb: &'static str, status: OrderStatus) -> Error {
        Misuse::NotReady { url: self.url().to_owned(), status, verb }.into()
    }

    /// Why the order is invalid. If it does not say so itself, its authorizations do; a request each is worth
    /// it now.
    async fn explain(&self, state: OrderState) -> Error {
        let mut failures = Vec::new();
        if state.error.is_none() {
            for authorization in self.authorizations().await.unwrap_or_default() {
                let status = authorization.status().clone();
                if matches!(status, AuthorizationStatus::Valid | AuthorizationStatus::Pending) {
                    continue;
                }
                let problem = authorization.challenges().iter().find_map(|challenge| challenge.error());
                let (identifier, problem) = (authorization.identifier().clone(), problem.cloned());
                failures.push(AuthorizationFailure { identifier, status, problem });
            }
        }
        let url = self.url().to_owned();
        Error::OrderInvalid(Box::new(OrderInvalid { url, problem: state.error, failures }))
    }
}

/// Whether the server may have taken the request although we hear that it failed, or was not ready a moment
/// ago: then the order is asked, not the error.
fn may_have_arrived(error: &Error) -> bool {
    match error {
        Error::Network(error) => error.retry().is_worthwhile(),
        Error::Misbehaved(_) => true,
        Error::Server(refusal) => {
            error.is(&ProblemType::OrderNotReady)
                || refusal.problem.status.is_some_and(|status| status >= 500)
        }
        _ => false,
    }
}

/// Once more after a lost request is fair; a server that loses it twice has another trouble.
const MAX_FINALIZATIONS: u32 = 2;
