//! The services beside a machine or a container that hand out the credentials of its role.

use perennial_core::{SecretString, Timestamp};
use serde::Deserialize;

use super::super::renewed::Lease;
use crate::{
    Error,
    signature::sigv4,
    vendor::{Answer, Client, segment},
};

/// The role of an EC2 machine, by IMDSv2: a token first, then the role's name, then its credentials.
pub(super) async fn of_instance(provider: &str, client: &Client) -> Result<Lease<sigv4::Credentials>, Error> {
    let token = client.put("/latest/api/token").header(TOKEN_TTL, "60").send().await?;
    let token = token.text();
    let token = token.trim();
    let roles = client.get(ROLES).header(TOKEN, token).send_if_there().await?;
    let roles = roles.map(|answer| answer.text()).unwrap_or_default();
    let Some(role) = roles.lines().map(str::trim).find(|line| !line.is_empty()) else {
        return Err(Error::Auth {
            provider: provider.to_owned(),
            reason: "this machine has no role: attach an instance profile to it, or give a key".to_owned(),
            fault: None,
        });
    };
    let answer = client.get(format!("{ROLES}{}", segment(role))).header(TOKEN, token).send().await?;
    read(&answer)
}

/// The role of a container, by the agent beside it.
pub(super) async fn of_container(client: &Client, path: &str) -> Result<Lease<sigv4::Credentials>, Error> {
    let answer = client.get(path).send().await?;
    read(&answer)
}

fn read(answer: &Answer) -> Result<Lease<sigv4::Credentials>, Error> {
    let not_documented =
        || answer.misbehaved("its answer is not as documented; it is not shown, it may hold a key");
    let Document { code, message, credentials } = answer.json_if_any().ok_or_else(not_documented)?;
    if let Some(code) = code.filter(|code| code != "Success") {
        let message = message.unwrap_or_default();
        return Err(answer.misbehaved(format!("it hands out no credentials: {code}: {message}")));
    }
    let Credentials { access_key_id, secret_access_key, token, expiration } =
        credentials.ok_or_else(not_documented)?;
    let value = sigv4::Credentials::new(access_key_id, secret_access_key)
        .with_session_token(SecretString::new(token));
    Ok(Lease { value, until: Some(expiration) })
}

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

const TOKEN: &str = "x-aws-ec2-metadata-token";

/// A minute is enough for the two requests that need the token.
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    code: Option<String>,
    message: Option<String>,
    #[serde(flatten)]
    credentials: Option<Credentials>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: Timestamp,
}
