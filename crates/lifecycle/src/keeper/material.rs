//! Keys and chains as the store holds them.

use perennial_core::{SecretBytes, SecretString};

use super::{Inner, Issued};
use crate::{
    CertificateId, Error, Facts, Generation, IssuedChain, KeyAlgorithm, KeyError, KeyRotation, Material,
    PrivateKey, Record, Slot, StoreError,
};

/// How the key and chain of the certificate that serves were found.
pub(super) async fn found(inner: &Inner, record: &Record) -> Result<Material, Error> {
    let Some(current) = &record.current else { return Ok(Material::Missing) };
    let (key, chain) = read_both(inner, record.id(), current.generation).await?;
    let (Some(key), Some(chain)) = (key, chain) else { return Ok(Material::Missing) };
    Ok(belong_together(&current.facts, &key, &chain))
}

/// Whether a store that answers cannot read what lies in one slot. That is no reason to replace a certificate: a store
/// that is opened with the wrong keys can read none.
pub(super) const fn is_of_one_slot(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. } | StoreError::Io { .. } | StoreError::Sealed { .. })
}

fn belong_together(facts: &Facts, key: &SecretBytes, chain: &SecretBytes) -> Material {
    let same_certificate =
        Facts::from_pem(chain.expose()).is_ok_and(|found| found.fingerprint == facts.fingerprint);
    let own_key = private_key(key).is_ok_and(|key| facts.has_key(&key));
    if same_certificate && own_key { Material::Whole } else { Material::Mismatched }
}

/// The certificate that serves, if its key and chain belong together.
pub(super) async fn current(inner: &Inner, record: &Record) -> Result<Option<Issued>, Error> {
    let Some(current) = &record.current else { return Ok(None) };
    let (key, chain) = read_both(inner, record.id(), current.generation).await?;
    let (Some(key), Some(chain)) = (key, chain) else { return Ok(None) };
    if belong_together(&current.facts, &key, &chain) != Material::Whole {
        return Ok(None);
    }
    Ok(Some(Issued {
        generation: current.generation,
        facts: current.facts.clone(),
        issued_at: current.issued_at,
        chain_pem: String::from_utf8_lossy(chain.expose()).into_owned(),
        private_key_pem: private_key(&key)?.to_pem(),
    }))
}

/// The chain of a generation, or `None` when it is gone or damaged.
pub(super) async fn chain(
    inner: &Inner,
    id: &CertificateId,
    generation: Generation,
) -> Result<Option<IssuedChain>, StoreError> {
    let bytes = inner.store.read(&chain_slot(id, generation)).await?;
    Ok(bytes.and_then(|bytes| IssuedChain::from_pem(String::from_utf8_lossy(bytes.expose())).ok()))
}

/// The key of a generation.
pub(super) async fn key(
    inner: &Inner,
    id: &CertificateId,
    generation: Generation,
) -> Result<PrivateKey, Error> {
    let slot = key_slot(id, generation);
    let bytes = inner.store.read(&slot).await?.ok_or(StoreError::SlotMissing { slot })?;
    Ok(private_key(&bytes)?)
}

/// A new key, made where it holds nobody up.
pub(super) async fn fresh_key(algorithm: KeyAlgorithm) -> Result<SecretString, Error> {
    let made = tokio::task::spawn_blocking(move || PrivateKey::generate(algorithm).map(|key| key.to_pem()));
    let made = made.await.map_err(|error| KeyError::Generate { algorithm, reason: error.to_string() })?;
    Ok(made?)
}

/// The key that serves now, where the spec wants to keep it and it is what the certificate says. One that is
/// gone, of another kind or in other hands is replaced: a certificate with a new key is better than none.
pub(super) async fn kept_key(inner: &Inner, record: &Record) -> Result<Option<SecretString>, Error> {
    let keeps = record.spec.rotation() == KeyRotation::Never;
    let Some(current) = record.current.as_ref().filter(|_| keeps) else { return Ok(None) };
    if current.issued_for.key() != record.spec.key() || record.is_compromised(current.generation) {
        return Ok(None);
    }
    match key(inner, record.id(), current.generation).await {
        Ok(key) if current.facts.has_key(&key) => Ok(Some(key.to_pem())),
        Ok(_) | Err(Error::Key(_) | Error::Store(StoreError::SlotMissing { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read_both(
    inner: &Inner,
    id: &CertificateId,
    generation: Generation,
) -> Result<(Option<SecretBytes>, Option<SecretBytes>), StoreError> {
    let key = inner.store.read(&key_slot(id, generation)).await?;
    Ok((key, inner.store.read(&chain_slot(id, generation)).await?))
}

pub(super) fn key_slot(id: &CertificateId, generation: Generation) -> Slot {
    Slot::PrivateKey { certificate: id.clone(), generation }
}

pub(super) fn chain_slot(id: &CertificateId, generation: Generation) -> Slot {
    Slot::Chain { certificate: id.clone(), generation }
}

fn private_key(bytes: &SecretBytes) -> Result<PrivateKey, KeyError> {
    let text = std::str::from_utf8(bytes.expose())
        .map_err(|_| KeyError::Unreadable { reason: "it is not text".to_owned() })?;
    PrivateKey::from_pem(&SecretString::new(text))
}
