//! A chain and the key that belongs to it, ready to be put into any form.

use perennial_core::{SecretBytes, SecretString};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use x509_parser::prelude::*;

use super::{OutputError, PemSet, pem};
use crate::{Facts, IssuedChain, KeyError, PrivateKey};

/// A certificate chain with its private key, of which it is known that they belong together.
///
/// Every form is made of one, so a key beside a foreign certificate is refused before anything is written.
///
/// ```
/// use perennial_core::SecretString;
/// use perennial_lifecycle::output::{CertifiedKey, OutputError};
///
/// let refused = CertifiedKey::new("no chain", &SecretString::new("no key"));
/// assert!(matches!(refused, Err(OutputError::Chain(_))));
/// ```
#[derive(Clone)]
pub struct CertifiedKey {
    chain: Vec<CertificateDer<'static>>,
    chain_pem: String,
    facts: Facts,
    private_key: SecretBytes,
    private_key_pem: SecretString,
}

impl CertifiedKey {
    /// Reads a PEM chain, leaf first, and its key in [PEM](PrivateKey::from_pem), which becomes PKCS#8.
    ///
    /// # Errors
    /// [`OutputError::Chain`] and [`OutputError::Key`] when one of them cannot be read, [`OutputError::KeyMismatch`]
    /// when they do not belong together.
    pub fn new(chain_pem: &str, private_key_pem: &SecretString) -> Result<Self, OutputError> {
        let issued = IssuedChain::from_pem(chain_pem)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
        let chain = chain.map_err(|error| crate::FactsError::Malformed { reason: error.to_string() })?;
        let key = PrivateKey::from_pem(private_key_pem)?;
        let facts = issued.facts().clone();
        if !facts.has_key(&key) {
            return Err(OutputError::KeyMismatch { fingerprint: facts.fingerprint });
        }
        let private_key_pem = key.to_pem();
        let der = PrivatePkcs8KeyDer::from_pem_slice(private_key_pem.expose().as_bytes())
            .map_err(|error| KeyError::Unreadable { reason: error.to_string() })?;
        Ok(Self {
            chain,
            chain_pem: chain_pem.to_owned(),
            facts,
            private_key: SecretBytes::new(der.secret_pkcs8_der()),
            private_key_pem,
        })
    }

    /// The same from DER: certificates, leaf first, and a PKCS#8 key.
    pub(super) fn from_der<'a>(
        chain: impl IntoIterator<Item = &'a [u8]>,
        private_key: &[u8],
    ) -> Result<Self, OutputError> {
        let chain: String = chain.into_iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
        Self::new(&chain, &SecretString::new(pem::encode("PRIVATE KEY", private_key)))
    }

    /// What the leaf is.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The certificates in DER, leaf first.
    pub fn chain_der(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().map(AsRef::as_ref)
    }

    /// The chain as PEM, leaf first.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The key in PKCS#8 DER (RFC 5958).
    #[must_use]
    pub const fn private_key_der(&self) -> &SecretBytes {
        &self.private_key
    }

    /// The key in PKCS#8 PEM.
    #[must_use]
    pub const fn private_key_pem(&self) -> &SecretString {
        &self.private_key_pem
    }

    /// Key, leaf and intermediates in one text: what HAProxy's `crt` and lighttpd's `ssl.pemfile` read, and what
    /// cert-manager calls `tls-combined.pem`. The key comes first; of the certificates the leaf does.
    #[must_use]
    pub fn combined_pem(&self) -> SecretString {
        let key = self.private_key_pem.expose();
        let gap = if key.ends_with('\n') { "" } else { "\n" };
        SecretString::new(format!("{key}{gap}{}", self.chain_pem))
    }

    /// The four PEM files that servers read.
    #[must_use]
    pub fn pem_set(&self) -> PemSet {
        PemSet::new(&self.chain_pem, self.private_key_pem.clone())
    }

    /// The last certificate of the chain if it has signed itself: the only one of a chain that may be trusted for its
    /// own sake. An intermediate may not: it is replaced without notice, and who had pinned it is cut off.
    #[must_use]
    pub fn root_der(&self) -> Option<&[u8]> {
        let last: &[u8] = self.chain.last()?;
        let (_, certificate) = X509Certificate::from_der(last).ok()?;
        let itself = certificate.subject().as_raw() == certificate.issuer().as_raw();
        (itself && certificate.verify_signature(None).is_ok()).then_some(last)
    }

    /// Whether both are the same chain and key.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.chain == other.chain && self.private_key == other.private_key
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    /// A root, an intermediate, a leaf below it, and the leaf's key.
    pub(crate) struct Made {
        pub(crate) leaf: String,
        pub(crate) intermediate: String,
        pub(crate) root: String,
        pub(crate) key: SecretString,
    }

    impl Made {
        pub(crate) fn chain(&self) -> String {
            format!("{}{}", self.leaf, self.intermediate)
        }

        pub(crate) fn certified(&self) -> CertifiedKey {
            CertifiedKey::new(&self.chain(), &self.key).unwrap()
        }
    }

    pub(crate) fn ca(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    pub(crate) fn made() -> Made {
        made_with(&KeyPair::generate().unwrap())
    }

    pub(crate) fn made_with(key: &KeyPair) -> Made {
        let [root_key, middle_key] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let root = ca("root").self_signed(&root_key).unwrap().pem();
        let middle = ca("middle").signed_by(&middle_key, &Issuer::new(ca("root"), &root_key)).unwrap().pem();
        let params = CertificateParams::new(vec!["site.example".to_owned()]).unwrap();
        let leaf = params.signed_by(key, &Issuer::new(ca("middle"), &middle_key)).unwrap().pem();
        Made { leaf, intermediate: middle, root, key: SecretString::new(key.serialize_pem()) }
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_refused_and_named_by_the_certificate() {
        let (made, other) = (made(), made());
        let refused = CertifiedKey::new(&made.chain(), &other.key).err().unwrap();
        let fingerprint = made.certified().facts().fingerprint.clone();
        assert_eq!(refused, OutputError::KeyMismatch { fingerprint });
        assert!(!refused.retry().is_worthwhile());
    }

    #[test]
    fn only_a_certificate_that_has_signed_itself_is_a_root() {
        let made = made();
        assert_eq!(made.certified().root_der(), None);
        let whole = CertifiedKey::new(&format!("{}{}", made.chain(), made.root), &made.key).unwrap();
        let root = CertificateDer::from_pem_slice(made.root.as_bytes()).unwrap();
        assert_eq!(whole.root_der(), Some(root.as_ref()));
    }

    #[test]
    fn a_combined_text_has_the_key_then_the_leaf_then_the_rest() {
        let made = made();
        let combined = made.certified().combined_pem();
        assert_eq!(combined.expose(), format!("{}{}", made.key.expose(), made.chain()));
        let cut = SecretString::new(made.key.expose().trim_end());
        let combined = CertifiedKey::new(&made.chain(), &cut).unwrap().combined_pem();
        assert!(combined.expose().contains("-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----"));
    }
}
