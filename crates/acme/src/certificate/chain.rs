//! A chain of certificates in PEM or DER (RFC 8555 §9.1, RFC 7468 §5).

use std::{fmt::Write as _, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::memchr_iter;
use perennial_core::{DomainName, Timestamp};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    CertificateFault,
    facts::{LeafFacts, authority_key_id, read, subject_key_id},
};
use crate::{CertificateId, CertificateIdError, Identifier, text::printable};

/// A leaf certificate and the intermediates above it, in the order of RFC 8555 §9.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateChain {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    pub(super) facts: LeafFacts,
}

impl CertificateChain {
    /// Reads a chain in PEM, leaf first. Text outside the blocks is passed over.
    ///
    /// # Errors
    /// [`CertificateFault`] when there is no certificate, one that cannot be read, a block of another kind,
    /// more than 10 certificates, or more than 256 KiB.
    pub fn parse(pem: &[u8]) -> Result<Self, CertificateFault> {
        if pem.len() > MAX_CHAIN_BYTES {
            return Err(CertificateFault::TooLarge { bytes: pem.len() });
        }
        check_blocks(pem)?;
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate
                .map_err(|error| CertificateFault::NotPem { reason: printable(&error.to_string(), 200) })?;
            if certificates.len() == MAX_CERTIFICATES {
                return Err(CertificateFault::TooMany);
            }
            certificates.push(certificate);
        }
        Self::from_der(certificates)
    }

    /// Takes certificates in DER, leaf first.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_der(certificates: Vec<CertificateDer<'static>>) -> Result<Self, CertificateFault> {
        if certificates.len() > MAX_CERTIFICATES {
            return Err(CertificateFault::TooMany);
        }
        let mut certificates = certificates.into_iter();
        let leaf = certificates.next().ok_or(CertificateFault::Empty)?;
        let facts = LeafFacts::read(&read(&leaf, 0)?);
        Ok(Self { leaf, intermediates: certificates.collect(), facts })
    }

    /// The leaf in DER.
    #[must_use]
    pub const fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    /// The certificates above the leaf in DER, its issuer first.
    #[must_use]
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// All certificates in DER, leaf first.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        std::iter::once(&self.leaf).chain(&self.intermediates)
    }

    /// The whole chain in DER, leaf first, as TLS libraries take it.
    #[must_use]
    pub fn to_der(&self) -> Vec<CertificateDer<'static>> {
        self.certificates().cloned().collect()
    }

    /// The whole chain in PEM, leaf first, without any text that the server put between.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.certificates().map(|der| to_pem(der)).collect()
    }

    /// The leaf alone in PEM.
    #[must_use]
    pub fn leaf_pem(&self) -> String {
        to_pem(&self.leaf)
    }

    /// The leaf's serial number: the content octets of the DER integer, sign octet included, as ARI wants
    /// them (RFC 9773 §4.1).
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.facts.serial
    }

    /// What the leaf is called at its CA, for renewal information and for the order that
    /// replaces it (RFC 9773 §4.1).
    ///
    /// # Errors
    /// [`CertificateIdError`] when the leaf does not say which key signed it.
    pub fn id(&self) -> Result<CertificateId, CertificateIdError> {
        CertificateId::from_der(&self.leaf)
    }

    /// When the leaf begins to be valid.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.facts.not_before
    }

    /// The last moment at which the leaf is valid.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.facts.not_after
    }

    /// What the leaf is for: its DNS names, then its addresses, each sorted.
    pub fn identifiers(&self) -> impl Iterator<Item = &Identifier> {
        self.facts.subjects.identifiers.iter()
    }

    /// The leaf's DNS names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &DomainName> {
        self.identifiers().filter_map(Identifier::dns)
    }

    /// The leaf's IP addresses (RFC 8738), sorted.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.identifiers().filter_map(Identifier::ip)
    }

    /// The leaf's public key: its SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.facts.public_key
    }

    /// Whether a TLS server may use the leaf: it has no extension extKeyUsage, or one that allows
    /// `serverAuth` or anything (RFC 5280 §4.2.1.12).
    ///
    /// No part of [`verify`](Self::verify), since it is the profile that decides it: private CAs issue
    /// certificates for clients over ACME too. Who serves TLS asks before a certificate is put to use.
    #[must_use]
    pub const fn allows_server_auth(&self) -> bool {
        self.facts.allows_server_auth
    }

    /// Whether a certificate of the chain was issued by a CA of that common name. The root is not in a
    /// chain, so this is how a chain is chosen by its root (`ISRG Root X1`) or by an intermediate.
    #[must_use]
    pub fn has_issuer(&self, common_name: &str) -> bool {
        self.certificates().any(|der| {
            read(der, 0).is_ok_and(|certificate| {
                certificate.issuer().iter_common_name().any(|name| name.as_str() == Ok(common_name))
            })
        })
    }

    /// Whether a certificate of the chain was issued with the key of that identifier: an
    /// authorityKeyIdentifier in the chain names it, or the subjectKeyIdentifier of a certificate above the
    /// leaf (RFC 5280 §4.2.1.1, §4.2.1.2).
    #[must_use]
    pub fn has_issuer_key(&self, key_id: &[u8]) -> bool {
        let named = self
            .certificates()
            .any(|der| read(der, 0).is_ok_and(|certificate| authority_key_id(&certificate) == Some(key_id)));
        named
            || self
                .intermediates
                .iter()
                .any(|der| read(der, 0).is_ok_and(|certificate| subject_key_id(&certificate) == Some(key_id)))
    }
}

/// What a chain may weigh: ten certificates of post-quantum size, a hundred times what is common.
pub(crate) const MAX_CHAIN_BYTES: usize = 256 * 1024;
/// A leaf and nine above it; public CAs send one to three.
pub(super) const MAX_CERTIFICATES: usize = 10;

/// A chain that has a private key or another surprise in it is not what RFC 8555 §9.1 describes. And the PEM
/// parser stops at a block without an end as if there were none: a chain that was cut off would pass for a
/// shorter one.
fn check_blocks(pem: &[u8]) -> Result<(), CertificateFault> {
    let (mut begun, mut ended) = (0_usize, 0_usize);
    let mut start = 0;
    for end in memchr_iter(b'\n', pem).chain([pem.len()]) {
        let line = pem.get(start..end).unwrap_or_default().trim_ascii();
        start = end + 1;
        if let Some(label) = line.strip_prefix(b"-----BEGIN ") {
            if label != b"CERTIFICATE-----" {
                let label = printable(&String::from_utf8_lossy(label), 64);
                return Err(CertificateFault::OtherBlock { label: label.trim_end_matches('-').to_owned() });
            }
            begun += 1;
        } else if line == b"-----END CERTIFICATE-----" {
            ended += 1;
        }
    }
    if begun == ended {
        return Ok(());
    }
    Err(CertificateFault::NotPem { reason: "a block has no end".to_owned() })
}

fn to_pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut pem = String::with_capacity(encoded.len() + encoded.len() / 64 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, following) = rest.split_at_checked(64).unwrap_or((rest, ""));
        let _ = writeln!(pem, "{line}"); // Writing to a String cannot fail.
        rest = following;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
