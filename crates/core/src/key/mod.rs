//! Private keys of certificates, and the signing requests made with them (PKCS#8, RFC 5958; PKCS#10, RFC 2986).

use std::{fmt, net::IpAddr, str::FromStr};

use rcgen::PublicKeyData as _;
use rsa::{pkcs1::DecodeRsaPublicKey as _, pkcs8::EncodePrivateKey as _, traits::PublicKeyParts as _};
use serde::{Deserialize, Serialize};

use crate::{DomainName, SecretString};

mod pem;

/// Which kind of key a certificate has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 (RFC 5480). The default: accepted everywhere, small, fast.
    #[default]
    #[serde(rename = "ec256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[serde(rename = "ec384")]
    EcdsaP384,
    /// Ed25519 (RFC 8410). For private CAs: no public one signs it.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// RSA with 2048 bits, for clients that know nothing newer.
    #[serde(rename = "rsa2048")]
    Rsa2048,
    /// RSA with 3072 bits: 128 bits of security, as P-256 has (NIST SP 800-57 part 1).
    #[serde(rename = "rsa3072")]
    Rsa3072,
    /// RSA with 4096 bits. Making one takes seconds.
    #[serde(rename = "rsa4096")]
    Rsa4096,
}

impl KeyAlgorithm {
    /// All of them, in the order of [`Display`](fmt::Display).
    pub const ALL: [Self; 6] =
        [Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ec256",
            Self::EcdsaP384 => "ec384",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
        }
    }

    const fn rsa_bits(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(2048),
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
            Self::EcdsaP256 | Self::EcdsaP384 | Self::Ed25519 => None,
        }
    }

    const fn signature(self) -> &'static rcgen::SignatureAlgorithm {
        match self {
            Self::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        found.ok_or_else(|| KeyError::UnknownAlgorithm { text: text.chars().take(40).collect() })
    }
}

/// A certificate's private key.
///
/// Neither prints nor serializes by accident: [`to_pem`](Self::to_pem) gives it out as a secret.
///
/// ```
/// use perennial_core::{KeyAlgorithm, PrivateKey};
///
/// let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
/// let again = PrivateKey::from_pem(&key.to_pem())?;
/// assert_eq!(again.public_key_der(), key.public_key_der());
/// # Ok::<(), perennial_core::KeyError>(())
/// ```
pub struct PrivateKey {
    pair: rcgen::KeyPair,
    pem: SecretString,
}

/// The library that reads keys does not say which.
const NEITHER: &str = "it is damaged, lacks its public half, or is none of ECDSA on P-256 or P-384, Ed25519 and RSA \
                       with 2048 to 4096 bits";

