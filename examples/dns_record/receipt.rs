//! The file of a receipt.
//!
//! It is written before the record is made, so that no crash and no lost answer leaves a record that nobody
//! knows of; and once more with what the provider says of the record.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use perennial::providers::Receipt;

use crate::{failure::Failure, said::to_json};

/// More than any receipt has: a value of 4096 bytes, escaped, and names.
const MOST: u64 = 64 * 1024;

/// A receipt in its file.
pub(crate) struct ReceiptFile(PathBuf);

impl ReceiptFile {
    /// Writes a receipt down that nobody has yet. A file that is there may be the receipt of another record: it
    /// is not overwritten.
    pub(crate) fn create(path: &Path, receipt: &Receipt) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::usage(format!(
                "--receipt {} is there already: remove what it is for, or name another file",
                path.display()
            )),
            _ => Failure::usage(format!("--receipt {} cannot be written: {error}", path.display())),
        })?;
        let written = file.write_all(format!("{}\n", to_json(receipt)?).as_bytes());
        written.and_then(|()| file.sync_all()).map_err(|error| unusable(path, &error))?;
        Ok(Self(path.to_owned()))
    }

    /// Writes down what is known more exactly now. The file stays one or the other whenever this program ends.
    pub(crate) fn replace(&self, receipt: &Receipt) -> Result<(), Failure> {
        let mut beside = self.0.clone().into_os_string();
        beside.push(".new");
        std::fs::write(&beside, format!("{}\n", to_json(receipt)?))
            .and_then(|()| std::fs::rename(&beside, &self.0))
            .map_err(|error| unusable(&self.0, &error))
    }

    /// Reads a receipt.
    pub(crate) fn open(path: &Path) -> Result<(Self, Receipt), Failure> {
        let unfit = |reason: &dyn std::fmt::Display| {
            Failure::usage(format!("--receipt {} is no receipt of `add`: {reason}", path.display()))
        };
        let length = std::fs::metadata(path).map_err(|error| unfit(&error))?.len();
        if length > MOST {
            return Err(unfit(&format!("it has {length} bytes")));
        }
        let text = std::fs::read(path).map_err(|error| unfit(&error))?;
        let receipt = serde_json::from_slice(&text).map_err(|error| unfit(&error))?;
        Ok((Self(path.to_owned()), receipt))
    }

    /// What it is for is gone, or was never there.
    pub(crate) fn paid(self) -> Result<(), Failure> {
        std::fs::remove_file(&self.0).map_err(|error| unusable(&self.0, &error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!("--receipt {}: {error}", path.display()))
}
