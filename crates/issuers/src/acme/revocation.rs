//! Revoking a certificate whose key is in other hands (RFC 8555 §7.6).

use std::sync::Arc;

use perennial_acme::{AccountKey, RevocationReason};
use perennial_lifecycle::{Journal, Revocation};

use super::AcmeIssuer;
use crate::Error;

/// Revokes it with its own key, which proves what is said of it; by the account where that is gone or refused.
pub(super) async fn revoke(
    issuer: &AcmeIssuer,
    revocation: &Revocation,
    journal: &Journal,
) -> Result<(), Error> {
    let request = perennial_acme::Revocation::new(revocation.chain.leaf_der());
    let request = request.reason(RevocationReason::KeyCompromise);
    let key = revocation.key.as_ref().and_then(|key| AccountKey::from_pkcs8_pem(&key.to_pem()).ok());
    if let Some(key) = key
        && issuer.client.revoke(&request, Arc::new(key)).await.is_ok()
    {
        return Ok(());
    }
    let account = issuer.account.account(&issuer.client, journal).await?;
    account.revoke(&request).await?;
    Ok(())
}
