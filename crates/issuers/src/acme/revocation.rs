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
    let mut first = None;
    if let Some(key) = key {
        match issuer.client.revoke(&request, Arc::new(key)).await {
            Ok(_) => return Ok(()),
            Err(error) => first = Some(Error::from(error)),
        }
    }
    let by_account = async {
        let account = issuer.account.account(&issuer.client, journal).await?;
        Ok(account.revoke(&request).await?)
    };
    by_account.await.map(drop).map_err(|error| worse(first, error))
}

/// Which of two errors is told: that the key was not heard passes by, whatever is wrong with the account.
fn worse(by_key: Option<Error>, by_account: Error) -> Error {
    by_key.filter(|error| error.retry().is_worthwhile()).unwrap_or(by_account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_core::Retry;

    #[test]
    fn what_is_wrong_with_the_account_does_not_end_what_the_key_can_do_another_time() {
        let broken = || Error::Configuration { reason: "the account file cannot be read".to_owned() };
        let busy = || Error::TooSlow { doing: "revoking", limit: std::time::Duration::ZERO };
        assert_eq!(worse(Some(busy()), broken()).retry(), Retry::Backoff);
        assert_eq!(worse(Some(broken()), busy()).retry(), Retry::Backoff);
        assert_eq!(worse(Some(broken()), broken()).retry(), Retry::Never);
        assert_eq!(worse(None, broken()).retry(), Retry::Never);
    }
}
