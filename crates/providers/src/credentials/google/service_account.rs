//! A service account, known by a key that somebody made for it.

use std::sync::{Arc, Mutex, PoisonError};

use perennial_core::{SecretString, Timestamp};
use serde::Deserialize;

use super::super::{form, oauth, renewed::Lease};
use crate::{
    Error,
    signature::jwt::{Claims, SigningKey},
    vendor::{Client, Credential, Fingerprint},
};

/// A service account whose key may be exchanged where it was read from.
pub(super) struct Exchanged {
    /// Who it was in the beginning.
    pub(super) first: Arc<ServiceAccount>,
    /// Who it was when its key could be read last.
    last: Mutex<Arc<ServiceAccount>>,
    source: Option<Credential>,
}

impl Exchanged {
    pub(super) fn new(account: ServiceAccount) -> Self {
        let first = Arc::new(account);
        Self { last: Mutex::new(first.clone()), first, source: None }
    }

    /// The same, where this text may be another one later.
    pub(super) fn in_place(&mut self, source: Credential) {
        self.source = Some(source);
    }

    /// Who it is now, and what is wrong with the key that is there now if that is not it.
    fn current(&self) -> (Arc<ServiceAccount>, Option<String>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.source.as_ref().map(|source| ServiceAccount::read(&source.current()));
        let unusable = match read {
            Some(Ok(read)) if read.who != last.who => {
                // Its tokens come from where they came from.
                *last = Arc::new(read.with_tokens_from(last.token_url.clone()));
                None
            }
            Some(Err(reason)) => Some(reason),
            _ => None,
        };
        (last.clone(), unusable)
    }

    /// An access token for the key that is there now, or was there last.
    pub(super) async fn token(
        &self,
        provider: &str,
        client: &Client,
        scope: &str,
        now: Timestamp,
    ) -> Result<Lease<SecretString>, Error> {
        let (account, unusable) = self.current();
        if let Some(reason) = &unusable {
            let account = &account.email;
            tracing::warn!(provider, account, reason, "a key was exchanged for none; the one before is used");
        }
        match (account.token(provider, client, scope, now).await, unusable) {
            (Err(Error::Auth { provider, reason, fault }), Some(unusable)) => {
                let reason = format!(
                    "{reason}; it is the key of before, since what is in its place now cannot be used: {unusable}"
                );
                Err(Error::Auth { provider, reason, fault })
            }
            (answered, _) => answered,
        }
    }
}

/// A service account and a key that somebody made for it.
pub(super) struct ServiceAccount {
    pub(super) email: String,
    key_id: Option<String>,
    key: SigningKey,
    /// Of the address and the key.
    pub(super) who: Fingerprint,
    pub(super) project: Option<String>,
    pub(super) token_url: String,
}

impl ServiceAccount {
    pub(super) fn read(json: &SecretString) -> Result<Self, String> {
        let not_one = || "it is not the JSON of a service account's key".to_owned();
        // The error of the reader would show a part of the text.
        let file: KeyFile = serde_json::from_str(json.expose()).map_err(|_| not_one())?;
        if file.kind != "service_account" {
            return Err(format!(
                "it is of the type {:?}; `service_account` and `external_account` are known here",
                file.kind.chars().take(40).collect::<String>()
            ));
        }
        let (Some(email), Some(pem)) = (file.client_email, file.private_key) else { return Err(not_one()) };
        let pem = SecretString::new(pem);
        let key = SigningKey::from_pem(&pem).map_err(|error| error.to_string())?;
        let who = Fingerprint::of([&*email, pem.expose()]);
        let token_url = file.token_uri.unwrap_or_else(|| "https://oauth2.googleapis.com/token".to_owned());
        let (key_id, project) = (file.private_key_id, file.project_id);
        Ok(Self { email, key_id, key, who, project, token_url })
    }

    pub(super) fn with_tokens_from(mut self, token_url: String) -> Self {
        self.token_url = token_url;
        self
    }

    /// RFC 7523 §2.1: a token signed by the account is the grant.
    async fn token(
        &self,
        provider: &str,
        client: &Client,
        scope: &str,
        now: Timestamp,
    ) -> Result<Lease<SecretString>, Error> {
        let claims = Claims::new(&self.email, scope, &self.token_url, now);
        let assertion = claims.sign(&self.key, self.key_id.as_deref()).map_err(|error| Error::Auth {
            provider: provider.to_owned(),
            reason: format!("{error}; make another key for {}", self.email),
            fault: None,
        })?;
        let parameters = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.expose()),
        ];
        let body = form::encode(&parameters);
        let answer = client.post("").body(form::MEDIA_TYPE, body).repeatable().send().await?;
        oauth::read_token(&answer, now)
    }
}

/// The key of a service account, as Google's console writes it.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    project_id: Option<String>,
    token_uri: Option<String>,
}
