//! The handle of a kept certificate.

use std::sync::Arc;

use perennial_core::{Retry, SecretString, Timestamp};
use tokio::sync::watch;

use super::{
    Keeper,
    watched::{Interest, State},
};
use crate::{CertificateId, Error, Facts, Generation, output::PemSet};

/// A certificate that a [`Keeper`] keeps. Cloning is cheap; every clone sees each renewal.
#[derive(Clone)]
#[must_use = "the certificate is kept in any case, but only the handle tells when it is ready"]
pub struct Certificate {
    keeper: Keeper,
    id: CertificateId,
    state: watch::Receiver<State>,
    _interest: Arc<Interest>,
}

impl Certificate {
    pub(super) const fn new(
        keeper: Keeper,
        id: CertificateId,
        state: watch::Receiver<State>,
        interest: Arc<Interest>,
    ) -> Self {
        Self { keeper, id, state, _interest: interest }
    }

    /// Which certificate this is.
    #[must_use]
    pub const fn id(&self) -> &CertificateId {
        &self.id
    }

    /// The certificate that serves now; `None` until the first is there.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Issued>> {
        self.state.borrow().current.clone()
    }

    /// What went wrong in the last pass, if something did. The keeper goes on trying.
    #[must_use]
    pub fn trouble(&self) -> Option<Error> {
        self.state.borrow().trouble.clone()
    }

    /// Waits until a certificate is obtained, verified and stored, and returns it. One that the store holds
    /// already, still valid and for the names of this spec, is returned at once, though it may be due for renewal, or
    /// another issuer or key may be wished for by now: the next one is waited for with [`changed`](Self::changed).
    ///
    /// Passing troubles are waited out: the keeper tries again by itself.
    ///
    /// # Errors
    /// The last attempt's error when nothing but a person can mend it ([`Retry::Never`]): the keeper tries
    /// again at long intervals, but a program that starts up should say so. [`Error::UnknownCertificate`] when it was
    /// [removed](Keeper::remove) meanwhile, [`Error::ShutDown`] when the keeper ends.
    pub async fn ready(&self) -> Result<Arc<Issued>, Error> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| {
            state.current.is_some()
                || state.trouble.as_ref().is_some_and(|error| error.retry() == Retry::Never)
        });
        let state = settled.await.map_err(|_| self.end())?;
        match (&state.current, &state.trouble) {
            (_, Some(removed @ Error::UnknownCertificate { .. })) => Err(removed.clone()),
            (Some(current), _) => Ok(current.clone()),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err(Error::ShutDown { id: self.id.clone() }),
        }
    }

    /// Waits until the certificate differs from `than`, which is how a program follows renewals.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when it is [removed](Keeper::remove), [`Error::ShutDown`] when the keeper ends.
    pub async fn changed(&self, than: &Issued) -> Result<Arc<Issued>, Error> {
        self.other_than(Some(than)).await
    }

    /// Waits until another certificate serves than this one, or any at all, however long that takes: for those who
    /// hand certificates on, and have nobody to tell of troubles.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when it is [removed](Keeper::remove), [`Error::ShutDown`] when the keeper ends.
    pub async fn other_than(&self, than: Option<&Issued>) -> Result<Arc<Issued>, Error> {
        let mut state = self.state.clone();
        let known = than.map(|than| than.generation);
        let newer = |state: &State| state.current.as_ref().is_some_and(|now| Some(now.generation) != known);
        let state = state.wait_for(newer).await.map_err(|_| self.end())?;
        state.current.clone().ok_or_else(|| Error::ShutDown { id: self.id.clone() })
    }

    /// Why nothing will come any more.
    fn end(&self) -> Error {
        match self.trouble() {
            Some(removed @ Error::UnknownCertificate { .. }) => removed,
            _ => Error::ShutDown { id: self.id.clone() },
        }
    }

    /// The keeper that keeps it.
    #[must_use]
    pub const fn keeper(&self) -> &Keeper {
        &self.keeper
    }
}

/// A certificate with its key, verified and stored.
#[derive(Clone)]
pub struct Issued {
    pub(super) generation: Generation,
    pub(super) facts: Facts,
    pub(super) issued_at: Timestamp,
    pub(super) chain_pem: String,
    pub(super) private_key_pem: SecretString,
}

impl Issued {
    /// What it is: names, dates, issuer.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Which of the certificate's generations it is.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// When it was stored.
    #[must_use]
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// The chain as PEM, leaf first.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The private key as PKCS#8 PEM.
    #[must_use]
    pub const fn private_key_pem(&self) -> &SecretString {
        &self.private_key_pem
    }

    /// One that no keeper has issued.
    #[cfg(test)]
    pub(crate) fn made(chain_pem: &str, private_key_pem: &SecretString) -> Self {
        let facts = Facts::from_pem(chain_pem.as_bytes()).unwrap();
        let (generation, issued_at) = (Generation::from_number(1), facts.not_before);
        let (chain_pem, private_key_pem) = (chain_pem.to_owned(), private_key_pem.clone());
        Self { generation, facts, issued_at, chain_pem, private_key_pem }
    }

    /// The four files that servers read.
    #[must_use]
    pub fn pem_set(&self) -> PemSet {
        PemSet::new(&self.chain_pem, self.private_key_pem.clone())
    }
}
