//! Orders for onion services (RFC 9799), by their handle.

use super::Order;
use crate::{Error, OrderState, OrderStatus, SignedOnionCaa, call};

impl Order {
    /// Sends the certificate signing request, in DER, and with it the CAA records of the order's onion
    /// services, to a CA that wants them so ([`Meta`](crate::Meta::in_band_onion_caa_required)). Then
    /// [`wait_valid`](Self::wait_valid), which also says why an order failed.
    ///
    /// It is sent once: after a lost answer, [`refresh`](Self::refresh) says what has become of the order.
    ///
    /// # Errors
    /// [`Error::Misuse`] unless the order is known to be ready, and nothing is sent; [`Error::Server`] when
    /// the request or the records are refused.
    pub async fn finalize_onion(
        &self,
        csr_der: &[u8],
        records: &[SignedOnionCaa],
    ) -> Result<OrderState, Error> {
        let state = self.state();
        if state.status != OrderStatus::Ready {
            return Err(self.not_ready("finalize", state.status));
        }
        let call = call::finalize_onion(state.finalize, csr_der, records);
        Ok(self.remember(self.account().run(call).await?))
    }
}
