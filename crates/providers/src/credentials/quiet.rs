//! Requests whose secrets are in their bodies.

use async_trait::async_trait;
use bytes::Bytes;
use perennial_core::{SecretString, Timestamp};

use crate::{
    Error,
    vendor::{Authorize, Credential, Fingerprint, Secrets},
};

/// Adds nothing to a request; knows what must not be seen of it, and whether it depends on the time.
pub(super) struct Quiet {
    credentials: Vec<Credential>,
    signs_time: bool,
}

impl Quiet {
    /// Requests that hold these.
    pub(super) fn new(credentials: impl IntoIterator<Item = Credential>) -> Self {
        Self { credentials: credentials.into_iter().collect(), signs_time: false }
    }

    /// Requests with a signature in their body that is good for a while.
    pub(super) const fn signing_time(mut self) -> Self {
        self.signs_time = true;
        self
    }
}

#[async_trait]
impl Authorize for Quiet {
    async fn authorize(&self, _: &mut http::Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let current = self.credentials.iter().map(Credential::current);
        Ok(current.fold(Secrets::none(), Secrets::and))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let current: Vec<_> = self.credentials.iter().map(Credential::current).collect();
        (!current.is_empty()).then(|| Fingerprint::of(current.iter().map(SecretString::expose)))
    }

    fn signs_time(&self) -> bool {
        self.signs_time
    }
}
