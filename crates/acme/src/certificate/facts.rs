//! What is read of a certificate (RFC 5280 §4.1).

use std::{collections::BTreeSet, net::IpAddr};

use perennial_core::{DomainName, Timestamp};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER},
    prelude::FromDer as _,
    time::ASN1Time,
};

use super::CertificateFault;
use crate::{Identifier, text::printable};

/// What is read of the leaf, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeafFacts {
    pub(super) serial: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) subjects: Subjects,
    pub(super) public_key: Vec<u8>,
    pub(super) is_ca: bool,
    pub(super) allows_server_auth: bool,
}

/// The subjectAltName (RFC 5280 §4.2.1.6) of a certificate or of a request for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subjects {
    /// What an order can be for.
    pub(crate) identifiers: BTreeSet<Identifier>,
    /// What none can be for, as text that is fit to be shown.
    pub(crate) others: BTreeSet<String>,
}

impl LeafFacts {
    pub(super) fn read(leaf: &X509Certificate<'_>) -> Self {
        let alternative = leaf.subject_alternative_name().ok().flatten();
        Self {
            serial: leaf.raw_serial().to_vec(),
            not_before: moment(leaf.validity().not_before),
            not_after: moment(leaf.validity().not_after),
            subjects: Subjects::read(alternative.iter().flat_map(|extension| &extension.value.general_names)),
            public_key: leaf.public_key().raw.to_vec(),
            is_ca: leaf.is_ca(),
            allows_server_auth: allows_server_auth(leaf),
        }
    }
}

impl Subjects {
    pub(crate) fn read<'a>(names: impl IntoIterator<Item = &'a GeneralName<'a>>) -> Self {
        let mut subjects = Self::default();
        for name in names {
            match identifier(name) {
                Some(identifier) => drop(subjects.identifiers.insert(identifier)),
                None => drop(subjects.others.insert(printable(&name.to_string(), 253))),
            }
        }
        subjects
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.identifiers.extend(other.identifiers);
        self.others.extend(other.others);
    }

    /// What is asked for and not there, and what is there and not asked for; `None` when nothing is.
    pub(crate) fn difference(&self, asked: &[Identifier]) -> Option<(Vec<String>, Vec<String>)> {
        let asked: BTreeSet<_> = asked.iter().cloned().collect();
        let missing: Vec<_> = asked.difference(&self.identifiers).map(ToString::to_string).collect();
        let surplus = self.identifiers.difference(&asked).map(ToString::to_string);
        let surplus: Vec<_> = surplus.chain(self.others.iter().cloned()).collect();
        (!missing.is_empty() || !surplus.is_empty()).then_some((missing, surplus))
    }
}

fn identifier(name: &GeneralName<'_>) -> Option<Identifier> {
    match name {
        GeneralName::DNSName(text) => DomainName::parse(text).ok().map(Identifier::from),
        // RFC 8738 §3 and RFC 5280 §4.2.1.6: four octets or sixteen.
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .ok()
            .map(Identifier::from),
        _ => None,
    }
}

fn allows_server_auth(leaf: &X509Certificate<'_>) -> bool {
    leaf.extended_key_usage().is_ok_and(|extension| {
        extension.is_none_or(|extension| extension.value.any || extension.value.server_auth)
    })
}

/// The identifier of the key that signed a certificate (RFC 5280 §4.2.1.1), if the certificate has exactly one.
pub(crate) fn authority_key_id<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    let extension = certificate.get_extension_unique(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER).ok()??;
    match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(key) => key.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    }
}

/// The identifier of a certificate's own key (RFC 5280 §4.2.1.2).
pub(super) fn subject_key_id<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    let extension = certificate.get_extension_unique(&OID_X509_EXT_SUBJECT_KEY_IDENTIFIER).ok()??;
    match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    }
}

pub(super) fn moment(time: ASN1Time) -> Timestamp {
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
