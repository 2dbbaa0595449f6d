//! Settings of an [`Access`], and where it is to come from.

use std::sync::Arc;

use http::Uri;
use perennial_core::{Clock, HttpClient, SecretError, SecretString, SystemClock};

use super::{
    super::{Variables, environment, metadata_client, quiet::Quiet, variable},
    Access, Origin, Partition, Role, Signer, fault,
};
use crate::{
    ConfigError, Error,
    credentials::renewed::Renewed,
    vendor::{Anonymous, Authorize, Client, Credential, HeaderToken},
};

/// Settings of an [`Access`]. Its last word says where the credentials come from.
#[must_use = "a builder does nothing until its last word"]
pub struct AccessBuilder {
    provider: &'static str,
    clock: Arc<dyn Clock>,
    http: Option<Arc<dyn HttpClient>>,
    metadata_http: Option<Arc<dyn HttpClient>>,
    region: String,
    sts_url: Option<String>,
    instance_url: String,
    container_url: String,
}

crate::credentials::setters!(AccessBuilder: clock, http, metadata_http);

impl AccessBuilder {
    pub(super) fn new(provider: &'static str) -> Self {
        Self {
            provider,
            clock: Arc::new(SystemClock::new()),
            http: None,
            metadata_http: None,
            region: "us-east-1".to_owned(),
            sts_url: None,
            instance_url: "http://169.254.169.254".to_owned(),
            container_url: "http://169.254.170.2".to_owned(),
        }
    }

    /// The region whose STS is asked, and whose partition the account is in. Default: `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Where STS answers, instead of the region's own endpoint.
    pub fn sts_url(mut self, url: impl Into<String>) -> Self {
        self.sts_url = Some(url.into());
        self
    }

    /// Where the metadata service of the machine answers. Default: `http://169.254.169.254`; on a machine with
    /// IPv6 alone it is `http://[fd00:ec2::254]`.
    pub fn instance_url(mut self, url: impl Into<String>) -> Self {
        self.instance_url = url.into();
        self
    }

    /// Where the agent beside an ECS container answers. Default: `http://169.254.170.2`.
    pub fn container_url(mut self, url: impl Into<String>) -> Self {
        self.container_url = url.into();
        self
    }

    /// A key that somebody made; with a token it is one of a session, which nobody renews.
    #[must_use]
    pub fn fixed(self, id: Credential, secret: Credential, token: Option<Credential>) -> Access {
        self.access(Origin::Fixed { id, secret, token })
    }

    /// A role that `base` lets one take on; roles may be chained.
    ///
    /// # Errors
    /// [`Error::Config`] when the endpoint of STS is no URL.
    pub fn assume(self, base: Arc<Access>, role: Role) -> Result<Access, Error> {
        let signer = Signer::new(base, self.region.clone(), "sts");
        let sts = self.sts(signer)?;
        Ok(self.access(Origin::Assumed { role, sts }))
    }

    /// A role that the token in a file lets one take on. The file is read again each time, since whoever writes it
    /// renews it.
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be read, or the endpoint of STS is no URL.
    pub fn web_identity(self, role: Role, token: Credential) -> Result<Access, Error> {
        let sts = self.sts(Quiet::new([token.clone()]))?;
        Ok(self.access(Origin::WebIdentity { role, token, sts }))
    }

    /// The role of this machine (EC2), by IMDSv2.
    ///
    /// # Errors
    /// [`Error::Config`] when the endpoint is no URL.
    pub fn instance(self) -> Result<Access, Error> {
        let client = self.beside(&self.instance_url, Anonymous)?;
        Ok(self.access(Origin::Instance { client }))
    }

    /// The role of this container: `path` below the agent's URL, as `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` has
    /// it.
    ///
    /// # Errors
    /// [`Error::Config`] when the endpoint is no URL.
    pub fn container(self, path: impl Into<String>, token: Option<Credential>) -> Result<Access, Error> {
        let client = match token {
            Some(token) => self.beside(&self.container_url, HeaderToken::new("authorization", token))?,
            None => self.beside(&self.container_url, Anonymous)?,
        };
        Ok(self.access(Origin::Container { client, path: path.into() }))
    }

