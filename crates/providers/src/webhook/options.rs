//! The options of this provider.

use std::sync::Arc;

use perennial_core::DomainName;

use super::{KIND, Webhook, WebhookBuilder};
use crate::{ConfigError, Error, Factory, OptionDoc, OptionForm, Options, registry};

const URL: OptionDoc =
    OptionDoc::required("url", "the whole URL, /apis/{groupName}/v1alpha1/{solverName} included")
        .form(OptionForm::Url);
const ZONE: OptionDoc =
    OptionDoc::required("zone", "the zones that names may be in, with commas between them")
        .form(OptionForm::Names);
const TOKEN: OptionDoc =
    OptionDoc::optional("token", "a bearer token of a service account that may create the solver's resource")
        .secret();
const NAMESPACE: OptionDoc =
    OptionDoc::optional("namespace", "where the webhook looks for the secrets that its configuration names")
        .default("default");
const CONFIG: OptionDoc = OptionDoc::optional("config", "the webhook's own configuration, a JSON object");

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    Factory::new(
        "a DNS-01 webhook of cert-manager, used without it",
        [URL, ZONE, TOKEN, NAMESPACE, CONFIG, registry::PLAIN_HTTP],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<Webhook, Error> {
    let url = options.required(KIND, &URL)?;
    let mut zones = options.list::<DomainName>(KIND, &ZONE)?.into_iter();
    let first = zones.next().ok_or_else(|| ZONE.missing(KIND))?;
    let mut builder = zones.fold(Webhook::builder(url, first), WebhookBuilder::zone);
    if let Some(token) = options.token_if_any(KIND, &TOKEN)? {
        builder = builder.token(token);
    }
    if let Some(namespace) = options.text(&NAMESPACE) {
        builder = builder.namespace(namespace);
    }
    if let Some(text) = options.text(&CONFIG) {
        let config = serde_json::from_str(text).ok().filter(serde_json::Value::is_object);
        builder = builder.config(config.ok_or_else(|| ConfigError::BadOption {
            provider: KIND.to_owned(),
            option: CONFIG.name.to_owned(),
            reason: "it is no JSON object such as {\"key\": \"value\"}".to_owned(),
        })?);
    }
    builder.plain_http(options.flag(KIND, &registry::PLAIN_HTTP)?).build()
}
