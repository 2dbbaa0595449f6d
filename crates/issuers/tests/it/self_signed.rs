//! Certificates that are signed with their own key.

use perennial_core::{Retry, Timestamp};
use perennial_issuers::SelfSignedIssuer;
use perennial_lifecycle::{
    CertificateSpec, IssueErrorClass, Issuer as _, Journal, KeyAlgorithm, SigningRequest, Subject, Usage,
};
use x509_parser::prelude::*;

use crate::pki::{DAY, NOW, Openssl, YEAR, clock, issue, key, spec};

fn issuer() -> SelfSignedIssuer {
    SelfSignedIssuer::builder().clock(clock()).build()
}

#[tokio::test]
async fn it_is_signed_with_its_own_key_whatever_kind_that_is() {
    for algorithm in KeyAlgorithm::ALL.into_iter().filter(|it| *it != KeyAlgorithm::Rsa4096) {
        let spec = spec("a.example").key_algorithm(algorithm);
        let chain = issue(&issuer(), &spec).await.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        let der = chain.leaf_der();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        certificate.verify_signature(None).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
    }
}

#[tokio::test]
async fn it_has_all_that_the_spec_asks_for() {
    let mut subject = Subject::named("web");
    (subject.organization, subject.country) = (Some("Example".to_owned()), Some("CH".to_owned()));
    let names =
        ["a.example", "*.a.example", "192.0.2.1", "2001:db8::1", "spiffe://prod/web", "ops@a.example"];
    let spec = CertificateSpec::new("leaf", names).unwrap().subject(subject).duration(DAY * 30);
    let spec = spec.usages([Usage::DigitalSignature, Usage::ServerAuth, Usage::CodeSigning]);
    let chain = issue(&issuer(), &spec).await.unwrap();
    let facts = chain.facts();
    assert_eq!(facts.names.len(), 2);
    assert_eq!((facts.addresses.len(), facts.uris.len(), facts.emails.len()), (2, 1, 1));
    assert_eq!(facts.not_before, Timestamp::from_unix(NOW - 60));
    assert_eq!(facts.lifetime(), DAY * 30);
    assert!((30..=34).contains(&facts.serial.len()), "{}", facts.serial);
    assert_eq!(facts.issuer, "C=CH, O=Example, CN=web");
    let other = issue(&issuer(), &spec).await.unwrap();
    assert_ne!(facts.serial, other.facts().serial);

    let Some(openssl) = Openssl::required() else { return };
    let text = openssl.text(chain.pem());
    for says in [
        "Subject: C = CH, O = Example, CN = web",
        "DNS:a.example, DNS:*.a.example, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1",
        "URI:spiffe://prod/web, email:ops@a.example",
        "CA:FALSE",
        "Code Signing, TLS Web Server Authentication",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(text.contains(says), "no {says} in {text}");
    }
    openssl.verify(chain.pem(), chain.pem(), &clock()).unwrap();
}

#[tokio::test]
async fn a_root_is_a_ca_of_so_many_years_and_levels() {
    let spec = CertificateSpec::authority("root", Subject::named("Example Root")).unwrap();
    let spec = spec.duration(YEAR * 20);
    let issuer = SelfSignedIssuer::builder().clock(clock()).path_length(1).build();
    let chain = issue(&issuer, &spec).await.unwrap();
    let der = chain.leaf_der();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(1));
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    assert_eq!(chain.facts().lifetime(), YEAR * 20);
}

#[tokio::test]
async fn without_a_subject_its_first_name_is_its_issuer() {
    let chain = issue(&issuer(), &spec("a.example")).await.unwrap();
    assert_eq!(chain.facts().issuer, "CN=a.example");
    assert_eq!(chain.facts().lifetime(), DAY * 90);
}

#[tokio::test]
async fn without_a_subject_it_is_called_by_what_it_has_that_is_short_enough_or_by_its_specs_name() {
    let [longest, longer] = [56, 57].map(|length| format!("{}.example", "a".repeat(length)));
    for (names, called) in [
        (vec![longer.as_str(), &longest, "a.example"], longest.as_str()),
        (vec![&longer, "192.0.2.1", "ops@a.example"], "192.0.2.1"),
        (vec!["spiffe://prod/web", "ops@a.example"], "ops@a.example"),
        (vec!["spiffe://prod/web"], "leaf"),
    ] {
        let spec = CertificateSpec::new("leaf", names).unwrap();
        let chain = issue(&issuer(), &spec).await.unwrap();
        assert_eq!(chain.facts().issuer, format!("CN={called}"));
    }
}

#[tokio::test]
async fn its_life_is_what_the_issuer_says_unless_the_spec_does() {
    let builder = SelfSignedIssuer::builder().clock(clock());
    let issuer = builder.lifetime(YEAR).backdate(DAY).build();
    for (spec, lives) in [(spec("a.example"), YEAR), (spec("a.example").duration(DAY * 30), DAY * 30)] {
        let chain = issue(&issuer, &spec).await.unwrap();
        assert_eq!(chain.facts().not_before, Timestamp::from_unix(NOW - 86_400));
        assert_eq!(chain.facts().lifetime(), lives);
    }
}

#[tokio::test]
async fn without_its_own_key_it_signs_nothing() {
    let (own, other) = (key(), key());
    let spec = spec("a.example");
    let request = SigningRequest::of(&spec, &own).unwrap();
    let journal = Journal::in_memory(spec, clock()).await.unwrap();
    for (request, says) in [(request.clone(), "with_key"), (request.with_key(other), "another one")] {
        let error = issuer().issue(&request, &journal).await.unwrap_err();
        assert!(error.message.contains(says), "{error}");
        assert_eq!((error.class, error.retry()), (IssueErrorClass::Policy, Retry::Never));
    }
}

#[tokio::test]
async fn what_an_ed25519_key_cannot_do_is_refused() {
    let spec = spec("a.example").key_algorithm(KeyAlgorithm::Ed25519).usages([Usage::KeyEncipherment]);
    let error = issue(&issuer(), &spec).await.unwrap_err();
    assert!(error.message.contains("Ed25519") && error.message.contains("leaf"), "{error}");
}
