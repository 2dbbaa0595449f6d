//! The issued certificate (RFC 8555 §7.4.2, §9.1), and whether it is the one that was ordered.
//!
//! What a server sends replaces a certificate that works. So it is read strictly, and
//! [`verify`](CertificateChain::verify) holds it against the key, the names and the clock before anything is
//! overwritten.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use perennial_core::{DomainName, Retry, Timestamp};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{
    certificate::X509Certificate, error::X509Error, extensions::GeneralName, prelude::FromDer as _,
    time::ASN1Time,
};

use crate::text::printable;

/// A leaf certificate and the intermediates above it, in the order of RFC 8555 §9.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateChain {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    facts: LeafFacts,
}

/// What is read of the leaf, once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LeafFacts {
    serial: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// The names as they should be; what is none of our names stands in `others`.
    names: BTreeSet<DomainName>,
    others: BTreeSet<String>,
    public_key: Vec<u8>,
    is_ca: bool,
}

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
    /// Reads a chain in PEM, leaf first. Text outside the blocks is passed over.
    ///
    /// # Errors
    /// [`CertificateFault`] when there is no certificate, one that cannot be read, a block of another kind,
    /// more than 10 certificates, or more than 256 KiB.
    pub fn parse(pem: &[u8]) -> Result<Self, CertificateFault> {
        if pem.len() > MAX_CHAIN_BYTES {
            return Err(CertificateFault::TooLarge { bytes: pem.len() });
        }
        refuse_other_blocks(pem)?;
        refuse_cut_block(pem)?;
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

    /// The leaf's DNS names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &DomainName> {
        self.facts.names.iter()
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
}

/// What a chain may weigh: ten certificates of post-quantum size, a hundred times what is common.
pub(crate) const MAX_CHAIN_BYTES: usize = 256 * 1024;
/// A leaf and nine above it; public CAs send one to three.
const MAX_CERTIFICATES: usize = 10;
/// How far our clock may be behind the CA's: what Kerberos allows too, and CAs date back by an hour anyway.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

impl LeafFacts {
    fn read(leaf: &X509Certificate<'_>) -> Self {
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

fn read(der: &[u8], index: usize) -> Result<X509Certificate<'_>, CertificateFault> {
    let unreadable = |reason: String| CertificateFault::Unreadable { index, reason };
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| unreadable(printable(&error.to_string(), 200)))?;
    if !rest.is_empty() {
        return Err(unreadable("something follows it".to_owned()));
    }
    Ok(certificate)
}

/// A chain that has a private key or another surprise in it is not what RFC 8555 §9.1 describes.
fn refuse_other_blocks(pem: &[u8]) -> Result<(), CertificateFault> {
    for line in pem.split(|byte| *byte == b'\n') {
        let Some(label) = line.trim_ascii().strip_prefix(b"-----BEGIN ") else {
            continue;
        };
        if label != b"CERTIFICATE-----" {
            let label = printable(&String::from_utf8_lossy(label), 64);
            let label = label.trim_end_matches('-').to_owned();
            return Err(CertificateFault::OtherBlock { label });
        }
    }
    Ok(())
}

/// The PEM parser stops at a block without an end as if there were none: a chain that was cut off would pass
/// for a shorter one.
fn refuse_cut_block(pem: &[u8]) -> Result<(), CertificateFault> {
    let count =
        |mark: &[u8]| pem.split(|byte| *byte == b'\n').filter(|line| line.trim_ascii() == mark).count();
    if count(b"-----BEGIN CERTIFICATE-----") == count(b"-----END CERTIFICATE-----") {
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

/// How a certificate differs from the one that was ordered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// A certificate is not signed by the one that follows it.
    #[error("certificate {index} of the chain is not signed by the one that follows it")]
    BrokenLink {
        /// Which one; the leaf is 0.
        index: usize,
    },
    /// A certificate comes twice.
    #[error("a certificate comes twice in the chain")]
    Duplicate,
    /// No certificate at all.
    #[error("there is no certificate in it")]
    Empty,
    /// It is over.
    #[error("it expired at {not_after}, and it is {now}; is the clock right?")]
    Expired {
        /// Its end.
        not_after: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// An issuer that may not issue.
    #[error("certificate {index} of the chain issues but is not a CA")]
    IssuerIsNoCa {
        /// Which one; the leaf is 0.
        index: usize,
    },
    /// The leaf may issue certificates itself.
    #[error("the leaf is a CA certificate")]
    LeafIsCa,
    /// It ends before it begins.
    #[error("it is never valid: it begins at {not_before} and ends at {not_after}")]
    NeverValid {
        /// Its beginning.
        not_before: Timestamp,
        /// Its end.
        not_after: Timestamp,
    },
    /// What should be PEM is not.
    #[error("it is not PEM: {reason}")]
    NotPem {
        /// What the parser says.
        reason: String,
    },
    /// It begins more than five minutes from now.
    #[error("it is valid from {not_before} only, and it is {now}; is the clock right?")]
    NotYetValid {
        /// Its beginning.
        not_before: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// A PEM block that is no certificate.
    #[error("there is a {label:?} block in it where only CERTIFICATE may be")]
    OtherBlock {
        /// What it calls itself.
        label: String,
    },
    /// It is for another key.
    #[error("its public key is not the one that was asked for")]
    OtherKey,
    /// Its names are not those that were asked for.
    #[error("its names are not those that were asked for: missing {missing:?}, surplus {surplus:?}")]
    OtherNames {
        /// Asked for and not there.
        missing: Vec<String>,
        /// There and not asked for.
        surplus: Vec<String>,
    },
    /// More bytes than any chain has.
    #[error("it has {bytes} bytes, {MAX_CHAIN_BYTES} is the most")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// More certificates than any chain has.
    #[error("it has more than {MAX_CERTIFICATES} certificates")]
    TooMany,
    /// A certificate whose signature cannot be checked.
    #[error("certificate {index} of the chain is signed in a way ({algorithm}) that cannot be checked here")]
    UnknownSignature {
        /// Which one; the leaf is 0.
        index: usize,
        /// The object identifier of the algorithm; the key of the issuer may be what is unknown.
        algorithm: String,
    },
    /// A certificate that cannot be read.
    #[error("certificate {index} of the chain cannot be read: {reason}")]
    Unreadable {
        /// Which one; the leaf is 0.
        index: usize,
        /// What the parser says.
        reason: String,
    },
}

impl CertificateFault {
    /// A new order may bring a better certificate, and a wrong clock may be set right; but a CA does not
    /// change how it signs.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::UnknownSignature { .. } => Retry::Never,
            _ => Retry::Backoff,
        }
    }
}
