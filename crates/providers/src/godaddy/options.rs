//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, GoDaddy, KIND};
use crate::{Error, Factory, OptionDoc, Options, registry};

const TOKEN: OptionDoc =
    OptionDoc::required("token", "a production key and its secret, with a colon between them: KEY:SECRET")
        .secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    Factory::new("GoDaddy, API v1", [TOKEN, registry::ZONE, registry::TTL, base_url], |options| {
        Ok(Arc::new(from_options(options)?))
    })
}

pub(super) fn from_options(options: &Options) -> Result<GoDaddy, Error> {
    let builder = GoDaddy::builder(options.token(KIND, &TOKEN)?);
    builder.options(KIND, options)?.build()
}
