//! Is it the certificate that was ordered?

use perennial_acme::{CertificateChain, CertificateFault, Expected};
use perennial_core::{DomainName, Timestamp};
use proptest::prelude::*;

use crate::{
    pki::{Authority, Key, leaf_params},
    script::{NOON, names},
};

struct Pki {
    root: Authority,
    intermediate: Authority,
    key: Key,
    names: Vec<DomainName>,
}

impl Pki {
    fn new() -> Self {
        let root = Authority::root("Root X");
        let intermediate = root.intermediate("Intermediate 1");
        Self { root, intermediate, key: Key::new(), names: names(2) }
    }

    fn leaf(&self) -> String {
        self.intermediate.leaf(&self.key, &self.names)
    }

    fn verify(&self, pem: &str) -> Result<(), CertificateFault> {
        self.verify_at(pem, NOON)
    }

    fn verify_at(&self, pem: &str, now: Timestamp) -> Result<(), CertificateFault> {
        let chain = CertificateChain::parse(pem.as_bytes())?;
        chain.verify(&Expected { public_key: &self.key.spki(), names: &self.names, now })
    }
}

#[test]
fn the_ordered_certificate_passes_with_and_without_its_root() {
    let pki = Pki::new();
    let chain = pki.leaf() + &pki.intermediate.pem();
    assert_eq!(pki.verify(&chain), Ok(()));
    assert_eq!(pki.verify(&(chain.clone() + &pki.root.pem())), Ok(()));
    assert_eq!(pki.verify(&pki.leaf()), Ok(()));
}

#[test]
fn facts_and_text_are_those_of_the_leaf() {
    let pki = Pki::new();
    let noise = format!("subject=/CN=x\n\n{}\n\n{}", pki.leaf(), pki.intermediate.pem());
    let chain = CertificateChain::parse(noise.as_bytes()).unwrap();
    assert_eq!(chain.not_before().to_string(), "2026-11-01T00:00:00Z");
    assert_eq!(chain.not_after().to_string(), "2027-01-30T00:00:00Z");
    assert_eq!(chain.names().map(DomainName::as_str).collect::<Vec<_>>(), ["a1.example.org", "example.org"]);
    assert!(!chain.serial().is_empty());
    assert_eq!(chain.intermediates().len(), 1);
    assert!(!chain.to_pem().contains("subject"));
    assert_eq!(CertificateChain::parse(chain.to_pem().as_bytes()), Ok(chain.clone()));
    assert_eq!(CertificateChain::parse(chain.leaf_pem().as_bytes()).unwrap().leaf(), chain.leaf());
    assert!(chain.has_issuer("Root X") && chain.has_issuer("Intermediate 1") && !chain.has_issuer("Root Y"));
}

#[test]
fn another_key_is_noticed() {
    let pki = Pki::new();
    let other = pki.intermediate.leaf(&Key::new(), &pki.names);
    assert_eq!(pki.verify(&other), Err(CertificateFault::OtherKey));
}

#[test]
fn missing_and_surplus_names_are_named() {
    let pki = Pki::new();
    let asked: Vec<DomainName> = vec!["example.org".parse().unwrap(), "*.evil.example".parse().unwrap()];
    let fault = pki.verify(&pki.intermediate.leaf(&pki.key, &asked)).unwrap_err();
    let (missing, surplus) = (vec!["a1.example.org".to_owned()], vec!["*.evil.example".to_owned()]);
    assert_eq!(fault, CertificateFault::OtherNames { missing, surplus });
}

#[test]
fn an_address_among_the_names_is_surplus() {
    let pki = Pki::new();
    let mut params = leaf_params(&pki.names);
    params.subject_alt_names.push(rcgen::SanType::IpAddress("192.0.2.1".parse().unwrap()));
    let fault = pki.verify(&pki.intermediate.sign(&pki.key, params)).unwrap_err();
    assert!(
        matches!(fault, CertificateFault::OtherNames { ref surplus, .. } if surplus.len() == 1),
        "{fault}"
    );
}

#[test]
fn validity_is_held_against_the_clock_with_five_minutes_of_grace_at_its_beginning() {
    let pki = Pki::new();
    let at = |text: &str| pki.verify_at(&pki.leaf(), text.parse().unwrap());
    assert_eq!(at("2026-10-31T23:55:00Z"), Ok(()));
    assert!(matches!(at("2026-10-31T23:54:59Z"), Err(CertificateFault::NotYetValid { .. })));
    assert_eq!(at("2027-01-29T23:59:59Z"), Ok(()));
    assert!(matches!(at("2027-01-30T00:00:00Z"), Err(CertificateFault::Expired { .. })));
}

#[test]
fn a_leaf_that_ends_before_it_begins_is_refused() {
    let pki = Pki::new();
    let mut params = leaf_params(&pki.names);
    params.not_after = rcgen::date_time_ymd(2026, 10, 1);
    let fault = pki.verify(&pki.intermediate.sign(&pki.key, params)).unwrap_err();
    assert!(matches!(fault, CertificateFault::NeverValid { .. }), "{fault}");
}

