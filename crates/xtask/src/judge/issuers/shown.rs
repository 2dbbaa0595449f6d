//! Proofs in TLS handshakes, by the responder of `judge pebble`: what is judged here is that an issuer walks an order
//! by any solver.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use perennial::{
    acme::{
        ChallengeKind, Identifier,
        challenge::{KeyAuthorization, http01, tls_alpn01},
    },
    issuers::{Error, Proof, Solver, Task},
};
use rustls_pki_types::PrivateKeyDer;

use crate::judge::pebble::responder::Responder;

/// Shows proofs of one kind.
pub(super) struct Shown {
    kind: ChallengeKind,
    responder: Arc<Responder>,
    /// By name: what a certificate is made from is more than what is on record.
    keys: Mutex<HashMap<String, KeyAuthorization>>,
}

impl Shown {
    pub(super) fn new(kind: ChallengeKind, responder: Arc<Responder>) -> Self {
        Self { kind, responder, keys: Mutex::default() }
    }

    fn show(&self, proof: &Proof) -> Result<(), String> {
        if self.kind == ChallengeKind::Http01 {
            self.responder.show_http(proof.at.as_str(), proof.value.as_str());
            return Ok(());
        }
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(proof.name.as_str()).ok_or("there is no such proof")?;
        let name = Identifier::from(proof.name.clone());
        let made = tls_alpn01::certificate(&name, key).map_err(|error| error.to_string())?;
        let private_key = PrivateKeyDer::Pkcs8(made.private_key.expose().to_vec().into());
        self.responder.show_tls(proof.name.as_str(), made.certificate, &private_key)
    }
}

#[async_trait]
impl Solver for Shown {
    fn kind(&self) -> ChallengeKind {
        self.kind.clone()
    }

    fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
        let key = task.key_authorization;
        let token = key.as_str().split('.').next().unwrap_or_default();
        let at = match self.kind {
            ChallengeKind::Http01 => format!("{}{token}", http01::DIRECTORY),
            _ => task.name.to_string(),
        };
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(task.name.to_string(), key.clone());
        Ok(Proof::new(&self.kind, task.name.clone(), at, key.as_str()))
    }

    async fn present(&self, proofs: &[Proof]) -> Result<(), Error> {
        let shown = proofs.iter().try_for_each(|proof| self.show(proof));
        shown.map_err(|reason| Error::Configuration { reason })
    }

    async fn wait(&self, _: &[Proof], _: Duration) -> Result<(), Error> {
        Ok(())
    }

    /// The responder ends with the suite.
    async fn clean_up(&self, _: &[Proof]) -> Result<(), Error> {
        Ok(())
    }
}
