//! What has to be kept of an account to take it up again, in one text.

use std::{borrow::Cow, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_core::{SecretBytes, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{AccountKey, KeyError, Misuse, Signer as _};

/// An account's identity and its key: all that a later run needs.
///
/// The text of [`to_json`](Self::to_json) holds the private key: keep it where only you can read it. Nothing
/// of the key is in [`Debug`], and there is no serde implementation by which it could slip into a log.
///
/// While a key is changed both keys are in it, the new one as *pending*: see
/// [`Account::change_key`](crate::Account::change_key).
#[derive(Clone)]
pub struct AccountCredentials {
    directory: String,
    account: String,
    key: Arc<AccountKey>,
    pending: Option<Arc<AccountKey>>,
}

impl AccountCredentials {
    pub(crate) fn new(directory: &str, account: &str, key: Arc<AccountKey>) -> Self {
        Self { directory: directory.to_owned(), account: account.to_owned(), key, pending: None }
    }

    /// Reads what [`to_json`](Self::to_json) wrote. Fields that are not known are passed over, so an older
    /// version of this library reads what a newer one wrote, unless that says otherwise by its `version`.
    ///
    /// # Errors
    /// [`CredentialsError`], which never quotes the text.
    pub fn from_json(text: &SecretString) -> Result<Self, CredentialsError> {
        let versioned: Versioned = parse(text.expose())?;
        let found = versioned.version.ok_or(CredentialsError::Missing { field: "version" })?;
        if found > VERSION {
            return Err(CredentialsError::Newer { found, known: VERSION });
        }
        let kept: Kept<'_> = parse(text.expose())?;
        let missing = |field| CredentialsError::Missing { field };
        Ok(Self {
            directory: kept.directory.ok_or_else(|| missing("directory"))?.into_owned(),
            account: kept.account.ok_or_else(|| missing("account"))?.into_owned(),
            key: read_key("key", kept.key.ok_or_else(|| missing("key"))?)?,
            pending: kept.pending_key.map(|text| read_key("pendingKey", text)).transpose()?,
        })
    }

    /// All of it as one line of JSON.
    ///
    /// The keys are PKCS#8 in base64url: characters that JSON never escapes, so that no parser has to make a
    /// copy of them.
    #[must_use]
    pub fn to_json(&self) -> SecretString {
        let key = write_key(&self.key);
        let pending = self.pending.as_deref().map(write_key);
        let kept = Kept {
            version: VERSION,
            directory: Some(Cow::from(&self.directory)),
            account: Some(Cow::from(&self.account)),
            key: Some(&key),
            pending_key: pending.as_ref().map(|text| text.as_str()),
        };
        // Reserved whole, so that growing leaves no copy of the keys behind in freed memory: a URL may be
        // escaped to six times its length.
        let keys = key.len() + pending.as_ref().map_or(0, |text| text.len());
        let room = 6 * (self.directory.len() + self.account.len()) + keys + 128;
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        // Neither can fail: the fields are texts, and memory takes all that is written to it.
        let _ = serde_json::to_writer(&mut *text, &kept);
        SecretString::new(String::from_utf8(std::mem::take(&mut *text)).unwrap_or_default())
    }

    /// The directory of the CA.
    #[must_use]
    pub fn directory_url(&self) -> &str {
        &self.directory
    }

    /// The URL of the account.
    #[must_use]
    pub fn account_url(&self) -> &str {
        &self.account
    }

    /// The account's key; while another is pending, the one from before the change.
    #[must_use]
    pub const fn key(&self) -> &Arc<AccountKey> {
        &self.key
    }

    /// The key that the account may have or get by a change that is not settled yet.
    #[must_use]
    pub const fn pending_key(&self) -> Option<&Arc<AccountKey>> {
        self.pending.as_ref()
    }

    /// The same with a new key that is to take the old one's place. **Keep this before you change the key**:
    /// from then on the server may know the account by either.
    ///
    /// # Errors
    /// [`Misuse::KeyChangePending`] when there is one already, which the server may know the account by;
    /// [`Misuse::SameKey`] when the new key is the old one.
    pub fn with_pending_key(mut self, new_key: Arc<AccountKey>) -> Result<Self, Misuse> {
        if new_key.jwk() == self.key.jwk() {
            return Err(Misuse::SameKey { account: self.account });
        }
        if self.pending.as_ref().is_some_and(|pending| pending.jwk() != new_key.jwk()) {
            return Err(Misuse::KeyChangePending { account: self.account });
        }
        self.pending = Some(new_key);
        Ok(self)
    }

    /// The same without the pending key. Only for one that the server certainly does not know the account by:
    /// after [`Misuse::KeyTaken`], or when [`settle_key_change`](crate::Client::settle_key_change) found the
    /// old key and no request of the change can still be under way.
    #[must_use]
    pub fn without_pending_key(mut self) -> Self {
        self.pending = None;
        self
    }

    /// The same after the change.
    pub(crate) fn settled(mut self) -> Self {
        if let Some(new_key) = self.pending.take() {
            self.key = new_key;
        }
        self
    }
}

impl fmt::Debug for AccountCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountCredentials")
            .field("directory", &self.directory)
            .field("account", &self.account)
            .field("key", &self.key.jwk().thumbprint())
            .field("pending_key", &self.pending.as_ref().map(|key| key.jwk().thumbprint()))
            .finish()
    }
}