#[test]
fn a_leaf_that_is_a_ca_is_refused() {
    let pki = Pki::new();
    let mut params = leaf_params(&pki.names);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    assert_eq!(pki.verify(&pki.intermediate.sign(&pki.key, params)), Err(CertificateFault::LeafIsCa));
}

#[test]
fn each_link_has_to_hold() {
    let pki = Pki::new();
    let stranger = pki.root.intermediate("Intermediate 2");
    assert_eq!(pki.verify(&(pki.leaf() + &stranger.pem())), Err(CertificateFault::BrokenLink { index: 0 }));
    // The same name with another key: only the signature tells.
    let namesake = pki.root.intermediate("Intermediate 1");
    assert_eq!(pki.verify(&(pki.leaf() + &namesake.pem())), Err(CertificateFault::BrokenLink { index: 0 }));
    // The same key under another name: only the name tells.
    let renamed = pki.root.cross_sign("Intermediate 2", &pki.intermediate);
    assert_eq!(pki.verify(&(pki.leaf() + &renamed)), Err(CertificateFault::BrokenLink { index: 0 }));
    let other_root = Authority::root("Root X");
    assert_eq!(
        pki.verify(&(pki.leaf() + &pki.intermediate.pem() + &other_root.pem())),
        Err(CertificateFault::BrokenLink { index: 1 })
    );
}

#[test]
fn a_signature_that_cannot_be_checked_is_told_from_a_wrong_one() {
    let chain = CertificateChain::parse(include_bytes!("data/p521_root.pem")).unwrap();
    let (_, leaf) = x509_parser::parse_x509_certificate(chain.leaf()).unwrap();
    let names = names(1);
    let (public_key, now) = (leaf.public_key().raw, chain.not_before());
    let fault = chain.verify(&Expected { public_key, names: &names, now }).unwrap_err();
    let algorithm = "1.2.840.10045.4.3.4".to_owned(); // ecdsa-with-SHA512
    assert_eq!(fault, CertificateFault::UnknownSignature { index: 0, algorithm });
}

#[test]
fn an_issuer_that_is_no_ca_is_refused() {
    let pki = Pki::new();
    let impostor = pki.intermediate.impostor("Neighbour");
    let chain = impostor.leaf(&pki.key, &pki.names) + &impostor.pem() + &pki.intermediate.pem();
    assert_eq!(pki.verify(&chain), Err(CertificateFault::IssuerIsNoCa { index: 1 }));
}

#[test]
fn the_same_certificate_twice_is_refused() {
    let pki = Pki::new();
    let chain = pki.leaf() + &pki.intermediate.pem() + &pki.intermediate.pem();
    assert_eq!(pki.verify(&chain), Err(CertificateFault::Duplicate));
}

#[test]
fn what_is_no_chain_is_told_what_it_is() {
    let parse = |text: &str| CertificateChain::parse(text.as_bytes()).unwrap_err();
    assert_eq!(parse(""), CertificateFault::Empty);
    assert_eq!(parse("<html>"), CertificateFault::Empty);
    let key = Key::new().0.serialize_pem();
    let label = "PRIVATE KEY".to_owned();
    assert_eq!(parse(&(Pki::new().leaf() + &key)), CertificateFault::OtherBlock { label });
    assert!(matches!(parse("-----BEGIN CERTIFICATE-----\nMAA="), CertificateFault::NotPem { .. }));
    let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert!(matches!(parse(empty), CertificateFault::Unreadable { index: 0, .. }));
}

#[test]
fn a_chain_that_was_cut_off_is_not_a_shorter_one() {
    let pki = Pki::new();
    let whole = pki.leaf() + &pki.intermediate.pem();
    assert_eq!(pki.verify(&whole), Ok(()));
    let last = whole.trim_end().rfind('\n').unwrap();
    for cut in [last, last - 100, whole.len() - 5] {
        let error = pki.verify(whole.get(..cut).unwrap()).unwrap_err();
        assert!(matches!(error, CertificateFault::NotPem { .. }), "{cut}: {error}");
    }
}

#[test]
fn size_and_count_have_limits() {
    let pki = Pki::new();
    let eleven = pki.leaf() + &pki.intermediate.pem().repeat(10);
    assert_eq!(CertificateChain::parse(eleven.as_bytes()), Err(CertificateFault::TooMany));
    let padded = pki.leaf() + &"\n".repeat(256 * 1024);
    assert!(matches!(CertificateChain::parse(padded.as_bytes()), Err(CertificateFault::TooLarge { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = CertificateChain::parse(&bytes);
        let _ = CertificateChain::from_der(vec![bytes.into()]);
    }

    #[test]
    fn no_flipped_bit_panics(position in 0_usize..600, bit in 0_u8..8) {
        let pki = Pki::new();
        let chain = CertificateChain::parse(pki.leaf().as_bytes()).unwrap();
        let mut der = chain.leaf().to_vec();
        let position = position % der.len();
        der[position] ^= 1 << bit;
        if let Ok(chain) = CertificateChain::from_der(vec![der.into()]) {
            let _ = chain.verify(&Expected { public_key: &pki.key.spki(), names: &pki.names, now: NOON });
        }
    }
}
