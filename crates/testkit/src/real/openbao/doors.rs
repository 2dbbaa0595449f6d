//! The ways to a token, and who may do what with it.

use http::Method;
use serde_json::{Value, json};

use super::{Openbao, TokenReview};
use crate::real::Error;

/// Puts the answer into an envelope that opens once, for five minutes.
const WRAPPED: (&str, &str) = ("x-vault-wrap-ttl", "300s");

/// What a program shows to be let in (AppRole).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AppRole {
    /// Who it is.
    pub role_id: String,
    /// What proves it.
    pub secret_id: String,
}

impl Openbao {
    /// Writes a policy in OpenBao's own language.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn policy(&self, name: &str, rules: &str) -> Result<(), Error> {
        self.write(&format!("sys/policies/acl/{name}"), json!({ "policy": rules })).await.map(drop)
    }

    /// A token with these properties: `policies`, `ttl`, `renewable`, `num_uses`.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn token(&self, properties: Value) -> Result<String, Error> {
        let path = "auth/token/create";
        let made = self.write(path, properties).await?;
        self.text(&made["auth"]["client_token"], path)
    }

    /// Switches a way to a token on: `approle`, `kubernetes`, `cert`.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says, such as that the mount is there already.
    pub async fn enable_auth(&self, kind: &str, mount: &str) -> Result<(), Error> {
        self.write(&format!("sys/auth/{mount}"), json!({ "type": kind })).await.map(drop)
    }

    /// A role at a mount of the kind `approle`, with one secret.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn app_role(&self, mount: &str, role: &str, properties: Value) -> Result<AppRole, Error> {
        let path = format!("auth/{mount}/role/{role}");
        self.write(&path, properties).await?;
        let identity = self.read(&format!("{path}/role-id")).await?;
        let secret = self.write(&format!("{path}/secret-id"), json!({})).await?;
        Ok(AppRole {
            role_id: self.text(&identity["data"]["role_id"], &path)?,
            secret_id: self.text(&secret["data"]["secret_id"], &path)?,
        })
    }

    /// Another secret of a role, handed out in an envelope that opens once: the token that opens it.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn wrapped_secret_id(&self, mount: &str, role: &str) -> Result<String, Error> {
        let path = format!("auth/{mount}/role/{role}/secret-id");
        let wrapped = self.call(Method::POST, &path, &[WRAPPED], Some(json!({}))).await?;
        self.text(&wrapped["wrap_info"]["token"], &path)
    }

    /// A mount of the kind `kubernetes` that asks this cluster about service accounts.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn kubernetes(&self, mount: &str, cluster: &TokenReview) -> Result<(), Error> {
        self.enable_auth("kubernetes", mount).await?;
        let configuration = json!({
            "kubernetes_host": cluster.url(),
            "kubernetes_ca_cert": cluster.ca_pem(),
            "disable_local_ca_jwt": true,
        });
        self.write(&format!("auth/{mount}/config"), configuration).await.map(drop)
    }
}
