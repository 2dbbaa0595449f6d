//! Where a CA's certificate and key come from, and whether they are still the same.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

#[cfg(doc)]
use perennial_core::PrivateKey;
use perennial_core::{SecretError, SecretString};
use perennial_lifecycle::{CertificateId, Generation, Record, Slot, Store, StoreError};
use zeroize::Zeroizing;

use super::{Authority, AuthorityFault, Signer};
use crate::Error;

/// Where a CA's certificate and its key come from.
pub struct CaSource(Kind);

enum Kind {
    Files { chain: PathBuf, key: PathBuf },
    Kept { store: Arc<dyn Store>, certificate: CertificateId },
    Pem { chain: String, key: SecretString },
    Signer { chain: String, signer: Arc<dyn Signer> },
}

impl CaSource {
    /// A certificate that a keeper keeps in this store: the CA is renewed, and gets new keys, as any certificate, and
    /// what is issued afterwards is signed with the new one. While it is not there, what is to be signed waits.
    pub fn certificate(store: Arc<dyn Store>, certificate: CertificateId) -> Self {
        Self(Kind::Kept { store, certificate })
    }

    /// Files that somebody else keeps: the CA's certificate and those above it as PEM, and its key as
    /// [PEM](PrivateKey::from_pem). They are read again when they have changed.
    pub fn files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self(Kind::Files { chain: chain.into(), key: key.into() })
    }

    /// The CA's certificate and those above it as PEM, and its key as [PEM](PrivateKey::from_pem): PKCS#8, PKCS#1 or
    /// SEC 1.
    pub fn pem(chain: impl Into<String>, key: impl Into<SecretString>) -> Self {
        Self(Kind::Pem { chain: chain.into(), key: key.into() })
    }

    /// The CA's certificate and those above it as PEM, and who signs with its key.
    pub fn signer(chain: impl Into<String>, signer: Arc<dyn Signer>) -> Self {
        Self(Kind::Signer { chain: chain.into(), signer })
    }

    /// Reads what is given once and for all.
    pub(super) fn open(self) -> Result<Source, AuthorityFault> {
        Ok(match self.0 {
            Kind::Files { chain, key } => Source::Files { chain, key, read: Mutex::default() },
            Kind::Kept { store, certificate } => Source::Kept { store, certificate, read: Mutex::default() },
            Kind::Pem { chain, key } => Source::Fixed(Arc::new(Authority::with_key(&chain, &key)?)),
            Kind::Signer { chain, signer } => {
                Source::Fixed(Arc::new(Authority::with_signer(&chain, signer)?))
            }
        })
    }
}

/// A source, and what was read of it last.
pub(super) enum Source {
    /// All that were read of the files, newest first.
    Files {
        chain: PathBuf,
        key: PathBuf,
        read: Mutex<Vec<(Stamps, Arc<Authority>)>>,
    },
    Fixed(Arc<Authority>),
    Kept {
        store: Arc<dyn Store>,
        certificate: CertificateId,
        read: Mutex<Vec<(Generation, Arc<Authority>)>>,
    },
}

impl Source {
    /// The CA that signs now, and the ones before it whose keys are still known, newest first.
    pub(super) async fn all(&self) -> Result<Vec<Arc<Authority>>, Error> {
        match self {
            Self::Files { chain, key, read } => {
                let last = read.lock().unwrap_or_else(PoisonError::into_inner).first().cloned();
                let (chain, key) = (chain.clone(), key.clone());
                let now = tokio::task::spawn_blocking(move || read_files(&chain, &key, last)).await;
                let now = now.map_err(|error| Error::Unsigned { reason: error.to_string() })??;
                let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                if read.first().is_none_or(|(stamps, _)| *stamps != now.0) {
                    read.insert(0, now);
                    read.truncate(MOST_READ);
                }
                Ok(read.iter().map(|(_, authority)| authority.clone()).collect())
            }
            Self::Fixed(authority) => Ok(vec![authority.clone()]),
            Self::Kept { store, certificate, read } => {
                let known = read.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let now = read_kept(&**store, certificate, known).await?;
                let authorities = now.iter().map(|(_, authority)| authority.clone()).collect();
                *read.lock().unwrap_or_else(PoisonError::into_inner) = now;
                Ok(authorities)
            }
        }
    }
}

