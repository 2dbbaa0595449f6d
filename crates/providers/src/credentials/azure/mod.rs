//! Who one is to Azure: an application by its secret, a managed identity, a workload identity.
//!
//! Sources: Microsoft identity platform, "OAuth 2.0 client credentials flow"; Entra, "How to use managed identities
//! to acquire an access token"; Azure Workload Identity.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::{Clock, HttpClient, SecretString, SystemClock, Timestamp};

use super::{
    Variables, bearer, environment, form, metadata_client, oauth,
    quiet::Quiet,
    renewed::{Lease, Renewed},
    variable,
};
use crate::{
    ConfigError, Error,
    vendor::{
        Anonymous, Answer, Authorize, Blame, Client, Complaint, Credential, Fingerprint, HeaderToken,
        Secrets, segment,
    },
};

/// A part of Azure with its own accounts and endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cloud {
    /// Where tokens are handed out: `https://login.microsoftonline.com`.
    pub authority: String,
    /// What is managed, and whom a token is for: `https://management.azure.com`.
    pub management: String,
}

impl Cloud {
    /// A cloud of one's own, such as Azure Stack.
    #[must_use]
    pub fn new(authority: impl Into<String>, management: impl Into<String>) -> Self {
        Self { authority: authority.into(), management: management.into() }
    }

    /// The one that everybody means.
    #[must_use]
    pub fn public() -> Self {
        Self::new("https://login.microsoftonline.com", "https://management.azure.com")
    }

    /// The one in China, run by 21Vianet.
    #[must_use]
    pub fn china() -> Self {
        Self::new("https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn")
    }

    /// The one of the government of the United States.
    #[must_use]
    pub fn us_government() -> Self {
        Self::new("https://login.microsoftonline.us", "https://management.usgovcloudapi.net")
    }
}

/// Where access tokens come from, and the one that is good now.
///
/// It is renewed five minutes before its end, one renewal at a time. Share it: clones of the [`Arc`] share the
/// token.
pub struct Access {
    provider: &'static str,
    origin: Origin,
    /// Whom the token is for.
    resource: String,
    renewed: Renewed<SecretString>,
    clock: Arc<dyn Clock>,
}

enum Origin {
    /// An application by its secret.
    ClientSecret { client: Client, tenant: String, client_id: String, secret: Credential },
    /// The identity of a machine (IMDS), or of an app (`IDENTITY_ENDPOINT`).
    ManagedIdentity { client: Client, path: String, version: &'static str, client_id: Option<String> },
    /// An application by a token of another identity provider, which is in a file.
    WorkloadIdentity { client: Client, tenant: String, client_id: String, assertion: Credential },
}

impl Access {
    /// Starts with the kind of provider that errors name.
    pub fn builder(provider: &'static str) -> AccessBuilder {
        AccessBuilder {
            provider,
            clock: Arc::new(SystemClock::new()),
            cloud: Cloud::public(),
            http: None,
            metadata_http: None,
            metadata_url: "http://169.254.169.254".to_owned(),
        }
    }

    /// What a token is for: `https://management.azure.com`, where Azure Resource Manager answers.
    #[must_use]
    pub fn management(&self) -> &str {
        &self.resource
    }

    /// The access token that is good now.
    ///
    /// # Errors
    /// [`Error`] that says who did not hand it out, and what to check.
    pub async fn token(&self) -> Result<SecretString, Error> {
        self.renewed.get(&*self.clock, self.fetch()).await
    }

    async fn fetch(&self) -> Result<Lease<SecretString>, Error> {
        match &self.origin {
            Origin::ClientSecret { client, tenant, client_id, secret } => {
                let secret = secret.current();
                self.ask(client, tenant, client_id, &[("client_secret", secret.expose())]).await
            }
            Origin::WorkloadIdentity { client, tenant, client_id, assertion } => {
                let assertion = assertion.current();
                let kind =
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                self.ask(client, tenant, client_id, &[kind, ("client_assertion", assertion.expose())]).await
            }
            Origin::ManagedIdentity { client, path, version, client_id } => {
                let now = self.clock.now();
                let mut call = client
                    .get(path.as_str())
                    .header("metadata", "true")
                    .query("api-version", version)
                    .query("resource", format!("{}/", self.resource));
                if let Some(id) = client_id {
                    call = call.query("client_id", id);
                }
                oauth::read_token(&call.send().await?, now)
            }
        }
    }

