//! What an OpenBao says no to, each with whose fault it is.

use std::sync::Arc;

use perennial_core::{ReqwestClient, Retry};
use perennial_issuers::vault::VaultAuth;
use perennial_lifecycle::{
    CertificateSpec,
    IssueErrorClass::{Auth, Local, Policy, Transient},
};

use super::scene::{issue, mount, spec};

#[tokio::test]
async fn each_refusal_is_told_in_the_words_of_the_server_and_by_whose_fault_it_is() {
    let Some(mount) = mount("refusals").await else { return };
    let root = VaultAuth::token(mount.openbao.root_token());
    let evil = CertificateSpec::new("web", ["evil.example.net"]).unwrap();
    let at = |path: &str| mount.builder().path(path).auth(root.clone()).build().unwrap();
    let ours = mount.issuer().await;
    let denied = mount.builder().path("refusals/sign/other").auth(VaultAuth::token(mount.token().await));
    let stranger = mount.builder().auth(VaultAuth::token("s.nobody-knows-this-token"));
    for (issuer, spec, class, retry, says) in [
        (&ours, &evil, Policy, Retry::Never, "evil.example.net not allowed by this role"),
        (&at("refusals/sign/none"), &spec(), Local, Retry::Never, "unknown role: none"),
        (&at("nothing/sign/web"), &spec(), Local, Retry::Never, "no handler for route"),
        (
            &at("refusals/issuer/none/sign/web"),
            &spec(),
            Transient,
            Retry::Backoff,
            "PKI issuer for reference: none",
        ),
        (&denied.build().unwrap(), &spec(), Auth, Retry::Backoff, "permission denied"),
        (&stranger.build().unwrap(), &spec(), Auth, Retry::Backoff, "permission denied"),
    ] {
        let error = issue(issuer, spec).await.unwrap_err();
        assert!(error.message.contains(says), "{says}: {error}");
        assert!(error.message.contains("/v1/") && error.message.contains("/sign/"), "{error}");
        assert_eq!((error.class, error.retry()), (class, retry), "{error}");
        assert!(error.is_the_issuers() && !error.is_limit());
    }
}

#[tokio::test]
async fn a_quota_is_a_limit_and_no_reason_to_rest() {
    let Some(mount) = mount("quota").await else { return };
    let issuer = mount.issuer().await;
    mount.openbao.quota("quota", "quota/", 1).await.unwrap();
    issue(&issuer, &spec()).await.unwrap();
    let error = issue(&issuer, &spec()).await.unwrap_err();
    mount.openbao.delete("sys/quotas/rate-limit/quota").await.unwrap();
    assert_eq!((error.class, error.is_limit()), (Transient, true), "{error}");
    assert!(error.message.contains("rate limit quota exceeded"), "{error}");
    issue(&issuer, &spec()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_trusted_or_not_there_gets_no_token() {
    let Some(mount) = mount("trust").await else { return };
    let http = Arc::new(ReqwestClient::new().unwrap());
    let token = VaultAuth::token(mount.openbao.root_token());
    let issuer = mount.builder().http(http).auth(token.clone()).build().unwrap();
    let error = issue(&issuer, &spec()).await.unwrap_err();
    assert!(error.message.contains("cannot trust") && error.class == Transient, "{error}");
    let plain = perennial_issuers::VaultIssuer::builder("http://127.0.0.1:1").path("pki/sign/web");
    let error = issue(&plain.auth(token).build().unwrap(), &spec()).await.unwrap_err();
    assert!(error.message.contains("https") && error.class == Local, "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused_with_the_remedy() {
    let builder = || perennial_issuers::VaultIssuer::builder("https://v.example").auth(VaultAuth::token("t"));
    let said = |builder: perennial_issuers::VaultIssuerBuilder| builder.build().err().unwrap().to_string();
    assert!(said(builder()).contains("pki_int/sign/web"));
    assert!(said(builder().path("pki/../sys/seal")).contains(".."));
    assert!(said(builder().path("pki/sign/web").namespace("a b")).contains("a b"));
    let no_auth = perennial_issuers::VaultIssuer::builder("https://v.example").path("pki/sign/web");
    assert!(said(no_auth).contains("token"));
    let mount = VaultAuth::kubernetes("web").mount("../x");
    assert!(said(builder().path("pki/sign/web").auth(mount)).contains("../x"));
}
