//! An OpenBao that the tests share, each with a mount of its own.

use std::sync::{Arc, Weak};

use perennial_core::{Clock, HttpClient, ReqwestClient, SystemClock};
use perennial_issuers::vault::{VaultAuth, VaultIssuer, VaultIssuerBuilder};
use perennial_lifecycle::{
    CertificateSpec, IssueError, IssuedChain, Issuer as _, Journal, KeyAlgorithm, PrivateKey, SigningRequest,
};
use perennial_testkit::real::{self, Openbao, Tool};
use serde_json::json;
use tokio::sync::Mutex;

/// A mount with a root, an intermediate and a role, and who may use that and nothing else: the policy of its name.
pub(super) struct Mount {
    pub(super) openbao: Arc<Openbao>,
    pub(super) name: &'static str,
    pub(super) root_pem: String,
}

/// `None`, and said so, where there is no OpenBao.
pub(super) async fn mount(name: &'static str) -> Option<Mount> {
    Some(Mount::of(shared().await?, name).await)
}

/// The server goes when the last test that uses it does.
async fn shared() -> Option<Arc<Openbao>> {
    static SHARED: Mutex<Weak<Openbao>> = Mutex::const_new(Weak::new());
    let _ = real::require(&[Tool::Openbao])?;
    let mut shared = SHARED.lock().await;
    if let Some(openbao) = shared.upgrade() {
        return Some(openbao);
    }
    let openbao = Arc::new(Openbao::start().await.unwrap());
    *shared = Arc::downgrade(&openbao);
    Some(openbao)
}

impl Mount {
    pub(super) async fn of(openbao: Arc<Openbao>, name: &'static str) -> Self {
        let root_pem = openbao.pki(name).await.unwrap();
        let role = json!({
            "allowed_domains": "example.com", "allow_subdomains": true, "max_ttl": "72h", "key_type": "any",
        });
        openbao.role(name, "web", role).await.unwrap();
        let rules = format!(r#"path "{name}/sign/web" {{ capabilities = ["update"] }}"#);
        openbao.policy(name, &rules).await.unwrap();
        Self { openbao, name, root_pem }
    }

    pub(super) fn http(&self) -> Arc<dyn HttpClient> {
        let http = ReqwestClient::builder().root_certificates_pem(self.openbao.ca_pem()).build();
        Arc::new(http.unwrap())
    }

    pub(super) fn builder(&self) -> VaultIssuerBuilder {
        let path = format!("{}/sign/web", self.name);
        VaultIssuer::builder(self.openbao.url()).path(path).http(self.http())
    }

    pub(super) async fn token(&self) -> String {
        self.openbao.token(json!({ "policies": [self.name], "ttl": "1h" })).await.unwrap()
    }

    /// One that has a token of the policy.
    pub(super) async fn issuer(&self) -> VaultIssuer {
        self.builder().auth(VaultAuth::token(self.token().await)).build().unwrap()
    }
}

pub(super) fn spec() -> CertificateSpec {
    CertificateSpec::new("web", ["a.example.com", "b.example.com"]).unwrap()
}

pub(super) fn request(spec: &CertificateSpec) -> SigningRequest {
    SigningRequest::of(spec, &PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).unwrap()
}

pub(super) async fn issue(issuer: &VaultIssuer, spec: &CertificateSpec) -> Result<IssuedChain, IssueError> {
    issuer.issue(&request(spec), &journal(spec).await).await
}

pub(super) async fn journal(spec: &CertificateSpec) -> Journal {
    Journal::in_memory(spec.clone(), Arc::new(SystemClock::new()) as Arc<dyn Clock>).await.unwrap()
}
