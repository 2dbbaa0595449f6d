//! The account at the CA: made once, kept, and shared by every certificate of the issuer (RFC 8555 §7.3).

use std::{collections::BTreeMap, fs, io, path::PathBuf, sync::Arc};

use perennial_acme::{Account, AccountKey, Client, NewAccount, Signer as _};
use perennial_core::{SecretBytes, SecretError, SecretString};
use perennial_lifecycle::{Journal, StoreError, output};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::{Zeroize, Zeroizing};

use crate::Error;

/// Finds or makes the account, one caller at a time.
pub(super) struct AccountKeeper {
    directory: String,
    file: Option<PathBuf>,
    /// What a new one is asked for with.
    wanted: NewAccount,
    /// Two certificates that start at once must not register two accounts.
    known: Mutex<Option<Account>>,
}

/// What is kept: an account for each CA, by its directory. Who goes from a staging CA to the real one, and
/// perhaps back, loses neither key.
#[derive(Default, Serialize, Deserialize)]
struct Accounts {
    accounts: BTreeMap<String, Credentials>,
}

/// The key first, the URL once the CA has answered.
#[derive(Serialize, Deserialize)]
struct Credentials {
    url: Option<String>,
    private_key_pem: String,
}

/// What was found, and the text in which it stood.
#[derive(Default)]
struct Kept {
    text: Option<SecretBytes>,
    accounts: Accounts,
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.private_key_pem.zeroize();
    }
}

impl AccountKeeper {
    pub(super) fn new(directory: String, file: Option<PathBuf>, wanted: NewAccount) -> Self {
        Self { directory, file, wanted, known: Mutex::new(None) }
    }

    /// The URL of the CA's directory.
    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// The account. The key is durable before the CA hears of it, so a crash in between finds the same
    /// account again (RFC 8555 §7.3: a known key gets its account back).
    pub(super) async fn account(&self, client: &Client, journal: &Journal) -> Result<Account, Error> {
        let mut known = self.known.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let account = self.find_or_register(client, journal, None).await?;
        *known = Some(account.clone());
        Ok(account)
    }

    /// The account that takes the place of one that the CA has forgotten: registered anew, with the same key.
    pub(super) async fn replacement(
        &self,
        gone: &Account,
        client: &Client,
        journal: &Journal,
    ) -> Result<Account, Error> {
        let mut known = self.known.lock().await;
        // When another certificate met the same and was quicker, this finds what that one has kept.
        let account = self.find_or_register(client, journal, Some(gone.url())).await?;
        *known = Some(account.clone());
        Ok(account)
    }

    /// Processes that share what is kept may begin at the same moment. A store lets the first of them write, and the
    /// others go on with what that one has written; a file knows no such thing, so whoever has written one looks again
    /// and goes on with what is there.
    async fn find_or_register(
        &self,
        client: &Client,
        journal: &Journal,
        gone: Option<&str>,
    ) -> Result<Account, Error> {
        for _ in 0..ROUNDS {
            let kept = self.load(journal).await?;
            let Some(own) = kept.accounts.accounts.get(&self.directory) else {
                let key = AccountKey::generate()
                    .map_err(|error| Error::Configuration { reason: error.to_string() })?;
                self.keep(kept, None, &key, journal).await?;
                continue;
            };
            let key = Arc::new(self.key(own)?);
            if let Some(url) = own.url.as_deref().filter(|url| Some(*url) != gone) {
                return Ok(client.account(url, key)?);
            }
            let account = client.register(self.wanted.clone(), key.clone()).await?;
            let kept = self.load(journal).await?;
            if self.is_kept(&kept.accounts, &key)?
                && self.keep(kept, Some(account.url()), &key, journal).await?
                && self.is_kept(&self.load(journal).await?.accounts, &key)?
            {
                return Ok(account);
            }
        }
        Err(self.damaged("somebody else replaces it again and again"))
    }

    /// Whether the account that is kept has this key.
    fn is_kept(&self, kept: &Accounts, key: &AccountKey) -> Result<bool, Error> {
        let own = kept.accounts.get(&self.directory).map(|own| self.key(own)).transpose()?;
        Ok(own.is_some_and(|own| own.jwk() == key.jwk()))
    }

    fn key(&self, credentials: &Credentials) -> Result<AccountKey, Error> {
        let pem = SecretString::new(credentials.private_key_pem.as_str());
        AccountKey::from_pkcs8_pem(&pem).map_err(|error| self.damaged(&format!("private_key_pem: {error}")))
    }

    async fn load(&self, journal: &Journal) -> Result<Kept, Error> {
        let bytes = match &self.file {
            None => journal.issuer_state().await?,
            Some(path) => {
                let path = path.clone();
                blocking(move || {
                    if fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                        return Ok(None);
                    }
                    let unusable = |error: SecretError| error.to_string();
                    let bytes = SecretBytes::from_file(&path).map_err(unusable);
                    bytes.map(Some).map_err(|reason| Error::AccountFile { path, reason })
                })
                .await?
            }
        };
        let Some(text) = &bytes else { return Ok(Kept::default()) };
        let accounts = serde_json::from_slice(text.expose()).map_err(|error| {
            // The parser quotes what it read, and that may be the key.
            let (line, column) = (error.line(), error.column());
            self.damaged(&format!("it has not the form of an account at line {line}, column {column}"))
        })?;
        Ok(Kept { text: bytes, accounts })
    }

    /// Adds the account to what was found; tells whether nobody else has written since.
    async fn keep(
        &self,
        found: Kept,
        url: Option<&str>,
        key: &AccountKey,
        journal: &Journal,
    ) -> Result<bool, Error> {
        let Kept { text: known, mut accounts } = found;
        let own = Credentials {
            url: url.map(str::to_owned),
            private_key_pem: key.to_pkcs8_pem().expose().to_owned(),
        };
        accounts.accounts.insert(self.directory.clone(), own);
        let text = serde_json::to_vec_pretty(&accounts).map(Zeroizing::new);
        let text = text.map_err(|error| self.damaged(&error.to_string()))?;
        let bytes = SecretBytes::new(text.to_vec());
        let kept = match self.file.clone() {
            None => journal.keep_issuer_state(known.as_ref(), &bytes).await.map_err(Error::from),
            Some(path) => {
                // What another program has added meanwhile is lost with this, and added by it again.
                blocking(move || Ok(output::write_private(path, &bytes)?)).await
            }
        };
        match kept {
            Ok(()) => Ok(true),
            Err(Error::Store(StoreError::SlotConflict { .. })) => Ok(false),
            Err(error) => Err(error),
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

/// Each process adopts what it finds, so two rounds are enough unless the file is written by hand meanwhile.
const ROUNDS: usize = 5;

/// File work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let failed = |error: tokio::task::JoinError| Error::Configuration {
        reason: format!("the account file could not be worked on: {error}"),
    };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}
