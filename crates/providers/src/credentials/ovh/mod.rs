//! Who one is to OVHcloud: a program that a person let act, or a service account.
//!
//! Sources: OVHcloud, "First steps with the API", "Managing OVHcloud service accounts"; checked against
//! python-ovh.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::{Clock, HttpClient, SecretString, SystemClock, Timestamp};

use super::{
    bearer, form, oauth,
    quiet::Quiet,
    renewed::{Lease, Renewed},
};
use crate::{
    Error,
    signature::ovh::{Credentials, sign},
    vendor::{Answer, Authorize, Client, Complaint, Credential, Fingerprint, Secrets},
};

/// A part of OVHcloud with its own accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Region {
    /// Canada, and the rest of the world.
    Canada,
    /// Europe.
    Europe,
    /// The United States.
    UnitedStates,
}

impl Region {
    /// Where its interface answers.
    #[must_use]
    pub const fn base_url(self) -> &'static str {
        match self {
            Self::Canada => "https://ca.api.ovh.com/1.0",
            Self::Europe => "https://eu.api.ovh.com/1.0",
            Self::UnitedStates => "https://api.us.ovhcloud.com/1.0",
        }
    }

    /// Where tokens for service accounts are handed out.
    #[must_use]
    pub const fn token_url(self) -> &'static str {
        match self {
            Self::Canada => "https://ca.ovh.com/auth/oauth2/token",
            Self::Europe => "https://www.ovh.com/auth/oauth2/token",
            Self::UnitedStates => "https://us.ovhcloud.com/auth/oauth2/token",
        }
    }
}

/// Who asks, with what is good now: the difference of the clocks, or an access token.
pub struct Access {
    provider: &'static str,
    origin: Origin,
    clock: Arc<dyn Clock>,
}

enum Origin {
    /// Requests are signed with OVHcloud's time, which is asked for once an hour.
    ConsumerKey {
        application_key: String,
        secret: Credential,
        consumer_key: Credential,
        time: Client,
        ahead: Renewed<i64>,
    },
    /// Requests carry an access token.
    ServiceAccount { client_id: String, secret: Credential, client: Client, token: Renewed<SecretString> },
}

impl Access {
    /// Starts with the kind of provider that errors name.
    pub fn builder(provider: &'static str, region: Region) -> AccessBuilder {
        AccessBuilder {
            provider,
            base_url: region.base_url().to_owned(),
            token_url: region.token_url().to_owned(),
            clock: Arc::new(SystemClock::new()),
            http: None,
        }
    }

    /// How many seconds OVHcloud's clock is ahead of ours; for an hour it is taken to stay so.
    async fn ahead(&self, time: &Client) -> Result<Lease<i64>, Error> {
        let answer = time.get("/auth/time").send().await?;
        let now = self.clock.now();
        let there: i64 = answer.json()?;
        Ok(Lease::lasting(Timestamp::from_unix(there).unix() - now.unix(), now, 3600))
    }

    async fn fetch(
        &self,
        client: &Client,
        client_id: &str,
        secret: &Credential,
    ) -> Result<Lease<SecretString>, Error> {
        let (now, secret) = (self.clock.now(), secret.current());
        let body = form::encode(&[
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret.expose()),
            ("scope", "all"),
        ]);
        let answer = client.post("").body(form::MEDIA_TYPE, body).repeatable().send().await?;
        oauth::read_token(&answer, now)
    }
}

