//! What is signed, what comes back, and what is told of it.

use std::time::Duration;

use perennial_acme::CertificateChain;
use perennial_issuers::vault::VaultAuth;
use perennial_lifecycle::{
    CertificateSpec, IssueErrorClass, IssuedChain, Issuer as _, KeyAlgorithm, PrivateKey, Revocation,
};
use serde_json::json;

use super::scene::{issue, journal, mount, request, spec};

#[tokio::test]
async fn a_certificate_comes_with_its_intermediate_and_without_the_root() {
    let Some(mount) = mount("plain").await else { return };
    let chain = issue(&mount.issuer().await, &spec()).await.unwrap();
    let names: Vec<String> = chain.facts().names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a.example.com", "b.example.com"]);
    let parsed = CertificateChain::parse(chain.pem().as_bytes()).unwrap();
    assert_eq!(parsed.certificates().count(), 2);
    assert!(!chain.pem().contains(mount.root_pem.trim()));
}

#[tokio::test]
async fn a_mount_that_signs_with_a_root_gives_the_leaf_alone() {
    let Some(mount) = mount("root_alone").await else { return };
    let role = json!({ "allowed_domains": "example.com", "allow_subdomains": true, "key_type": "any" });
    mount.openbao.role("root_alone_root", "web", role).await.unwrap();
    let builder = mount.builder().path("root_alone_root/issuer/default/sign/web");
    let issuer = builder.auth(VaultAuth::token(mount.openbao.root_token())).build().unwrap();
    let chain = issue(&issuer, &spec()).await.unwrap();
    assert_eq!(chain.pem().matches("BEGIN CERTIFICATE").count(), 1);
}

#[tokio::test]
async fn addresses_uris_and_wildcards_are_signed_where_the_role_allows_them() {
    let Some(mount) = mount("kinds").await else { return };
    let role = json!({
        "allowed_domains": "example.com", "allow_subdomains": true, "allow_wildcard_certificates": true,
        "key_type": "any", "allow_ip_sans": true, "allowed_uri_sans": "spiffe://prod/*",
    });
    mount.openbao.role("kinds", "web", role).await.unwrap();
    let names = ["*.example.com", "192.0.2.7", "2001:db8::1", "spiffe://prod/web"];
    let spec = CertificateSpec::new("web", names).unwrap();
    let chain = issue(&mount.issuer().await, &spec).await.unwrap();
    assert_eq!(chain.facts().addresses.len(), 2);
    assert!(chain.facts().uris.contains("spiffe://prod/web"));
}

#[tokio::test]
async fn a_certificate_for_other_names_than_were_asked_for_is_not_taken() {
    let Some(mount) = mount("mismatch").await else { return };
    let issuer = mount.issuer().await;
    let mut request = request(&CertificateSpec::new("web", ["other.example.com"]).unwrap());
    // The role looks into the signing request, and says so in a warning alone.
    request.names = spec().names().to_vec();
    let error = issuer.issue(&request, &journal(&spec()).await).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Contract);
    for says in ["other.example.com", "a.example.com", "(request "] {
        assert!(error.message.contains(says), "{says}: {}", error.message);
    }
}

#[tokio::test]
async fn a_certificate_with_another_key_is_not_taken() {
    let Some(mount) = mount("other_key").await else { return };
    let mut request = request(&spec());
    request.public_key_der = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key_der();
    let error = mount.issuer().await.issue(&request, &journal(&spec()).await).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Contract);
    assert!(error.message.contains("key"), "{error}");
}

#[tokio::test]
async fn a_revoked_certificate_is_on_the_record_of_its_mount_and_stays_there() {
    let Some(mount) = mount("revoked").await else { return };
    let issuer = mount.builder().auth(VaultAuth::token(mount.openbao.root_token())).build().unwrap();
    let chain = issue(&issuer, &spec()).await.unwrap();
    let digits = chain.facts().serial.as_bytes().chunks(2);
    let pairs: Vec<_> = digits.map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let path = format!("revoked/cert/{}", pairs.join(":").trim_start_matches("00:"));
    let at = async || mount.openbao.read(&path).await.unwrap()["data"]["revocation_time"].as_u64().unwrap();
    assert_eq!(at().await, 0);
    for _ in 0..2 {
        let copy = IssuedChain::from_pem(chain.pem()).unwrap();
        issuer.revoke(&Revocation::new(copy, None), &journal(&spec()).await).await.unwrap();
        assert!(at().await > 0);
    }
    // Whoever may sign may not revoke.
    let signer = mount.issuer().await;
    let error = signer.revoke(&Revocation::new(chain, None), &journal(&spec()).await).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Auth);
}

#[tokio::test]
async fn what_a_role_cannot_give_is_refused_before_anything_is_sent() {
    let Some(mount) = mount("unserved").await else { return };
    let issuer = mount.builder().auth(VaultAuth::token("no token at all")).build().unwrap();
    let error = issue(&issuer, &spec().ca()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Policy);
    let day = Duration::from_secs(86_400);
    assert_eq!(issue(&issuer, &spec().duration(day)).await.unwrap_err().class, IssueErrorClass::Auth);
}
