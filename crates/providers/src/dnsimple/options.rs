//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, Dnsimple, KIND};
use crate::{Error, Factory, OptionDoc, Options, registry};

const TOKEN: OptionDoc = OptionDoc::required(
    "token",
    "an API token of the account or of a user, with the scopes zones:read and zones:write if it is scoped",
)
.secret();
const ACCOUNT: OptionDoc =
    OptionDoc::optional("account", "the number of the account; by default the one that the token is for");

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    Factory::new("DNSimple, API v2", [TOKEN, ACCOUNT, registry::ZONE, registry::TTL, base_url], |options| {
        Ok(Arc::new(from_options(options)?))
    })
}

pub(super) fn from_options(options: &Options) -> Result<Dnsimple, Error> {
    let mut builder = Dnsimple::builder(options.token(KIND, &TOKEN)?);
    builder = builder.settings(registry::settings(KIND, options)?);
    if let Some(url) = options.text(&registry::BASE_URL) {
        builder = builder.base_url(url);
    }
    match options.text(&ACCOUNT) {
        Some(number) => builder.account(number).build(),
        None => builder.build(),
    }
}
