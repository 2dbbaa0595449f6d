//! Requests to a Vault, one at a time.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use perennial_core::{Clock, HttpClient, HttpError, SecretString, http::NoRedirects};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    VaultError,
    answer::{self, Answer, Asked, Head},
};

/// Where the Vault is, and who carries requests there.
pub(super) struct Wire {
    pub(super) address: String,
    pub(super) namespace: Option<HeaderValue>,
    pub(super) http: Arc<dyn HttpClient>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A request.
pub(super) struct Call<'a> {
    method: Method,
    /// Below `/v1/`.
    path: &'a str,
    body: Zeroizing<Vec<u8>>,
    token: Option<&'a SecretString>,
    /// What must not be shown of it or its answer.
    secrets: Vec<&'a SecretString>,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        let body = Zeroizing::new(Vec::new());
        Self { method: Method::GET, path, body, token: None, secrets: Vec::new() }
    }

    pub(super) fn post(path: &'a str, body: &impl Serialize) -> Self {
        // Only texts and booleans, which all have a JSON form.
        let body = Zeroizing::new(serde_json::to_vec(body).unwrap_or_default());
        Self { method: Method::POST, body, ..Self::get(path) }
    }

    pub(super) fn token(mut self, token: &'a SecretString) -> Self {
        self.token = Some(token);
        self.secret(token)
    }

    pub(super) fn secret(mut self, secret: &'a SecretString) -> Self {
        self.secrets.push(secret);
        self
    }
}

/// Wipes what it held.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Wire {
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.address)
    }

    /// Sends one request and reads its answer.
    pub(super) async fn send<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Answer<T>, VaultError> {
        let url = self.url(call.path);
        let response = self.http.send(self.request(&url, &call)?).await?;
        let text = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let head = Head {
            status: response.status().as_u16(),
            location: text(header::LOCATION),
            retry_after: text(header::RETRY_AFTER),
        };
        let asked = Asked { at: &url, secrets: &call.secrets, now: self.clock.now() };
        answer::read(&asked, &head, response.body())
    }

    /// Its health, which is all that it says without a token: the status, and whether it says that it is sealed. It
    /// has no namespace.
    pub(super) async fn health(&self) -> Result<(u16, bool), VaultError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Health {
            sealed: bool,
        }
        let url = self.url("sys/health");
        let request = Request::get(url.as_str()).header(MARK, "true").extension(NoRedirects);
        let request = request.body(Bytes::new()).map_err(|error| bad_request(&url, &error))?;
        let response = self.http.send(request).await?;
        let health: Health = serde_json::from_slice(response.body()).unwrap_or_default();
        Ok((response.status().as_u16(), health.sealed))
    }

    fn request(&self, url: &str, call: &Call<'_>) -> Result<Request<Bytes>, VaultError> {
        let request = Request::builder().method(call.method.clone()).uri(url);
        // Where it is insisted upon, a request without is one that somebody was tricked into.
        let mut request = request.header(MARK, "true").extension(NoRedirects);
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = call.token {
            let value = HeaderValue::from_str(token.expose());
            let mut value = value.map_err(|_| HttpError::BadRequest {
                url: url.to_owned(),
                reason: "the token holds a character that no header can carry".to_owned(),
            })?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        if !call.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Bytes::from_owner(Wiped(call.body.clone()));
        request.body(body).map_err(|error| bad_request(url, &error))
    }
}

const MARK: &str = "x-vault-request";

fn bad_request(url: &str, error: &http::Error) -> VaultError {
    HttpError::BadRequest { url: url.to_owned(), reason: error.to_string() }.into()
}
