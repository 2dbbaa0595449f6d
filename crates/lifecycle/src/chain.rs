//! Whether the certificates of a chain belong together (RFC 5280 §6.1): pure, and asked of chains that nobody else
//! has looked at, such as one that is taken over.

use std::{collections::BTreeSet, time::Duration};

use perennial_core::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{error::X509Error, prelude::*};

use crate::{IssuedChain, facts::printable};

/// Why the certificates of a chain do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// A certificate comes twice.
    #[error("certificate {index} is there twice")]
    Duplicate {
        /// Which; the leaf is 0.
        index: usize,
    },
    /// The leaf's issuer, or one above it, has ended.
    #[error("certificate {index}, an issuer, ended at {not_after}, it is {now} now")]
    IssuerExpired {
        /// Which; the leaf is 0.
        index: usize,
        /// Its end.
        not_after: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// The next certificate may not sign others.
    #[error("certificate {index} may not sign others")]
    IssuerIsNoCa {
        /// Which; the leaf is 0.
        index: usize,
    },
    /// The leaf's issuer, or one above it, is not valid yet.
    #[error("certificate {index}, an issuer, begins at {not_before}, it is {now} now")]
    IssuerNotYetValid {
        /// Which; the leaf is 0.
        index: usize,
        /// Its beginning.
        not_before: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// Bytes that are no certificate.
    #[error("certificate {index} is malformed: {reason}")]
    Malformed {
        /// Which; the leaf is 0.
        index: usize,
        /// Where reading stopped.
        reason: String,
    },
    /// The next certificate has not signed this one.
    #[error("certificate {index} was not signed by the one that follows it")]
    NotSigned {
        /// Which; the leaf is 0.
        index: usize,
    },
    /// Nobody's chain has so many.
    #[error("it has more than {most} certificates", most = LONGEST)]
    TooLong,
    /// A signature of a kind that cannot be verified here.
    #[error("certificate {index} is signed by algorithm {algorithm}, which cannot be verified here")]
    UnknownSignature {
        /// Which; the leaf is 0.
        index: usize,
        /// Its object identifier.
        algorithm: String,
    },
}

/// Whether each certificate is signed by the next, which may do so and is valid. It does not ask whether anybody
/// trusts the last one, which is the relying party's question; nor of the leaf, which [`contract`](crate::contract)
/// looks at. A leaf alone is a chain: a private root need not lie beside it.
///
/// # Errors
/// The first [`ChainFault`], from the leaf upwards.
pub(crate) fn check(chain: &IssuedChain, now: Timestamp) -> Result<(), ChainFault> {
    let malformed = |index, reason: &dyn ToString| {
        let reason = printable(&reason.to_string());
        ChainFault::Malformed { index, reason }
    };
    let mut ders = Vec::new();
    for (index, der) in CertificateDer::pem_slice_iter(chain.pem().as_bytes()).enumerate() {
        if index >= LONGEST {
            return Err(ChainFault::TooLong);
        }
        ders.push(der.map_err(|error| malformed(index, &error))?);
    }
    let mut certificates = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, der) in ders.iter().enumerate() {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| malformed(index, &error))?;
        if !seen.insert(der.as_ref()) {
            return Err(ChainFault::Duplicate { index });
        }
        certificates.push(certificate);
    }
    let pairs = certificates.iter().zip(certificates.iter().skip(1)).enumerate();
    for (index, (child, parent)) in pairs {
        check_issuer(parent, index + 1, now)?;
        if child.issuer().as_raw() != parent.subject().as_raw() {
            return Err(ChainFault::NotSigned { index });
        }
        child.verify_signature(Some(parent.public_key())).map_err(|error| match error {
            X509Error::SignatureUnsupportedAlgorithm => {
                let algorithm = printable(&child.signature_algorithm.algorithm.to_id_string());
                ChainFault::UnknownSignature { index, algorithm }
            }
            _ => ChainFault::NotSigned { index },
        })?;
    }
    Ok(())
}

/// RFC 5280 §4.2.1.3 and §4.2.1.9: who signs is a CA, and if it has a key usage that says so.
fn check_issuer(issuer: &X509Certificate<'_>, index: usize, now: Timestamp) -> Result<(), ChainFault> {
    let usage = issuer.key_usage();
    if !issuer.is_ca() || !usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign())) {
        return Err(ChainFault::IssuerIsNoCa { index });
    }
    let not_before = Timestamp::from_unix(issuer.validity().not_before.timestamp());
    let not_after = Timestamp::from_unix(issuer.validity().not_after.timestamp());
    if not_before > now + CLOCK_SKEW {
        return Err(ChainFault::IssuerNotYetValid { index, not_before, now });
    }
    if not_after <= now {
        return Err(ChainFault::IssuerExpired { index, not_after, now });
    }
    Ok(())
}

