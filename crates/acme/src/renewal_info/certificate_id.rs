//! The name of a certificate at its CA (RFC 9773 §4.1).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_core::Retry;
use serde::{Deserialize, Serialize};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::{certificate::authority_key_id, text::printable};

/// What a certificate is called when its CA is asked for [renewal information](crate::RenewalInfo), and when
/// an order says which certificate it replaces: the issuer's key and the serial number.
///
/// It is made from the certificate's own bytes: a serial number that went through an integer loses its sign
/// octet, and the CA knows no such certificate. Its text and serde form is RFC 9773's: both parts in
/// base64url, with a dot between.
///
/// ```
/// use perennial_acme::CertificateId;
///
/// let id: CertificateId = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse()?;
/// assert_eq!(id.serial(), [0x00, 0x87, 0x65, 0x43, 0x21]);
/// assert_eq!(id.to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
/// # Ok::<(), perennial_acme::CertificateIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CertificateId {
    authority_key_id: Vec<u8>,
    serial: Vec<u8>,
}

impl CertificateId {
    /// The name of a certificate in DER.
    ///
    /// # Errors
    /// [`CertificateIdError`] when it is no certificate, or does not say which key signed it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateIdError> {
        let unreadable = |reason: &str| CertificateIdError::Unreadable { reason: printable(reason, 200) };
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| unreadable(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable("something follows it"));
        }
        let key_id = authority_key_id(&certificate).ok_or(CertificateIdError::NoAuthorityKeyId)?;
        Self::new(key_id.to_vec(), certificate.raw_serial().to_vec())
    }

    fn new(authority_key_id: Vec<u8>, serial: Vec<u8>) -> Result<Self, CertificateIdError> {
        if authority_key_id.is_empty() {
            return Err(CertificateIdError::NoAuthorityKeyId);
        }
        if serial.is_empty() {
            let reason = "its serial number is empty".to_owned();
            return Err(CertificateIdError::Unreadable { reason });
        }
        let octets = authority_key_id.len().max(serial.len());
        if octets > MAX_PART {
            return Err(CertificateIdError::TooLong { octets });
        }
        Ok(Self { authority_key_id, serial })
    }

    /// The identifier of the issuer's key: `keyIdentifier` of the extension authorityKeyIdentifier
    /// (RFC 5280 §4.2.1.1). Two certificates that share it are of one CA.
    #[must_use]
    pub fn authority_key_id(&self) -> &[u8] {
        &self.authority_key_id
    }

    /// The serial number: the content octets of the DER integer, sign octet included.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

/// RFC 5280 allows a serial number 20 octets and key identifiers are hashes of 20 to 64; whatever is longer
/// would not fit into a URL for long.
const MAX_PART: usize = 255;

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, serial) = (&self.authority_key_id, &self.serial);
        write!(f, "{}.{}", URL_SAFE_NO_PAD.encode(key), URL_SAFE_NO_PAD.encode(serial))
    }
}

impl FromStr for CertificateId {
    type Err = CertificateIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || CertificateIdError::Malformed { text: printable(text, 100) };
        let part = |text: &str| {
            URL_SAFE_NO_PAD.decode(text).ok().filter(|octets| !octets.is_empty()).ok_or_else(malformed)
        };
        let (key, serial) = text.split_once('.').ok_or_else(malformed)?;
        Self::new(part(key)?, part(serial)?)
    }
}

impl TryFrom<String> for CertificateId {
    type Error = CertificateIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CertificateId> for String {
    fn from(id: CertificateId) -> Self {
        id.to_string()
    }
}

/// Why a certificate has no name at its CA.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateIdError {
    /// A text of another form.
    #[error(
        "{text:?} is no certificate identifier: two base64url parts with a dot between are (RFC 9773 §4.1)"
    )]
    Malformed {
        /// The text.
        text: String,
    },
    /// A certificate that does not say which key signed it.
    #[error(
        "the certificate does not name the key that signed it (authorityKeyIdentifier), so its CA cannot be \
         asked about it"
    )]
    NoAuthorityKeyId,
    /// A part that no honest certificate has.
    #[error("a certificate identifier has a part of {octets} octets, {MAX_PART} is the most")]
    TooLong {
        /// How long it is.
        octets: usize,
    },
    /// No certificate.
    #[error("the certificate cannot be read: {reason}")]
    Unreadable {
        /// What the parser says.
        reason: String,
    },
}