    async fn ask(
        &self,
        client: &Client,
        tenant: &str,
        client_id: &str,
        proof: &[(&str, &str)],
    ) -> Result<Lease<SecretString>, Error> {
        let now = self.clock.now();
        let scope = format!("{}/.default", self.resource);
        let mut parameters =
            vec![("grant_type", "client_credentials"), ("client_id", client_id), ("scope", scope.as_str())];
        parameters.extend_from_slice(proof);
        let path = format!("/{}/oauth2/v2.0/token", segment(tenant));
        let body = form::encode(&parameters);
        let answer = client.post(path).body(form::MEDIA_TYPE, body).repeatable().send().await?;
        oauth::read_token(&answer, now)
    }
}

#[async_trait]
impl Authorize for Access {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let secrets = bearer(self.provider, request, self.token().await?)?;
        // One firm answers at both places. An assertion is another's, good for minutes, and not read for each request.
        Ok(match &self.origin {
            Origin::ClientSecret { secret, .. } => secrets.and(secret.current()),
            Origin::ManagedIdentity { .. } | Origin::WorkloadIdentity { .. } => secrets,
        })
    }

    fn refused(&self) -> bool {
        self.renewed.refused(self.clock.now())
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(match &self.origin {
            Origin::ClientSecret { tenant, client_id, secret, .. } => {
                Fingerprint::of(["secret", tenant, client_id, secret.current().expose()])
            }
            Origin::ManagedIdentity { client, client_id, .. } => {
                Fingerprint::of(["managed", client.base_url(), client_id.as_deref().unwrap_or_default()])
            }
            Origin::WorkloadIdentity { client, tenant, client_id, .. } => {
                Fingerprint::of(["workload", client.base_url(), tenant, client_id])
            }
        })
    }
}

/// Without the token and the secret.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.origin {
            Origin::ClientSecret { client_id, .. } => format!("application {client_id}"),
            Origin::ManagedIdentity { client_id: Some(id), .. } => format!("managed identity {id}"),
            Origin::ManagedIdentity { client_id: None, .. } => {
                "the managed identity of the machine".to_owned()
            }
            Origin::WorkloadIdentity { client_id, .. } => format!("workload identity {client_id}"),
        };
        f.debug_struct("Access")
            .field("provider", &self.provider)
            .field("origin", &origin)
            .finish_non_exhaustive()
    }
}

/// Settings of an [`Access`]. Its last word says where the tokens come from.
#[must_use = "a builder does nothing until its last word"]
pub struct AccessBuilder {
    provider: &'static str,
    clock: Arc<dyn Clock>,
    cloud: Cloud,
    http: Option<Arc<dyn HttpClient>>,
    metadata_http: Option<Arc<dyn HttpClient>>,
    metadata_url: String,
}

crate::credentials::setters!(AccessBuilder: clock, http, metadata_http);

