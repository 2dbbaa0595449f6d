//! The Security Token Service: credentials for a while, for a role.

use perennial_core::{SecretString, Timestamp};
use quick_xml::de::from_str;
use serde::Deserialize;

use super::{
    super::{form, renewed::Lease},
    role::Role,
};
use crate::{
    Error,
    signature::sigv4,
    vendor::{Client, Credential},
};

/// Takes on a role with the credentials that the client signs with.
pub(super) async fn assume_role(client: &Client, role: &Role) -> Result<Lease<sigv4::Credentials>, Error> {
    let mut parameters = parameters("AssumeRole", role);
    if let Some(id) = &role.external_id {
        parameters.push(("ExternalId", id.clone()));
    }
    ask(client, &parameters).await
}

/// Takes on a role with a token of another identity provider; the client signs nothing.
pub(super) async fn with_web_identity(
    client: &Client,
    role: &Role,
    token: &Credential,
) -> Result<Lease<sigv4::Credentials>, Error> {
    let mut parameters = parameters("AssumeRoleWithWebIdentity", role);
    parameters.push(("WebIdentityToken", token.current().expose().to_owned()));
    ask(client, &parameters).await
}

fn parameters(action: &'static str, role: &Role) -> Vec<(&'static str, String)> {
    vec![
        ("Action", action.to_owned()),
        ("Version", "2011-06-15".to_owned()),
        ("RoleArn", role.arn.clone()),
        ("RoleSessionName", role.session_name.clone()),
        ("DurationSeconds", role.duration.as_secs().to_string()),
    ]
}

async fn ask(client: &Client, parameters: &[(&str, String)]) -> Result<Lease<sigv4::Credentials>, Error> {
    let answer = client
        .post("/")
        .header("accept", "application/xml")
        .body(form::MEDIA_TYPE, form::encode(parameters))
        .repeatable()
        .send()
        .await?;
    read(&answer.text())
        .ok_or_else(|| answer.misbehaved("it names no credentials; is this the endpoint of STS?"))
}

/// The credentials of either answer.
fn read(document: &str) -> Option<Lease<sigv4::Credentials>> {
    let Document { assumed, with_web_identity } = from_str(document).ok()?;
    let Credentials { access_key_id, secret_access_key, session_token, expiration } =
        assumed.or(with_web_identity)?.credentials;
    let value = sigv4::Credentials::new(access_key_id, secret_access_key)
        .with_session_token(SecretString::new(session_token));
    Some(Lease { value, until: Some(expiration) })
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "AssumeRoleResult")]
    assumed: Option<Assumed>,
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    with_web_identity: Option<Assumed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: Timestamp,
}
