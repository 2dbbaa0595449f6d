//! OpenBao's role that signs, and the doors to it.

use std::sync::Arc;

use perennial::{
    core::ReqwestClient,
    issuers::vault::{VaultAuth, VaultIssuer, VaultIssuerBuilder},
    lifecycle::{IssuedChain, Issuer as _, Revocation},
};
use perennial_testkit::real::{Openbao, TokenReview};
use serde_json::{Value, json};

use super::{Case, Outcome, issue, refused, text};

/// A mount `pki` with the role `web`, and the policy `web` for those who may use it.
pub(super) struct Lab {
    openbao: Openbao,
    root_pem: String,
}

const NAMES: [&str; 2] = ["a.example.com", "b.example.com"];

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![
        ("vault_token", Box::pin(by_token(lab))),
        ("vault_app_role", Box::pin(by_app_role(lab))),
        ("vault_kubernetes", Box::pin(by_kubernetes(lab))),
        ("vault_certificate", Box::pin(by_certificate(lab))),
        ("vault_namespace", Box::pin(in_namespace(lab))),
        ("vault_denied", Box::pin(denied(lab))),
        ("vault_refused", Box::pin(refused_name(lab))),
        ("vault_unknown_role", Box::pin(unknown_role(lab))),
        ("vault_quota", Box::pin(quota(lab))),
        ("vault_sealed", Box::pin(sealed(lab))),
        ("vault_revoked", Box::pin(revoked(lab))),
    ]
}

/// For whoever may sign.
const RULES: &str = r#"path "pki/sign/web" { capabilities = ["update"] }"#;

fn role() -> Value {
    json!({ "allowed_domains": "example.com", "allow_subdomains": true, "max_ttl": "72h", "key_type": "any" })
}

impl Lab {
    pub(super) async fn start() -> Result<Self, String> {
        let openbao = text(Openbao::start().await)?;
        let root_pem = text(openbao.pki("pki").await)?;
        text(openbao.role("pki", "web", role()).await)?;
        text(openbao.policy("web", RULES).await)?;
        Ok(Self { openbao, root_pem })
    }

    fn client(&self) -> perennial::core::http::ReqwestClientBuilder {
        ReqwestClient::builder().root_certificates_pem(self.openbao.ca_pem())
    }

    fn builder(&self) -> Result<VaultIssuerBuilder, String> {
        let http = Arc::new(text(self.client().build())?);
        Ok(VaultIssuer::builder(self.openbao.url()).path("pki/sign/web").http(http))
    }

    fn issuer(&self, auth: VaultAuth) -> Result<VaultIssuer, String> {
        text(self.builder()?.auth(auth).build())
    }

    pub(super) async fn seal(&self) -> Result<(), String> {
        text(self.openbao.seal().await)
    }

    pub(super) async fn unseal(&self) -> Result<(), String> {
        text(self.openbao.unseal().await)
    }

    pub(super) async fn signer(&self) -> Result<VaultIssuer, String> {
        let token = text(self.openbao.token(json!({ "policies": ["web"] })).await)?;
        self.issuer(VaultAuth::token(token))
    }

    async fn signed(&self, issuer: &VaultIssuer) -> Outcome {
        text(issuer.ready().await)?;
        text(issue(issuer, &NAMES).await)?.verified(&self.root_pem)
    }
}

async fn by_token(lab: &Lab) -> Outcome {
    lab.signed(&lab.signer().await?).await
}

async fn by_app_role(lab: &Lab) -> Outcome {
    text(lab.openbao.enable_auth("approle", "approle").await)?;
    // Good for one login, which has to serve for both certificates.
    let role = json!({ "token_policies": "web", "token_ttl": "1h", "secret_id_num_uses": 1 });
    let role = text(lab.openbao.app_role("approle", "web", role).await)?;
    let issuer = lab.issuer(VaultAuth::app_role(role.role_id, role.secret_id))?;
    lab.signed(&issuer).await?;
    lab.signed(&issuer).await
}

async fn by_kubernetes(lab: &Lab) -> Outcome {
    let cluster = text(TokenReview::start("prod", "web", "vault").await)?;
    text(lab.openbao.kubernetes("kubernetes", &cluster).await)?;
    let role = json!({
        "bound_service_account_names": "web", "bound_service_account_namespaces": "prod",
        "token_policies": "web", "audience": "vault",
    });
    text(lab.openbao.write("auth/kubernetes/role/web", role).await)?;
    let directory = text(tempfile::tempdir())?;
    let file = directory.path().join("token");
    text(std::fs::write(&file, cluster.token()))?;
    let issuer = |role| lab.issuer(VaultAuth::kubernetes(role).jwt_file(&file));
    refused(issue(&issuer("nobody")?, &NAMES).await, "see that the role allows")?;
    lab.signed(&issuer("web")?).await
}

