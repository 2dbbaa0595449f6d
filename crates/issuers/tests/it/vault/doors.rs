//! The ways to a token.

use std::sync::Arc;

use perennial_core::ReqwestClient;
use perennial_issuers::vault::{VaultAuth, VaultSecret};
use perennial_lifecycle::IssueErrorClass;
use perennial_testkit::real::TokenReview;
use serde_json::json;

use super::scene::{Mount, issue, mount, spec};

/// An AppRole mount of the same name, whose role has these properties beside the policy.
async fn app_role(mount: &Mount, more: &[(&str, &str)]) -> perennial_testkit::real::AppRole {
    mount.openbao.enable_auth("approle", mount.name).await.unwrap();
    let mut properties = json!({ "token_policies": mount.name, "token_ttl": "1h" });
    for (name, value) in more {
        properties[*name] = json!(value);
    }
    mount.openbao.app_role(mount.name, "web", properties).await.unwrap()
}

#[tokio::test]
async fn one_login_by_role_serves_many_certificates_at_once() {
    let Some(mount) = mount("by_role").await else { return };
    // A second login would be refused.
    let role = app_role(&mount, &[("secret_id_num_uses", "1")]).await;
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("secret-id");
    std::fs::write(&file, format!("{}\n", role.secret_id)).unwrap();
    let auth = VaultAuth::app_role(role.role_id, VaultSecret::file(&file)).mount("by_role");
    let issuer = mount.builder().auth(auth).build().unwrap();
    let spec = spec();
    let all = (0..8).map(|_| issue(&issuer, &spec));
    for issued in futures_util::future::join_all(all).await {
        issued.unwrap();
    }
}

#[tokio::test]
async fn a_secret_that_is_used_up_is_told_as_ours_without_showing_it() {
    let Some(mount) = mount("used_up").await else { return };
    let role = app_role(&mount, &[("secret_id_num_uses", "1")]).await;
    let auth = VaultAuth::app_role(role.role_id, role.secret_id.as_str()).mount("used_up");
    let issuer = || mount.builder().auth(auth.clone()).build().unwrap();
    issue(&issuer(), &spec()).await.unwrap();
    let error = issue(&issuer(), &spec()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Auth);
    assert!(
        error.message.contains("invalid role or secret ID") && error.message.contains("used up"),
        "{error}"
    );
    assert!(!error.message.contains(&role.secret_id), "{error}");
}

#[tokio::test]
async fn a_token_that_was_revoked_costs_one_more_login() {
    let Some(mount) = mount("again").await else { return };
    let role = app_role(&mount, &[]).await;
    let auth = VaultAuth::app_role(role.role_id, role.secret_id).mount("again");
    let issuer = mount.builder().auth(auth).build().unwrap();
    issue(&issuer, &spec()).await.unwrap();
    mount.openbao.write("sys/leases/revoke-prefix/auth/again/login", json!({ "sync": true })).await.unwrap();
    issue(&issuer, &spec()).await.unwrap();
}

#[tokio::test]
async fn an_envelope_is_opened_once_and_what_was_in_it_is_kept() {
    let Some(mount) = mount("wrapped").await else { return };
    let role = app_role(&mount, &[]).await;
    let envelope = mount.openbao.wrapped_secret_id("wrapped", "web").await.unwrap();
    let auth = VaultAuth::app_role_wrapped(role.role_id, envelope.as_str()).mount("wrapped");
    let first = mount.builder().auth(auth.clone()).build().unwrap();
    issue(&first, &spec()).await.unwrap();
    mount
        .openbao
        .write("sys/leases/revoke-prefix/auth/wrapped/login", json!({ "sync": true }))
        .await
        .unwrap();
    issue(&first, &spec()).await.unwrap();
    let second = mount.builder().auth(auth).build().unwrap();
    let error = issue(&second, &spec()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Auth);
    assert!(error.message.contains("envelope") && !error.message.contains(&envelope), "{error}");
}