impl AccessBuilder {
    /// Which part of Azure. Default: [`Cloud::public`].
    pub fn cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = cloud;
        self
    }

    /// Where the metadata service answers. Default: `http://169.254.169.254`.
    pub fn metadata_url(mut self, url: impl Into<String>) -> Self {
        self.metadata_url = url.into();
        self
    }

    /// An application of this tenant, by its secret.
    ///
    /// # Errors
    /// [`Error::Config`] when the cloud's URLs are none.
    pub fn client_secret(
        self,
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        secret: Credential,
    ) -> Result<Access, Error> {
        let client = self.login(Quiet::new([secret.clone()]))?;
        let (tenant, client_id) = (tenant.into(), client_id.into());
        Ok(self.access(Origin::ClientSecret { client, tenant, client_id, secret }))
    }

    /// An application of this tenant, by a token of another identity provider that it trusts (federated credential).
    /// A [`Credential::from_file`] is read again each time, since whoever writes the file renews it.
    ///
    /// # Errors
    /// [`Error::Config`] when the cloud's URLs are none.
    pub fn workload_identity(
        self,
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        assertion: Credential,
    ) -> Result<Access, Error> {
        let client = self.login(Quiet::new([assertion.clone()]).signing_time())?;
        let (tenant, client_id) = (tenant.into(), client_id.into());
        Ok(self.access(Origin::WorkloadIdentity { client, tenant, client_id, assertion }))
    }

    /// The identity of this machine: its own, or the one of this client id where it has several.
    ///
    /// # Errors
    /// [`Error::Config`] when the metadata service's URL is none.
    pub fn managed_identity(self, client_id: Option<String>) -> Result<Access, Error> {
        let client = self.beside(&self.metadata_url, Anonymous)?;
        let path = "/metadata/identity/oauth2/token".to_owned();
        Ok(self.access(Origin::ManagedIdentity { client, path, version: "2018-02-01", client_id }))
    }

    /// The identity of this app (App Service, Container Apps): the URL and the header's value that the platform
    /// gives as `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL is none.
    pub fn app_identity(
        self,
        url: &str,
        header: Credential,
        client_id: Option<String>,
    ) -> Result<Access, Error> {
        let client = self.beside(url, HeaderToken::new("x-identity-header", header))?;
        Ok(self.access(Origin::ManagedIdentity {
            client,
            path: String::new(),
            version: "2019-08-01",
            client_id,
        }))
    }

    /// What the environment names, in the order of Azure's own libraries: a secret (`AZURE_TENANT_ID`,
    /// `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`), a workload identity (`AZURE_FEDERATED_TOKEN_FILE`), the
    /// identity of the app (`IDENTITY_ENDPOINT`) or of the machine, with `AZURE_CLIENT_ID` where there are
    /// several. `AZURE_AUTHORITY_HOST` is where tokens are handed out.
    ///
    /// # Errors
    /// [`Error::Config`] that says which variable is missing or wrong.
    pub fn environment(self) -> Result<Access, Error> {
        self.in_environment(&environment)
    }

    fn in_environment(mut self, variables: Variables<'_>) -> Result<Access, Error> {
        let provider = self.provider;
        let find = |name: &str| variable(variables, provider, name);
        let need = |name: &str, beside: &str| {
            find(name)?.ok_or_else(|| ConfigError::MissingOption {
                provider: provider.to_owned(),
                option: name.to_owned(),
                meaning: format!("{beside} is set, and goes with it"),
            })
        };
        if let Some(url) = find("AZURE_AUTHORITY_HOST")? {
            url.expose().trim_end_matches('/').clone_into(&mut self.cloud.authority);
        }
        let client_id = find("AZURE_CLIENT_ID")?.map(|id| id.expose().to_owned());
        if let Some(secret) = find("AZURE_CLIENT_SECRET")? {
            let tenant = need("AZURE_TENANT_ID", "AZURE_CLIENT_SECRET")?;
            let id = need("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")?;
            return self.client_secret(tenant.expose(), id.expose(), Credential::new(secret));
        }
        const FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
        if let Some(path) = find(FILE)? {
            let (tenant, id) = (need("AZURE_TENANT_ID", FILE)?, need("AZURE_CLIENT_ID", FILE)?);
            let assertion = Credential::from_file(path.expose()).map_err(|reason| ConfigError::Secret {
                provider: provider.to_owned(),
                option: FILE.to_owned(),
                reason,
            })?;
            return self.workload_identity(tenant.expose(), id.expose(), assertion);
        }
        if let Some(url) = find("IDENTITY_ENDPOINT")? {
            let header = need("IDENTITY_HEADER", "IDENTITY_ENDPOINT")?;
            return self.app_identity(url.expose(), Credential::new(header), client_id);
        }
        self.managed_identity(client_id)
    }

    fn login(&self, authorize: impl Authorize + 'static) -> Result<Client, Error> {
        let mut builder = Client::builder(self.provider, self.cloud.authority.clone(), authorize)
            .clock(self.clock.clone())
            .complaints(read_complaint);
        if let Some(http) = &self.http {
            builder = builder.http(http.clone());
        }
        builder.build()
    }

    fn beside(&self, url: &str, authorize: impl Authorize + 'static) -> Result<Client, Error> {
        let http = match &self.metadata_http {
            Some(http) => http.clone(),
            None => metadata_client(self.provider)?,
        };
        // The services beside a machine speak nothing else; their client sees to it that they are beside it.
        Client::builder(self.provider, url, authorize)
            .plain_http(true)
            .clock(self.clock.clone())
            .http(http)
            .complaints(read_metadata_complaint)
            .build()
    }

    fn access(self, origin: Origin) -> Access {
        let Self { provider, clock, cloud, .. } = self;
        Access { provider, origin, resource: cloud.management, renewed: Renewed::new(), clock }
    }
}

/// The numbers of Entra are what tells its refusals apart.
fn read_complaint(answer: &Answer) -> Option<Complaint> {
    oauth::read_complaint(answer, |_, description| {
        let number = description.strip_prefix("AADSTS")?.split(|c: char| !c.is_ascii_digit()).next()?;
        match number {
            "7000215" => Some("give the secret's value, not its id"),
            "7000222" => Some("the secret has ended; make another one"),
            "700016" | "90002" => {
                Some("look at the tenant and the client id, and at the cloud that they are in")
            }
            "700024" => Some("the token of the workload has ended, or the clock of this machine is wrong"),
            "70021" | "700211" | "700212" | "700213" => Some(
                "the application trusts another issuer, subject or audience: look at its federated credentials",
            ),
            _ => None,
        }
    })
}

fn read_metadata_complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = oauth::read_complaint(answer, |_, description| {
        description.contains("Identity not found").then_some(
            "this machine has no such identity: assign one to it, or give the client id of the one that it has",
        )
    })?;
    Some(match answer.status().as_u16() {
        400 | 403 => complaint.blame(Blame::Auth),
        // Entra, "Error handling": an upgrade of the service, over within 70 seconds.
        410 => complaint.blame(Blame::Unavailable),
        _ => complaint,
    })
}

#[cfg(test)]
mod tests;
