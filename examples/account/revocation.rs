//! `revoke`: by the account, or by the certificate's own key.

use std::sync::Arc;

use perennial::acme::{Account, CertificateChain, Client, Revocation, Revoked};

use crate::{args::Revoke, failure::Failure, key, said::Said};

/// In the name of the account.
pub(crate) async fn by_account(account: &Account, revoke: &Revoke) -> Result<Said, Failure> {
    let chain = read(revoke)?;
    let revoked = account.revoke(&revocation(&chain, revoke)).await?;
    Ok(said(&chain, revoked))
}

/// By the key alone, for whoever has lost the account.
pub(crate) async fn by_certificate_key(client: &Client, revoke: &Revoke) -> Result<Said, Failure> {
    let path = revoke.key.as_deref().ok_or_else(|| Failure::usage("--key is missing".to_owned()))?;
    let (chain, key) = (read(revoke)?, Arc::new(key::read(path)?));
    let revoked = client.revoke(&revocation(&chain, revoke), key).await?;
    Ok(said(&chain, revoked))
}

fn read(revoke: &Revoke) -> Result<CertificateChain, Failure> {
    let unusable = |reason: &dyn std::fmt::Display| {
        Failure::usage(format!("{} cannot be used: {reason}", revoke.certificate.display()))
    };
    let pem = std::fs::read(&revoke.certificate).map_err(|error| unusable(&error))?;
    CertificateChain::parse(&pem).map_err(|error| unusable(&error))
}

fn revocation(chain: &CertificateChain, revoke: &Revoke) -> Revocation {
    let revocation = Revocation::of(chain);
    match revoke.reason {
        Some(reason) => revocation.reason(reason),
        None => revocation,
    }
}

fn said(chain: &CertificateChain, revoked: Revoked) -> Said {
    let serial: String = chain.serial().iter().map(|octet| format!("{octet:02x}")).collect();
    let said = Said::default().with("serial", serial).with("status", "revoked");
    said.with("was_revoked_before", revoked == Revoked::Already)
}