#[tokio::test]
async fn a_service_account_is_let_in_and_a_token_for_others_is_not() {
    let Some(mount) = mount("cluster").await else { return };
    let cluster = TokenReview::start("prod", "web", "vault").await.unwrap();
    mount.openbao.kubernetes("cluster", &cluster).await.unwrap();
    let role = |audience: &str| {
        json!({
            "bound_service_account_names": "web", "bound_service_account_namespaces": "prod",
            "token_policies": "cluster", "audience": audience,
        })
    };
    mount.openbao.write("auth/cluster/role/web", role("vault")).await.unwrap();
    mount.openbao.write("auth/cluster/role/others", role("others")).await.unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("token");
    std::fs::write(&file, cluster.token()).unwrap();
    let issuer = |role: &str| {
        let auth = VaultAuth::kubernetes(role).mount("cluster").jwt_file(&file);
        mount.builder().auth(auth).build().unwrap()
    };
    issue(&issuer("web"), &spec()).await.unwrap();
    for refused in ["others", "nobody"] {
        let error = issue(&issuer(refused), &spec()).await.unwrap_err();
        assert_eq!(error.class, IssueErrorClass::Auth, "{error}");
        assert!(error.message.contains("audience") && !error.message.contains(cluster.token()), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    let error = issue(&issuer("web"), &spec()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Local);
}

#[tokio::test]
async fn who_shows_a_certificate_that_the_mount_trusts_is_let_in() {
    let Some(mount) = mount("mutual").await else { return };
    let made = rcgen::generate_simple_self_signed(["client.example.com".to_owned()]).unwrap();
    mount.openbao.enable_auth("cert", "mutual").await.unwrap();
    let role = json!({ "certificate": made.cert.pem(), "token_policies": "mutual" });
    mount.openbao.write("auth/mutual/certs/web", role).await.unwrap();
    let client = ReqwestClient::builder().root_certificates_pem(mount.openbao.ca_pem());
    let auth = VaultAuth::certificate().mount("mutual").certificate_role("web");
    let shown = client.clone().client_identity_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let issuer = |http| mount.builder().auth(auth.clone()).http(Arc::new(http)).build().unwrap();
    issue(&issuer(shown.build().unwrap()), &spec()).await.unwrap();
    let error = issue(&issuer(client.build().unwrap()), &spec()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Auth);
    assert!(error.message.contains("shows a certificate"), "{error}");
}

#[tokio::test]
async fn a_token_in_a_file_is_read_again_when_an_agent_has_written_another() {
    let Some(mount) = mount("agent").await else { return };
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("token");
    std::fs::write(&file, "s.this-one-is-not-good-any-more").unwrap();
    let issuer = mount.builder().auth(VaultAuth::token(VaultSecret::file(&file))).build().unwrap();
    let error = issue(&issuer, &spec()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Auth);
    assert!(!error.message.contains("this-one-is"), "{error}");
    std::fs::write(&file, mount.token().await).unwrap();
    issue(&issuer, &spec()).await.unwrap();
}

#[tokio::test]
async fn mounts_and_logins_of_a_namespace_are_its_own() {
    let Some(mount) = mount("namespaced").await else { return };
    mount.openbao.write("sys/namespaces/team", json!({})).await.unwrap();
    mount.openbao.write("team/sys/mounts/pki", json!({ "type": "pki" })).await.unwrap();
    let root = json!({ "common_name": "team root", "ttl": "700h", "key_type": "ec", "key_bits": 256 });
    mount.openbao.write("team/pki/root/generate/internal", root).await.unwrap();
    let role = json!({
        "allowed_domains": "example.com", "allow_subdomains": true, "key_type": "any", "ttl": "24h",
    });
    mount.openbao.write("team/pki/roles/web", role).await.unwrap();
    let issuer = |namespace: &str| {
        let builder = mount.builder().namespace(namespace).path("pki/sign/web");
        builder.auth(VaultAuth::token(mount.openbao.root_token())).build().unwrap()
    };
    let chain = issue(&issuer("team"), &spec()).await.unwrap();
    assert!(chain.facts().issuer.contains("team root"));
    issuer("team").look().await.unwrap();
    let error = issue(&issuer("nobodys"), &spec()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Local);
    assert!(error.message.contains("namespace"), "{error}");
}
