//! Renewal information (RFC 9773), which needs no account.

use crate::{CertificateId, Client, Error, RenewalInfo, RenewalInfoFailure, Session, call};

impl Client {
    /// Asks when a certificate should be renewed (RFC 9773 §4.1): one request, signed by nobody.
    ///
    /// Ask right after the certificate was issued, and then when the answer says; not after it has expired or
    /// was replaced (§4.3).
    ///
    /// # Errors
    /// [`Misuse::NotOffered`](crate::Misuse::NotOffered) by a CA that has no renewal information;
    /// [`Error::RenewalInfo`] for everything else, with when to ask again: see [`RenewalInfoFailure::new`].
    pub async fn renewal_info(&self, certificate: &CertificateId) -> Result<RenewalInfo, Error> {
        let session = Session::anonymous(self.server.clone());
        match self.run(&session, call::renewal_info(certificate)).await {
            Err(Error::Misuse(misuse)) => Err(misuse.into()),
            Err(cause) => Err(RenewalInfoFailure::new(certificate.clone(), cause, self.clock.now()).into()),
            Ok(info) => Ok(info),
        }
    }
}
