//! Forms in which a finished certificate is handed over, and what is trusted with it.
//!
//! All are made of a [`CertifiedKey`], of which it is known that key and certificate belong together:
//!
//! | form | made by |
//! |---|---|
//! | the four PEM files | [`CertifiedKey::pem_set`] |
//! | key and chain in one PEM text | [`CertifiedKey::combined_pem`] |
//! | DER | [`CertifiedKey::private_key_der`], [`CertifiedKey::chain_der`] |
//! | PKCS#12 | [`Pkcs12`] |
//! | a Java key store | [`Jks`] |
//! | a secret of a Kubernetes cluster | [`SecretManifest`] |

mod certified_key;
pub use certified_key::CertifiedKey;
#[cfg(test)]
pub(crate) use certified_key::tests;

mod error;
pub use error::OutputError;

mod jks;
pub use jks::Jks;

mod kubernetes;
pub use kubernetes::SecretManifest;

mod password;

mod pem;
pub use pem::PemSet;
pub(crate) use pem::{encode as encode_pem, write_chain};

mod pkcs12;
pub use pkcs12::{Pkcs12, Pkcs12Profile};

use std::path::Path;

use perennial_core::SecretBytes;

use crate::{
    StoreError,
    durable::{Disk, Mode},
};

/// Replaces a file by secret content, atomically and durably, readable by the owner alone; makes its
/// directory if there is none.
///
/// # Errors
/// [`StoreError::Io`] with the file and the operating system's reason; the old file stays.
pub fn write_private(path: impl AsRef<Path>, content: &SecretBytes) -> Result<(), StoreError> {
    write(path.as_ref(), content.expose(), Mode::Private)
}

/// The same of content that everybody may read, such as trust anchors.
///
/// ```
/// use perennial_lifecycle::output::write_public;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("trust/ca.pem");
/// write_public(&path, b"-----BEGIN CERTIFICATE-----\n")?;
/// assert_eq!(std::fs::read(&path)?, b"-----BEGIN CERTIFICATE-----\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`write_private`].
pub fn write_public(path: impl AsRef<Path>, content: &[u8]) -> Result<(), StoreError> {
    write(path.as_ref(), content, Mode::Public)
}

fn write(path: &Path, content: &[u8], mode: Mode) -> Result<(), StoreError> {
    let disk = Disk::default();
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        disk.create_directory(directory)?;
    }
    disk.replace(path, content, mode)
}

/// What a key is called in a store, as cert-manager calls it.
const ALIAS: &str = "certificate";
