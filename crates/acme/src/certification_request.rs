//! Requests for a certificate (PKCS#10, RFC 2986), and whether one fits an order (RFC 8555 §7.4, §11.1).

use std::net::IpAddr;

use perennial_core::{DomainName, Retry};
use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject as _};
use x509_parser::{
    certification_request::X509CertificationRequest, error::X509Error, extensions::ParsedExtension,
    prelude::FromDer as _,
};

use crate::{Identifier, Jwk, certificate::Subjects, text::printable};

/// A certification request, RFC 2986's word for what most call a CSR: a public key and the names that it is to
/// be certified for, signed with the key.
///
/// Made here, or brought along by somebody who keeps the key elsewhere. Either way it is known what is in it
/// before a CA is asked, so that what does not fit costs no order.
///
/// ```
/// use perennial_acme::{CertificationRequest, Identifier, KeyAlgorithm, PrivateKey};
///
/// let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?; // keep key.to_pem() before anything else
/// let names = [Identifier::Dns("example.com".parse()?), Identifier::Ip("192.0.2.1".parse()?)];
/// let request = CertificationRequest::new(&key, &names)?;
/// assert_eq!(request.public_key(), key.public_key_der());
/// request.check_identifiers(&names)?;
/// assert!(request.check_identifiers(&names[..1]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificationRequest {
    der: Vec<u8>,
    public_key: Vec<u8>,
    subjects: Subjects,
}

impl CertificationRequest {
    /// Makes a request for that key and those names and addresses.
    ///
    /// # Errors
    /// [`CertificationRequestError::Kind`] for an identifier of another kind, and
    /// [`CertificationRequestError::Unsigned`] when the key cannot sign.
    #[cfg(feature = "keys")]
    pub fn new(
        key: &perennial_core::PrivateKey,
        identifiers: &[Identifier],
    ) -> Result<Self, CertificationRequestError> {
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        for identifier in identifiers {
            match identifier {
                Identifier::Dns(name) => names.push(name.clone()),
                Identifier::Ip(address) => addresses.push(*address),
                other => return Err(CertificationRequestError::Kind { identifier: other.to_string() }),
            }
        }
        let unsigned = |reason: String| CertificationRequestError::Unsigned { reason };
        Self::parse(&key.signing_request(&names, &addresses).map_err(|error| unsigned(error.to_string()))?)
    }

    /// Reads a request in DER.
    ///
    /// # Errors
    /// [`CertificationRequestError::Unreadable`], and [`CertificationRequestError::Signature`] when it is not
    /// signed with its own key. A signature of a kind that cannot be checked here passes: the CA checks it.
    pub fn parse(der: &[u8]) -> Result<Self, CertificationRequestError> {
        let unreadable =
            |reason: &str| CertificationRequestError::Unreadable { reason: printable(reason, 200) };
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|error| unreadable(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable("something follows it"));
        }
        match request.verify_signature() {
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => {}
            Err(_) => return Err(CertificationRequestError::Signature),
        }
        Ok(Self {
            der: der.to_vec(),
            public_key: request.certification_request_info.subject_pki.raw.to_vec(),
            subjects: subjects(&request),
        })
    }

    /// Reads a request in PEM: the first `CERTIFICATE REQUEST` block (RFC 7468 §7).
    ///
    /// # Errors
    /// [`CertificationRequestError::NotPem`] when there is none; otherwise as [`parse`](Self::parse).
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificationRequestError> {
        let not_pem = |reason: String| CertificationRequestError::NotPem { reason: printable(&reason, 200) };
        let der = CertificateSigningRequestDer::from_pem_slice(pem);
        Self::parse(&der.map_err(|error| not_pem(error.to_string()))?)
    }

    /// The request in DER, for [`Order::finalize`](crate::Order::finalize).
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key that is to be certified: its SubjectPublicKeyInfo in DER, for
    /// [`Expected`](crate::Expected::public_key).
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The names and addresses: those of subjectAltName and the common name, which count alike
    /// (RFC 8555 §7.4).
    pub fn identifiers(&self) -> impl Iterator<Item = &Identifier> {
        self.subjects.identifiers.iter()
    }

    /// That its names are those of an order, all and no others (RFC 8555 §7.4).
    ///
    /// # Errors
    /// [`CertificationRequestError::OtherNames`] with the differences.
    pub fn check_identifiers(&self, ordered: &[Identifier]) -> Result<(), CertificationRequestError> {
        match self.subjects.difference(ordered) {
            Some((missing, surplus)) => Err(CertificationRequestError::OtherNames { missing, surplus }),
            None => Ok(()),
        }
    }

    /// That its key is not the account's, whose thumbprint (RFC 7638) that is: who has the key of a server must
    /// not thereby have the account (RFC 8555 §11.1), and CAs refuse it.
    ///
    /// # Errors
    /// [`CertificationRequestError::AccountKey`].
    pub fn check_key(&self, account: &str) -> Result<(), CertificationRequestError> {
        match Jwk::from_spki(&self.public_key) {
            Some(key) if key.thumbprint().as_str() == account => Err(CertificationRequestError::AccountKey),
            _ => Ok(()),
        }
    }
}