/// The longest of public CAs have four; a signature costs a tenth of a millisecond.
const LONGEST: usize = 16;

/// As for leaves: CAs date back by an hour against slow clocks.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn now() -> Timestamp {
        Timestamp::from_unix(NOW)
    }

    fn named(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = ::time::OffsetDateTime::from_unix_timestamp(NOW - DAY).unwrap();
        params.not_after = ::time::OffsetDateTime::from_unix_timestamp(NOW + DAY).unwrap();
        params
    }

    fn ca(name: &str) -> CertificateParams {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// A leaf, its intermediate, which is as it is wanted, and the root above that.
    fn chain(intermediate: &CertificateParams) -> [String; 3] {
        let [root_key, middle_key, leaf_key] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let root = ca("root").self_signed(&root_key).unwrap().pem();
        let middle = intermediate.signed_by(&middle_key, &Issuer::new(ca("root"), &root_key)).unwrap().pem();
        let issuer = Issuer::new(intermediate.clone(), &middle_key);
        [named("leaf").signed_by(&leaf_key, &issuer).unwrap().pem(), middle, root]
    }

    fn checked(pems: &[&String]) -> Result<(), ChainFault> {
        let text: String = pems.iter().map(|pem| pem.as_str()).collect();
        check(&IssuedChain::from_pem(text).unwrap(), now())
    }

    #[test]
    fn a_leaf_alone_and_one_with_those_above_it_hold() {
        let [leaf, middle, root] = chain(&ca("middle"));
        assert_eq!(checked(&[&leaf]), Ok(()));
        assert_eq!(checked(&[&leaf, &middle]), Ok(()));
        assert_eq!(checked(&[&leaf, &middle, &root]), Ok(()));
    }

    #[test]
    fn what_does_not_belong_together_is_told_with_its_place() {
        let [leaf, middle, root] = chain(&ca("middle"));
        let [_, namesake, _] = chain(&ca("middle"));
        assert_eq!(checked(&[&leaf, &root]), Err(ChainFault::NotSigned { index: 0 }));
        assert_eq!(checked(&[&leaf, &namesake]), Err(ChainFault::NotSigned { index: 0 }));
        assert_eq!(checked(&[&leaf, &middle, &middle]), Err(ChainFault::Duplicate { index: 2 }));
        let many: Vec<&String> = std::iter::repeat_n(&middle, LONGEST + 1).collect();
        assert_eq!(checked(&many), Err(ChainFault::TooLong));
    }

    #[test]
    fn an_issuer_has_to_be_one_and_to_be_valid() {
        let [leaf, middle, _] = chain(&named("middle"));
        assert_eq!(checked(&[&leaf, &middle]), Err(ChainFault::IssuerIsNoCa { index: 1 }));
        let mut mute = ca("middle");
        mute.key_usages = vec![KeyUsagePurpose::CrlSign];
        let [leaf, middle, _] = chain(&mute);
        assert_eq!(checked(&[&leaf, &middle]), Err(ChainFault::IssuerIsNoCa { index: 1 }));

        let moment = |at| ::time::OffsetDateTime::from_unix_timestamp(at).unwrap();
        let mut ended = ca("middle");
        ended.not_after = moment(NOW);
        let [leaf, middle, _] = chain(&ended);
        let (not_after, now) = (now(), now());
        assert_eq!(checked(&[&leaf, &middle]), Err(ChainFault::IssuerExpired { index: 1, not_after, now }));
        let mut early = ca("middle");
        early.not_before = moment(NOW + 301);
        let [leaf, middle, _] = chain(&early);
        let not_before = Timestamp::from_unix(NOW + 301);
        let fault = ChainFault::IssuerNotYetValid { index: 1, not_before, now };
        assert_eq!(checked(&[&leaf, &middle]), Err(fault));
    }

    proptest! {
        #[test]
        fn no_change_of_a_byte_panics(at in 0usize..2_000, byte in any::<u8>()) {
            let [leaf, middle, _] = chain(&ca("middle"));
            let mut text = (leaf + &middle).into_bytes();
            let at = at % text.len();
            text[at] = byte;
            if let Ok(chain) = String::from_utf8(text).map_err(drop).and_then(|text| {
                IssuedChain::from_pem(text).map_err(drop)
            }) {
                let _ = check(&chain, now());
            }
        }
    }
}
