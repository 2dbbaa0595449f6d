//! Who one is to Google Cloud: a service account by its key, the one of the machine, a workload that another identity
//! provider vouches for, and a service account that any of them acts as.
//!
//! Sources: Google, "Using OAuth 2.0 for Server to Server Applications" (RFC 7523), "Access tokens on Compute
//! Engine"; checked against google-auth.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::{Clock, HttpClient, SecretString, SystemClock, Timestamp};
use serde::Deserialize;

use super::{
    Variables, bearer, environment, metadata_client, oauth,
    quiet::Quiet,
    renewed::{Lease, Renewed},
    variable,
};
use crate::{
    ConfigError, Error,
    vendor::{
        Anonymous, Answer, Authorize, Client, ClientBuilder, Complaint, Credential, Fingerprint, Secrets,
        segment,
    },
};

mod federation;
use federation::Federation;

mod impersonation;
use impersonation::Impersonation;

mod service_account;
use service_account::{Exchanged, ServiceAccount};

/// Where access tokens come from, and the one that is good now.
///
/// It is renewed five minutes before its end, one renewal at a time. Share it: clones of the [`Arc`] share the
/// token.
pub struct Access {
    provider: &'static str,
    scope: String,
    origin: Origin,
    impersonation: Option<Impersonation>,
    renewed: Renewed<SecretString>,
    clock: Arc<dyn Clock>,
}

enum Origin {
    /// Another identity provider, whose tokens Google exchanges.
    Federation(Box<Federation>),
    /// The metadata server of a machine, a pod or a function, and the account there.
    Metadata { client: Client, account: String },
    /// A key that somebody made for a service account.
    ServiceAccount { client: Client, account: Box<Exchanged> },
}

/// May read and write the records of Cloud DNS, and nothing else.
pub const DNS_SCOPE: &str = "https://www.googleapis.com/auth/ndev.clouddns.readwrite";

impl Access {
    /// Starts with the kind of provider that errors name.
    pub fn builder(provider: &'static str) -> AccessBuilder {
        AccessBuilder {
            provider,
            scope: DNS_SCOPE.to_owned(),
            clock: Arc::new(SystemClock::new()),
            http: None,
            metadata_http: None,
            metadata_url: "http://metadata.google.internal".to_owned(),
            token_url: None,
            account: "default".to_owned(),
            impersonate: None,
            iam_url: None,
        }
    }

    /// The access token that is good now.
    ///
    /// # Errors
    /// [`Error`] that says who did not hand it out, and what to check.
    pub async fn token(&self) -> Result<SecretString, Error> {
        self.renewed.get(&*self.clock, self.fetch()).await
    }

    /// The project that the account belongs to, if it can be known: from its key, or from the machine. That of who is
    /// acted as is not asked for.
    ///
    /// # Errors
    /// [`Error`] when the metadata server does not answer.
    pub async fn project(&self) -> Result<Option<String>, Error> {
        match &self.origin {
            Origin::Federation(_) => Ok(None),
            Origin::ServiceAccount { account, .. } => Ok(account.first.project.clone()),
            Origin::Metadata { client, .. } => {
                let answer =
                    ask_metadata(client, "/computeMetadata/v1/project/project-id".to_owned()).await?;
                Ok(answer.map(|answer| answer.text().trim().to_owned()).filter(|id| !id.is_empty()))
            }
        }
    }

    async fn fetch(&self) -> Result<Lease<SecretString>, Error> {
        let Some(impersonation) = &self.impersonation else { return self.own_token(&self.scope).await };
        let own = self.own_token(impersonation::SCOPE).await?;
        impersonation.token(own.value, &self.scope, self.clock.now()).await
    }

    /// Before anybody else is acted as.
    async fn own_token(&self, scope: &str) -> Result<Lease<SecretString>, Error> {
        match &self.origin {
            Origin::Federation(federation) => federation.token(scope, self.clock.now()).await,
            Origin::ServiceAccount { client, account } => {
                account.token(self.provider, client, scope, self.clock.now()).await
            }
            Origin::Metadata { client, account } => self.by_metadata(client, account).await,
        }
    }

    async fn by_metadata(&self, client: &Client, account: &str) -> Result<Lease<SecretString>, Error> {
        let now = self.clock.now();
        let path = format!("/computeMetadata/v1/instance/service-accounts/{}/token", segment(account));
        match ask_metadata(client, path).await? {
            Some(answer) => oauth::read_token(&answer, now),
            None => Err(Error::Auth {
                provider: self.provider.to_owned(),
                reason: format!(
                    "this machine has no service account {account:?}: attach one to it, or give an account's key"
                ),
                fault: None,
            }),
        }
    }
}

