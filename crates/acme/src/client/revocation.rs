//! Revocation (RFC 8555 §7.6): by the account, or by the certificate's own key.

use std::sync::Arc;

use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{Account, Client};
use crate::{Error, Jwk, Misuse, ProblemType, Revocation, Revoked, Session, Signer, call};

impl Account {
    /// Revokes a certificate in the name of the account: the one that it was issued to, or one that may speak
    /// for all its names.
    ///
    /// It can be repeated after a lost answer: a certificate that is revoked already stays so.
    ///
    /// # Errors
    /// [`Misuse::NotOffered`] by a CA that revokes nothing over ACME; [`Error::Server`] when it refuses, for
    /// instance `unauthorized` or `badRevocationReason`. Any status but 200 is an error.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, Error> {
        outcome(self.run(call::revoke_certificate(revocation)).await)
    }
}

impl Client {
    /// Revokes a certificate with its own key, for whoever holds the key and no account: the owner who lost
    /// the account, or somebody who found the key where it should not be.
    ///
    /// An [`AccountKey`](crate::AccountKey) that is read from the certificate's private key is such a signer.
    ///
    /// # Errors
    /// [`Misuse::KeyOfOtherCertificate`] when the signer's key is not the certificate's; otherwise as
    /// [`Account::revoke`].
    pub async fn revoke(&self, revocation: &Revocation, signer: Arc<dyn Signer>) -> Result<Revoked, Error> {
        let key = key_of(revocation.certificate());
        if key.as_ref() != Some(signer.jwk()) {
            let found = key.map(|key| key.thumbprint().to_string());
            let given = signer.jwk().thumbprint().to_string();
            return Err(Misuse::KeyOfOtherCertificate { found, given }.into());
        }
        let session = Session::with_key(self.server.clone(), signer)?;
        outcome(self.run(&session, call::revoke_certificate_by_key(revocation)).await)
    }
}

fn key_of(certificate: &[u8]) -> Option<Jwk> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Jwk::from_spki(certificate.public_key().raw)
}

fn outcome(answer: Result<(), Error>) -> Result<Revoked, Error> {
    match answer {
        Ok(()) => Ok(Revoked::Now),
        Err(error) if error.is(&ProblemType::AlreadyRevoked) => Ok(Revoked::Already),
        Err(error) => Err(error),
    }
}