#[async_trait]
impl Authorize for Access {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        match &self.origin {
            Origin::ConsumerKey { application_key, secret, consumer_key, time, ahead } => {
                let ahead = ahead.get(&*self.clock, self.ahead(time)).await?;
                let there = Timestamp::from_unix(now.unix().saturating_add(ahead));
                let (secret, consumer_key) = (secret.current(), consumer_key.current());
                let credentials = Credentials::new(application_key, secret.clone(), consumer_key.clone());
                sign(request, &credentials, there).map_err(|_| Error::Auth {
                    provider: self.provider.to_owned(),
                    reason:
                        "the application key or the consumer key has a character that no header can carry; \
                             look for a line break where it is kept"
                            .to_owned(),
                    fault: None,
                })?;
                Ok(Secrets::of(secret).and(consumer_key))
            }
            Origin::ServiceAccount { client_id, secret, client, token } => {
                let token = token.get(&*self.clock, self.fetch(client, client_id, secret)).await?;
                Ok(bearer(self.provider, request, token)?.and(secret.current()))
            }
        }
    }

    fn refused(&self) -> bool {
        let now = self.clock.now();
        match &self.origin {
            Origin::ConsumerKey { ahead, .. } => ahead.refused(now),
            Origin::ServiceAccount { token, .. } => token.refused(now),
        }
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(match &self.origin {
            Origin::ConsumerKey { application_key, secret, consumer_key, .. } => {
                let (secret, consumer_key) = (secret.current(), consumer_key.current());
                Fingerprint::of([application_key, secret.expose(), consumer_key.expose()])
            }
            Origin::ServiceAccount { client_id, secret, .. } => {
                Fingerprint::of([client_id, secret.current().expose()])
            }
        })
    }
}

/// Without the secrets.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match &self.origin {
            Origin::ConsumerKey { application_key, .. } => application_key,
            Origin::ServiceAccount { client_id, .. } => client_id,
        };
        f.debug_struct("Access").field("provider", &self.provider).field("who", who).finish_non_exhaustive()
    }
}

/// Settings of an [`Access`]. Its last word says who asks.
#[must_use = "a builder does nothing until its last word"]
pub struct AccessBuilder {
    provider: &'static str,
    base_url: String,
    token_url: String,
    clock: Arc<dyn Clock>,
    http: Option<Arc<dyn HttpClient>>,
}

crate::credentials::setters!(AccessBuilder: clock, http);

impl AccessBuilder {
    /// Where the interface answers, whose time counts, instead of the region's own.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Where tokens are handed out, instead of the region's own.
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = url.into();
        self
    }

    /// A program with its secret, and the consent of a person.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL is none.
    pub fn consumer_key(
        self,
        application_key: impl Into<String>,
        secret: Credential,
        consumer_key: Credential,
    ) -> Result<Access, Error> {
        // What answers is not shown who asks, and not trusted to have forgotten it.
        let time = self.client(&self.base_url, Quiet::new([secret.clone(), consumer_key.clone()]))?;
        let (application_key, ahead) = (application_key.into(), Renewed::new());
        let origin = Origin::ConsumerKey { application_key, secret, consumer_key, time, ahead };
        Ok(Access { provider: self.provider, origin, clock: self.clock })
    }

    /// A service account (OAuth 2.0 client credentials).
    ///
    /// # Errors
    /// [`Error::Config`] when the URL is none.
    pub fn service_account(self, client_id: impl Into<String>, secret: Credential) -> Result<Access, Error> {
        let client = self.client(&self.token_url, Quiet::new([secret.clone()]))?;
        let (client_id, token) = (client_id.into(), Renewed::new());
        let origin = Origin::ServiceAccount { client_id, secret, client, token };
        Ok(Access { provider: self.provider, origin, clock: self.clock })
    }

    fn client(&self, url: &str, authorize: impl Authorize + 'static) -> Result<Client, Error> {
        let mut builder = Client::builder(self.provider, url, authorize)
            .clock(self.clock.clone())
            .complaints(read_complaint);
        if let Some(http) = &self.http {
            builder = builder.http(http.clone());
        }
        builder.build()
    }
}

fn read_complaint(answer: &Answer) -> Option<Complaint> {
    oauth::read_complaint(answer, |error, _| {
        (error == "invalid_client")
            .then_some("look at the client id and its secret, and at the region of the account")
    })
}

#[cfg(test)]
mod tests;
