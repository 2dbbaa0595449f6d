//! As much of a Kubernetes cluster as OpenBao asks: whose a service account's token is (`TokenReview`).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::{
    Error,
    ca::https::{Answer, Delivery, Listener},
};

/// A cluster with one service account: it knows that account's token again and no other.
#[derive(Debug)]
pub struct TokenReview {
    url: String,
    ca_pem: String,
    token: String,
    server: AbortHandle,
}

impl TokenReview {
    /// Starts the endpoint, over TLS on loopback, for this account. Its token is for those that `audience` names.
    ///
    /// # Errors
    /// [`Error::Bind`] or [`Error::Certificate`] where no server can be started.
    pub async fn start(namespace: &str, account: &str, audience: &str) -> Result<Self, Error> {
        let listener = Listener::bind().await?;
        let (url, ca_pem) = (format!("https://{}", listener.address), listener.root_pem.clone());
        let token = token(namespace, account, audience);
        let desk = Desk {
            token: token.clone(),
            audience: audience.to_owned(),
            user: format!("system:serviceaccount:{namespace}:{account}"),
        };
        Ok(Self { url, ca_pem, token, server: listener.serve(Arc::new(desk)) })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The root, in PEM, that its clients must trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The token of the account.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for TokenReview {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A JSON Web Token (RFC 7519) with what a cluster puts into it. The signature is none: only the cluster looks at it.
fn token(namespace: &str, account: &str, audience: &str) -> String {
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = json!({ "alg": "RS256", "kid": "cluster", "typ": "JWT" });
    let claims = json!({
        "aud": [audience],
        "exp": 4_102_444_800_u64,
        "iat": 1_600_000_000,
        "nbf": 1_600_000_000,
        "iss": "https://kubernetes.default.svc",
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": { "name": account, "uid": ACCOUNT_UID },
        },
    });
    [part(header), part(claims), BASE64URL_NOPAD.encode(&[7; 256])].join(".")
}

const ACCOUNT_UID: &str = "7b6a0d60-0b5b-4a0a-9d0e-5c4a3e2f1d00";

struct Desk {
    token: String,
    audience: String,
    user: String,
}

#[async_trait]
impl Answer for Desk {
    async fn answer(&self, request: Request<Bytes>) -> Delivery {
        let review: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let asked = review["spec"]["audiences"].as_array().cloned().unwrap_or_default();
        let for_us = asked.is_empty() || asked.iter().any(|one| *one == *self.audience);
        let status = if review["spec"]["token"] == *self.token && for_us {
            json!({
                "authenticated": true,
                "user": { "username": self.user, "uid": ACCOUNT_UID, "groups": ["system:serviceaccounts"] },
                "audiences": [self.audience],
            })
        } else {
            json!({ "authenticated": false, "error": "the token is not known here" })
        };
        let body =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status });
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = http::StatusCode::CREATED;
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        Delivery::Whole(response)
    }
}
