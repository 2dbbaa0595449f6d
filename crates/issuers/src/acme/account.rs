//! The account at the CA: made once, kept, and shared by every certificate of the issuer (RFC 8555 §7.3).

use std::{path::PathBuf, sync::Arc};

use perennial_acme::{Account, Client, Es256, NewAccount};
use perennial_core::{SecretBytes, SecretString};
use perennial_lifecycle::{Journal, output};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::{Zeroize, Zeroizing};

use crate::Error;

/// Finds or makes the account, one caller at a time.
pub(super) struct AccountKeeper {
    directory: String,
    file: Option<PathBuf>,
    contacts: Vec<String>,
    agreed: bool,
    /// Two certificates that start at once must not register two accounts.
    known: Mutex<Option<Account>>,
}

/// What is kept: the key first, the URL once the CA has answered.
#[derive(Serialize, Deserialize)]
struct Credentials {
    directory: String,
    account_url: Option<String>,
    private_key_pem: String,
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.private_key_pem.zeroize();
    }
}

impl AccountKeeper {
    pub(super) fn new(directory: String, file: Option<PathBuf>, contacts: Vec<String>, agreed: bool) -> Self {
        Self { directory, file, contacts, agreed, known: Mutex::new(None) }
    }

    /// The account. The key is durable before the CA hears of it, so a crash in between finds the same
    /// account again (RFC 8555 §7.3: a known key gets its account back).
    pub(super) async fn account(&self, client: &Client, journal: &Journal) -> Result<Account, Error> {
        let mut known = self.known.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let account = self.find_or_register(client, journal).await?;
        *known = Some(account.clone());
        Ok(account)
    }

    /// Forgets the account in memory, for a CA that has forgotten it too.
    pub(super) async fn forget(&self) {
        *self.known.lock().await = None;
    }

    async fn find_or_register(&self, client: &Client, journal: &Journal) -> Result<Account, Error> {
        let kept = self.load(journal).await?.filter(|kept| kept.directory == self.directory);
        if let Some((url, kept)) = kept.as_ref().and_then(|kept| Some((kept.account_url.as_deref()?, kept))) {
            return Ok(client.account(url, Arc::new(self.key(kept)?))?);
        }
        let mut credentials = match kept {
            Some(kept) => kept,
            None => {
                let key =
                    Es256::generate().map_err(|error| Error::Configuration { reason: error.to_string() })?;
                Credentials {
                    directory: self.directory.clone(),
                    account_url: None,
                    private_key_pem: key.to_pkcs8_pem().expose().to_owned(),
                }
            }
        };
        self.keep(&credentials, journal).await?;
        let wanted = self
            .contacts
            .iter()
            .fold(NewAccount::new(), |account, contact| account.contact(contact.as_str()));
        let wanted = if self.agreed { wanted.agree_to_terms() } else { wanted };
        let account = client.register(wanted, Arc::new(self.key(&credentials)?)).await?;
        credentials.account_url = Some(account.url().to_string());
        self.keep(&credentials, journal).await?;
        Ok(account)
    }

    fn key(&self, credentials: &Credentials) -> Result<Es256, Error> {
        let pem = SecretString::new(credentials.private_key_pem.as_str());
        Es256::from_pkcs8_pem(&pem).map_err(|error| self.damaged(&format!("private_key_pem: {error}")))
    }

    async fn load(&self, journal: &Journal) -> Result<Option<Credentials>, Error> {
        let bytes = match &self.file {
            None => journal.issuer_state().await?,
            Some(path) if !path.exists() => None,
            Some(path) => Some(
                SecretBytes::from_file(path)
                    .map_err(|error| Error::AccountFile { path: path.clone(), reason: error.to_string() })?,
            ),
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let credentials = serde_json::from_slice::<Credentials>(bytes.expose());
        credentials.map(Some).map_err(|error| self.damaged(&error.to_string()))
    }

    async fn keep(&self, credentials: &Credentials, journal: &Journal) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(credentials).map(Zeroizing::new);
        let text = text.map_err(|error| self.damaged(&error.to_string()))?;
        let bytes = SecretBytes::new(text.to_vec());
        match &self.file {
            None => Ok(journal.keep_issuer_state(&bytes).await?),
            Some(path) => Ok(output::write_private(path, &bytes)?),
        }
    }

    fn damaged(&self, reason: &str) -> Error {
        let remedy = "restore it, or move it away to register a new account";
        match &self.file {
            Some(path) => Error::AccountFile { path: path.clone(), reason: format!("{reason}; {remedy}") },
            None => Error::Configuration {
                reason: format!("the account kept for {} is damaged: {reason}; {remedy}", self.directory),
            },
        }
    }
}
