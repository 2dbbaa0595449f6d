//! Workload identity federation: the token of another identity provider is exchanged for one of Google's.
//!
//! Sources: RFC 8693 (OAuth 2.0 Token Exchange); Google, "Workload identity federation" and AIP-4117; checked
//! against google-auth.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use perennial_core::{SecretString, Timestamp};
use serde::Deserialize;

use super::{
    super::{form, oauth, quiet::Quiet, renewed::Lease},
    AccessBuilder, Impersonation,
};
use crate::{
    Error,
    vendor::{Anonymous, Answer, Authorize, Client, Complaint, Credential, Fingerprint, Secrets},
};

/// A configuration of the type `external_account`, as `gcloud iam workload-identity-pools create-cred-config` writes
/// it. It holds no secret, and says where one is.
#[derive(Deserialize)]
struct File {
    audience: String,
    subject_token_type: String,
    token_url: Option<String>,
    service_account_impersonation_url: Option<String>,
    credential_source: Source,
    workforce_pool_user_project: Option<String>,
}

#[derive(Deserialize)]
struct Source {
    file: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
struct Format {
    #[serde(rename = "type", default)]
    kind: String,
    subject_token_field_name: Option<String>,
}

/// Who hands out the token of the other identity provider, and for whom Google exchanges it.
pub(super) struct Federation {
    provider: &'static str,
    audience: String,
    token_type: String,
    exchange: Client,
    origin: Origin,
    /// The field of a JSON object that holds the token; `None` where it is the whole text.
    field: Option<String>,
}

enum Origin {
    /// A file that the platform writes anew before its token ends.
    File(String),
    /// A service beside the workload, and the path there.
    Url { client: Client, url: String },
}

/// Google's own endpoint.
const TOKEN_URL: &str = "https://sts.googleapis.com/v1/token";

/// More than any token has: what is longer is another file.
const MOST_BYTES: u64 = 64 * 1024;

impl Federation {
    /// Reads a configuration; with it comes the service account to act as, where it names one.
    pub(super) fn read(
        json: &SecretString,
        builder: &AccessBuilder,
    ) -> Result<(Self, Option<Impersonation>), Error> {
        let bad = |reason: String| Error::from(builder.bad("external-account", reason));
        let file: File = serde_json::from_str(json.expose()).map_err(|_| {
            bad("it is not the JSON of a workload identity federation's configuration".to_owned())
        })?;
        if file.workforce_pool_user_project.is_some() {
            return Err(bad("it is for a workforce, that is for people; make one for a workload".to_owned()));
        }
        let given = builder.token_url.clone().or(file.token_url);
        let token_url = given.unwrap_or_else(|| TOKEN_URL.to_owned());
        let exchange = builder.client(&token_url, Anonymous)?;
        let impersonation = file.service_account_impersonation_url;
        let impersonation = impersonation.map(|url| Impersonation::at(&url, builder)).transpose()?;
        let source = file.credential_source;
        let field = match (source.format.kind.as_str(), source.format.subject_token_field_name) {
            ("" | "text", _) => None,
            ("json", Some(field)) => Some(field),
            _ => {
                return Err(bad(
                    "`format` of `credential_source` is neither text nor json with a field".to_owned()
                ));
            }
        };
        let origin = match (source.file, source.url) {
            (Some(path), None) => Origin::File(path),
            (None, Some(url)) => Origin::at(&url, source.headers, builder)?,
            _ => {
                return Err(bad(
                    "`credential_source` names neither a `file` nor a `url`; AWS, executables and \
                                certificates are not known here: let the platform write its token to a file"
                        .to_owned(),
                ));
            }
        };
        let (provider, audience) = (builder.provider, file.audience);
        let token_type = file.subject_token_type;
        let federation = Self { provider, audience, token_type, exchange, origin, field };
        Ok((federation, impersonation))
    }

