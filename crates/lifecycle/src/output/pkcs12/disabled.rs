//! Without the feature `pkcs12` no file can be made or read, and no setting for one be had.

use perennial_core::SecretBytes;

use super::Pkcs12;
use crate::{
    OutputFormat,
    output::{CertifiedKey, OutputError},
    trust::TrustBundle,
};

pub(super) fn check() -> Result<(), OutputError> {
    let reason = "build this program with the feature `pkcs12`".to_owned();
    Err(OutputError::Unwritable { format: OutputFormat::Pkcs12, reason })
}

pub(super) fn key_store(pkcs12: &Pkcs12, _: &CertifiedKey) -> Result<SecretBytes, OutputError> {
    // Nobody has one, so nobody reads what it says.
    let _ = (&pkcs12.password, pkcs12.profile, &pkcs12.alias);
    check().map(|()| SecretBytes::new([]))
}

pub(super) fn trust_store(_: &Pkcs12, _: &TrustBundle) -> Result<SecretBytes, OutputError> {
    check().map(|()| SecretBytes::new([]))
}

pub(super) fn read_key_store(_: &Pkcs12, bytes: &[u8]) -> Result<CertifiedKey, OutputError> {
    check().and_then(|()| CertifiedKey::from_der([bytes], &[]))
}

pub(super) fn read_trust_store(_: &Pkcs12, bytes: &[u8]) -> Result<TrustBundle, OutputError> {
    check().and_then(|()| Ok(TrustBundle::from_der([bytes])?))
}
