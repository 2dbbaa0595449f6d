//! What is read of a certificate (RFC 5280 §4.1).

use std::collections::BTreeSet;

use perennial_core::{DomainName, Timestamp};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time,
};

use super::CertificateFault;
use crate::text::printable;

/// What is read of the leaf, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeafFacts {
    pub(super) serial: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// The names as they should be; what is none of our names stands in `others`.
    pub(super) names: BTreeSet<DomainName>,
    pub(super) others: BTreeSet<String>,
    pub(super) public_key: Vec<u8>,
    pub(super) is_ca: bool,
}

impl LeafFacts {
    pub(super) fn read(leaf: &X509Certificate<'_>) -> Self {
        let mut facts = Self {
            serial: leaf.raw_serial().to_vec(),
            not_before: moment(leaf.validity().not_before),
            not_after: moment(leaf.validity().not_after),
            names: BTreeSet::new(),
            others: BTreeSet::new(),
            public_key: leaf.public_key().raw.to_vec(),
            is_ca: leaf.is_ca(),
        };
        let alternative = leaf.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(text) => match DomainName::parse(text) {
                    Ok(name) => drop(facts.names.insert(name)),
                    Err(_) => drop(facts.others.insert(printable(text, 253))),
                },
                other => drop(facts.others.insert(printable(&other.to_string(), 253))),
            }
        }
        facts
    }
}

fn moment(time: ASN1Time) -> Timestamp {
    Timestamp::from_unix(time.timestamp())
}

pub(super) fn read(der: &[u8], index: usize) -> Result<X509Certificate<'_>, CertificateFault> {
    let unreadable = |reason: String| CertificateFault::Unreadable { index, reason };
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| unreadable(printable(&error.to_string(), 200)))?;
    if !rest.is_empty() {
        return Err(unreadable("something follows it".to_owned()));
    }
    Ok(certificate)
}