    /// Whom the other identity provider's token is for, and where it is.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let place = match &self.origin {
            Origin::File(path) => path,
            Origin::Url { url, .. } => url,
        };
        Fingerprint::of(["federation", self.exchange.base_url(), &self.audience, place])
    }

    /// RFC 8693 §2.1: one token for another.
    pub(super) async fn token(&self, scope: &str, now: Timestamp) -> Result<Lease<SecretString>, Error> {
        let subject = self.subject_token().await?;
        let parameters = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", self.audience.as_str()),
            ("scope", scope),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token", subject.expose()),
            ("subject_token_type", self.token_type.as_str()),
        ];
        let body = form::encode(&parameters);
        let client = self.exchange.authorized_by(Quiet::new([Credential::new(subject.clone())]));
        let answer = client.post("").body(form::MEDIA_TYPE, body).repeatable().send().await?;
        oauth::read_token(&answer, now)
    }

    /// What the other identity provider says who this is; read anew each time, since it is good for minutes.
    async fn subject_token(&self) -> Result<SecretString, Error> {
        match &self.origin {
            Origin::File(path) => {
                let refused = |reason: String| Error::Auth {
                    provider: self.provider.to_owned(),
                    reason: format!("the workload's token cannot be used: {reason}; look who writes it"),
                    fault: None,
                };
                let text = SecretString::text_of_file(path, MOST_BYTES);
                let text = text.map_err(|error| refused(error.to_string()))?;
                let missing = || refused(format!("{path}: {}", self.missing()));
                self.token_of(text.expose()).ok_or_else(missing)
            }
            Origin::Url { client, url } => {
                let answer = client.follow(url)?.send().await?;
                self.token_of(&answer.text()).ok_or_else(|| answer.misbehaved(self.missing()))
            }
        }
    }

    fn token_of(&self, text: &str) -> Option<SecretString> {
        let token = match &self.field {
            None => text.trim().to_owned(),
            Some(field) => {
                let value: serde_json::Value = serde_json::from_str(text).ok()?;
                value.get(field)?.as_str()?.to_owned()
            }
        };
        (!token.is_empty()).then(|| SecretString::new(token))
    }

    fn missing(&self) -> String {
        match &self.field {
            None => "it is empty".to_owned(),
            Some(field) => format!("it is no JSON object with a text {field:?}"),
        }
    }
}

impl Origin {
    fn at(url: &str, headers: BTreeMap<String, String>, builder: &AccessBuilder) -> Result<Self, Error> {
        let bad = |reason: &str| Error::from(builder.bad("external-account", format!("`url`: {reason}")));
        let parsed: Uri = url.parse().map_err(|_| bad("it is not a URL"))?;
        let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else {
            return Err(bad("it is not a URL"));
        };
        let headers = SourceHeaders::read(headers).ok_or_else(|| bad("its `headers` are none of HTTP"))?;
        let base = format!("{scheme}://{authority}");
        // In plain http only services beside the machine are asked; their client sees to that.
        let client = match scheme {
            "http" => builder.beside_machine(&base, headers)?,
            _ => builder.client(&base, headers)?,
        };
        let path = parsed.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self::Url { client, url: path.to_owned() })
    }
}

/// The headers that a configuration wants to be sent; their values may be secrets.
struct SourceHeaders(Vec<(HeaderName, HeaderValue, SecretString)>);

impl SourceHeaders {
    fn read(headers: BTreeMap<String, String>) -> Option<Self> {
        let read = |(name, value): (String, String)| {
            let mut header = HeaderValue::from_str(&value).ok()?;
            header.set_sensitive(true);
            Some((name.parse().ok()?, header, SecretString::new(value)))
        };
        headers.into_iter().map(read).collect::<Option<_>>().map(Self)
    }
}

#[async_trait]
impl Authorize for SourceHeaders {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let mut secrets = Secrets::none();
        for (name, value, secret) in &self.0 {
            request.headers_mut().insert(name, value.clone());
            // A word such as `True` is no secret, and would be hidden in every text.
            if secret.expose().len() >= 16 {
                secrets = secrets.and(secret.clone());
            }
        }
        Ok(secrets)
    }
}

/// What the exchange says when it refuses.
pub(super) fn read_complaint(answer: &Answer) -> Option<Complaint> {
    oauth::read_complaint(answer, |error, description| match error {
        "invalid_grant" if description.contains("expired") => {
            Some("the token of the other identity provider has ended; look who writes it")
        }
        "invalid_grant" => Some(
            "look at the issuer, the audience and the conditions of the workload identity pool's provider",
        ),
        "invalid_target" | "invalid_request" => Some("look at `audience` in the configuration"),
        "unauthorized_client" => {
            Some("the attribute condition of the workload identity pool's provider says no")
        }
        _ => None,
    })
}
