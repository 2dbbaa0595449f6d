//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, DigitalOcean, KIND};
use crate::{Error, Factory, OptionDoc, Options, registry};

const TOKEN: OptionDoc = OptionDoc::required(
    "token",
    "a personal access token with the scopes domain:read, domain:create and domain:delete",
)
.secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    Factory::new("DigitalOcean, API v2", [TOKEN, registry::ZONE, registry::TTL, base_url], |options| {
        Ok(Arc::new(from_options(options)?))
    })
}

pub(super) fn from_options(options: &Options) -> Result<DigitalOcean, Error> {
    let builder = DigitalOcean::builder(options.token(KIND, &TOKEN)?);
    builder.options(KIND, options)?.build()
}
