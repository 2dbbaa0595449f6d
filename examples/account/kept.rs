//! The file that holds the account.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use perennial::{
    acme::{AccountCredentials, AccountKey},
    core::{SecretBytes, SecretString},
    lifecycle::output::write_private,
};

use crate::{failure::Failure, key};

/// Where the account is kept, and a key that has no account yet.
pub(crate) struct Kept {
    path: PathBuf,
}

impl Kept {
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The account, if there is one.
    pub(crate) fn read(&self) -> Result<Option<AccountCredentials>, Failure> {
        let unusable = |reason: &dyn std::fmt::Display| {
            Failure::local(format!("the account file {} cannot be used: {reason}", self.path.display()))
        };
        let bytes = match std::fs::read(&self.path).map(SecretBytes::new) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&error)),
        };
        let text = std::str::from_utf8(bytes.expose()).map_err(|_| unusable(&"it is no text"))?;
        AccountCredentials::from_json(&SecretString::new(text)).map(Some).map_err(|error| unusable(&error))
    }

    /// The account of the other verbs.
    pub(crate) fn require(&self) -> Result<AccountCredentials, Failure> {
        let missing = || {
            let path = self.path.display();
            Failure::usage(format!(
                "there is no account in {path}: register one, or name its file by --account"
            ))
        };
        self.read()?.ok_or_else(missing)
    }

    /// Keeps the account: whole or not at all, whatever happens meanwhile.
    pub(crate) fn write(&self, credentials: &AccountCredentials) -> Result<(), Failure> {
        self.write_text(&self.path, &credentials.to_json())
    }

    /// The key of a registration that did not come to its end.
    pub(crate) fn waiting_key(&self) -> Result<Option<Arc<AccountKey>>, Failure> {
        let path = self.waiting_path();
        if path.exists() { key::read(&path).map(|key| Some(Arc::new(key))) } else { Ok(None) }
    }

    /// Keeps a key before the CA hears of it: a registration whose answer is lost can be repeated, and finds
    /// the same account (RFC 8555 §7.3).
    pub(crate) fn write_waiting_key(&self, key: &AccountKey) -> Result<(), Failure> {
        self.write_text(&self.waiting_path(), &key.to_pkcs8_pem())
    }

    /// The key is in the account's file now.
    pub(crate) fn remove_waiting_key(&self) {
        // What is left of it does no harm: the next registration finds the account again.
        let _ = std::fs::remove_file(self.waiting_path());
    }

    fn waiting_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".key");
        name.into()
    }

    fn write_text(&self, path: &Path, text: &SecretString) -> Result<(), Failure> {
        write_private(path, &SecretBytes::new(text.expose().as_bytes()))
            .map_err(|error| Failure::local(error.to_string()))
    }
}
