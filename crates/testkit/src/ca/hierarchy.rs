//! Roots, intermediates and what they sign: RFC 5280.

use std::{collections::BTreeSet, time::Duration};

use perennial_core::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;

use super::{
    identifier::Identifier,
    quirk::{Flaw, Quirks},
};
use crate::Error;

/// A root and an intermediate, another root that signs the same intermediate, and a stranger.
pub(super) struct Hierarchy {
    root: Certificate,
    intermediate: Certificate,
    alternate_root: Certificate,
    alternate_intermediate: Certificate,
    /// An intermediate that has signed nothing.
    stranger: Certificate,
    signer: Issuer<'static, KeyPair>,
}

/// What is to be signed.
pub(super) struct Leaf<'a> {
    pub(super) names: &'a BTreeSet<Identifier>,
    /// SubjectPublicKeyInfo in DER.
    pub(super) key: &'a [u8],
    pub(super) now: Timestamp,
    pub(super) validity: Duration,
}

/// What was signed.
pub(super) struct Signed {
    pub(super) serial: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) der: Vec<u8>,
    /// Leaf first, without the root, in PEM: the default chain and then the alternates.
    pub(super) chains: Vec<String>,
}

impl Hierarchy {
    pub(super) fn generate() -> Result<Self, Error> {
        let failed =
            |error: rcgen::Error| Error::Certificate { what: "the CA's chain", reason: error.to_string() };
        let (root, root_signer) = self_signed("Testkit Root X1").map_err(failed)?;
        let (alternate_root, alternate_signer) = self_signed("Testkit Root X2").map_err(failed)?;
        let params = authority("Testkit Intermediate E1", 0);
        let key = KeyPair::generate().map_err(failed)?;
        let stranger_key = KeyPair::generate().map_err(failed)?;
        Ok(Self {
            intermediate: params.signed_by(&key, &root_signer).map_err(failed)?,
            alternate_intermediate: params.signed_by(&key, &alternate_signer).map_err(failed)?,
            stranger: authority("Testkit Intermediate E2", 0)
                .signed_by(&stranger_key, &root_signer)
                .map_err(failed)?,
            root,
            alternate_root,
            signer: Issuer::new(params, key),
        })
    }

    pub(super) fn root_pem(&self) -> String {
        self.root.pem()
    }

    pub(super) fn alternate_root_pem(&self) -> String {
        self.alternate_root.pem()
    }

    pub(super) fn issue(&self, leaf: &Leaf<'_>, quirks: &Quirks) -> Result<Signed, rcgen::Error> {
        let key = if quirks.has_flaw(Flaw::AnotherKey) {
            SubjectPublicKeyInfo::from_der(&rcgen::PublicKeyData::subject_public_key_info(
                &KeyPair::generate()?,
            ))?
        } else {
            SubjectPublicKeyInfo::from_der(leaf.key)?
        };
        let mut names: Vec<String> = leaf.names.iter().map(ToString::to_string).collect();
        if quirks.has_flaw(Flaw::OtherNames) {
            names.pop();
            if names.is_empty() {
                names.push("another.invalid".into());
            }
        }
        let (not_before, not_after) = lifetime(leaf, quirks);
        let serial = serial();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = moment(not_before);
        params.not_after = moment(not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.signer)?;
        let chain = |intermediate: &Certificate| match intermediate {
            _ if quirks.has_flaw(Flaw::NoIntermediate) => certificate.pem(),
            _ if quirks.has_flaw(Flaw::BrokenChain) => certificate.pem() + &self.stranger.pem(),
            intermediate => certificate.pem() + &intermediate.pem(),
        };
        Ok(Signed {
            serial,
            not_before,
            not_after,
            der: certificate.der().to_vec(),
            chains: vec![chain(&self.intermediate), chain(&self.alternate_intermediate)],
        })
    }
}

/// A little of the validity lies in the past, as public CAs have it for clients whose clocks are behind: an
/// hour, or less for what does not live a day.
fn lifetime(leaf: &Leaf<'_>, quirks: &Quirks) -> (Timestamp, Timestamp) {
    let not_before = if quirks.has_flaw(Flaw::Expired) {
        leaf.now - leaf.validity - DAY
    } else if quirks.has_flaw(Flaw::NotYetValid) {
        leaf.now + DAY
    } else {
        leaf.now - Duration::from_secs(3600).min(leaf.validity / 24)
    };
    (not_before, not_before + leaf.validity)
}

fn self_signed(name: &str) -> Result<(Certificate, Issuer<'static, KeyPair>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let params = authority(name, 1);
    let certificate = params.self_signed(&key)?;
    Ok((certificate, Issuer::new(params, key)))
}

/// Valid from 1975 to 4096, which is rcgen's default: virtual years must not end it.
fn authority(name: &str, below: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Perennial Testkit");
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    params
}

/// RFC 5280 §4.1.2.2: positive, and so random that nobody guesses it.
fn serial() -> Vec<u8> {
    let mut serial: [u8; 16] = rand::random();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial.to_vec()
}

fn moment(timestamp: Timestamp) -> OffsetDateTime {
    // Every `Timestamp` lies in the years that this type has.
    OffsetDateTime::from_unix_timestamp(timestamp.unix()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

const DAY: Duration = Duration::from_secs(86_400);
