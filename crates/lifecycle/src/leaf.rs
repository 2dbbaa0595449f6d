//! Whether a leaf says of its subject and its key what a spec wishes for (RFC 5280 §4.1.2.6, §4.2.1.3, §4.2.1.12): pure,
//! and asked of certificates that no issuer was asked for, such as one that is taken over.

use x509_parser::{extensions::ExtendedKeyUsage, prelude::*};

use crate::{CertificateSpec, Contract, FactsError, KeyAlgorithm, Subject, Usage, facts::printable};

/// Checks the leaf's DER for what was wished for. What it says beyond that is no fault: issuers add a common name, and
/// usages that everybody gets. What nobody wished for is the issuer's choice.
///
/// # Errors
/// [`Contract::Malformed`], [`Contract::Subject`] or [`Contract::Usages`].
pub(crate) fn check(leaf: &[u8], spec: &CertificateSpec) -> Result<(), Contract> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|error| malformed(&error))?;
    check_subject(certificate.subject(), spec.distinguished_name())?;
    check_usages(&certificate, spec)
}

fn malformed(reason: &dyn ToString) -> Contract {
    Contract::Malformed(FactsError::Malformed { reason: printable(&reason.to_string()) })
}

/// Each attribute as it is written: an issuer that writes it in another way wrote another one.
fn check_subject(found: &X509Name<'_>, wanted: &Subject) -> Result<(), Contract> {
    for (field, oid, value) in wanted.named_attributes() {
        let has_oid = |attribute: &&AttributeTypeAndValue<'_>| {
            attribute.attr_type().iter().is_some_and(|arcs| arcs.eq(oid.iter().copied()))
        };
        let there = found.iter_attributes().filter(has_oid).map(|it| it.as_str().ok());
        let there: Vec<Option<&str>> = there.collect();
        if there.contains(&Some(value)) {
            continue;
        }
        // What cannot be read as text is not what was wished for, which can.
        let found = there.first().map(|text| printable(text.unwrap_or("in letters that cannot be read")));
        return Err(Contract::Subject { field, found, wanted: value.to_owned() });
    }
    Ok(())
}

/// Without an extension everything is allowed that it could restrict.
fn check_usages(certificate: &X509Certificate<'_>, spec: &CertificateSpec) -> Result<(), Contract> {
    let allowed = certificate.key_usage().map_err(|error| malformed(&error))?;
    let purposes = certificate.extended_key_usage().map_err(|error| malformed(&error))?;
    let is_missing = |usage: &&Usage| match asked(**usage) {
        Asked::Key(is_set) => {
            can_have(spec.key(), **usage) && allowed.as_ref().is_some_and(|allowed| !is_set(allowed.value))
        }
        Asked::Extended(is_set) => purposes.as_ref().is_some_and(|it| !it.value.any && !is_set(it.value)),
    };
    let missing: Vec<Usage> = spec.key_usages().iter().filter(is_missing).copied().collect();
    if missing.is_empty() { Ok(()) } else { Err(Contract::Usages { missing }) }
}

/// A key that cannot encrypt has no usage that says so (RFC 8813 §3, RFC 8410 §5), though specs that were written for
/// RSA ask for it.
const fn can_have(key: KeyAlgorithm, usage: Usage) -> bool {
    match key {
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => true,
        _ => !matches!(usage, Usage::DataEncipherment | Usage::KeyEncipherment),
    }
}

