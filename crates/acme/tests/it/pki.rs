//! A CA with a root and intermediates, by rcgen.

use perennial_core::DomainName;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PublicKeyData as _, date_time_ymd,
};

/// A key that can be certified.
pub(crate) struct Key(pub(crate) KeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    pub(crate) fn csr(&self, names: &[DomainName]) -> Vec<u8> {
        leaf_params(names).serialize_request(&self.0).unwrap().der().to_vec()
    }
}

/// A CA certificate and its key.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

fn ca_params(name: &str, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, KeyPair::generate().unwrap())
    }

    /// A root with a key of that kind.
    pub(crate) fn root_with(name: &str, key: KeyPair) -> Self {
        let params = ca_params(name, true);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn intermediate(&self, name: &str) -> Self {
        self.certified(ca_params(name, true), KeyPair::generate().unwrap())
    }

    /// An intermediate from one first of November to the other.
    pub(crate) fn intermediate_between(&self, name: &str, from: i32, to: i32) -> Self {
        let mut params = ca_params(name, true);
        params.not_before = date_time_ymd(from, 11, 1);
        params.not_after = date_time_ymd(to, 11, 1);
        self.certified(params, KeyPair::generate().unwrap())
    }

    /// A certificate that issues although it may not.
    pub(crate) fn impostor(&self, name: &str) -> Self {
        self.certified(ca_params(name, false), KeyPair::generate().unwrap())
    }

    /// A CA whose key may sign anything but certificates.
    pub(crate) fn intermediate_that_may_not_sign(&self, name: &str) -> Self {
        let mut params = ca_params(name, true);
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        self.certified(params, KeyPair::generate().unwrap())
    }

    /// The name and key of another authority, certified by this one.
    pub(crate) fn cross_sign(&self, name: &str, other: &Self) -> String {
        ca_params(name, true).signed_by(other.issuer.key(), &self.issuer).unwrap().pem()
    }

    fn certified(&self, params: CertificateParams, key: KeyPair) -> Self {
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A leaf from 2026-11-01 to 2027-01-30.
    pub(crate) fn leaf(&self, key: &Key, names: &[DomainName]) -> String {
        self.sign(key, leaf_params(names))
    }

    pub(crate) fn sign(&self, key: &Key, mut params: CertificateParams) -> String {
        params.use_authority_key_identifier_extension = true;
        params.signed_by(&key.0, &self.issuer).unwrap().pem()
    }
}

pub(crate) fn leaf_params(names: &[DomainName]) -> CertificateParams {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new(); // no common name: the names are enough
    params.not_before = date_time_ymd(2026, 11, 1);
    params.not_after = date_time_ymd(2027, 1, 30);
    params
}