fn subjects(request: &X509CertificationRequest<'_>) -> Subjects {
    let mut subjects = Subjects::default();
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension {
            subjects.merge(Subjects::read(&names.general_names));
        }
    }
    for name in request.certification_request_info.subject.iter_common_name() {
        let text = name.as_str().unwrap_or("a common name that is no text");
        let address = text.parse::<IpAddr>().map(Identifier::from).ok();
        match address.or_else(|| DomainName::parse(text).map(Identifier::from).ok()) {
            Some(identifier) => drop(subjects.identifiers.insert(identifier)),
            None => drop(subjects.others.insert(printable(text, 253))),
        }
    }
    subjects
}

/// What is wrong with a certification request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificationRequestError {
    /// It is for the account's own key.
    #[error(
        "the signing request is for the account's own key, which no CA certifies (RFC 8555 §11.1): make a key for \
         the certificate"
    )]
    AccountKey,
    /// An identifier that no request is made for here.
    #[error("no signing request is made here for {identifier}: only for DNS names and IP addresses")]
    Kind {
        /// The identifier.
        identifier: String,
    },
    /// What should be PEM is not.
    #[error("the signing request is not PEM: {reason}; a CERTIFICATE REQUEST block is expected")]
    NotPem {
        /// What the parser says.
        reason: String,
    },
    /// Its names are not the order's.
    #[error("the signing request is not for what was ordered: missing {missing:?}, surplus {surplus:?}")]
    OtherNames {
        /// Ordered and not in it.
        missing: Vec<String>,
        /// In it and not ordered.
        surplus: Vec<String>,
    },
    /// It is not signed with its own key.
    #[error("the signing request is not signed with its own key: make it anew with the key that it is for")]
    Signature,
    /// The key could not sign it.
    #[error("the signing request cannot be made: {reason}")]
    Unsigned {
        /// Why.
        reason: String,
    },
    /// It cannot be read.
    #[error("the signing request cannot be read: {reason}")]
    Unreadable {
        /// What the parser says.
        reason: String,
    },
}

impl CertificationRequestError {
    /// The same request has the same fault for ever.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};

    fn dns(name: &str) -> Identifier {
        Identifier::Dns(name.parse().unwrap())
    }

    fn ip(address: &str) -> Identifier {
        Identifier::Ip(address.parse().unwrap())
    }

