//! Secrets that a store sees sealed only.

use std::sync::Arc;

use async_trait::async_trait;
use perennial_core::SecretBytes;

use super::{Batch, Slot, Store, Version};
use crate::StoreError;

mod aes_gcm;
pub use aes_gcm::Aes256GcmEnvelope;

/// Seals what is secret before a store has it, and opens it again.
///
/// [`Aes256GcmEnvelope`] does so with a key of its own; another one may ask a key management service, and seal
/// with a data key that only that service can open.
///
/// # Contract
/// - What `seal` returns MUST tell nothing about the bytes but their length, and `open` MUST refuse what was
///   changed, or was sealed for another slot: who writes to the database must not choose which key serves.
/// - `open` MUST open what any earlier key has sealed until everything was written anew.
/// - Both may be called from any number of tasks at once.
#[async_trait]
pub trait Envelope: Send + Sync {
    /// Seals the content of a slot.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] when it cannot be sealed, [`StoreError::Unavailable`] when a key service is gone.
    async fn seal(&self, slot: &Slot, content: &SecretBytes) -> Result<SecretBytes, StoreError>;

    /// Opens what was sealed.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] when it was changed, was sealed for another slot, or by a key that is not known;
    /// [`StoreError::Unavailable`] when a key service is gone.
    async fn open(&self, slot: &Slot, sealed: &SecretBytes) -> Result<SecretBytes, StoreError>;
}

/// A store over a store, which sees private keys and the state of issuers sealed only.
///
/// Chains are public and stay as they are, and so do records, which hold no secrets. It is meant for databases,
/// whose backups and logs go far; a server cannot read a sealed `privkey.pem` of a file store.
///
/// ```
/// use perennial_core::SecretBytes;
/// use perennial_lifecycle::{MemoryStore, Slot, Store as _};
/// use perennial_lifecycle::store::{Aes256GcmEnvelope, Sealed};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let envelope = Aes256GcmEnvelope::new(1, &[7; 32]);
/// let store = Sealed::new(MemoryStore::new(), envelope);
/// let slot = Slot::IssuerState { issuer: "letsencrypt".parse()? };
/// store.write(&slot, &SecretBytes::new(*b"account key")).await?;
/// assert!(store.read(&slot).await?.is_some_and(|state| state.expose() == b"account key"));
/// assert!(store.inner().read(&slot).await?.is_some_and(|sealed| sealed.expose() != b"account key"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sealed<S> {
    inner: S,
    envelope: Arc<dyn Envelope>,
}

impl<S: Store> Sealed<S> {
    /// A store that seals what it writes, and opens what it reads.
    #[must_use]
    pub fn new(inner: S, envelope: impl Envelope + 'static) -> Self {
        Self { inner, envelope: Arc::new(envelope) }
    }

    /// The store below, where secrets are sealed.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    async fn seal(&self, slot: &Slot, content: &SecretBytes) -> Result<SecretBytes, StoreError> {
        if slot.is_secret() { self.envelope.seal(slot, content).await } else { Ok(content.clone()) }
    }
}

#[async_trait]
impl<S: Store> super::Overlay for Sealed<S> {
    type Below = S;

    fn below(&self) -> &S {
        &self.inner
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        if batch.writes().is_empty() {
            return self.inner.apply(batch).await;
        }
        let mut sealed = Vec::new();
        for (slot, content) in batch.writes() {
            sealed.push((slot.clone(), self.seal(slot, content).await?));
        }
        self.inner.apply(&batch.clone().with_writes(sealed)).await
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        match self.inner.read(slot).await? {
            Some(sealed) if slot.is_secret() => self.envelope.open(slot, &sealed).await.map(Some),
            found => Ok(found),
        }
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.inner.write(slot, &self.seal(slot, bytes).await?).await
    }

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        // Nothing is sealed in the same way twice, so what lies there is compared open, and swapped sealed.
        let there = self.inner.read(slot).await?;
        let opened = match &there {
            Some(sealed) if slot.is_secret() => Some(self.envelope.open(slot, sealed).await?),
            there => there.clone(),
        };
        super::check_slot(slot, expected, opened.as_ref())?;
        self.inner.write_if(slot, there.as_ref(), &self.seal(slot, bytes).await?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateSpec, Generation, MemoryStore, Record};

    fn key() -> Slot {
        Slot::PrivateKey { certificate: "a".parse().unwrap(), generation: Generation::from_number(1) }
    }

    fn store() -> Sealed<MemoryStore> {
        Sealed::new(MemoryStore::new(), Aes256GcmEnvelope::new(1, &[7; 32]))
    }

    #[tokio::test]
    async fn keeps_the_laws_of_stores() {
        crate::store::laws::check(&store()).await.unwrap();
    }

    #[tokio::test]
    async fn the_store_below_sees_secrets_sealed_and_chains_as_they_are() {
        let store = store();
        let record = Record::new(CertificateSpec::new("a", ["a.example"]).unwrap());
        let chain = Slot::Chain { certificate: "a".parse().unwrap(), generation: Generation::from_number(1) };
        let batch = Batch::new()
            .change(record, None)
            .write(key(), SecretBytes::new(*b"a key"))
            .write(chain.clone(), SecretBytes::new(*b"a chain"));
        store.apply(&batch).await.unwrap();
        let below = async |slot: Slot| store.inner().read(&slot).await.unwrap().unwrap().expose().to_vec();
        let sealed = below(key()).await;
        assert!(!sealed.windows(5).any(|window| window == b"a key"), "{sealed:?}");
        assert_eq!(below(chain.clone()).await, b"a chain");
        assert!(store.read(&key()).await.unwrap().unwrap().expose() == b"a key");
        assert!(store.read(&chain).await.unwrap().unwrap().expose() == b"a chain");
    }

    #[tokio::test]
    async fn a_key_that_somebody_else_put_there_is_not_used() {
        let store = store();
        let planted = SecretBytes::new(*b"-----BEGIN PRIVATE KEY-----");
        store.inner().write(&key(), &planted).await.unwrap();
        let refused = store.read(&key()).await.map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Sealed { .. }), "{refused}");
    }
}