async fn by_certificate(lab: &Lab) -> Outcome {
    let made = text(rcgen::generate_simple_self_signed(["client.example.com".to_owned()]))?;
    text(lab.openbao.enable_auth("cert", "cert").await)?;
    let role = json!({ "certificate": made.cert.pem(), "token_policies": "web" });
    text(lab.openbao.write("auth/cert/certs/web", role).await)?;
    let http = lab.client().client_identity_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let builder = lab.builder()?.http(Arc::new(text(http.build())?)).auth(VaultAuth::certificate());
    lab.signed(&text(builder.build())?).await
}

/// A mount, a role and a token of its own.
async fn in_namespace(lab: &Lab) -> Outcome {
    let openbao = &lab.openbao;
    text(openbao.write("sys/namespaces/team", json!({})).await)?;
    text(openbao.write("team/sys/mounts/pki", json!({ "type": "pki" })).await)?;
    let root = json!({ "common_name": "team", "ttl": "700h", "key_type": "ec", "key_bits": 256 });
    let root = text(openbao.write("team/pki/root/generate/internal", root).await)?;
    let root = root["data"]["certificate"].as_str().unwrap_or_default();
    text(openbao.role("team/pki", "web", role()).await)?;
    text(openbao.write("team/sys/policies/acl/web", json!({ "policy": RULES })).await)?;
    let made = text(openbao.write("team/auth/token/create", json!({ "policies": ["web"] })).await)?;
    let token = made["auth"]["client_token"].as_str().unwrap_or_default();
    let issuer = text(lab.builder()?.namespace("team").auth(VaultAuth::token(token)).build())?;
    text(issue(&issuer, &NAMES).await)?.verified(root)
}

async fn denied(lab: &Lab) -> Outcome {
    let issuer = lab.issuer(VaultAuth::token("s.nobody-knows-this-token"))?;
    refused(issue(&issuer, &NAMES).await, "permission denied")
}

async fn refused_name(lab: &Lab) -> Outcome {
    let outcome = issue(&lab.signer().await?, &["a.example.net"]).await;
    refused(outcome, "a.example.net not allowed by this role")
}

async fn unknown_role(lab: &Lab) -> Outcome {
    let issuer = lab.builder()?.path("pki/sign/nobody").auth(VaultAuth::token(lab.openbao.root_token()));
    refused(issue(&text(issuer.build())?, &NAMES).await, "unknown role: nobody")
}

async fn quota(lab: &Lab) -> Outcome {
    let issuer = lab.signer().await?;
    text(lab.openbao.quota("judge", "pki/", 1).await)?;
    text(issue(&issuer, &NAMES).await)?;
    let outcome = issue(&issuer, &NAMES).await;
    text(lab.openbao.delete("sys/quotas/rate-limit/judge").await)?;
    refused(outcome, "rate limit quota exceeded")
}

async fn sealed(lab: &Lab) -> Outcome {
    let issuer = lab.signer().await?;
    text(issuer.ready().await)?;
    lab.seal().await?;
    let (ready, outcome) = (issuer.ready().await, issue(&issuer, &NAMES).await);
    lab.unseal().await?;
    if ready.is_ok() {
        return Err("it was ready while it was sealed".to_owned());
    }
    let said = refused(outcome, "is sealed")?;
    lab.signed(&issuer).await.map(|_| said)
}

async fn revoked(lab: &Lab) -> Outcome {
    let issuer = lab.issuer(VaultAuth::token(lab.openbao.root_token()))?;
    let issued = text(issue(&issuer, &NAMES).await)?;
    let copy = text(IssuedChain::from_pem(issued.chain.pem()))?;
    text(issuer.revoke(&Revocation::new(copy, None), &issued.journal).await)?;
    let list = text(lab.openbao.read("pki/certs/revoked?list=true").await)?;
    let serials = list["data"]["keys"].to_string().replace([':', '-'], "");
    let serial = issued.chain.facts().serial.trim_start_matches("00");
    if serials.contains(serial) {
        Ok(serial.to_owned())
    } else {
        Err(format!("{serial} is not in {serials}"))
    }
}
