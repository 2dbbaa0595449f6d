//! Certificates that this program signs itself (RFC 5280): a request is read again and its certificate laid out.
//!
//! All of it is pure: the moment, the serial number and the key come in as values.

use data_encoding::BASE64;
use perennial_core::{KeyAlgorithm, Timestamp};
use perennial_lifecycle::SigningRequest;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, IsCa, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::OffsetDateTime;

use crate::Error;

mod request;
pub(crate) use request::read;

mod subject;
pub(crate) use subject::subject;

mod urls;
pub(crate) use urls::Urls;

mod usage;

mod validity;
pub(crate) use validity::{BACKDATE, LIFETIME, Span, Validity};

/// What of a certificate is not in its request.
pub(crate) struct Terms<'a> {
    pub(crate) validity: Validity,
    pub(crate) serial: [u8; 16],
    /// How many CAs may follow below a CA; `None` for as many as like.
    pub(crate) path_length: Option<u8>,
    pub(crate) urls: &'a Urls,
}

/// Lays a certificate out for a request whose key was [read].
///
/// # Errors
/// [`Error::Unserved`] when the request asks for what no certificate of this key can hold.
pub(crate) fn layout(
    request: &SigningRequest,
    key: &SubjectPublicKeyInfo,
    subject: DistinguishedName,
    terms: &Terms<'_>,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    (params.key_usages, params.extended_key_usages) = usage::of(request, key)?;
    params.distinguished_name = subject;
    params.subject_alt_names = alternatives(request).map_err(|error| unserved(request, &error))?;
    params.not_before = moment(terms.validity.not_before);
    params.not_after = moment(terms.validity.not_after);
    params.serial_number = Some(SerialNumber::from_slice(&terms.serial));
    params.is_ca = match (request.is_ca, terms.path_length) {
        (false, _) => IsCa::ExplicitNoCa,
        (true, None) => IsCa::Ca(BasicConstraints::Unconstrained),
        (true, Some(most)) => IsCa::Ca(BasicConstraints::Constrained(most)),
    };
    params.use_authority_key_identifier_extension = true;
    params.crl_distribution_points = terms.urls.distribution_points();
    params.custom_extensions = terms.urls.authority_information().into_iter().collect();
    Ok(params)
}

fn alternatives(request: &SigningRequest) -> Result<Vec<SanType>, rcgen::Error> {
    let mut alternatives = Vec::new();
    for name in &request.names {
        alternatives.push(SanType::DnsName(name.as_str().try_into()?));
    }
    alternatives.extend(request.addresses.iter().copied().map(SanType::IpAddress));
    for uri in &request.uris {
        alternatives.push(SanType::URI(uri.as_str().try_into()?));
    }
    for mailbox in &request.emails {
        alternatives.push(SanType::Rfc822Name(mailbox.as_str().try_into()?));
    }
    Ok(alternatives)
}

fn unserved(request: &SigningRequest, reason: &dyn ToString) -> Error {
    let what = format!("what no certificate can hold ({})", reason.to_string());
    Error::Unserved { certificate: request.certificate.clone(), what }
}

/// A certificate that could not be put together or signed.
pub(crate) fn refused(request: &SigningRequest, error: &rcgen::Error) -> Error {
    Error::Request { certificate: request.certificate.clone(), reason: error.to_string() }
}

/// Whether a signature with such a key takes so long that others should not wait for it.
pub(crate) const fn is_slow(algorithm: Option<KeyAlgorithm>) -> bool {
    !matches!(algorithm, Some(KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Ed25519))
}

/// A certificate as PEM (RFC 7468 §5).
pub(crate) fn pem(der: &[u8]) -> String {
    let mut pem = String::with_capacity(der.len() * 3 / 2 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    // 48 bytes are a line of 64 characters.
    for line in der.chunks(48) {
        BASE64.encode_append(line, &mut pem);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// A moment as a certificate can hold it (RFC 5280 §4.1.2.5): whole seconds, to the end of the year 9999.
pub(crate) fn moment(moment: Timestamp) -> OffsetDateTime {
    let seconds = moment.unix().clamp(0, validity::LAST);
    // Between these two there is no moment that has no date.
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A serial number that nobody can foretell (CA/Browser Forum BR §7.1: 64 bits at least): 128 bits.
///
/// # Errors
/// [`Error::NoRandomness`] when the operating system gives none.
pub(crate) fn serial() -> Result<[u8; 16], Error> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| Error::NoRandomness)?;
    Ok(serial)
}
