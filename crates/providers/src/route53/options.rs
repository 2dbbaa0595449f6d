//! The options of this provider.

use std::sync::Arc;

use super::{KIND, Route53};
use crate::{
    ConfigError, Error, Factory, OptionDoc, OptionForm, Options,
    credentials::aws::{Access, AccessBuilder, Role},
    registry::{BASE_URL, TTL, ZONE, ZONE_ID},
    vendor::Credential,
};

const KEY_ID: OptionDoc = OptionDoc::optional(
    "access-key-id",
    "the id of an access key, AKIA…; without one, AWS's own variables and the machine are asked",
);
const KEY: OptionDoc = OptionDoc::optional("secret-access-key", "the secret of that key").secret();
const SESSION: OptionDoc =
    OptionDoc::optional("session-token", "the token that goes with the key of a session").secret();
const WEB_IDENTITY: OptionDoc = OptionDoc::optional(
    "web-identity-token-file",
    "a file with the token of another identity provider, for the role, instead of a key",
);
const ROLE: OptionDoc = OptionDoc::optional("role-arn", "a role to take on; none by default");
const EXTERNAL_ID: OptionDoc = OptionDoc::optional("external-id", "the external id that the role asks for");
const SESSION_NAME: OptionDoc =
    OptionDoc::optional("role-session-name", "how the session is called in AWS's logs").default("perennial");
const REGION: OptionDoc = OptionDoc::optional(
    "region",
    "a region of the account's partition, whose STS is asked; AWS_REGION, or us-east-1, by default",
);
const SIGNING_REGION: OptionDoc = OptionDoc::optional(
    "signing-region",
    "the region to sign for, where something compatible with Route 53 wants another",
);
const STS_URL: OptionDoc =
    OptionDoc::optional("sts-url", "where STS answers; the region's own endpoint by default")
        .form(OptionForm::Url);
const INSTANCE_URL: OptionDoc = OptionDoc::optional(
    "instance-metadata-url",
    "where the metadata service of the machine answers; http://169.254.169.254 by default",
)
.form(OptionForm::Url);
const PRIVATE: OptionDoc =
    OptionDoc::optional("private", "true: look for private zones").form(OptionForm::Flag).default("false");
const UPSERT: OptionDoc = OptionDoc::optional(
    "upsert",
    "true: write by UPSERT after a look, for what is compatible with Route 53 and laxer (moto, LocalStack)",
)
.form(OptionForm::Flag)
.default("false");

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let docs = [
        KEY_ID,
        KEY,
        SESSION,
        WEB_IDENTITY,
        ROLE,
        EXTERNAL_ID,
        SESSION_NAME,
        REGION,
        SIGNING_REGION,
        STS_URL,
        INSTANCE_URL,
        PRIVATE,
        UPSERT,
        ZONE,
        ZONE_ID,
        TTL,
        BASE_URL,
    ];
    Factory::new("Amazon Route 53", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Route53, Error> {
    let access = Arc::new(access(options)?);
    let mut builder = match options.text(&SIGNING_REGION) {
        Some(region) => Route53::builder_signing_for(access, region),
        None => Route53::builder(access),
    };
    builder = builder
        .private(options.flag(KIND, &PRIVATE)?)
        .upsert(options.flag(KIND, &UPSERT)?)
        .options(KIND, options)?;
    if let Some(id) = options.text(&ZONE_ID) {
        builder = builder.zone_id(id);
    }
    builder.build()
}

fn access(options: &Options) -> Result<Access, Error> {
    let role = options.text(&ROLE).map(|arn| {
        let mut role = Role::new(arn);
        if let Some(id) = options.text(&EXTERNAL_ID) {
            role = role.with_external_id(id);
        }
        if let Some(name) = options.text(&SESSION_NAME) {
            role = role.with_session_name(name);
        }
        role
    });
    let base = if options.text(&KEY_ID).is_some() {
        let (id, secret) = (options.token(KIND, &KEY_ID)?, options.token(KIND, &KEY)?);
        builder(options).fixed(id, secret, options.token_if_any(KIND, &SESSION)?)
    } else if let Some(path) = options.text(&WEB_IDENTITY) {
        let token = Credential::from_file(path).map_err(|reason| ConfigError::Secret {
            provider: KIND.to_owned(),
            option: WEB_IDENTITY.name.to_owned(),
            reason,
        })?;
        let role = role.ok_or_else(|| missing(&ROLE, &WEB_IDENTITY))?;
        return builder(options).web_identity(role, token);
    } else if options.get(KEY.name).is_some() {
        return Err(missing(&KEY_ID, &KEY).into());
    } else {
        builder(options).environment()?
    };
    match role {
        Some(role) => {
            let region = base.region().to_owned();
            builder(options).region(region).assume(Arc::new(base), role)
        }
        None => Ok(base),
    }
}

fn builder(options: &Options) -> AccessBuilder {
    let mut builder = Access::builder(KIND);
    if let Some(region) = options.text(&REGION) {
        builder = builder.region(region);
    }
    if let Some(url) = options.text(&STS_URL) {
        builder = builder.sts_url(url);
    }
    if let Some(url) = options.text(&INSTANCE_URL) {
        builder = builder.instance_url(url);
    }
    builder
}

fn missing(doc: &OptionDoc, beside: &OptionDoc) -> ConfigError {
    ConfigError::MissingOption {
        provider: KIND.to_owned(),
        option: doc.name.to_owned(),
        meaning: format!("`{}` is given, and goes with it", beside.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(options: &[(&str, &str)]) -> Result<Access, Error> {
        access(&options.iter().copied().collect())
    }

    #[test]
    fn a_key_a_role_or_a_web_identity_is_taken() {
        let key = [("access-key-id", "AKIA"), ("secret-access-key", "s3cret"), ("region", "cn-north-1")];
        let access = made(&key).unwrap();
        assert_eq!(access.region(), "cn-north-1");
        assert!(format!("{access:?}").contains("\"key\""));
        let arn = ("role-arn", "arn:aws:iam::1:role/dns");
        assert!(
            format!("{:?}", made(&[key[0], key[1], arn]).unwrap()).contains("role arn:aws:iam::1:role/dns")
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "token").unwrap();
        let web = ("web-identity-token-file", file.path().to_str().unwrap());
        assert!(format!("{:?}", made(&[web, arn]).unwrap()).contains("with a web identity"));
    }

    #[test]
    fn what_goes_together_is_wanted_together() {
        let error = |options: &[(&str, &str)]| made(options).unwrap_err().to_string();
        assert!(error(&[("access-key-id", "AKIA")]).contains("`secret-access-key`"));
        assert!(error(&[("secret-access-key", "s3cret")]).contains("`access-key-id`"));
        let web = error(&[("web-identity-token-file", "/nowhere/token")]);
        assert!(web.contains("/nowhere/token"), "{web}");
    }
}
