//! PKCS#12 files (RFC 7292): a key with its chain, or what is trusted, under a password.
//!
//! They are made by the feature `pkcs12`, which brings what knows the format. Without it there is no such setting to be
//! had, and a sink takes no wish for the form.

use perennial_core::{SecretBytes, SecretString};

use super::{CertifiedKey, OutputError, password};
use crate::{OutputFormat, trust::TrustBundle};

#[cfg(not(feature = "pkcs12"))]
mod disabled;
#[cfg(not(feature = "pkcs12"))]
use disabled as store;

#[cfg(feature = "pkcs12")]
mod enabled;
#[cfg(feature = "pkcs12")]
use enabled as store;

/// By which algorithms a PKCS#12 file is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pkcs12Profile {
    /// Triple DES and SHA-1: for what reads nothing newer, as Windows before Server 2019 and Java before 8u301. What
    /// cert-manager calls `LegacyDES`. RC2 with 40 bits, which is older still, is not written: it hides nothing, and
    /// what reads it reads this, too.
    Legacy,
    /// AES-256 by PBES2 (RFC 8018), keys derived by HMAC-SHA-256, and a MAC of SHA-256: what OpenSSL 3 and Java since
    /// 8u301 write. What cert-manager calls `Modern2023`.
    #[default]
    Modern,
}

/// How PKCS#12 files are made: their password, profile, and what the key is called in them.
#[cfg_attr(
    feature = "pkcs12",
    doc = r#"
```
use perennial_core::SecretString;
use perennial_lifecycle::output::{OutputError, Pkcs12, Pkcs12Profile};

let modern = Pkcs12::new(SecretString::new("changeit"))?;
let for_old_windows = modern.clone().profile(Pkcs12Profile::Legacy);
assert!(matches!(Pkcs12::new(SecretString::new("")), Err(OutputError::EmptyPassword { .. })));
# let _ = for_old_windows;
# Ok::<(), OutputError>(())
```
"#
)]
#[derive(Clone)]
pub struct Pkcs12 {
    password: SecretString,
    profile: Pkcs12Profile,
    alias: String,
}

impl Pkcs12 {
    /// Files under this password, which protects the whole and the key alike.
    ///
    /// # Errors
    /// [`OutputError::EmptyPassword`], [`OutputError::PasswordNotAscii`], and [`OutputError::Unwritable`] without the
    /// feature `pkcs12`.
    pub fn new(password: SecretString) -> Result<Self, OutputError> {
        store::check()?;
        let password = password::checked(password, OutputFormat::Pkcs12)?;
        Ok(Self { password, profile: Pkcs12Profile::default(), alias: super::ALIAS.to_owned() })
    }

    /// What the key is called in the file. Default: `certificate`.
    #[must_use]
    pub fn alias(self, alias: impl Into<String>) -> Self {
        Self { alias: alias.into(), ..self }
    }

    /// By which algorithms. Default: [`Pkcs12Profile::Modern`].
    #[must_use]
    pub fn profile(self, profile: Pkcs12Profile) -> Self {
        Self { profile, ..self }
    }

    /// The file of a key with its chain (`keystore.p12`). Each is another, for it has fresh salts.
    ///
    /// # Errors
    /// [`OutputError::Unwritable`].
    pub fn key_store(&self, key: &CertifiedKey) -> Result<SecretBytes, OutputError> {
        store::key_store(self, key)
    }

    /// The file of what is trusted (`truststore.p12`), marked so that Java takes them for trust anchors: each is called
    /// `ca-` and the begin of its fingerprint.
    ///
    /// # Errors
    /// [`OutputError::Unwritable`].
    pub fn trust_store(&self, anchors: &TrustBundle) -> Result<SecretBytes, OutputError> {
        store::trust_store(self, anchors)
    }

    /// The first key in a file, with its chain. Both profiles are read.
    ///
    /// # Errors
    /// [`OutputError::WrongPassword`], [`OutputError::Damaged`], and what [`CertifiedKey::new`] says of key and chain.
    pub fn read_key_store(&self, bytes: &[u8]) -> Result<CertifiedKey, OutputError> {
        store::read_key_store(self, bytes)
    }

    /// What a file trusts.
    ///
    /// # Errors
    /// [`OutputError::WrongPassword`], [`OutputError::Damaged`], [`OutputError::Trust`].
    pub fn read_trust_store(&self, bytes: &[u8]) -> Result<TrustBundle, OutputError> {
        store::read_trust_store(self, bytes)
    }
}
