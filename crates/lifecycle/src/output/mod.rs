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
    let (disk, path) = (Disk::default(), path.as_ref());
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        disk.create_directory(directory)?;
    }
    disk.replace(path, content.expose(), Mode::Private)
}

/// What a key is called in a store, as cert-manager calls it.
const ALIAS: &str = "certificate";
