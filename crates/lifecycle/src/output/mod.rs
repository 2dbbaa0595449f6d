//! Forms in which a finished certificate is handed over.

mod pem;
pub use pem::PemSet;
pub(crate) use pem::write_chain;

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