impl PrivateKey {
    /// Makes a fresh key.
    ///
    /// Takes microseconds for elliptic curves and up to seconds for RSA: an async caller moves it to a
    /// blocking thread, as the keeper does.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the operating system gives no randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let failed = |reason: String| KeyError::Generate { algorithm, reason };
        let Some(bits) = algorithm.rsa_bits() else {
            let pair = rcgen::KeyPair::generate_for(algorithm.signature())
                .map_err(|error| failed(error.to_string()))?;
            let pem = SecretString::new(pair.serialize_pem());
            return Ok(Self { pair, pem });
        };
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits)
            .map_err(|error| failed(error.to_string()))?;
        let pem = key.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).map_err(|error| failed(error.to_string()))?;
        Self::from_pem(&SecretString::new(pem.as_str()))
    }

    /// Reads a key from the first block of a PEM text that holds one: PKCS#8 (`BEGIN PRIVATE KEY`), PKCS#1 (`BEGIN RSA
    /// PRIVATE KEY`, RFC 8017 §A.1.2) or SEC 1 on P-256 or P-384 (`BEGIN EC PRIVATE KEY`, RFC 5915). Other blocks, such as
    /// the `EC PARAMETERS` that OpenSSL writes before, are left aside.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`]; the text is never shown. Encrypted keys are not read.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let der = pem::private_key(pem)?;
        let pair = rcgen::KeyPair::try_from(der.expose())
            .map_err(|_| KeyError::Unreadable { reason: NEITHER.to_owned() })?;
        let pem = SecretString::new(pair.serialize_pem());
        Ok(Self { pair, pem })
    }

    /// The key as PKCS#8 PEM.
    #[must_use]
    pub fn to_pem(&self) -> SecretString {
        self.pem.clone()
    }

    /// Its kind; `None` for one that [`generate`](Self::generate) does not make, such as RSA with 2560 bits.
    #[must_use]
    pub fn algorithm(&self) -> Option<KeyAlgorithm> {
        let found = self.pair.algorithm();
        let kinds = KeyAlgorithm::ALL.into_iter().filter(|kind| kind.signature() == found);
        let bits = rsa::RsaPublicKey::from_pkcs1_der(self.pair.der_bytes()).ok().map(|key| key.n().bits());
        kinds.into_iter().find(|kind| kind.rsa_bits() == bits)
    }

    /// The public half as a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7): what certificates are compared by.
    #[must_use]
    pub fn public_key_der(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// A signing request (RFC 2986) for these names and addresses (RFC 8738 §3) in DER: subjectAltName only,
    /// since a common name says nothing that the names do not and may not exceed 64 characters.
    ///
    /// # Errors
    /// [`KeyError::Request`] with the reason.
    pub fn signing_request(&self, names: &[DomainName], addresses: &[IpAddr]) -> Result<Vec<u8>, KeyError> {
        self.signing_request_for(&RequestedNames { names, addresses, ..RequestedNames::default() })
    }

    /// A signing request (RFC 2986) for all kinds of names, in DER: what a private CA signs.
    ///
    /// # Errors
    /// [`KeyError::Request`] with the reason, such as a character that a field cannot hold.
    pub fn signing_request_for(&self, wanted: &RequestedNames<'_>) -> Result<Vec<u8>, KeyError> {
        let failed = |error: rcgen::Error| KeyError::Request { reason: error.to_string() };
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (attribute, value) in wanted.subject {
            params.distinguished_name.push(rcgen::DnType::from_oid(attribute), *value);
        }
        let alternatives = &mut params.subject_alt_names;
        for name in wanted.names {
            alternatives.push(rcgen::SanType::DnsName(name.as_str().try_into().map_err(failed)?));
        }
        alternatives.extend(wanted.addresses.iter().copied().map(rcgen::SanType::IpAddress));
        for uri in wanted.uris {
            alternatives.push(rcgen::SanType::URI(uri.as_str().try_into().map_err(failed)?));
        }
        for mailbox in wanted.emails {
            alternatives.push(rcgen::SanType::Rfc822Name(mailbox.as_str().try_into().map_err(failed)?));
        }
        Ok(params.serialize_request(&self.pair).map_err(failed)?.der().to_vec())
    }
}