/// When two files were written, and how long they are.
type Stamps = [(Option<SystemTime>, u64); 2];

fn read_files(
    chain: &Path,
    key: &Path,
    last: Option<(Stamps, Arc<Authority>)>,
) -> Result<(Stamps, Arc<Authority>), AuthorityFault> {
    let stamps = [stamp(chain)?, stamp(key)?];
    if let Some(last) = last.filter(|(known, _)| *known == stamps) {
        return Ok(last);
    }
    // Whatever it is by now: a pipe would be waited for, and a device has no end.
    let text = |path: &Path| {
        let unusable = |error: SecretError| {
            let reason = error.to_string();
            AuthorityFault::File { path: path.to_owned(), reason }
        };
        SecretString::text_of_file(path, LARGEST).map_err(unusable)
    };
    Ok((stamps, Arc::new(Authority::with_key(text(chain)?.expose(), &text(key)?)?)))
}

fn stamp(path: &Path) -> Result<(Option<SystemTime>, u64), AuthorityFault> {
    let found = fs::metadata(path).map_err(|error| fault(path, &error))?;
    if found.len() > LARGEST {
        let reason = format!("it has {} bytes, a chain or key has {LARGEST} at most", found.len());
        return Err(AuthorityFault::File { path: path.to_owned(), reason });
    }
    Ok((found.modified().ok(), found.len()))
}

fn fault(path: &Path, error: &io::Error) -> AuthorityFault {
    AuthorityFault::File { path: path.to_owned(), reason: error.to_string() }
}

/// The certificate that serves and the one before it, as far as they may be trusted.
async fn read_kept(
    store: &dyn Store,
    certificate: &CertificateId,
    known: Vec<(Generation, Arc<Authority>)>,
) -> Result<Vec<(Generation, Arc<Authority>)>, Error> {
    let not_issued = || AuthorityFault::NotIssued { certificate: certificate.clone() };
    let (_, record) = store.load(certificate).await?.ok_or_else(not_issued)?;
    let current = record.current.as_ref().ok_or_else(not_issued)?.generation;
    if is_compromised(&record, current) {
        return Err(AuthorityFault::Compromised { certificate: certificate.clone() }.into());
    }
    let previous = record.previous.filter(|previous| !is_compromised(&record, *previous));
    let mut found = Vec::new();
    for generation in [Some(current), previous].into_iter().flatten() {
        if let Some((_, authority)) = known.iter().find(|(it, _)| *it == generation) {
            found.push((generation, authority.clone()));
            continue;
        }
        match read_generation(store, certificate, generation).await {
            Ok(authority) => found.push((generation, Arc::new(authority))),
            Err(error) if generation == current => return Err(error),
            // It signs nothing any more.
            Err(_) => {}
        }
    }
    Ok(found)
}

async fn read_generation(
    store: &dyn Store,
    certificate: &CertificateId,
    generation: Generation,
) -> Result<Authority, Error> {
    let chain = Slot::Chain { certificate: certificate.clone(), generation };
    let key = Slot::PrivateKey { certificate: certificate.clone(), generation };
    let missing = |slot: &Slot| StoreError::SlotMissing { slot: slot.clone() };
    let chain_pem = store.read(&chain).await?.ok_or_else(|| missing(&chain))?;
    let key_pem = store.read(&key).await?.ok_or_else(|| missing(&key))?;
    let text = |bytes: &[u8]| Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let key_pem = SecretString::new(text(key_pem.expose()).as_str());
    Ok(Authority::with_key(&text(chain_pem.expose()), &key_pem)?)
}

fn is_compromised(record: &Record, generation: Generation) -> bool {
    record.compromised.iter().any(|compromised| compromised.generation == generation)
}

/// A CA lives for years: who has so many at once is told of the newest.
const MOST_READ: usize = 16;
/// Sixteen certificates with room to spare.
const LARGEST: u64 = 1 << 20;