impl CertificateIdError {
    /// The same bytes have the same fault for ever.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyIdMethod, KeyPair, SerialNumber};
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};

    const RFC9773_A: &str = "-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
";

    /// A leaf with that serial number, signed by a key of that identifier; without one it names no key.
    fn leaf(serial: &[u8], key_id: Option<&[u8]>) -> Vec<u8> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_identifier_method = KeyIdMethod::PreSpecified(key_id.unwrap_or(&[1]).to_vec());
        let authority = Issuer::new(authority, KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(["example.org".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.use_authority_key_identifier_extension = key_id.is_some();
        params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap().der().to_vec()
    }

    #[test]
    fn rfc9773_4_1_the_identifier_of_the_certificate_of_appendix_a() {
        let der = CertificateDer::from_pem_slice(RFC9773_A.as_bytes()).unwrap();
        let id = CertificateId::from_der(&der).unwrap();
        assert_eq!(id.to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
        assert_eq!(id.to_string().parse::<CertificateId>().unwrap(), id);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE\"");
        let read: CertificateId = serde_json::from_str("\"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE\"").unwrap();
        assert_eq!(read, id);
    }

    #[test]
    fn a_sign_octet_of_the_serial_number_is_kept_however_long_it_is() {
        let long = [0x80; 200];
        let id = CertificateId::from_der(&leaf(&long, Some(&[0xc0, 0xff, 0xee]))).unwrap();
        assert_eq!(id.serial(), [&[0][..], &long].concat());
        assert_eq!(id.authority_key_id(), [0xc0, 0xff, 0xee]);
        let error = CertificateId::from_der(&leaf(&[0x7f; 300], Some(&[1]))).unwrap_err();
        assert_eq!(error, CertificateIdError::TooLong { octets: 300 });
    }

    #[test]
    fn a_certificate_that_names_no_key_of_its_issuer_has_no_identifier() {
        let error = CertificateId::from_der(&leaf(&[1], None)).unwrap_err();
        assert_eq!(error, CertificateIdError::NoAuthorityKeyId);
        let error = CertificateId::from_der(&leaf(&[1], Some(&[]))).unwrap_err();
        assert_eq!(error, CertificateIdError::NoAuthorityKeyId);
    }

    #[test]
    fn a_serial_number_without_octets_is_none() {
        let error = CertificateId::new(vec![1], vec![]).unwrap_err();
        assert_eq!(error.to_string(), "the certificate cannot be read: its serial number is empty");
    }

    #[test]
    fn a_text_of_another_form_is_named() {
        for text in ["", ".", "aYhb", "aYhb.", ".AIdl", "aYhb.AIdl.AIdl", "aYhb.AI=="] {
            let error = text.parse::<CertificateId>().unwrap_err();
            assert_eq!(error, CertificateIdError::Malformed { text: text.to_owned() });
        }
    }

    proptest! {
        #[test]
        fn no_bytes_and_no_text_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,40}") {
            let _ = CertificateId::from_der(&bytes);
            let _ = text.parse::<CertificateId>();
        }

        #[test]
        fn no_flipped_bit_panics(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let mut der = CertificateDer::from_pem_slice(RFC9773_A.as_bytes()).unwrap().to_vec();
            let at = at.index(der.len());
            der[at] ^= flip;
            if let Ok(id) = CertificateId::from_der(&der) {
                prop_assert_eq!(id.to_string().parse::<CertificateId>(), Ok(id));
            }
        }
    }
}