/// Raised when a reader has to understand something new; not for a field that it may pass over.
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Versioned {
    version: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept<'a> {
    version: u32,
    #[serde(borrow)]
    directory: Option<Cow<'a, str>>,
    #[serde(borrow)]
    account: Option<Cow<'a, str>>,
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_key: Option<&'a str>,
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, CredentialsError> {
    // The parser's own message quotes what it read, and that may be the key.
    serde_json::from_str(text)
        .map_err(|error| CredentialsError::Damaged { line: error.line(), column: error.column() })
}

fn read_key(field: &'static str, text: &str) -> Result<Arc<AccountKey>, CredentialsError> {
    let der = URL_SAFE_NO_PAD.decode(text).map_err(|_| CredentialsError::NotBase64 { field })?;
    Ok(Arc::new(AccountKey::from_pkcs8_der(&SecretBytes::new(der))?))
}

fn write_key(key: &AccountKey) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(key.to_pkcs8_der().expose()))
}

/// Why account credentials could not be read. It never holds any of their text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// Not the JSON that this library writes.
    #[error("the account credentials are damaged at line {line}, column {column}: restore them from a copy")]
    Damaged {
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
    },
    /// A key in them cannot be used.
    #[error("the account credentials hold a key that cannot be used: {0}")]
    Key(#[from] KeyError),
    /// A field is missing.
    #[error("the account credentials have no {field:?}: restore them from a copy")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// They were written by a newer version of this library.
    #[error("the account credentials have version {found}, {known} is the newest that is known here: update")]
    Newer {
        /// Their version.
        found: u32,
        /// The newest that is understood.
        known: u32,
    },
    /// A key in them is no base64url.
    #[error("{field:?} of the account credentials is no base64url: restore them from a copy")]
    NotBase64 {
        /// The field.
        field: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use proptest::prelude::*;

    fn key(algorithm: Algorithm) -> Arc<AccountKey> {
        Arc::new(AccountKey::generate_with(algorithm).unwrap())
    }

    fn credentials() -> AccountCredentials {
        AccountCredentials::new("https://ca.test/dir", "https://ca.test/acct/\"1", key(Algorithm::Es256))
    }

    fn read(text: impl Into<String>) -> Result<AccountCredentials, CredentialsError> {
        AccountCredentials::from_json(&SecretString::new(text))
    }

    fn thumbprints(credentials: &AccountCredentials) -> Vec<String> {
        let keys = std::iter::once(credentials.key()).chain(credentials.pending_key());
        keys.map(|key| key.jwk().thumbprint().to_string()).collect()
    }

    #[test]
    fn what_is_written_is_read_with_both_keys() {
        let kept = credentials().with_pending_key(key(Algorithm::EdDsa)).unwrap();
        let again = read(kept.to_json().expose()).unwrap();
        assert_eq!(again.directory_url(), "https://ca.test/dir");
        assert_eq!(again.account_url(), "https://ca.test/acct/\"1");
        assert_eq!(thumbprints(&again), thumbprints(&kept));
        assert_eq!(thumbprints(&again).len(), 2);
        let settled = read(again.settled().to_json().expose()).unwrap();
        assert_eq!(thumbprints(&settled), thumbprints(&kept)[1..]);
    }

    #[test]
    fn a_pending_key_is_not_lost_to_another() {
        let pending = key(Algorithm::Es256);
        let kept = credentials().with_pending_key(pending.clone()).unwrap();
        assert!(kept.clone().with_pending_key(pending).is_ok());
        let error = kept.clone().with_pending_key(key(Algorithm::Es256)).unwrap_err();
        assert_eq!(error, Misuse::KeyChangePending { account: kept.account_url().to_owned() });
        assert!(kept.without_pending_key().with_pending_key(key(Algorithm::Es256)).is_ok());
        let same = credentials();
        let key = same.key().clone();
        assert!(matches!(same.with_pending_key(key), Err(Misuse::SameKey { .. })));
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let kept = credentials();
        let text = kept.to_json();
        let json: serde_json::Value = serde_json::from_str(text.expose()).unwrap();
        let secret = json["key"].as_str().unwrap();
        assert!(!format!("{kept:?}").contains(&secret[8..40]));
        let broken = text.expose().replace("\"account\"", "\"account\":7,\"\"");
        for error in [read(broken).unwrap_err(), read(format!("[{}", text.expose())).unwrap_err()] {
            assert!(!error.to_string().contains(&secret[..8]), "{error}");
        }
    }

    #[test]
    fn fields_of_the_future_are_passed_over_and_versions_of_the_future_are_not() {
        let text = credentials().to_json();
        let richer = text.expose().replacen('{', r#"{"profile":{"a":[1]},"#, 1);
        assert!(read(richer).is_ok());
        let newer = text.expose().replace(r#""version":1"#, r#""version":2"#);
        assert_eq!(read(newer).unwrap_err(), CredentialsError::Newer { found: 2, known: 1 });
        let other_shape = r#"{"version":3,"key":{"kms":"arn"}}"#;
        assert_eq!(read(other_shape).unwrap_err(), CredentialsError::Newer { found: 3, known: 1 });
    }

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let error = |text: &str| read(text).unwrap_err();
        assert_eq!(error("{}"), CredentialsError::Missing { field: "version" });
        assert_eq!(error(r#"{"version":1}"#), CredentialsError::Missing { field: "directory" });
        assert_eq!(
            error(r#"{"version":1,"directory":"d","account":"a"}"#),
            CredentialsError::Missing { field: "key" }
        );
        assert_eq!(
            error(r#"{"version":1,"directory":"d","account":"a","key":"?"}"#),
            CredentialsError::NotBase64 { field: "key" }
        );
        assert!(matches!(
            error(r#"{"version":1,"directory":"d","account":"a","key":"MAA"}"#),
            CredentialsError::Key(KeyError::Rejected { .. })
        ));
        assert_eq!(error("{\n7"), CredentialsError::Damaged { line: 2, column: 1 });
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}", version in 0..3_u32, key in "[A-Za-z0-9_-]{0,60}") {
            let _ = read(text);
            let _ = read(format!(r#"{{"version":{version},"directory":"d","account":"a","key":"{key}"}}"#));
        }
    }
}