    /// The first that the environment names, in the order of AWS's own libraries: a key
    /// (`AWS_ACCESS_KEY_ID`), a role with a token in a file (`AWS_WEB_IDENTITY_TOKEN_FILE`), the container's
    /// role (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`), the machine's role.
    ///
    /// # Errors
    /// [`Error::Config`] that says which variable is missing or wrong.
    pub fn environment(self) -> Result<Access, Error> {
        self.in_environment(&environment)
    }

    pub(super) fn in_environment(mut self, variables: Variables<'_>) -> Result<Access, Error> {
        let provider = self.provider;
        let find = |name: &str| variable(variables, provider, name);
        let need = |name: &str, beside: &str| {
            find(name)?.ok_or_else(|| ConfigError::MissingOption {
                provider: provider.to_owned(),
                option: name.to_owned(),
                meaning: format!("{beside} is set, and goes with it"),
            })
        };
        if let Some(region) = find("AWS_REGION")?.or(find("AWS_DEFAULT_REGION")?) {
            self.region = region.expose().to_owned();
        }
        if let Some(url) = find("AWS_ENDPOINT_URL_STS")? {
            self.sts_url = Some(url.expose().to_owned());
        }
        if let Some(url) = find("AWS_EC2_METADATA_SERVICE_ENDPOINT")? {
            self.instance_url = url.expose().to_owned();
        }

        if let Some(id) = find("AWS_ACCESS_KEY_ID")? {
            let secret = need("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")?;
            let token = find("AWS_SESSION_TOKEN")?.map(Credential::new);
            return Ok(self.fixed(Credential::new(id), Credential::new(secret), token));
        }
        if let Some(path) = find("AWS_WEB_IDENTITY_TOKEN_FILE")? {
            let arn = need("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")?;
            let mut role = Role::new(arn.expose());
            if let Some(name) = find("AWS_ROLE_SESSION_NAME")? {
                role = role.with_session_name(name.expose());
            }
            let token = self.file("AWS_WEB_IDENTITY_TOKEN_FILE", &path)?;
            return self.web_identity(role, token);
        }
        let token = match find("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")? {
            Some(path) => Some(self.file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &path)?),
            None => find("AWS_CONTAINER_AUTHORIZATION_TOKEN")?.map(Credential::new),
        };
        if let Some(path) = find("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")? {
            return self.container(path.expose(), token);
        }
        if let Some(url) = find("AWS_CONTAINER_CREDENTIALS_FULL_URI")? {
            let (base, path) = self.split("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.expose())?;
            self.container_url = base;
            return self.container(path, token);
        }
        if find("AWS_EC2_METADATA_DISABLED")?.is_some_and(|text| text.expose().eq_ignore_ascii_case("true")) {
            return Err(ConfigError::MissingOption {
                provider: provider.to_owned(),
                option: "AWS_ACCESS_KEY_ID".to_owned(),
                meaning:
                    "no credentials are in the environment, and AWS_EC2_METADATA_DISABLED forbids asking the \
                          machine"
                        .to_owned(),
            }
            .into());
        }
        self.instance()
    }

    /// A URL cut after its host.
    fn split(&self, variable: &str, url: &str) -> Result<(String, String), ConfigError> {
        let uri: Option<Uri> = url.parse().ok();
        let parts = uri.as_ref().and_then(|uri| {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            Some((format!("{}://{}", uri.scheme_str()?, uri.authority()?), path.to_owned()))
        });
        parts.ok_or_else(|| ConfigError::BadOption {
            provider: self.provider.to_owned(),
            option: variable.to_owned(),
            reason: "it is not a URL, such as http://169.254.170.23/v1/credentials".to_owned(),
        })
    }

    fn file(&self, variable: &str, path: &SecretString) -> Result<Credential, ConfigError> {
        Credential::from_file(path.expose()).map_err(|reason: SecretError| ConfigError::Secret {
            provider: self.provider.to_owned(),
            option: variable.to_owned(),
            reason,
        })
    }

    fn sts(&self, authorize: impl Authorize + 'static) -> Result<Client, Error> {
        let url = self.sts_url.clone().unwrap_or_else(|| Partition::sts(&self.region));
        let mut builder = Client::builder(self.provider, url, authorize)
            .clock(self.clock.clone())
            .complaints(fault::read_complaint);
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
            .build()
    }

    fn access(self, origin: Origin) -> Access {
        let Self { provider, region, clock, .. } = self;
        Access { provider, region, origin, renewed: Renewed::new(), clock }
    }
}
