//! From certificates that belong together, in some order, to a chain, leaf first: pure.

use perennial_core::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::*;

use crate::{ChainFault, FactsError, IssuedChain, chain, facts::printable};

/// Why certificates make no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssemblyFault {
    /// The certificates do not belong together.
    #[error(transparent)]
    Chain(#[from] ChainFault),
    /// Nobody among them has signed the leaf.
    #[error("the certificate was signed by {issuer:?}, and no such CA certificate came with it")]
    NoIssuer {
        /// Who has signed it.
        issuer: String,
    },
    /// One of them cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FactsError),
}

impl IssuedChain {
    /// Puts a chain together from a leaf and those that may be above it, PEM each, in any order and with strangers
    /// among them. Every link is verified, up to the root if it is there; the root itself is left out, as in TLS
    /// (RFC 8446 §4.4.2): whoever trusts it has it.
    ///
    /// # Errors
    /// [`AssemblyFault`] when the leaf was signed by none of them, or a link does not hold.
    pub fn assemble(leaf: &str, above: &[String], now: Timestamp) -> Result<Self, AssemblyFault> {
        let leaf = Self::from_pem(leaf)?;
        let mut pool = Vec::new();
        for text in above.iter().filter(|text| !text.trim().is_empty()) {
            pool.extend(certificates_of(&Self::from_pem(text.as_str())?)?);
            if pool.len() > MOST {
                return Err(ChainFault::TooLong.into());
            }
        }
        let mut path = certificates_of(&leaf)?;
        path.truncate(1);
        let mut ends_at_root = climb(&mut path, &pool)?;
        let whole = Self::from_pem(path.iter().map(|one| one.pem.as_str()).collect::<String>())?;
        chain::check(&whole, now)?;
        ends_at_root &= path.len() > 1;
        if !ends_at_root {
            return Ok(whole);
        }
        path.pop();
        Ok(Self::from_pem(path.iter().map(|one| one.pem.as_str()).collect::<String>())?)
    }
}

/// More than a chain has, and bundles of two generations of CAs.
const MOST: usize = 32;

#[derive(Clone)]
struct Certificate {
    der: CertificateDer<'static>,
    pem: String,
}

/// The certificates of a text that holds nothing else.
fn certificates_of(chain: &IssuedChain) -> Result<Vec<Certificate>, FactsError> {
    let malformed = |reason: String| FactsError::Malformed { reason };
    let blocks = chain.pem().split_inclusive(END).filter(|block| block.contains(BEGIN));
    blocks
        .map(|block| {
            let block = block.trim_start();
            let der = CertificateDer::from_pem_slice(block.as_bytes())
                .map_err(|error| malformed(error.to_string()))?;
            Ok(Certificate { der, pem: format!("{block}\n") })
        })
        .collect()
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Puts above the last certificate of the path who has signed it, as far as they are there. Whether it ends at one that
/// has signed itself.
fn climb(path: &mut Vec<Certificate>, pool: &[Certificate]) -> Result<bool, AssemblyFault> {
    loop {
        let Some(last) = path.last() else { return Ok(false) };
        let index = path.len() - 1;
        let child = parsed(&last.der, index)?;
        if child.subject().as_raw() == child.issuer().as_raw() {
            return Ok(true);
        }
        let fresh = |one: &&Certificate| path.iter().all(|known| known.der != one.der);
        let signer = pool.iter().filter(fresh).find(|one| {
            parsed(&one.der, index + 1).is_ok_and(|parent| {
                parent.subject().as_raw() == child.issuer().as_raw()
                    && child.verify_signature(Some(parent.public_key())).is_ok()
            })
        });
        match signer {
            Some(signer) => {
                let signer = signer.clone();
                path.push(signer);
            }
            None if index == 0 => {
                return Err(AssemblyFault::NoIssuer { issuer: printable(&child.issuer().to_string()) });
            }
            None => return Ok(false),
        }
    }
}

fn parsed<'a>(der: &'a CertificateDer<'_>, index: usize) -> Result<X509Certificate<'a>, ChainFault> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(error) => Err(ChainFault::Malformed { index, reason: printable(&error.to_string()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    const NOW: i64 = 1_800_000_000;

    fn named(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = ::time::OffsetDateTime::from_unix_timestamp(NOW - 86_400).unwrap();
        params.not_after = ::time::OffsetDateTime::from_unix_timestamp(NOW + 86_400).unwrap();
        params
    }

    fn ca(name: &str) -> CertificateParams {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// A leaf, its intermediate and the root.
    fn family() -> [String; 3] {
        let [root_key, middle_key, leaf_key] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let root = ca("root").self_signed(&root_key).unwrap().pem();
        let middle = ca("middle").signed_by(&middle_key, &Issuer::new(ca("root"), &root_key)).unwrap().pem();
        let leaf = named("leaf").signed_by(&leaf_key, &Issuer::new(ca("middle"), &middle_key)).unwrap().pem();
        [leaf, middle, root]
    }

    fn assembled(leaf: &str, above: &[&str]) -> Result<String, AssemblyFault> {
        let above: Vec<String> = above.iter().map(|&text| text.to_owned()).collect();
        let chain = IssuedChain::assemble(leaf, &above, Timestamp::from_unix(NOW))?;
        Ok(chain.pem().replace(['\r', '\n'], ""))
    }

    fn joined(pems: &[&str]) -> String {
        pems.concat().replace(['\r', '\n'], "")
    }

    #[test]
    fn whatever_the_order_the_leaf_comes_first_and_the_root_is_left_out() {
        let [leaf, middle, root] = family();
        let [_, stranger, other_root] = family();
        let expected = Ok(joined(&[&leaf, &middle]));
        assert_eq!(assembled(&leaf, &[&middle, &root]), expected);
        assert_eq!(assembled(&leaf, &[&root, &middle]), expected);
        assert_eq!(assembled(&leaf, &[&stranger, &root, &other_root, &middle, &middle, ""]), expected);
        assert_eq!(assembled(&leaf, &[&format!("{root}{middle}")]), expected);
        assert_eq!(assembled(&leaf, &[&middle]), expected);
        assert_eq!(assembled(&middle, &[&root]), Ok(joined(&[&middle])));
        assert_eq!(assembled(&root, &[]), Ok(joined(&[&root])));
    }

    #[test]
    fn a_leaf_that_nobody_present_has_signed_makes_no_chain() {
        let [leaf, _, root] = family();
        let [_, namesake, _] = family();
        let issuer = "CN=middle".to_owned();
        for above in [vec![], vec![root.as_str()], vec![namesake.as_str()]] {
            assert_eq!(assembled(&leaf, &above), Err(AssemblyFault::NoIssuer { issuer: issuer.clone() }));
        }
        let many: Vec<&str> = std::iter::repeat_n(root.as_str(), MOST + 1).collect();
        assert_eq!(assembled(&leaf, &many), Err(ChainFault::TooLong.into()));
        assert!(matches!(assembled("", &[&root]), Err(AssemblyFault::Unreadable(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_change_of_a_byte_panics(at in 0usize..2_000, byte in any::<u8>()) {
            let [leaf, middle, root] = family();
            let mut text = (middle + &root).into_bytes();
            let at = at % text.len();
            text[at] = byte;
            let _ = assembled(&leaf, &[&String::from_utf8_lossy(&text)]);
            let _ = assembled(&String::from_utf8_lossy(&text), &[&leaf]);
        }
    }
}
