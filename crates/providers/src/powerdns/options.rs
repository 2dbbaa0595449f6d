//! The options of this provider.

use std::sync::Arc;

use super::{KIND, PowerDns};
use crate::{Error, Factory, OptionDoc, OptionForm, Options, registry};

const BASE_URL: OptionDoc = OptionDoc::required(
    "base-url",
    "the URL of the server's web server, without /api: https://ns1.example.com:8081",
)
.form(OptionForm::Url);
const KEY: OptionDoc = OptionDoc::required("key", "the API key (api-key on the server)").secret();
const SERVER_ID: OptionDoc =
    OptionDoc::optional("server-id", "the server's name in its own interface").default("localhost");
const NOTIFY: OptionDoc =
    OptionDoc::optional("notify", "true: the secondaries are told of each write at once")
        .form(OptionForm::Flag)
        .default("false");

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    Factory::new(
        "PowerDNS Authoritative Server, by its HTTP API",
        [BASE_URL, KEY, SERVER_ID, NOTIFY, registry::PLAIN_HTTP, registry::ZONE, registry::TTL],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<PowerDns, Error> {
    let url = options.required(KIND, &BASE_URL)?;
    let builder = PowerDns::builder(url, options.token(KIND, &KEY)?)
        .plain_http(options.flag(KIND, &registry::PLAIN_HTTP)?)
        .notify(options.flag(KIND, &NOTIFY)?)
        .settings(registry::settings(KIND, options)?);
    match options.text(&SERVER_ID) {
        Some(id) => builder.server_id(id).build(),
        None => builder.build(),
    }
}
