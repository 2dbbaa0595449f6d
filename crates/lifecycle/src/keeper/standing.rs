//! How a keeper's issuers do, for those who show it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{IssuerName, Status, rest::Rests};

/// How a keeper's issuers do. It keeps no keeper alive.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(super) issuers: Vec<IssuerName>,
    pub(super) rests: Arc<Mutex<Rests>>,
}

impl Standing {
    /// Each issuer, and whether it is ready.
    pub(crate) fn of_all(&self) -> Vec<(IssuerName, Status)> {
        let rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        self.issuers.iter().map(|issuer| (issuer.clone(), rests.readiness(issuer))).collect()
    }
}
