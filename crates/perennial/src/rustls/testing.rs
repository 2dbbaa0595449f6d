//! Certificates for the tests of this module.

use perennial_core::{SecretString, Timestamp};
use rcgen::{CertificateParams, KeyPair};

use super::ServedCertificate;

/// A self-signed chain, valid for a thousand seconds from a moment.
pub(super) fn chain_of(names: &[&str], not_before: i64, key: &KeyPair) -> String {
    chain_until(names, not_before, not_before + 1_000, key)
}

fn chain_until(names: &[&str], not_before: i64, not_after: i64, key: &KeyPair) -> String {
    let moment = |at| time::OffsetDateTime::from_unix_timestamp(at).unwrap();
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_before = moment(not_before);
    params.not_after = moment(not_after);
    params.self_signed(key).unwrap().pem()
}

pub(super) fn pair_for(names: &[&str], not_before: i64) -> (String, SecretString) {
    let key = KeyPair::generate().unwrap();
    (chain_of(names, not_before, &key), SecretString::new(key.serialize_pem()))
}

pub(super) fn served(names: &[&str], not_before: i64) -> ServedCertificate {
    let (chain, key) = pair_for(names, not_before);
    ServedCertificate::from_pem(&chain, &key).unwrap()
}

/// As [`served`], valid until a moment.
pub(super) fn served_until(names: &[&str], not_before: i64, not_after: i64) -> ServedCertificate {
    let key = KeyPair::generate().unwrap();
    let chain = chain_until(names, not_before, not_after, &key);
    ServedCertificate::from_pem(&chain, &SecretString::new(key.serialize_pem())).unwrap()
}

/// As [`served`], with an Ed25519 key.
pub(super) fn served_ed25519(names: &[&str], not_before: i64) -> ServedCertificate {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let chain = chain_of(names, not_before, &key);
    ServedCertificate::from_pem(&chain, &SecretString::new(key.serialize_pem())).unwrap()
}

pub(super) const fn at(unix: i64) -> Timestamp {
    Timestamp::from_unix(unix)
}
