//! The certificate of a tls-alpn-01 proof (RFC 8737 §3), made by rcgen.

use perennial_core::SecretBytes;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, SanType};
use rustls_pki_types::CertificateDer;

use super::{KeyAuthorization, digest_of, server_name};
use crate::{Identifier, Misuse};

/// A certificate that proves one name to the server, and its key. Good for nothing else: it is self-signed,
/// and its critical extension makes every other client refuse it. rustls takes it from a `CertifiedKey::new`
/// by a `ResolvesServerCert` of one's own, which has to look at the protocols on offer anyway;
/// `with_single_cert` refuses it for the extension.
#[derive(Clone)]
#[non_exhaustive]
pub struct ValidationCertificate {
    /// The certificate, in DER.
    pub certificate: CertificateDer<'static>,
    /// Its P-256 key, PKCS#8 in DER.
    pub private_key: SecretBytes,
}

/// Makes the certificate: exactly one subject alternative name, and the critical `acmeIdentifier` extension.
/// Its key is new, and never the account's or the ordered certificate's.
///
/// # Errors
/// [`Misuse::Unprovable`] for an identifier that is neither a DNS name nor an address, or for a wildcard;
/// [`Misuse::Key`] when the operating system gives no random numbers.
pub fn certificate(
    identifier: &Identifier,
    key_authorization: &KeyAuthorization,
) -> Result<ValidationCertificate, Misuse> {
    certificate_of_digest(identifier, &digest_of(key_authorization))
}

/// As [`certificate`], from the [digest](digest_of) of the key authorization: enough to write down, since
/// whoever has it can make a certificate as good as the first at any time.
///
/// # Errors
/// As [`certificate`].
pub fn certificate_of_digest(
    identifier: &Identifier,
    digest: &[u8; 32],
) -> Result<ValidationCertificate, Misuse> {
    let unprovable = || Misuse::Unprovable { identifier: identifier.to_string(), challenge: "tls-alpn-01" };
    server_name(identifier).ok_or_else(unprovable)?;
    let subject = match identifier {
        Identifier::Ip(address) => SanType::IpAddress(*address),
        Identifier::Dns(_) | Identifier::Unknown { .. } => {
            SanType::DnsName(identifier.to_string().try_into().map_err(|_| unprovable())?)
        }
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new(); // the name alone is looked at
    params.subject_alt_names = vec![subject];
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    // With a well-formed name, nothing but the lack of random numbers is left to fail.
    let key = KeyPair::generate().map_err(|_| crate::KeyError::NoRandomness)?;
    let certificate = params.self_signed(&key).map_err(|_| crate::KeyError::NoRandomness)?;
    Ok(ValidationCertificate {
        certificate: certificate.der().clone(),
        private_key: SecretBytes::new(key.serialize_der()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Jwk,
        challenge::{Token, tls_alpn01::extension_value},
    };
    use x509_parser::{
        extensions::{GeneralName, ParsedExtension},
        prelude::{FromDer as _, X509Certificate},
    };

    fn authorization() -> KeyAuthorization {
        let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").unwrap();
        KeyAuthorization::new(&token, &Jwk::ed25519([7; 32]).thumbprint())
    }

    fn check(identifier: &Identifier, name: &GeneralName<'_>) {
        let made = certificate(identifier, &authorization()).unwrap();
        let (rest, parsed) = X509Certificate::from_der(&made.certificate).unwrap();
        assert!(rest.is_empty());
        parsed.verify_signature(None).unwrap();
        assert_eq!(parsed.subject(), parsed.issuer());
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, std::slice::from_ref(name));
        let proofs: Vec<_> = parsed
            .extensions()
            .iter()
            .filter(|extension| extension.oid.to_id_string() == super::super::ACME_IDENTIFIER)
            .collect();
        assert_eq!(proofs.len(), 1);
        assert!(proofs[0].critical);
        assert_eq!(proofs[0].value, extension_value(&authorization()));
        assert!(!matches!(proofs[0].parsed_extension(), ParsedExtension::ParseError { .. }));
        KeyPair::try_from(made.private_key.expose()).unwrap();
    }

    #[test]
    fn rfc8737_3_the_certificate_has_one_name_and_the_critical_proof() {
        check(&Identifier::Dns("www.example.org".parse().unwrap()), &GeneralName::DNSName("www.example.org"));
    }

    #[test]
    fn rfc8738_6_an_address_is_an_address_in_the_certificate() {
        check(&Identifier::Ip("192.0.2.7".parse().unwrap()), &GeneralName::IPAddress(&[192, 0, 2, 7]));
        let octets = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        check(&Identifier::Ip("2001:db8::1".parse().unwrap()), &GeneralName::IPAddress(&octets));
    }

    #[test]
    fn each_certificate_has_a_key_of_its_own() {
        let identifier = Identifier::Dns("www.example.org".parse().unwrap());
        let make = || certificate(&identifier, &authorization()).unwrap();
        assert!(make().private_key != make().private_key);
    }

    #[test]
    fn a_wildcard_cannot_be_proven_and_the_error_says_so() {
        let wildcard = Identifier::Dns("*.example.org".parse().unwrap());
        let error = certificate(&wildcard, &authorization()).err().unwrap();
        assert_eq!(
            error.to_string(),
            "*.example.org cannot be proven by tls-alpn-01: choose another challenge"
        );
    }
}
