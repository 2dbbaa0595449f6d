//! Java key stores: the form that `keytool` calls JKS.
//!
//! The form has no standard; this is what Java reads and writes since its version 1.2. A file is `FEEDFEED`, the
//! version 2, the count of entries and the entries, all numbers big-endian, and at its end a SHA-1 over the password
//! in UTF-16, two words of its inventors, and all before. Its protection of keys is weak (SHA-1 as a key stream):
//! PKCS#12 is the better form wherever Java is younger than version 8.

mod protector;
mod read;
mod write;

use perennial_core::{SecretBytes, SecretString};
use ring::digest;

use super::{CertifiedKey, OutputError, password};
use crate::{OutputFormat, trust::TrustBundle};

/// How Java key stores are made: their password, and what the key is called in them.
///
/// ```
/// use perennial_core::SecretString;
/// use perennial_lifecycle::output::{Jks, OutputError};
///
/// let jks = Jks::new(SecretString::new("changeit"))?.alias("tomcat");
/// assert!(matches!(Jks::new(SecretString::new("")), Err(OutputError::EmptyPassword { .. })));
/// # let _ = jks;
/// # Ok::<(), OutputError>(())
/// ```
#[derive(Clone)]
pub struct Jks {
    password: SecretString,
    alias: String,
}

impl Jks {
    /// Stores under this password, which protects the whole and the key alike: most servers ask for one only.
    ///
    /// # Errors
    /// [`OutputError::EmptyPassword`], and [`OutputError::PasswordNotAscii`].
    pub fn new(password: SecretString) -> Result<Self, OutputError> {
        let password = password::checked(password, OutputFormat::Jks)?;
        Ok(Self { password, alias: super::ALIAS.to_owned() })
    }

    /// What the key is called in the store. Default: `certificate`, as cert-manager calls it. Java takes upper and lower
    /// case for the same, so it is written in lower case.
    #[must_use]
    pub fn alias(self, alias: impl Into<String>) -> Self {
        Self { alias: alias.into().to_lowercase(), ..self }
    }

    /// The store of a key with its chain (`keystore.jks`).
    ///
    /// # Errors
    /// [`OutputError::Unwritable`] when the operating system gives no randomness.
    pub fn key_store(&self, key: &CertifiedKey) -> Result<SecretBytes, OutputError> {
        Ok(write::key_store(&self.password, &self.alias, key, &salt()?))
    }

    /// The store of what is trusted (`truststore.jks`): each anchor is called `ca-` and the begin of its fingerprint.
    #[must_use]
    pub fn trust_store(&self, anchors: &TrustBundle) -> SecretBytes {
        write::trust_store(&self.password, anchors)
    }

    /// The first key in a store, with its chain.
    ///
    /// # Errors
    /// [`OutputError::WrongPassword`], [`OutputError::Damaged`], and what [`CertifiedKey::new`] says of key and chain.
    pub fn read_key_store(&self, bytes: &[u8]) -> Result<CertifiedKey, OutputError> {
        let key = read::entries(&self.password, bytes)?.into_iter().find_map(|entry| match entry {
            read::Entry::Key { protected, chain } => Some((protected, chain)),
            read::Entry::Trusted(_) => None,
        });
        let (protected, chain) = key.ok_or_else(|| read::damaged("it holds no private key"))?;
        let key = protector::open(&self.password, protected)?;
        CertifiedKey::from_der(chain, key.expose())
    }

    /// What a store trusts.
    ///
    /// # Errors
    /// [`OutputError::WrongPassword`], [`OutputError::Damaged`], [`OutputError::Trust`].
    pub fn read_trust_store(&self, bytes: &[u8]) -> Result<TrustBundle, OutputError> {
        let entries = read::entries(&self.password, bytes)?;
        let trusted = entries.into_iter().filter_map(|entry| match entry {
            read::Entry::Key { .. } => None,
            read::Entry::Trusted(der) => Some(der),
        });
        Ok(TrustBundle::from_der(trusted)?)
    }
}

/// Keys of the same bytes do not look the same.
fn salt() -> Result<[u8; protector::SALT], OutputError> {
    let random = ring::rand::generate(&ring::rand::SystemRandom::new());
    random.map(ring::rand::Random::expose).map_err(|_| OutputError::Unwritable {
        format: OutputFormat::Jks,
        reason: "the operating system gives no randomness".to_owned(),
    })
}

/// A password as Java digests it: UTF-16, high byte first.
fn digested(password: &SecretString) -> SecretBytes {
    SecretBytes::new(password.expose().encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>())
}

/// SHA-1 over these in a row.
fn sha1(parts: &[&[u8]]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const KEY_ENTRY: u32 = 1;
const TRUSTED_ENTRY: u32 = 2;
/// The kind of every certificate.
const X509: &[u8] = b"X.509";
/// What goes into the last digest after the password.
const WHITENER: &[u8] = b"Mighty Aphrodite";

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    use crate::output::certified_key::tests::made;
    use proptest::prelude::*;

    fn jks() -> Jks {
        Jks::new(SecretString::new("changeit")).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_and_by_nobody_with_another_password() {
        let made = made();
        let (key, anchors) = (made.certified(), TrustBundle::from_pem(&made.root).unwrap());
        let (key_store, trust_store) = (jks().key_store(&key).unwrap(), jks().trust_store(&anchors));
        assert!(jks().read_key_store(key_store.expose()).unwrap().is_same(&key));
        assert_eq!(jks().read_trust_store(trust_store.expose()).unwrap(), anchors);
        let other = Jks::new(SecretString::new("another")).unwrap();
        let wrong = OutputError::WrongPassword { format: OutputFormat::Jks };
        assert_eq!(other.read_key_store(key_store.expose()).err(), Some(wrong.clone()));
        assert_eq!(other.read_trust_store(trust_store.expose()).err(), Some(wrong));
        assert!(matches!(jks().read_key_store(trust_store.expose()), Err(OutputError::Damaged { .. })));
    }

    #[test]
    fn the_same_key_never_looks_the_same() {
        let key = made().certified();
        assert!(jks().key_store(&key).unwrap() != jks().key_store(&key).unwrap());
    }

    fn store() -> &'static [u8] {
        static STORE: OnceLock<SecretBytes> = OnceLock::new();
        STORE.get_or_init(|| jks().key_store(&made().certified()).unwrap()).expose()
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_none_is_taken_for_a_store(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(jks().read_key_store(&bytes).is_err());
            prop_assert!(jks().read_trust_store(&bytes).is_err());
        }

        /// With the digest put right, so that what lies behind it is read, too.
        #[test]
        fn no_change_of_a_byte_panics(at in 8usize..600, byte in any::<u8>()) {
            let mut bytes = store().to_vec();
            let body = bytes.len() - 20;
            let at = at % body;
            bytes[at] = byte;
            let digest = sha1(&[digested(&SecretString::new("changeit")).expose(), WHITENER, &bytes[..body]]);
            bytes[body..].copy_from_slice(digest.as_ref());
            let _ = jks().read_key_store(&bytes);
            let _ = jks().read_trust_store(&bytes);
        }
    }
}