/// In which extension a usage stands, and whether it does.
enum Asked {
    Extended(fn(&ExtendedKeyUsage<'_>) -> bool),
    Key(fn(&KeyUsage) -> bool),
}

const fn asked(usage: Usage) -> Asked {
    match usage {
        Usage::Any => Asked::Extended(|it| it.any),
        Usage::CertSign => Asked::Key(KeyUsage::key_cert_sign),
        Usage::ClientAuth => Asked::Extended(|it| it.client_auth),
        Usage::CodeSigning => Asked::Extended(|it| it.code_signing),
        Usage::ContentCommitment => Asked::Key(KeyUsage::non_repudiation),
        Usage::CrlSign => Asked::Key(KeyUsage::crl_sign),
        Usage::DataEncipherment => Asked::Key(KeyUsage::data_encipherment),
        Usage::DecipherOnly => Asked::Key(KeyUsage::decipher_only),
        Usage::DigitalSignature => Asked::Key(KeyUsage::digital_signature),
        Usage::EmailProtection => Asked::Extended(|it| it.email_protection),
        Usage::EncipherOnly => Asked::Key(KeyUsage::encipher_only),
        Usage::KeyAgreement => Asked::Key(KeyUsage::key_agreement),
        Usage::KeyEncipherment => Asked::Key(KeyUsage::key_encipherment),
        Usage::OcspSigning => Asked::Extended(|it| it.ocsp_signing),
        Usage::ServerAuth => Asked::Extended(|it| it.server_auth),
        Usage::Timestamping => Asked::Extended(|it| it.time_stamping),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{
        CertificateParams, DnType, ExtendedKeyUsagePurpose as Extended, KeyPair, KeyUsagePurpose as Purpose,
    };

    fn leaf(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn spec() -> CertificateSpec {
        CertificateSpec::new("a", ["a.example"]).unwrap()
    }

    /// Each usage with what an issuer writes for it.
    #[rustfmt::skip] // A table.
    fn written() -> Vec<(Usage, Option<Purpose>, Option<Extended>)> {
        vec![
            (Usage::ClientAuth, None, Some(Extended::ClientAuth)),
            (Usage::CodeSigning, None, Some(Extended::CodeSigning)),
            (Usage::ContentCommitment, Some(Purpose::ContentCommitment), None),
            (Usage::CrlSign, Some(Purpose::CrlSign), None),
            (Usage::DataEncipherment, Some(Purpose::DataEncipherment), None),
            (Usage::DigitalSignature, Some(Purpose::DigitalSignature), None),
            (Usage::EmailProtection, None, Some(Extended::EmailProtection)),
            (Usage::KeyAgreement, Some(Purpose::KeyAgreement), None),
            (Usage::KeyEncipherment, Some(Purpose::KeyEncipherment), None),
            (Usage::OcspSigning, None, Some(Extended::OcspSigning)),
            (Usage::ServerAuth, None, Some(Extended::ServerAuth)),
            (Usage::Timestamping, None, Some(Extended::TimeStamping)),
        ]
    }

    fn usable_for(entries: &[(Usage, Option<Purpose>, Option<Extended>)]) -> Vec<u8> {
        leaf(|params| {
            for (_, purpose, extended) in entries {
                params.key_usages.extend(*purpose);
                params.extended_key_usages.extend(extended.clone());
            }
        })
    }

    #[test]
    fn a_usage_that_is_wished_for_is_missed_where_all_others_are_there() {
        let all = written();
        let whole = usable_for(&all);
        for (at, (usage, ..)) in all.iter().enumerate() {
            let wanted = spec().key_algorithm(KeyAlgorithm::Rsa2048).usages([*usage]);
            assert_eq!(check(&whole, &wanted), Ok(()), "{usage:?}");
            let mut others = all.clone();
            others.remove(at);
            let missing = vec![*usage];
            assert_eq!(check(&usable_for(&others), &wanted), Err(Contract::Usages { missing }));
        }
    }

    #[test]
    fn what_nothing_restricts_is_allowed_and_so_is_what_any_purpose_includes() {
        let wanted = spec().usages([Usage::CodeSigning, Usage::DigitalSignature]);
        assert_eq!(check(&leaf(|_| {}), &wanted), Ok(()));
        let any = leaf(|params| params.extended_key_usages = vec![Extended::Any]);
        assert_eq!(check(&any, &wanted), Ok(()));
        let server = leaf(|params| params.extended_key_usages = vec![Extended::ServerAuth]);
        assert_eq!(check(&server, &spec()), Ok(()), "nobody wished for a usage");
        let missing = vec![Usage::Any];
        assert_eq!(check(&server, &spec().usages([Usage::Any])), Err(Contract::Usages { missing }));
    }

    #[test]
    fn a_key_that_cannot_encrypt_is_not_asked_to() {
        let signs = leaf(|params| params.key_usages = vec![Purpose::DigitalSignature]);
        let wanted = spec().usages([Usage::DigitalSignature, Usage::KeyEncipherment]);
        assert_eq!(check(&signs, &wanted), Ok(()));
        let missing = vec![Usage::KeyEncipherment];
        let wanted = wanted.key_algorithm(KeyAlgorithm::Rsa2048);
        assert_eq!(check(&signs, &wanted), Err(Contract::Usages { missing }));
    }

    #[test]
    fn each_attribute_of_the_subject_that_is_wished_for_has_to_be_there_as_it_is_written() {
        let named = leaf(|params| {
            let name = &mut params.distinguished_name;
            name.push(DnType::CountryName, "DE");
            name.push(DnType::OrganizationName, "Example Org");
            name.push(DnType::CommonName, "a.example");
        });
        let wanted = |subject: Subject| check(&named, &spec().subject(subject));
        let organization = |name: &str| Subject { organization: Some(name.to_owned()), ..Subject::default() };
        assert_eq!(wanted(Subject::default()), Ok(()), "what the issuer adds is its own business");
        assert_eq!(wanted(organization("Example Org")), Ok(()));
        let whole = Subject { country: Some("DE".to_owned()), ..Subject::named("a.example") };
        assert_eq!(wanted(whole), Ok(()));
        let refused = |field, found: Option<&str>, wanted: &str| {
            Err(Contract::Subject { field, found: found.map(str::to_owned), wanted: wanted.to_owned() })
        };
        let other = refused("subject.organization", Some("Example Org"), "example org");
        assert_eq!(wanted(organization("example org")), other);
        let other = refused("subject.common_name", Some("a.example"), "b.example");
        assert_eq!(wanted(Subject::named("b.example")), other);
        let unit = Subject { organizational_unit: Some("web".to_owned()), ..Subject::default() };
        assert_eq!(wanted(unit), refused("subject.organizational_unit", None, "web"));
    }

    #[test]
    fn what_is_found_in_its_place_does_not_reach_a_terminal_raw() {
        let named = leaf(|params| params.distinguished_name.push(DnType::CommonName, "a\u{1b}[2J"));
        let Err(refused) = check(&named, &spec().subject(Subject::named("a.example"))) else {
            panic!("it is another name")
        };
        assert!(refused.to_string().contains("a\u{fffd}[2J"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let wanted = spec().subject(Subject::named("a.example")).usages([Usage::ServerAuth]);
            prop_assert!(check(&bytes, &wanted).is_err());
        }

        #[test]
        fn a_flipped_bit_never_panics(at in 0usize..600, bit in 0u8..8) {
            let mut der = usable_for(&written());
            let at = at % der.len();
            der[at] ^= 1 << bit;
            let wanted = spec().subject(Subject::named("a.example"));
            let _ = check(&der, &wanted.usages(written().into_iter().map(|(usage, ..)| usage)));
        }
    }
}
