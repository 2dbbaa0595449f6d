//! The options of this provider.

use std::sync::Arc;

use super::{AzureDns, KIND};
use crate::{
    ConfigError, Error, Factory, OptionDoc, OptionForm, Options,
    credentials::azure::{Access, AccessBuilder, Cloud},
    registry::{BASE_URL, TTL, ZONE, ZONE_ID},
    vendor::Credential,
};

const SUBSCRIPTION: OptionDoc =
    OptionDoc::required("subscription-id", "the subscription that the zones are in");
const GROUP: OptionDoc = OptionDoc::optional(
    "resource-group",
    "the resource group that the zones are in; without it, the zones of the subscription are listed",
);
const PRIVATE: OptionDoc =
    OptionDoc::optional("private", "true: look for private zones").form(OptionForm::Flag).default("false");
const CLOUD: OptionDoc = OptionDoc::optional("cloud", "which Azure: public, china or us-government")
    .form(OptionForm::Choice(&["china", "public", "us-government"]))
    .default("public");
const AUTHORITY: OptionDoc =
    OptionDoc::optional("authority-url", "where tokens are handed out; the cloud's own endpoint by default")
        .form(OptionForm::Url);
const TENANT: OptionDoc = OptionDoc::optional("tenant-id", "the tenant of an application");
const CLIENT_ID: OptionDoc = OptionDoc::optional(
    "client-id",
    "an application, or which of the machine's identities; without a secret or a token, the machine is asked",
);
const CLIENT_SECRET: OptionDoc =
    OptionDoc::optional("client-secret", "the secret of that application").secret();
const TOKEN_FILE: OptionDoc = OptionDoc::optional(
    "federated-token-file",
    "a file with the token of another identity provider that the application trusts, instead of a secret",
);
const METADATA_URL: OptionDoc = OptionDoc::optional(
    "metadata-url",
    "where the metadata service of the machine answers; http://169.254.169.254 by default",
)
.form(OptionForm::Url);

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let docs = [
        SUBSCRIPTION,
        GROUP,
        PRIVATE,
        CLOUD,
        AUTHORITY,
        TENANT,
        CLIENT_ID,
        CLIENT_SECRET,
        TOKEN_FILE,
        METADATA_URL,
        ZONE,
        ZONE_ID,
        TTL,
        BASE_URL,
    ];
    Factory::new("Azure DNS", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<AzureDns, Error> {
    let subscription =
        options.text(&SUBSCRIPTION).ok_or_else(|| missing(&SUBSCRIPTION, SUBSCRIPTION.meaning))?;
    let mut builder =
        AzureDns::builder(access(options)?, subscription).private(options.flag(KIND, &PRIVATE)?);
    if let Some(group) = options.text(&GROUP) {
        builder = builder.resource_group(group);
    }
    builder.options(KIND, options)?.build()
}

fn access(options: &Options) -> Result<Access, Error> {
    let builder = builder(options)?;
    let beside = |doc: &OptionDoc, beside: &OptionDoc| {
        let meaning = format!("`{}` is given, and goes with it", beside.name);
        options.text(doc).ok_or_else(|| missing(doc, meaning))
    };
    if options.get(CLIENT_SECRET.name).is_some() {
        let (tenant, id) = (beside(&TENANT, &CLIENT_SECRET)?, beside(&CLIENT_ID, &CLIENT_SECRET)?);
        return builder.client_secret(tenant, id, options.token(KIND, &CLIENT_SECRET)?);
    }
    if let Some(path) = options.text(&TOKEN_FILE) {
        let (tenant, id) = (beside(&TENANT, &TOKEN_FILE)?, beside(&CLIENT_ID, &TOKEN_FILE)?);
        let token = Credential::from_file(path).map_err(|reason| ConfigError::Secret {
            provider: KIND.to_owned(),
            option: TOKEN_FILE.name.to_owned(),
            reason,
        })?;
        return builder.workload_identity(tenant, id, token);
    }
    match options.text(&CLIENT_ID) {
        Some(id) => builder.managed_identity(Some(id.to_owned())),
        None => builder.environment(),
    }
}

fn builder(options: &Options) -> Result<AccessBuilder, ConfigError> {
    let mut cloud = match options.text(&CLOUD).unwrap_or("public") {
        "china" => Cloud::china(),
        "public" => Cloud::public(),
        "us-government" => Cloud::us_government(),
        _ => {
            return Err(ConfigError::BadOption {
                provider: KIND.to_owned(),
                option: CLOUD.name.to_owned(),
                reason: "it is none of public, china and us-government".to_owned(),
            });
        }
    };
    if let Some(url) = options.text(&AUTHORITY) {
        url.trim_end_matches('/').clone_into(&mut cloud.authority);
    }
    let builder = Access::builder(KIND).cloud(cloud);
    Ok(match options.text(&METADATA_URL) {
        Some(url) => builder.metadata_url(url),
        None => builder,
    })
}

fn missing(doc: &OptionDoc, meaning: impl Into<String>) -> ConfigError {
    ConfigError::MissingOption {
        provider: KIND.to_owned(),
        option: doc.name.to_owned(),
        meaning: meaning.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(options: &[(&str, &str)]) -> Result<Access, Error> {
        access(&options.iter().copied().collect())
    }

    #[test]
    fn a_secret_a_token_or_the_machine_is_taken() {
        let ids = [("tenant-id", "tenant"), ("client-id", "app")];
        let debug = |options: &[(&str, &str)]| format!("{:?}", made(options).unwrap());
        assert!(debug(&[ids[0], ids[1], ("client-secret", "s3cret")]).contains("application app"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "token").unwrap();
        let file = ("federated-token-file", file.path().to_str().unwrap());
        assert!(debug(&[ids[0], ids[1], file]).contains("workload identity app"));
        assert!(debug(&ids[1..]).contains("managed identity app"));
        assert_eq!(
            made(&[ids[1], ("cloud", "china")]).unwrap().management(),
            "https://management.chinacloudapi.cn"
        );
    }

    #[test]
    fn what_goes_together_is_wanted_together() {
        let error = |options: &[(&str, &str)]| made(options).unwrap_err().to_string();
        assert!(error(&[("client-secret", "s3cret")]).contains("`tenant-id`"));
        assert!(error(&[("client-secret", "s3cret"), ("tenant-id", "t")]).contains("`client-id`"));
        assert!(error(&[("cloud", "moon")]).contains("none of public, china and us-government"));
    }
}
