//! Keys and key stores as others have left them on a disk.

use perennial_core::{PrivateKey, SecretString};
use perennial_lifecycle::output::{CertifiedKey, Jks, OutputError, Pkcs12};
use ring::digest;

/// What the seeds are closed with.
const PASSWORD: &str = "changeit";

/// A Java key store: as it is, and with the digest at its end put right, which no fuzzer would find.
pub fn keystore_jks(bytes: &[u8]) {
    let jks = Jks::new(SecretString::new(PASSWORD)).expect("a password");
    let sealed = sealed(bytes);
    for bytes in [bytes, sealed.as_slice()] {
        let written = read(jks.read_key_store(bytes)).map(|key| jks.key_store(&key).expect("it was read"));
        if let Some(written) = written {
            assert!(jks.read_key_store(written.expose()).is_ok(), "it does not come back");
        }
        if let Some(trusted) = read(jks.read_trust_store(bytes)) {
            let written = jks.trust_store(&trusted);
            assert!(jks.read_trust_store(written.expose()).is_ok_and(|again| again == trusted));
        }
    }
}

/// The same with the digest that belongs to it: SHA-1 over the password in UTF-16, two words, and all before.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let body = bytes.get(..bytes.len().saturating_sub(DIGEST)).unwrap_or_default();
    let mut digest = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    PASSWORD.encode_utf16().for_each(|unit| digest.update(&unit.to_be_bytes()));
    digest.update(b"Mighty Aphrodite");
    digest.update(body);
    [body, digest.finish().as_ref()].concat()
}

const DIGEST: usize = 20;

/// A PKCS#12 file.
pub fn keystore_pkcs12(bytes: &[u8]) {
    let pkcs12 = Pkcs12::new(SecretString::new(PASSWORD)).expect("a password");
    let _: Option<CertifiedKey> = read(pkcs12.read_key_store(bytes));
    let _ = read(pkcs12.read_trust_store(bytes));
}

/// A private key in PEM, in any of the forms that programs write.
pub fn private_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match PrivateKey::from_pem(&SecretString::new(text)) {
        Ok(key) => {
            let again = PrivateKey::from_pem(&key.to_pem()).expect("its own form");
            assert_eq!(again.public_key_der(), key.public_key_der());
            assert_eq!(again.to_pem().expose(), key.to_pem().expose());
        }
        Err(error) => {
            assert!(!error.to_string().chars().any(char::is_control), "a control character is shown")
        }
    }
}

/// What was read; what is said of the rest can be shown.
fn read<T>(read: Result<T, OutputError>) -> Option<T> {
    let said = |error: OutputError| {
        assert!(!error.to_string().chars().any(char::is_control), "a control character is shown");
    };
    read.map_err(said).ok()
}
