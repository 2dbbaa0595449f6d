//! Whether a certificate is the one that was ordered.

use std::{collections::BTreeSet, time::Duration};

use perennial_core::Timestamp;
use x509_parser::{certificate::X509Certificate, error::X509Error};

use super::{
    CertificateChain, CertificateFault,
    facts::{LeafFacts, moment, read},
};
use crate::{Identifier, text::printable};

/// What a certificate has to be.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // A question with all its parts; a new part is a new question.
pub struct Expected<'a> {
    /// The public key that was in the signing request: its SubjectPublicKeyInfo in DER.
    pub public_key: &'a [u8],
    /// All the names and addresses, and no others; order and repetition do not matter.
    pub identifiers: &'a [Identifier],
    /// When it is looked at.
    pub now: Timestamp,
}

impl CertificateChain {
    /// Whether this is the certificate that was ordered.
    ///
    /// It does not ask whether anybody trusts the root: that is the relying party's question, and a private
    /// CA's root is nobody else's business. Nor does it ask what the certificate may be used for, which no
    /// order says: [`allows_server_auth`](Self::allows_server_auth) answers that.
    ///
    /// # Errors
    /// The first [`CertificateFault`] found: the leaf's key, names and validity (our clock may be five minutes
    /// behind the CA's), that it is no CA; that every certificate is signed by the next one, which has to be
    /// a CA and valid; that none comes twice.
    pub fn verify(&self, expected: &Expected<'_>) -> Result<(), CertificateFault> {
        if self.facts.public_key != expected.public_key {
            return Err(CertificateFault::OtherKey);
        }
        if let Some((missing, surplus)) = self.facts.subjects.difference(expected.identifiers) {
            return Err(CertificateFault::OtherNames { missing, surplus });
        }
        self.check_validity(expected.now)?;
        if self.facts.is_ca {
            return Err(CertificateFault::LeafIsCa);
        }
        self.check_links(expected.now)
    }

    fn check_validity(&self, now: Timestamp) -> Result<(), CertificateFault> {
        let LeafFacts { not_before, not_after, .. } = self.facts;
        if not_before >= not_after {
            return Err(CertificateFault::NeverValid { not_before, not_after });
        }
        if now + CLOCK_SKEW < not_before {
            return Err(CertificateFault::NotYetValid { not_before, now });
        }
        if now >= not_after {
            return Err(CertificateFault::Expired { not_after, now });
        }
        Ok(())
    }

    fn check_links(&self, now: Timestamp) -> Result<(), CertificateFault> {
        let all: Vec<_> = self.certificates().collect();
        let unique: BTreeSet<&[u8]> = all.iter().map(|der| der.as_ref()).collect();
        if unique.len() != all.len() {
            return Err(CertificateFault::Duplicate);
        }
        let parsed =
            all.iter().enumerate().map(|(index, der)| read(der, index)).collect::<Result<Vec<_>, _>>()?;
        for (index, (child, parent)) in parsed.iter().zip(parsed.iter().skip(1)).enumerate() {
            if !parent.is_ca() || !may_sign(parent) {
                return Err(CertificateFault::IssuerIsNoCa { index: index + 1 });
            }
            if child.issuer().as_raw() != parent.subject().as_raw() {
                return Err(CertificateFault::BrokenLink { index });
            }
            check_issuer_validity(parent, index + 1, now)?;
            child.verify_signature(Some(parent.public_key())).map_err(|error| match error {
                X509Error::SignatureUnsupportedAlgorithm => {
                    let algorithm = printable(&child.signature_algorithm.algorithm.to_id_string(), 64);
                    CertificateFault::UnknownSignature { index, algorithm }
                }
                _ => CertificateFault::BrokenLink { index },
            })?;
        }
        Ok(())
    }
}

/// RFC 5280 §4.2.1.3: a CA whose keyUsage does not say `keyCertSign` signs no certificate that anybody takes.
fn may_sign(issuer: &X509Certificate<'_>) -> bool {
    issuer.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

/// A chain is worth as much as its shortest-lived certificate: clients refuse all of it.
fn check_issuer_validity(
    issuer: &X509Certificate<'_>,
    index: usize,
    now: Timestamp,
) -> Result<(), CertificateFault> {
    let validity = issuer.validity();
    let (not_before, not_after) = (moment(validity.not_before), moment(validity.not_after));
    if now + CLOCK_SKEW < not_before {
        return Err(CertificateFault::IssuerNotYetValid { index, not_before, now });
    }
    if now >= not_after {
        return Err(CertificateFault::IssuerExpired { index, not_after, now });
    }
    Ok(())
}

/// How far our clock may be behind the CA's: what Kerberos allows too, and CAs date back by an hour anyway.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
