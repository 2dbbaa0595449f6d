//! When the CA would like a certificate to be renewed (RFC 9773).

use perennial_acme::{CertificateId, Client, Error as AcmeError, Misuse, RenewalInfo};
use perennial_lifecycle::{IssuedChain, SuggestedWindow};

use crate::Error;

/// The CA's window for a certificate; `None` when it suggests none, or none to this one.
pub(super) async fn window(client: &Client, chain: &IssuedChain) -> Result<Option<SuggestedWindow>, Error> {
    // One that does not say which key signed it has no name to ask by (RFC 9773 §4.1).
    let Some(id) = name_of(chain) else { return Ok(None) };
    match client.renewal_info(&id).await {
        Ok(RenewalInfo { window, explanation_url, retry_at, .. }) => Ok(Some(SuggestedWindow {
            start: window.start(),
            end: window.end(),
            explanation_url,
            ask_at: retry_at,
        })),
        Err(AcmeError::Misuse(Misuse::NotOffered { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a certificate is called at its CA.
pub(super) fn name_of(chain: &IssuedChain) -> Option<CertificateId> {
    CertificateId::from_der(&chain.leaf_der()).ok()
}
