//! Whether a certificate is the one that was ordered.

use std::{collections::BTreeSet, time::Duration};

use perennial_core::{DomainName, Timestamp};
use x509_parser::error::X509Error;

use super::{
    CertificateChain, CertificateFault,
    facts::{LeafFacts, read},
};
use crate::text::printable;

/// What a certificate has to be.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // A question with all its parts; a new part is a new question.
pub struct Expected<'a> {
    /// The public key that was in the signing request: its SubjectPublicKeyInfo in DER.
    pub public_key: &'a [u8],
    /// All the names, and no others; order and repetition do not matter.
    pub names: &'a [DomainName],
    /// When it is looked at.
    pub now: Timestamp,
}

impl CertificateChain {
    /// Whether this is the certificate that was ordered.
    ///
    /// It does not ask whether anybody trusts the root: that is the relying party's question, and a private
    /// CA's root is nobody else's business.
    ///
    /// # Errors
    /// The first [`CertificateFault`] found: the leaf's key, names and validity (our clock may be five minutes
    /// behind the CA's), that it is no CA; that every certificate is signed by the next one, which has to be
    /// a CA; that none comes twice.
    pub fn verify(&self, expected: &Expected<'_>) -> Result<(), CertificateFault> {
        if self.facts.public_key != expected.public_key {
            return Err(CertificateFault::OtherKey);
        }
        self.check_names(expected.names)?;
        self.check_validity(expected.now)?;
        if self.facts.is_ca {
            return Err(CertificateFault::LeafIsCa);
        }
        self.check_links()
    }

    fn check_names(&self, names: &[DomainName]) -> Result<(), CertificateFault> {
        let expected: BTreeSet<_> = names.iter().collect();
        let found: BTreeSet<_> = self.facts.names.iter().collect();
        let missing: Vec<_> = expected.difference(&found).map(ToString::to_string).collect();
        let surplus = found.difference(&expected).map(ToString::to_string);
        let surplus: Vec<_> = surplus.chain(self.facts.others.iter().cloned()).collect();
        if missing.is_empty() && surplus.is_empty() {
            return Ok(());
        }
        Err(CertificateFault::OtherNames { missing, surplus })
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

    fn check_links(&self) -> Result<(), CertificateFault> {
        let all: Vec<_> = self.certificates().collect();
        let unique: BTreeSet<&[u8]> = all.iter().map(|der| der.as_ref()).collect();
        if unique.len() != all.len() {
            return Err(CertificateFault::Duplicate);
        }
        let parsed =
            all.iter().enumerate().map(|(index, der)| read(der, index)).collect::<Result<Vec<_>, _>>()?;
        for (index, (child, parent)) in parsed.iter().zip(parsed.iter().skip(1)).enumerate() {
            if !parent.is_ca() {
                return Err(CertificateFault::IssuerIsNoCa { index: index + 1 });
            }
            if child.issuer().as_raw() != parent.subject().as_raw() {
                return Err(CertificateFault::BrokenLink { index });
            }
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

/// How far our clock may be behind the CA's: what Kerberos allows too, and CAs date back by an hour anyway.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
