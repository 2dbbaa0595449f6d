//! Private keys in the PEM forms that programs write (RFC 7468 §10, RFC 5915 §4, and what was there before them).

use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::KeyError;
use crate::{SecretBytes, SecretString, pkcs8};

/// The first private key of the text, as PKCS#8 DER.
pub(super) fn private_key(pem: &SecretString) -> Result<SecretBytes, KeyError> {
    let unreadable = |reason: &str| KeyError::Unreadable { reason: reason.to_owned() };
    let text = pem.expose();
    // PKCS#8 has a block of its own for it, the older forms a header in theirs.
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(unreadable("it is encrypted: `openssl pkey` takes the encryption off"));
    }
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map(Zeroizing::new);
    match &*key.map_err(|_| unreadable("there is no private key in the text, or its base64 is damaged"))? {
        PrivateKeyDer::Pkcs8(der) => Ok(SecretBytes::new(der.secret_pkcs8_der())),
        PrivateKeyDer::Pkcs1(der) => Ok(pkcs8::of_pkcs1(der.secret_pkcs1_der())),
        PrivateKeyDer::Sec1(der) => {
            let wrapped = pkcs8::of_sec1(der.secret_sec1_der());
            wrapped.ok_or_else(|| unreadable("it is on neither of the curves P-256 and P-384"))
        }
        _ => Err(unreadable("it is of an unknown form")),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use rsa::pkcs1::EncodeRsaPrivateKey as _;

    use super::*;
    use crate::{KeyAlgorithm, PrivateKey};

    /// A block as programs write it.
    fn block(label: &str, der: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = format!("-----BEGIN {label}-----\n");
        for line in der.chunks(48) {
            for group in line.chunks(3) {
                let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte))
                    << (8 * (3 - group.len()));
                let digit = |at: usize| char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]);
                (0..4).for_each(|at| text.push(if at <= group.len() { digit(at) } else { '=' }));
            }
            text.push('\n');
        }
        writeln!(text, "-----END {label}-----").unwrap();
        text
    }

    fn read(text: &str) -> Result<PrivateKey, String> {
        PrivateKey::from_pem(&SecretString::new(text)).map_err(|error| error.to_string())
    }

    /// What stands in the OCTET STRING of a PKCS#8 document, behind an algorithm that ends there: the SEC 1 key.
    fn sec1(key: &PrivateKey, algorithm_ends: usize) -> Vec<u8> {
        let der = private_key(&key.to_pem()).unwrap();
        let rest = &der.expose()[algorithm_ends..];
        rest[rest.iter().position(|byte| *byte == 0x30).unwrap()..].to_vec()
    }

    #[test]
    fn the_forms_that_openssl_writes_are_read_and_become_pkcs8() {
        for (algorithm, at) in [(KeyAlgorithm::EcdsaP256, 26), (KeyAlgorithm::EcdsaP384, 24)] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let parameters =
                block("EC PARAMETERS", &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
            let again = read(&(parameters + &block("EC PRIVATE KEY", &sec1(&key, at)))).unwrap();
            assert_eq!(again.public_key_der(), key.public_key_der(), "{algorithm}");
            assert_eq!(again.algorithm(), Some(algorithm));
            assert!(again.to_pem().expose().starts_with("-----BEGIN PRIVATE KEY-----"), "{algorithm}");
            assert_eq!(read(again.to_pem().expose()).unwrap().public_key_der(), key.public_key_der());
        }
        let rsa = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let key = read(&block("RSA PRIVATE KEY", rsa.to_pkcs1_der().unwrap().as_bytes())).unwrap();
        assert_eq!(key.algorithm(), Some(KeyAlgorithm::Rsa2048));
        assert!(key.to_pem().expose().starts_with("-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn a_key_beside_its_chain_is_read_alone() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let again = read(&(block("CERTIFICATE", &[0x30, 0]) + key.to_pem().expose())).unwrap();
        assert_eq!(again.to_pem().expose(), key.to_pem().expose());
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_with_the_remedy() {
        for (text, says) in [
            (block("ENCRYPTED PRIVATE KEY", &[0x30, 0]), "it is encrypted"),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n".to_owned(), "it is encrypted"),
            (block("CERTIFICATE", &[0x30, 0]), "no private key"),
            (block("EC PRIVATE KEY", &[0x30, 0]), "P-256 and P-384"),
            (block("RSA PRIVATE KEY", &[0x30, 0]), "BEGIN RSA PRIVATE KEY"),
        ] {
            let said = read(&text).err().unwrap();
            assert!(said.contains(says), "{says}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(-----BEGIN (EC |RSA |)PRIVATE KEY-----\n)?[A-Za-z0-9+/=\n]{0,80}(-----END (EC |RSA |)PRIVATE KEY-----)?") {
            let _ = read(&text);
        }

        #[test]
        fn no_key_panics(label in "(EC |RSA |)PRIVATE KEY", der in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&block(&label, &der));
        }
    }
}