    fn request(common_name: Option<&str>, names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn rfc8555_7_4_common_name_and_alternative_names_count_alike() {
        let der = request(Some("WWW.example.org"), &["example.org", "192.0.2.1", "2001:db8::1"]);
        let request = CertificationRequest::parse(&der).unwrap();
        let ordered = [dns("example.org"), ip("192.0.2.1"), dns("www.example.org"), ip("2001:db8::1")];
        assert_eq!(request.check_identifiers(&ordered), Ok(()));
        assert_eq!(request.der(), der);
        assert_eq!(request.identifiers().count(), 4);
        let (missing, surplus) = (vec!["example.com".to_owned()], vec!["192.0.2.1".to_owned()]);
        let other = [dns("example.org"), dns("example.com"), dns("www.example.org"), ip("2001:db8::1")];
        let error = CertificationRequestError::OtherNames { missing, surplus };
        assert_eq!(request.check_identifiers(&other), Err(error));
    }

    #[test]
    fn what_can_be_no_identifier_is_surplus() {
        let request = CertificationRequest::parse(&request(Some("Example \u{1b} Inc."), &["example.org"]));
        let error = request.unwrap().check_identifiers(&[dns("example.org")]).unwrap_err();
        let surplus = vec!["Example Inc.".to_owned()];
        assert_eq!(error, CertificationRequestError::OtherNames { missing: vec![], surplus });
    }

    #[test]
    fn rfc8555_11_1_the_account_s_key_is_no_certificate_s_key() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        let request = CertificationRequest::parse(params.serialize_request(&key).unwrap().der()).unwrap();
        assert_eq!(request.public_key(), key.subject_public_key_info());
        let account = Jwk::from_spki(&key.subject_public_key_info()).unwrap().thumbprint();
        let error = request.check_key(account.as_str()).unwrap_err();
        assert_eq!(error, CertificationRequestError::AccountKey);
        assert_eq!(request.check_key("another"), Ok(()));
    }

    #[test]
    fn a_request_that_another_key_signed_is_refused() {
        let mut der = request(None, &["example.org"]);
        let last = der.len() - 1;
        der[last] ^= 1;
        assert_eq!(CertificationRequest::parse(&der), Err(CertificationRequestError::Signature));
        der[last] ^= 1;
        der.push(0);
        let error = CertificationRequest::parse(&der).unwrap_err();
        assert_eq!(error.to_string(), "the signing request cannot be read: something follows it");
    }

    #[test]
    fn pem_is_read_and_other_blocks_are_not() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        assert!(CertificationRequest::from_pem(pem.as_bytes()).is_ok());
        let error = CertificationRequest::from_pem(key.serialize_pem().as_bytes()).unwrap_err();
        assert!(matches!(error, CertificationRequestError::NotPem { .. }), "{error}");
        assert!(error.to_string().contains("CERTIFICATE REQUEST"), "{error}");
    }

    #[cfg(feature = "keys")]
    #[test]
    fn a_request_is_made_for_names_and_addresses_by_every_kind_of_key_and_for_nothing_else() {
        use perennial_core::{KeyAlgorithm, PrivateKey};

        let names = [dns("*.example.org"), dns("example.org"), ip("2001:db8::1")];
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let request = CertificationRequest::new(&key, &names).unwrap();
            assert_eq!(request.check_identifiers(&names), Ok(()), "{algorithm}");
            assert_eq!(request.public_key(), key.public_key_der());
        }
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let other = Identifier::Unknown { kind: "TNAuthList".to_owned(), value: "F83n2a".to_owned() };
        let error = CertificationRequest::new(&key, &[other]).unwrap_err();
        assert_eq!(error, CertificationRequestError::Kind { identifier: "TNAuthList:F83n2a".to_owned() });
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = CertificationRequest::parse(&bytes);
            let _ = CertificationRequest::from_pem(&bytes);
        }

        #[test]
        fn no_flipped_bit_panics(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let mut der = request(Some("example.org"), &["example.org", "192.0.2.1"]);
            let at = at.index(der.len());
            der[at] ^= flip;
            let _ = CertificationRequest::parse(&der);
            let _ = CertificationRequest::parse(&der[..at]);
        }
    }
}
