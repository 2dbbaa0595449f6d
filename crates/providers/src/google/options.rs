//! The options of this provider.

use std::sync::Arc;

use super::{GoogleCloudDns, KIND};
use crate::{
    Error, Factory, OptionDoc, OptionForm, Options,
    credentials::google::Access,
    registry::{BASE_URL, TTL, ZONE, ZONE_ID},
};

pub(super) const PROJECT: OptionDoc =
    OptionDoc::optional("project", "the project that the zones are in; the account's own by default");
const SERVICE_ACCOUNT: OptionDoc = OptionDoc::optional(
    "service-account",
    "the JSON of a service account's key, or of a workload identity federation's configuration; without one, \
     GOOGLE_APPLICATION_CREDENTIALS and the machine are asked",
)
.secret();
const IMPERSONATE: OptionDoc =
    OptionDoc::optional("impersonate", "the e-mail address of a service account to act as; none by default");
const IAM_URL: OptionDoc = OptionDoc::optional(
    "iam-url",
    "where tokens of service accounts to act as are handed out; https://iamcredentials.googleapis.com by default",
)
.form(OptionForm::Url);
const TOKEN_URL: OptionDoc =
    OptionDoc::optional("token-url", "where access tokens are handed out; what the key says by default")
        .form(OptionForm::Url);
const METADATA_URL: OptionDoc = OptionDoc::optional(
    "metadata-url",
    "where the metadata server answers; http://metadata.google.internal by default",
)
.form(OptionForm::Url);
const PRIVATE: OptionDoc =
    OptionDoc::optional("private", "true: look for private zones").form(OptionForm::Flag).default("false");

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let docs = [
        PROJECT,
        SERVICE_ACCOUNT,
        IMPERSONATE,
        TOKEN_URL,
        IAM_URL,
        METADATA_URL,
        PRIVATE,
        ZONE,
        ZONE_ID,
        TTL,
        BASE_URL,
    ];
    Factory::new("Google Cloud DNS", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<GoogleCloudDns, Error> {
    let mut access = Access::builder(KIND);
    if let Some(url) = options.text(&TOKEN_URL) {
        access = access.token_url(url);
    }
    if let Some(url) = options.text(&METADATA_URL) {
        access = access.metadata_url(url);
    }
    if let Some(email) = options.text(&IMPERSONATE) {
        access = access.impersonate(email);
    }
    if let Some(url) = options.text(&IAM_URL) {
        access = access.iam_url(url);
    }
    let access = match options.credential(&SERVICE_ACCOUNT) {
        Some(json) => access.credentials_of(json)?,
        None => access.environment()?,
    };
    let mut builder = GoogleCloudDns::builder(access).private(options.flag(KIND, &PRIVATE)?);
    if let Some(project) = options.text(&PROJECT) {
        builder = builder.project(project);
    }
    builder.options(KIND, options)?.build()
}