/// What the metadata server has at a path; `None` when there is nothing.
async fn ask_metadata(client: &Client, path: String) -> Result<Option<Answer>, Error> {
    let Some(answer) = client.get(path).header(FLAVOR, GOOGLE).send_if_there().await? else {
        return Ok(None);
    };
    if answer.header(FLAVOR) != Some(GOOGLE) {
        return Err(
            answer.misbehaved("it is not Google's metadata server; is this a machine of Google Cloud?")
        );
    }
    Ok(Some(answer))
}

const FLAVOR: &str = "metadata-flavor";
const GOOGLE: &str = "Google";

#[async_trait]
impl Authorize for Access {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        bearer(self.provider, request, self.token().await?)
    }

    fn refused(&self) -> bool {
        self.renewed.refused(self.clock.now())
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let who = match &self.origin {
            Origin::Federation(federation) => federation.fingerprint(),
            Origin::Metadata { client, account } => Fingerprint::of(["metadata", client.base_url(), account]),
            Origin::ServiceAccount { account, .. } => account.first.who,
        };
        Some(self.impersonation.as_ref().map_or(who, |other| who.and([other.account()])))
    }
}

/// Without the token and the key.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = match &self.origin {
            Origin::Federation(_) => "external",
            Origin::Metadata { account, .. } => account.as_str(),
            Origin::ServiceAccount { account, .. } => account.first.email.as_str(),
        };
        f.debug_struct("Access")
            .field("provider", &self.provider)
            .field("account", &account)
            .finish_non_exhaustive()
    }
}

/// Settings of an [`Access`]. Its last word says where the tokens come from.
#[must_use = "a builder does nothing until its last word"]
pub struct AccessBuilder {
    provider: &'static str,
    scope: String,
    clock: Arc<dyn Clock>,
    http: Option<Arc<dyn HttpClient>>,
    metadata_http: Option<Arc<dyn HttpClient>>,
    metadata_url: String,
    token_url: Option<String>,
    account: String,
    impersonate: Option<String>,
    iam_url: Option<String>,
}

crate::credentials::setters!(AccessBuilder: clock, http, metadata_http);

impl AccessBuilder {
    /// What the token is to be good for, separated by spaces. Default: [`DNS_SCOPE`].
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// Where the metadata server answers. Default: `http://metadata.google.internal`.
    pub fn metadata_url(mut self, url: impl Into<String>) -> Self {
        self.metadata_url = url.into();
        self
    }