/// What a signing request names.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // Plain data, with a default for what is not wanted.
pub struct RequestedNames<'a> {
    /// DNS names.
    pub names: &'a [DomainName],
    /// IP addresses.
    pub addresses: &'a [IpAddr],
    /// URIs (RFC 5280 §4.2.1.6), such as SPIFFE ids.
    pub uris: &'a [String],
    /// Mailboxes.
    pub emails: &'a [String],
    /// Attributes of the subject by their object identifiers, each at most once: `[2, 5, 4, 3]` is the common
    /// name.
    pub subject: &'a [(&'static [u64], &'a str)],
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// None could be made.
    #[error("cannot make a {algorithm} key: {reason}")]
    Generate {
        /// Of which kind.
        algorithm: KeyAlgorithm,
        /// Why.
        reason: String,
    },
    /// No signing request could be made with it.
    #[error("cannot make a signing request: {reason}")]
    Request {
        /// Why.
        reason: String,
    },
    /// Not the name of an algorithm.
    #[error("{text:?} is no key algorithm: use ec256, ec384, ed25519, rsa2048, rsa3072 or rsa4096")]
    UnknownAlgorithm {
        /// The text.
        text: String,
    },
    /// Not a key in PEM, or one of another kind.
    #[error(
        "cannot read the private key: {reason}; it must be PEM that is not encrypted: PKCS#8 (BEGIN PRIVATE KEY), \
         PKCS#1 (BEGIN RSA PRIVATE KEY) or SEC 1 (BEGIN EC PRIVATE KEY)"
    )]
    Unreadable {
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::{prelude::*, public_key::PublicKey};

    #[test]
    fn every_algorithm_makes_a_key_that_signs_a_request_for_the_names_and_survives_its_own_pem() {
        let names = ["*.example.com".parse().unwrap(), "example.com".parse().unwrap()];
        let addresses = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        for algorithm in KeyAlgorithm::ALL {
            let made = PrivateKey::generate(algorithm).unwrap();
            let key = PrivateKey::from_pem(&made.to_pem()).unwrap();
            assert_eq!(key.public_key_der(), made.public_key_der(), "{algorithm}");
            let request = key.signing_request(&names, &addresses).unwrap();
            let (_, request) = X509CertificationRequest::from_der(&request).unwrap();
            request.verify_signature().unwrap_or_else(|error| panic!("{algorithm}: {error}"));
            assert_eq!(request.certification_request_info.subject_pki.raw, key.public_key_der());
            assert_eq!(request.certification_request_info.subject.iter().count(), 0);
            let san = request.requested_extensions().unwrap().find_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(san) => Some(san.general_names.clone()),
                _ => None,
            });
            let expected = [
                GeneralName::DNSName("*.example.com"),
                GeneralName::DNSName("example.com"),
                GeneralName::IPAddress(&[192, 0, 2, 1]),
                GeneralName::IPAddress(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ];
            assert_eq!(san.unwrap(), expected, "{algorithm}");
            assert_eq!(rsa_bits(&request.certification_request_info.subject_pki), algorithm.rsa_bits());
        }
    }

    #[test]
    fn a_request_can_name_uris_mailboxes_and_a_subject() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let (uris, emails) = (["spiffe://prod/web".to_owned()], ["ops@example.com".to_owned()]);
        let subject: [(&[u64], &str); 2] = [(&[2, 5, 4, 10], "Example"), (&[2, 5, 4, 3], "web")];
        let wanted =
            RequestedNames { uris: &uris, emails: &emails, subject: &subject, ..RequestedNames::default() };
        let request = key.signing_request_for(&wanted).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&request).unwrap();
        assert_eq!(request.certification_request_info.subject.to_string(), "O=Example, CN=web");
        let san = request.requested_extensions().unwrap().find_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(san) => Some(san.general_names.clone()),
            _ => None,
        });
        let expected = [GeneralName::URI("spiffe://prod/web"), GeneralName::RFC822Name("ops@example.com")];
        assert_eq!(san.unwrap(), expected);
        let uris = ["spiffe://prod/\u{fc}".to_owned()];
        let wanted = RequestedNames { uris: &uris, ..RequestedNames::default() };
        assert!(matches!(key.signing_request_for(&wanted), Err(KeyError::Request { .. })));
    }

    fn rsa_bits(key: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
        match key.parsed().unwrap() {
            PublicKey::RSA(rsa) => Some(rsa.key_size()),
            _ => None,
        }
    }

    #[test]
    fn a_broken_key_is_not_shown() {
        let error = PrivateKey::from_pem(&SecretString::new("hunter2")).err().unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn an_unknown_algorithm_is_named_with_the_choices() {
        let error = "dsa".parse::<KeyAlgorithm>().unwrap_err().to_string();
        assert!(error.contains("\"dsa\"") && error.contains("ec256"), "{error}");
        for algorithm in KeyAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse::<KeyAlgorithm>().unwrap(), algorithm);
        }
    }
}
