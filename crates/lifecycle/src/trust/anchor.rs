//! One certificate that is trusted for its own sake (RFC 5280 §6.1.1 d).

use perennial_core::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::*;

use super::{Fingerprint, TrustError};
use crate::{IssuedChain, facts::printable};

/// One certificate that is trusted for its own sake, and what is to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    der: Vec<u8>,
    fingerprint: Fingerprint,
    subject: String,
    not_before: Timestamp,
    not_after: Timestamp,
    is_ca: bool,
}

impl Anchor {
    pub(super) fn from_der(index: usize, der: &[u8]) -> Result<Self, TrustError> {
        let malformed = |reason: &str| TrustError::Malformed { index, reason: printable(reason) };
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| malformed(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow the certificate"));
        }
        Ok(Self {
            der: der.to_vec(),
            fingerprint: Fingerprint::of(der),
            subject: printable(&certificate.subject().to_string()),
            not_before: Timestamp::from_unix(certificate.validity().not_before.timestamp()),
            not_after: Timestamp::from_unix(certificate.validity().not_after.timestamp()),
            is_ca: certificate.is_ca(),
        })
    }

    /// Its DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 over its DER.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whose it is, as the text form of the distinguished name, fit to be shown.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Its first valid moment.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Its last valid moment.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// What it is called in a trust store: `ca-` and the first 16 digits of its fingerprint. So one keeps its name
    /// whatever comes and goes beside it.
    #[must_use]
    pub fn alias(&self) -> String {
        let fingerprint = self.fingerprint.to_string();
        format!("ca-{}", fingerprint.get(..ALIAS).unwrap_or_default())
    }

    /// Whether this chain hangs on it: it is one of its certificates, or has signed one.
    #[must_use]
    pub fn vouches_for(&self, chain: &IssuedChain) -> bool {
        let Ok((_, anchor)) = X509Certificate::from_der(&self.der) else { return false };
        let ders = CertificateDer::pem_slice_iter(chain.pem().as_bytes()).take(LONGEST_CHAIN);
        ders.flatten().any(|der| {
            if der.as_ref() == self.der {
                return true;
            }
            X509Certificate::from_der(&der).is_ok_and(|(_, certificate)| {
                certificate.issuer().as_raw() == anchor.subject().as_raw()
                    && certificate.verify_signature(Some(anchor.public_key())).is_ok()
            })
        })
    }

    /// What relying parties will not like about it.
    pub(super) fn fault(&self, now: Timestamp) -> Option<AnchorFault> {
        let (subject, fingerprint) = (self.subject.clone(), self.fingerprint);
        if self.not_after <= now {
            Some(AnchorFault::Expired { subject, fingerprint, not_after: self.not_after })
        } else if !self.is_ca {
            Some(AnchorFault::NoCa { subject, fingerprint })
        } else {
            None
        }
    }
}

/// What relying parties will not like about a trust anchor. It is in the bundle all the same: who put it there may know
/// why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorFault {
    /// It has ended: nothing is verified by it any more.
    #[error("trust anchor {subject} ({fingerprint}) ended at {not_after}: remove it")]
    Expired {
        /// Whose it is.
        subject: String,
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// Its end.
        not_after: Timestamp,
    },
    /// It may not sign others: it vouches for itself alone, and some programs refuse even that.
    #[error("trust anchor {subject} ({fingerprint}) is no CA certificate: it vouches for itself alone")]
    NoCa {
        /// Whose it is.
        subject: String,
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
}

const ALIAS: usize = 16;
/// A signature costs a tenth of a millisecond, and no chain has as many.
const LONGEST_CHAIN: usize = 16;
