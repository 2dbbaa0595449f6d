//! PKCS#12 by the crate `p12-keystore`.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, Pkcs12Archive,
    Pkcs12ImportPolicy, PrivateKey, PrivateKeyChain, error::Error,
};
use perennial_core::SecretBytes;

use super::{Pkcs12, Pkcs12Profile};
use crate::{
    OutputFormat,
    output::{CertifiedKey, OutputError},
    trust::TrustBundle,
};

#[expect(clippy::unnecessary_wraps, reason = "its twin says that the feature is missing")]
pub(super) const fn check() -> Result<(), OutputError> {
    Ok(())
}

pub(super) fn key_store(pkcs12: &Pkcs12, key: &CertifiedKey) -> Result<SecretBytes, OutputError> {
    let chain: Result<Vec<_>, _> = key.chain_der().map(Certificate::from_der).collect();
    let private_key =
        PrivateKey::from_der(key.private_key_der().expose()).map_err(|error| unwritable(&error))?;
    // RFC 7292 leaves open what a local key ID is; others take a digest of the certificate, too.
    let local_key_id = key.facts().fingerprint.as_bytes();
    let chain = PrivateKeyChain::new(local_key_id, private_key, chain.map_err(|error| unwritable(&error))?);
    let mut store = KeyStore::new();
    store.add_entry(&pkcs12.alias, KeyStoreEntry::PrivateKeyChain(chain));
    write(pkcs12, &store)
}

pub(super) fn trust_store(pkcs12: &Pkcs12, anchors: &TrustBundle) -> Result<SecretBytes, OutputError> {
    let mut store = KeyStore::new();
    for anchor in anchors.anchors() {
        let certificate = Certificate::from_der(anchor.der()).map_err(|error| unwritable(&error))?;
        store.add_entry(&anchor.alias(), KeyStoreEntry::Certificate(certificate));
    }
    write(pkcs12, &store)
}

fn write(pkcs12: &Pkcs12, store: &KeyStore) -> Result<SecretBytes, OutputError> {
    let (encryption, mac) = match pkcs12.profile {
        Pkcs12Profile::Legacy => (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1),
        Pkcs12Profile::Modern => (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256),
    };
    let writer = store.writer(pkcs12.password.expose()).encryption_algorithm(encryption).mac_algorithm(mac);
    let writer = writer.encryption_iterations(ITERATIONS).mac_iterations(ITERATIONS);
    writer.write().map(SecretBytes::new).map_err(|error| unwritable(&error))
}

pub(super) fn read_key_store(pkcs12: &Pkcs12, bytes: &[u8]) -> Result<CertifiedKey, OutputError> {
    let store = KeyStore::from_pkcs12(bytes, pkcs12.password.expose(), Pkcs12ImportPolicy::Strict);
    let store = store.map_err(|error| unreadable(&error))?;
    let (_, chain) =
        store.private_key_chain().ok_or_else(|| damaged("it holds no private key".to_owned()))?;
    CertifiedKey::from_der(chain.certs().iter().map(Certificate::as_der), chain.key().as_der())
}

pub(super) fn read_trust_store(pkcs12: &Pkcs12, bytes: &[u8]) -> Result<TrustBundle, OutputError> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, pkcs12.password.expose());
    let archive = archive.map_err(|error| unreadable(&error))?;
    // Without a key of its own: a chain is not trusted for standing in the same file.
    let trusted = archive.certs.iter().filter(|bag| bag.local_key_id.is_none() && bag.trusted);
    Ok(TrustBundle::from_der(trusted.map(|bag| bag.cert.as_der()))?)
}

fn unwritable(error: &Error) -> OutputError {
    OutputError::Unwritable { format: OutputFormat::Pkcs12, reason: error.to_string() }
}

/// The MAC is looked at before anything is decrypted, so a wrong password is told by that.
fn unreadable(error: &Error) -> OutputError {
    match error {
        Error::MacError(_) => OutputError::WrongPassword { format: OutputFormat::Pkcs12 },
        _ => damaged(crate::facts::printable(&error.to_string())),
    }
}

const fn damaged(reason: String) -> OutputError {
    OutputError::Damaged { format: OutputFormat::Pkcs12, reason }
}

/// As Java's own default has it: a password that a program reads from a file is not guessed, and one that a person has
/// chosen is not saved by more. OpenSSL takes 2048.
const ITERATIONS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    use crate::output::certified_key::tests::made;
    use perennial_core::SecretString;
    use proptest::prelude::*;

    fn pkcs12(password: &str, profile: Pkcs12Profile) -> Pkcs12 {
        Pkcs12::new(SecretString::new(password)).unwrap().profile(profile)
    }

    #[test]
    fn what_is_written_in_either_profile_is_read_back_and_by_nobody_with_another_password() {
        let made = made();
        let (key, anchors) = (made.certified(), TrustBundle::from_pem(&made.root).unwrap());
        for profile in [Pkcs12Profile::Legacy, Pkcs12Profile::Modern] {
            let [pkcs12, other] = ["changeit", "another"].map(|password| pkcs12(password, profile));
            let key_store = pkcs12.key_store(&key).unwrap();
            let trust_store = pkcs12.trust_store(&anchors).unwrap();
            assert!(pkcs12.read_key_store(key_store.expose()).unwrap().is_same(&key), "{profile:?}");
            assert_eq!(pkcs12.read_trust_store(trust_store.expose()).unwrap(), anchors);
            let wrong = OutputError::WrongPassword { format: OutputFormat::Pkcs12 };
            assert_eq!(other.read_key_store(key_store.expose()).err(), Some(wrong.clone()));
            assert_eq!(other.read_trust_store(trust_store.expose()).err(), Some(wrong));
            let none = pkcs12.read_key_store(trust_store.expose()).err();
            assert_eq!(none, Some(damaged("it holds no private key".to_owned())));
        }
    }

    #[test]
    fn a_password_that_programs_would_read_differently_is_refused() {
        let refused = |password| Pkcs12::new(SecretString::new(password)).err();
        let format = OutputFormat::Pkcs12;
        assert_eq!(refused(""), Some(OutputError::EmptyPassword { format }));
        assert_eq!(refused("schön"), Some(OutputError::PasswordNotAscii { format }));
        assert_eq!(refused("a\nb"), Some(OutputError::PasswordNotAscii { format }));
        assert_eq!(refused("correct horse"), None);
    }

    /// Made once: what takes its time is to derive keys.
    fn store() -> &'static [u8] {
        static STORE: OnceLock<SecretBytes> = OnceLock::new();
        let made = || {
            let anchors = TrustBundle::from_pem(&made().root).unwrap();
            pkcs12("changeit", Pkcs12Profile::Modern).trust_store(&anchors).unwrap()
        };
        STORE.get_or_init(made).expose()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_panic(at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut bytes = store().to_vec();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            let _ = pkcs12("changeit", Pkcs12Profile::Modern).read_trust_store(&bytes);
        }
    }
}
