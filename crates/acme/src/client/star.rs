//! Orders whose certificate the CA renews by itself (RFC 8739), by their handle.

use super::Order;
use crate::{Error, Misbehaved, Misuse, OrderState, OrderStatus, StarCertificate, Url, call};

impl Order {
    /// Fetches the certificate of the moment. Ask again when half of its time has passed: the next one is
    /// there then, at the same URL. [`verify`](crate::CertificateChain::verify) it before it replaces
    /// anything.
    ///
    /// # Errors
    /// [`Error::Misuse`] while the order is not valid, [`Error::Misbehaved`] when it has no such certificate,
    /// [`Error::Server`] with `autoRenewalCanceled` or `autoRenewalExpired` when there are no more.
    pub async fn star_certificate(&self) -> Result<StarCertificate, Error> {
        let state = self.state();
        if state.status != OrderStatus::Valid {
            return Err(self.not_ready("the certificate", state.status));
        }
        let missing = Misbehaved::Field { resource: "order", field: "star-certificate", expected: "a URL" };
        self.account().run(call::star_certificate(state.star_certificate.ok_or(missing)?)).await
    }

    /// Ends the renewals. The certificate of the moment stays valid until its end, and so does the next one
    /// if it is published already; there is no revocation.
    ///
    /// # Errors
    /// [`Misuse::NotReady`] while the order is not valid, and nothing is sent; [`Error::Server`] with
    /// `autoRenewalCancellationInvalid` when the server sees it so.
    pub async fn cancel_renewal(&self) -> Result<OrderState, Error> {
        let status = self.state().status;
        if status != OrderStatus::Valid {
            return Err(self.not_ready("the cancellation", status));
        }
        let url = Url::parse(self.url()).map_err(|fault| Misuse::url(self.url(), fault))?;
        let state = self.account().run(call::cancel_order(url)).await?;
        Ok(self.remember(state))
    }
}
