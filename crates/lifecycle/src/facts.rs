//! What a certificate is, read from its DER (RFC 5280).

use std::{collections::BTreeSet, net::IpAddr};

use perennial_core::{DomainName, Timestamp};
use ring::digest;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use x509_parser::{extensions::GeneralName, prelude::*};

use crate::PrivateKey;

/// What a certificate is: the facts that decisions need, read from its DER once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Facts {
    /// The first moment it is valid (RFC 5280 §4.1.2.5).
    pub not_before: Timestamp,
    /// The last moment it is valid.
    pub not_after: Timestamp,
    /// Its DNS names, from subjectAltName (§4.2.1.6).
    pub names: BTreeSet<DomainName>,
    /// Its IP addresses.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<IpAddr>,
    /// Its URIs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub uris: BTreeSet<String>,
    /// Its mailboxes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub emails: BTreeSet<String>,
    /// Its other alternative names, as text: kinds that no spec can ask for, and malformed ones.
    pub other_names: Vec<String>,
    /// Who signed it, as the text form of the distinguished name, fit to be shown: without control
    /// characters, 300 characters at most.
    pub issuer: String,
    /// Its serial number in lower-case hex, as many digits as its bytes have.
    pub serial: String,
    /// SHA-256 of the whole certificate, lower-case hex.
    pub fingerprint: String,
    /// SHA-256 of its DER SubjectPublicKeyInfo, lower-case hex: enough to compare keys by.
    pub public_key_fingerprint: String,
    /// Whether it may sign others (§4.2.1.9).
    pub is_ca: bool,
}

impl Facts {
    /// Reads a certificate's DER.
    ///
    /// # Errors
    /// [`FactsError`] when the bytes are no certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, FactsError> {
        let malformed = |reason: &str| FactsError::Malformed { reason: reason.to_owned() };
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| malformed(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow the certificate"));
        }
        let mut names = Alternatives::default();
        let alternatives = certificate
            .subject_alternative_name()
            .map_err(|error| malformed(&format!("subjectAltName: {error}")))?;
        for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
            names.add(name);
        }
        let Alternatives { dns, addresses, uris, emails, others } = names;
        Ok(Self {
            not_before: Timestamp::from_unix(certificate.validity().not_before.timestamp()),
            not_after: Timestamp::from_unix(certificate.validity().not_after.timestamp()),
            names: dns,
            addresses,
            uris,
            emails,
            other_names: others,
            issuer: printable(&certificate.issuer().to_string()),
            serial: hex(certificate.raw_serial()),
            fingerprint: sha256_hex(der),
            public_key_fingerprint: sha256_hex(certificate.public_key().raw),
            is_ca: certificate.is_ca(),
        })
    }

    /// Reads the first certificate of a PEM chain: the leaf comes first (RFC 8555 §9.1).
    ///
    /// # Errors
    /// [`FactsError`] when there is none or it is malformed.
    pub fn from_pem(pem: &[u8]) -> Result<Self, FactsError> {
        let leaf = CertificateDer::pem_slice_iter(pem).next().ok_or(FactsError::NoCertificate)?;
        let leaf = leaf.map_err(|error| FactsError::Malformed { reason: error.to_string() })?;
        Self::from_der(&leaf)
    }

    /// Whether the key belongs to this certificate.
    #[must_use]
    pub fn has_key(&self, key: &PrivateKey) -> bool {
        self.public_key_fingerprint == Self::fingerprint_of(key)
    }

    /// Whether this is its public key, a DER SubjectPublicKeyInfo: for keys that others hold.
    #[must_use]
    pub fn has_public_key(&self, der: &[u8]) -> bool {
        self.public_key_fingerprint == sha256_hex(der)
    }

    /// The [`public_key_fingerprint`](Self::public_key_fingerprint) of a certificate with this key.
    #[must_use]
    pub fn fingerprint_of(key: &PrivateKey) -> String {
        Self::fingerprint_of_der(&key.public_key_der())
    }

    /// The same, of a DER SubjectPublicKeyInfo.
    pub(crate) fn fingerprint_of_der(public_key: &[u8]) -> String {
        sha256_hex(public_key)
    }

    /// How long the certificate is valid in all.
    #[must_use]
    pub fn lifetime(&self) -> std::time::Duration {
        self.not_after.since(self.not_before)
    }
}

/// The alternative names of a certificate by their kinds.
#[derive(Default)]
struct Alternatives {
    dns: BTreeSet<DomainName>,
    addresses: BTreeSet<IpAddr>,
    uris: BTreeSet<String>,
    emails: BTreeSet<String>,
    others: Vec<String>,
}

impl Alternatives {
    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(text) => match DomainName::parse(text) {
                Ok(dns) => drop(self.dns.insert(dns)),
                Err(_) => self.others.push(printable(&name.to_string())),
            },
            GeneralName::IPAddress(octets) => match address(octets) {
                Some(address) => drop(self.addresses.insert(address)),
                None => self.others.push(printable(&name.to_string())),
            },
            // What cannot be shown as it is cannot be asked for either.
            GeneralName::URI(text) if is_plain(text) => drop(self.uris.insert((*text).to_owned())),
            GeneralName::RFC822Name(text) if is_plain(text) => drop(self.emails.insert((*text).to_owned())),
            _ => self.others.push(printable(&name.to_string())),
        }
    }
}

