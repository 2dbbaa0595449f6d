//! Is it the certificate that was ordered?

use std::net::IpAddr;

use perennial_acme::{CertificateChain, CertificateFault, Expected, Identifier};
use perennial_core::{DomainName, Timestamp};
use proptest::prelude::*;
use rcgen::ExtendedKeyUsagePurpose;

use crate::{
    pki::{Authority, Key, leaf_params},
    script::{NOON, identifiers, names},
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
        chain.verify(&Expected { public_key: &self.key.spki(), identifiers: &identifiers(&self.names), now })
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
    assert_eq!(CertificateChain::from_der(chain.to_der()), Ok(chain.clone()));
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
fn rfc8738_addresses_are_compared_as_addresses_and_other_kinds_are_surplus() {
    let pki = Pki::new();
    let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let mut params = leaf_params(&pki.names);
    params.subject_alt_names.extend(addresses.map(rcgen::SanType::IpAddress));
    let chain = |params: rcgen::CertificateParams| {
        CertificateChain::parse(pki.intermediate.sign(&pki.key, params).as_bytes()).unwrap()
    };
    let (public_key, now) = (pki.key.spki(), NOON);
    let verify = |chain: &CertificateChain, identifiers: &[Identifier]| {
        chain.verify(&Expected { public_key: &public_key, identifiers, now })
    };
    let mut asked = identifiers(&pki.names);
    let with_addresses = chain(params.clone());
    assert_eq!(with_addresses.addresses().collect::<Vec<_>>(), addresses);
    assert_eq!(with_addresses.names().count(), 2);
    let surplus = vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()];
    let fault = CertificateFault::OtherNames { missing: vec![], surplus };
    assert_eq!(verify(&with_addresses, &asked), Err(fault));
    asked.extend(addresses.map(Identifier::from));
    assert_eq!(verify(&with_addresses, &asked), Ok(()));
    let missing = vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()];
    let fault = CertificateFault::OtherNames { missing, surplus: vec![] };
    assert_eq!(verify(&chain(leaf_params(&pki.names)), &asked), Err(fault));

    params.subject_alt_names.push(rcgen::SanType::URI("https://evil.example".try_into().unwrap()));
    let fault = verify(&chain(params), &asked).unwrap_err();
    let CertificateFault::OtherNames { missing, surplus } = fault else { panic!("{fault}") };
    assert!(missing.is_empty() && surplus.len() == 1 && surplus[0].contains("evil.example"), "{surplus:?}");
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
fn an_intermediate_outside_its_validity_is_named() {
    let mut pki = Pki::new();
    let mut verify = |from, to| {
        pki.intermediate = pki.root.intermediate_between("Intermediate 1", from, to);
        pki.verify(&(pki.leaf() + &pki.intermediate.pem() + &pki.root.pem()))
    };
    assert_eq!(verify(2025, 2027), Ok(()));
    let not_after = "2026-11-01T00:00:00Z".parse().unwrap();
    assert_eq!(verify(2025, 2026), Err(CertificateFault::IssuerExpired { index: 1, not_after, now: NOON }));
    let not_before = "2027-11-01T00:00:00Z".parse().unwrap();
    assert_eq!(
        verify(2027, 2028),
        Err(CertificateFault::IssuerNotYetValid { index: 1, not_before, now: NOON })
    );
}

#[test]
fn what_a_leaf_may_be_used_for_is_told_and_no_fault() {
    let pki = Pki::new();
    for (usages, allowed) in [
        (vec![], true),
        (vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth], true),
        (vec![ExtendedKeyUsagePurpose::Any], true),
        (vec![ExtendedKeyUsagePurpose::ClientAuth], false),
    ] {
        let mut params = leaf_params(&pki.names);
        params.extended_key_usages = usages.clone();
        let pem = pki.intermediate.sign(&pki.key, params);
        assert_eq!(pki.verify(&pem), Ok(()));
        let chain = CertificateChain::parse(pem.as_bytes()).unwrap();
        assert_eq!(chain.allows_server_auth(), allowed, "{usages:?}");
        assert_eq!(chain.public_key(), pki.key.spki());
    }
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
    let identifiers = identifiers(&names(1));
    let (public_key, now) = (leaf.public_key().raw, chain.not_before());
    let fault = chain.verify(&Expected { public_key, identifiers: &identifiers, now }).unwrap_err();
    let algorithm = "1.2.840.10045.4.3.4".to_owned(); // ecdsa-with-SHA512
    assert_eq!(fault, CertificateFault::UnknownSignature { index: 0, algorithm });
}

#[test]
fn an_issuer_that_is_no_ca_is_refused() {
    let pki = Pki::new();
    let impostor = pki.intermediate.impostor("Neighbour");
    let chain = impostor.leaf(&pki.key, &pki.names) + &impostor.pem() + &pki.intermediate.pem();
    assert_eq!(pki.verify(&chain), Err(CertificateFault::IssuerIsNoCa { index: 1 }));
    let idle = pki.root.intermediate_that_may_not_sign("Intermediate 2");
    let chain = idle.leaf(&pki.key, &pki.names) + &idle.pem() + &pki.root.pem();
    assert_eq!(pki.verify(&chain), Err(CertificateFault::IssuerIsNoCa { index: 1 }));
}

#[test]
fn a_chain_that_was_cut_off_is_noticed() {
    let pki = Pki::new();
    let chain = pki.leaf() + &pki.intermediate.pem();
    let end = chain.rfind("-----END").unwrap();
    for cut in [end, end + 12, chain.len() - 400] {
        let fault = CertificateChain::parse(&chain.as_bytes()[..cut]).unwrap_err();
        assert_eq!(fault, CertificateFault::NotPem { reason: "a block has no end".to_owned() });
    }
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
            let (public_key, identifiers) = (pki.key.spki(), identifiers(&pki.names));
            let expected = Expected { public_key: &public_key, identifiers: &identifiers, now: NOON };
            let _ = chain.verify(&expected);
        }
    }
}

#[test]
fn nothing_may_follow_a_certificate_in_der() {
    let (key, names) = (Key::new(), names(1));
    let chain = CertificateChain::parse(Authority::root("Root X").leaf(&key, &names).as_bytes()).unwrap();
    let longer = [chain.leaf().as_ref(), &[0]].concat();
    let error = CertificateChain::from_der(vec![longer.into()]).unwrap_err();
    let reason = "something follows it".to_owned();
    assert_eq!(error, CertificateFault::Unreadable { index: 0, reason });
}
