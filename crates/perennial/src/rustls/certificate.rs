//! What is served: a chain, and the key that belongs to it.

use std::{fmt, sync::Arc};

use perennial_core::{DomainName, SecretString};
use perennial_lifecycle::{Facts, FactsError, Issued, IssuedChain};
use rustls::{crypto::ring::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::ServingError;

/// A certificate chain and its key, known to belong together and ready to sign handshakes. Cloning is cheap.
#[derive(Clone)]
pub struct ServedCertificate {
    certified: Arc<CertifiedKey>,
    facts: Arc<Facts>,
}

impl ServedCertificate {
    /// Reads a chain in PEM, leaf first, and its private key in PEM (PKCS#8, SEC 1 or PKCS#1), and sees whether
    /// they belong together. Whether the links of the chain hold is for whoever has issued it to say.
    ///
    /// # Errors
    /// [`ServingError`]; the key's text is in none of them.
    pub fn from_pem(chain: &str, key: &SecretString) -> Result<Self, ServingError> {
        let facts = IssuedChain::from_pem(chain)?.facts().clone();
        let mut ders = Vec::new();
        for der in CertificateDer::pem_slice_iter(chain.as_bytes()) {
            if ders.len() >= LONGEST {
                return Err(ServingError::ChainTooLong { most: LONGEST });
            }
            ders.push(der.map_err(|error| FactsError::Malformed { reason: error.to_string() })?);
        }
        let unusable = |reason: &str| ServingError::Key { reason: reason.to_owned() };
        // What the reader says of a malformed key may quote it.
        let der = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
            .map_err(|_| unusable("it cannot be read"))?;
        let key = any_supported_type(&der).map_err(|_| unusable("its kind is not supported"))?;
        let public = key.public_key().ok_or_else(|| unusable("it does not tell its public half"))?;
        if !facts.has_public_key(&public) {
            let names: Vec<&str> = facts.names.iter().map(DomainName::as_str).collect();
            return Err(ServingError::KeyMismatch { names: names.join(", "), serial: facts.serial });
        }
        Ok(Self { certified: Arc::new(CertifiedKey::new(ders, key)), facts: Arc::new(facts) })
    }

    /// A certificate that a keeper has obtained.
    ///
    /// # Errors
    /// [`ServingError`], which would be a bug or a store that somebody else has written to.
    pub fn from_issued(issued: &Issued) -> Result<Self, ServingError> {
        Self::from_pem(issued.chain_pem(), issued.private_key_pem())
    }

    /// What the leaf is: names, dates, serial number.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What rustls takes.
    #[must_use]
    pub const fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for ServedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedCertificate").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// As long as a keeper lets a chain be.
const LONGEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rustls::testing::{chain_of, pair_for};
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    #[test]
    fn a_chain_and_its_key_are_taken_and_tell_what_they_are() {
        let (chain, key) = pair_for(&["a.example", "*.a.example"], 7);
        let served = ServedCertificate::from_pem(&chain, &key).unwrap();
        assert_eq!(served.facts().names.len(), 2);
        assert_eq!(served.certified_key().cert.len(), 1);
        assert!(!format!("{served:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_with_names_and_serial() {
        let (chain, _) = pair_for(&["a.example"], 7);
        let (_, foreign) = pair_for(&["a.example"], 7);
        let error = ServedCertificate::from_pem(&chain, &foreign).unwrap_err();
        let serial = IssuedChain::from_pem(chain.as_str()).unwrap().facts().serial.clone();
        assert_eq!(error, ServingError::KeyMismatch { names: "a.example".to_owned(), serial });
        assert_eq!(error.retry(), perennial_core::Retry::Never);
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_the_key_is_not_shown() {
        let (chain, key) = pair_for(&["a.example"], 7);
        assert_eq!(
            ServedCertificate::from_pem("", &key).unwrap_err(),
            ServingError::Chain(FactsError::NoCertificate)
        );
        let mixed = [chain.as_str(), key.expose()].concat();
        assert!(matches!(ServedCertificate::from_pem(&mixed, &key), Err(ServingError::Chain(_))));
        let broken = SecretString::new("-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n");
        let error = ServedCertificate::from_pem(&chain, &broken).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("cannot be read"), "{error}");
        let odd = SecretString::new("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        let error = ServedCertificate::from_pem(&chain, &odd).unwrap_err().to_string();
        assert!(error.contains("kind is not supported"), "{error}");
        let many = ServedCertificate::from_pem(&chain.repeat(LONGEST + 1), &key).unwrap_err();
        assert_eq!(many, ServingError::ChainTooLong { most: LONGEST });
    }

    #[test]
    fn a_key_in_the_older_form_is_taken() {
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = chain_of(&["a.example"], 7, &key);
        assert!(ServedCertificate::from_pem(&chain, &SecretString::new(key.serialize_pem())).is_ok());
        // SEC 1 (RFC 5915) is what lies in PKCS#8, behind 29 octets that name the curve.
        let sec1 = STANDARD.encode(key.serialize_der().get(29..).unwrap());
        let text = format!("-----BEGIN EC PRIVATE KEY-----\n{sec1}\n-----END EC PRIVATE KEY-----\n");
        assert!(ServedCertificate::from_pem(&chain, &SecretString::new(text)).is_ok());
    }

    static GOOD: LazyLock<(String, SecretString)> = LazyLock::new(|| pair_for(&["a.example"], 7));

    proptest! {
        #[test]
        fn no_text_panics(chain in ".*", key in ".*", at in 0usize..900, byte in any::<u8>()) {
            let _ = ServedCertificate::from_pem(&chain, &SecretString::new(key));
            let (good, good_key) = &*GOOD;
            let mut bytes = good.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = ServedCertificate::from_pem(&text, good_key);
            }
        }
    }
}