    /// Where tokens are handed out, instead of the `token_uri` in the account's key.
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = Some(url.into());
        self
    }

    /// Which of the machine's service accounts. Default: `default`.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// The e-mail address of a service account to act as: whoever the last word names shows its token to IAM and gets
    /// one of that account. Default: nobody, or whom a configuration of [`external_account`](Self::external_account)
    /// names.
    pub fn impersonate(mut self, email: impl Into<String>) -> Self {
        self.impersonate = Some(email.into());
        self
    }

    /// Where IAM hands out tokens of service accounts. Default: `https://iamcredentials.googleapis.com`.
    pub fn iam_url(mut self, url: impl Into<String>) -> Self {
        self.iam_url = Some(url.into());
        self
    }

    /// A workload that another identity provider vouches for (workload identity federation): this JSON text is the
    /// configuration that `gcloud iam workload-identity-pools create-cred-config` writes, with the source `file` or
    /// `url`. It says which servers get the workload's token, so it is to come from whom one trusts.
    ///
    /// # Errors
    /// [`Error::Config`] when it is none, or has a source that is not known here.
    pub fn external_account(self, json: &SecretString) -> Result<Access, Error> {
        let (federation, named) = Federation::read(json, &self)?;
        let mut access = self.access(Origin::Federation(Box::new(federation)))?;
        access.impersonation = access.impersonation.or(named);
        Ok(access)
    }

    /// The same of a text that may be another one later: a key that is exchanged in its file needs no restart. While
    /// there is none that can be used, the one before is, which is logged and said where it is refused. A configuration
    /// is read once.
    ///
    /// # Errors
    /// As [`credentials`](Self::credentials).
    pub fn credentials_of(self, json: Credential) -> Result<Access, Error> {
        let mut access = self.credentials(&json.current())?;
        if let Origin::ServiceAccount { account, .. } = &mut access.origin {
            account.in_place(json);
        }
        Ok(access)
    }

    /// A key or a configuration, whichever of the two this JSON text is: `service_account` or `external_account`.
    ///
    /// # Errors
    /// [`Error::Config`] when it is neither; it is not shown.
    pub fn credentials(self, json: &SecretString) -> Result<Access, Error> {
        match serde_json::from_str::<Kind>(json.expose()) {
            Ok(Kind { kind }) if kind == "external_account" => self.external_account(json),
            _ => self.service_account(json),
        }
    }

    /// The account whose key is this JSON text, as Google's console hands it out.
    ///
    /// # Errors
    /// [`Error::Config`] when it is no key of a service account; it is not shown.
    pub fn service_account(self, json: &SecretString) -> Result<Access, Error> {
        let account = self.read(json).map_err(|reason| self.bad("service-account", reason))?;
        let secrets = Quiet::new([]).signing_time();
        let mut builder = Client::builder(self.provider, account.token_url.clone(), secrets)
            .clock(self.clock.clone())
            .complaints(read_complaint);
        if let Some(http) = &self.http {
            builder = builder.http(http.clone());
        }
        let client = builder.build()?;
        self.access(Origin::ServiceAccount { client, account: Box::new(Exchanged::new(account)) })
    }

    /// The account of this machine.
    ///
    /// # Errors
    /// [`Error::Config`] when the metadata server's URL is none.
    pub fn metadata(self) -> Result<Access, Error> {
        let client = self.beside_machine(&self.metadata_url, Anonymous)?;
        let account = self.account.clone();
        self.access(Origin::Metadata { client, account })
    }

    /// The key or the configuration in the file that `GOOGLE_APPLICATION_CREDENTIALS` names; without it, the machine's account, at the
    /// host that `GCE_METADATA_HOST` names if it does.
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be used.
    pub fn environment(self) -> Result<Access, Error> {
        self.in_environment(&environment)
    }

    fn in_environment(mut self, variables: Variables<'_>) -> Result<Access, Error> {
        const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
        if let Some(path) = variable(variables, self.provider, FILE)? {
            let json = read_file(path.expose()).map_err(|reason| self.bad(FILE, reason))?;
            return self.credentials_of(json);
        }
        if let Some(host) = variable(variables, self.provider, "GCE_METADATA_HOST")? {
            self.metadata_url = format!("http://{}", host.expose());
        }
        self.metadata()
    }

    fn read(&self, json: &SecretString) -> Result<ServiceAccount, String> {
        let account = ServiceAccount::read(json)?;
        Ok(match self.token_url.clone() {
            Some(url) => account.with_tokens_from(url),
            None => account,
        })
    }

    fn bad(&self, option: &str, reason: String) -> ConfigError {
        ConfigError::BadOption { provider: self.provider.to_owned(), option: option.to_owned(), reason }
    }

    /// A client of who hands tokens out, in the making.
    fn begin(&self, url: &str, authorize: impl Authorize + 'static) -> ClientBuilder {
        let builder = Client::builder(self.provider, url, authorize)
            .clock(self.clock.clone())
            .complaints(federation::read_complaint);
        match &self.http {
            Some(http) => builder.http(http.clone()),
            None => builder,
        }
    }

    fn client(&self, url: &str, authorize: impl Authorize + 'static) -> Result<Client, Error> {
        self.begin(url, authorize).build()
    }

    /// A client of a service beside the machine. It speaks nothing but plain http, and its client sees to it that it
    /// is near.
    fn beside_machine(&self, url: &str, authorize: impl Authorize + 'static) -> Result<Client, Error> {
        let http = match &self.metadata_http {
            Some(http) => http.clone(),
            None => metadata_client(self.provider)?,
        };
        let builder = Client::builder(self.provider, url, authorize).plain_http(true);
        builder.clock(self.clock.clone()).http(http).build()
    }

    fn access(self, origin: Origin) -> Result<Access, Error> {
        let impersonate = self.impersonate.as_deref();
        let impersonation = impersonate.map(|email| Impersonation::of(email, &self)).transpose()?;
        let Self { provider, scope, clock, .. } = self;
        Ok(Access { provider, scope, origin, impersonation, renewed: Renewed::new(), clock })
    }
}

fn read_file(path: &str) -> Result<Credential, String> {
    Credential::from_file(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// What both kinds of file have.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

fn read_complaint(answer: &Answer) -> Option<Complaint> {
    oauth::read_complaint(answer, |error, description| match error {
        "invalid_grant" if description.contains("reasonable timeframe") => {
            Some("set the clock of this machine right (NTP)")
        }
        "invalid_grant" if description.contains("Invalid JWT Signature") => {
            Some("the key was deleted or disabled; make another one")
        }
        "invalid_grant" if description.contains("account not found") => {
            Some("the service account was deleted")
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests;