/// RFC 5280 §4.2.1.6: four octets or sixteen, in network order.
fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn is_plain(text: &str) -> bool {
    text.len() <= LONGEST_NAME && text.chars().all(|c| c.is_ascii_graphic())
}

/// As long as the longest that a spec can ask for.
const LONGEST_NAME: usize = 2_048;

/// Whoever signs writes these texts, and they end up on terminals: escape sequences and characters that turn
/// the direction of writing (UAX #9 §2) are replaced.
pub(crate) fn printable(text: &str) -> String {
    let loud = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(300).map(|c| if loud(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why no facts could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// Not a DER certificate.
    #[error("malformed certificate: {reason}")]
    Malformed {
        /// Where reading stopped.
        reason: String,
    },
    /// The PEM text holds none.
    #[error("no CERTIFICATE block in the PEM text")]
    NoCertificate,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A self-signed certificate for tests, valid between two moments.
    pub(crate) fn certificate(names: &[&str], from: i64, to: i64) -> (Vec<u8>, PrivateKey) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = ::time::OffsetDateTime::from_unix_timestamp(from).unwrap();
        params.not_after = ::time::OffsetDateTime::from_unix_timestamp(to).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let key = PrivateKey::from_pem(&perennial_core::SecretString::new(key.serialize_pem())).unwrap();
        (der, key)
    }

    #[test]
    fn facts_are_read_from_the_bytes() {
        let (der, key) = certificate(&["*.a.example", "a.example", "192.0.2.1"], 1_000, 2_000);
        let facts = Facts::from_der(&der).unwrap();
        assert_eq!(facts.not_before.unix(), 1_000);
        assert_eq!(facts.lifetime().as_secs(), 1_000);
        assert_eq!(
            facts.names.iter().map(DomainName::as_str).collect::<Vec<_>>(),
            ["*.a.example", "a.example"]
        );
        assert_eq!(facts.addresses, BTreeSet::from(["192.0.2.1".parse().unwrap()]));
        assert_eq!(facts.other_names.len(), 0, "{:?}", facts.other_names);
        assert!(facts.has_key(&key) && facts.has_public_key(&key.public_key_der()));
        assert!(!facts.has_public_key(&[]));
        assert!(!facts.has_key(&PrivateKey::generate(crate::KeyAlgorithm::EcdsaP256).unwrap()));
    }

    #[test]
    fn every_kind_of_name_that_can_be_asked_for_is_told_apart() {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        for name in [
            rcgen::SanType::URI("spiffe://prod/web".try_into().unwrap()),
            rcgen::SanType::URI("spiffe://prod/\u{1b}[2J".try_into().unwrap()),
            rcgen::SanType::Rfc822Name("ops@a.example".try_into().unwrap()),
            rcgen::SanType::DnsName("not a name".try_into().unwrap()),
        ] {
            params.subject_alt_names.push(name);
        }
        let der = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let facts = Facts::from_der(&der).unwrap();
        assert_eq!(facts.uris, BTreeSet::from(["spiffe://prod/web".to_owned()]));
        assert_eq!(facts.emails, BTreeSet::from(["ops@a.example".to_owned()]));
        assert_eq!(facts.other_names.len(), 2, "{:?}", facts.other_names);
        assert!(!facts.other_names.concat().contains('\u{1b}'));
    }

    #[test]
    fn what_a_ca_calls_itself_does_not_reach_a_terminal_raw() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Evil\u{1b}[2J\u{202e} CA");
        let facts = Facts::from_der(params.self_signed(&key).unwrap().der()).unwrap();
        assert_eq!(facts.issuer, "CN=Evil\u{fffd}[2J\u{fffd} CA");
    }

    #[test]
    fn a_certificate_that_may_sign_others_is_known() {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let der = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
        assert!(Facts::from_der(&der).unwrap().is_ca);
        assert!(!Facts::from_der(&certificate(&["a.example"], 0, 1).0).unwrap().is_ca);
    }

    #[test]
    fn bytes_after_the_certificate_are_refused() {
        let (mut der, _) = certificate(&["a.example"], 0, 1);
        der.push(0);
        assert!(Facts::from_der(&der).is_err());
    }

    #[test]
    fn a_text_without_certificate_says_so() {
        assert_eq!(Facts::from_pem(b"hello").unwrap_err(), FactsError::NoCertificate);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Facts::from_der(&bytes);
            let _ = Facts::from_pem(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0usize..400, bit in 0u8..8) {
            let (mut der, _) = certificate(&["a.example"], 0, 1);
            let at = at % der.len();
            der[at] ^= 1 << bit;
            let _ = Facts::from_der(&der);
        }
    }
}
