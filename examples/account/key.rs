//! Keys of accounts: made, read, or given by the CA to bind the account with.

use std::{path::Path, str::FromStr, sync::Arc};

use perennial::{
    acme::{AccountKey, Algorithm, ExternalAccount, MacAlgorithm},
    core::SecretString,
    lifecycle::{KeyAlgorithm, PrivateKey},
};

use crate::{
    args::{NewKey, Register},
    failure::Failure,
};

/// A kind of account key, named by the signature algorithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyType(Algorithm);

impl FromStr for KeyType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kinds = [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256];
        let found = kinds.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text));
        found.map(Self).ok_or_else(|| "use es256, es384, eddsa or rs256".to_owned())
    }
}

impl NewKey {
    /// The key that the command line asks for.
    pub(crate) fn make(&self) -> Result<Arc<AccountKey>, Failure> {
        let key = match (&self.key, self.key_type) {
            (Some(path), _) => read(path)?,
            // 2048 bits: all CAs take it, and larger ones sign slower for no gain in an account's life.
            (None, KeyType(Algorithm::Rs256)) => {
                let key = PrivateKey::generate(KeyAlgorithm::Rsa2048);
                AccountKey::from_pem(&key.map_err(|error| Failure::local(error.to_string()))?.to_pem())
                    .map_err(|error| Failure::local(error.to_string()))?
            }
            (None, KeyType(algorithm)) => {
                AccountKey::generate_with(algorithm).map_err(|error| Failure::local(error.to_string()))?
            }
        };
        Ok(Arc::new(key))
    }
}

/// A key in a PEM file of this or another program.
pub(crate) fn read(path: &Path) -> Result<AccountKey, Failure> {
    let unusable = |reason: &dyn std::fmt::Display| {
        Failure::usage(format!("the key in {} cannot be used: {reason}", path.display()))
    };
    let text = perennial::core::SecretBytes::from_file(path).map_err(|error| unusable(&error))?;
    let text = std::str::from_utf8(text.expose()).map_err(|_| unusable(&"it is no text"))?;
    AccountKey::from_pem(&SecretString::new(text)).map_err(|error| unusable(&error))
}

impl Register {
    /// Whom to bind the account to.
    pub(crate) fn external_account(&self) -> Result<Option<ExternalAccount>, Failure> {
        let Some(key) = &self.eab_key else { return Ok(None) };
        let from_environment = std::env::var("ACME_EAB_KEY").is_ok_and(|text| text == *key);
        let Some(key_id) = &self.eab_kid else {
            // A variable may be there for another run.
            return if from_environment {
                Ok(None)
            } else {
                Err(Failure::usage("--eab-key needs --eab-kid beside it".to_owned()))
            };
        };
        let key = match key.strip_prefix('@') {
            Some(path) => SecretString::from_file(path)
                .map_err(|error| Failure::usage(format!("--eab-key: {error}")))?,
            None if from_environment => SecretString::new(key),
            // The text may be the key: it is not shown.
            None => {
                return Err(Failure::usage(
                    "--eab-key needs the form @FILE, or the key in the variable ACME_EAB_KEY: on a command \
                     line every user of this machine can read it"
                        .to_owned(),
                ));
            }
        };
        let customer = ExternalAccount::new(key_id, &key);
        let customer = customer.map_err(|error| Failure::usage(format!("--eab-key: {error}")))?;
        Ok(Some(customer.algorithm(self.eab_mac)))
    }
}

/// Reads `--eab-mac`.
pub(crate) fn mac(text: &str) -> Result<MacAlgorithm, String> {
    let all = [MacAlgorithm::Hs256, MacAlgorithm::Hs384, MacAlgorithm::Hs512];
    let found = all.into_iter().find(|mac| mac.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "use hs256, hs384 or hs512".to_owned())
}
