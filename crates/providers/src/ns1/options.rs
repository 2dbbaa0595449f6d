//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, KIND, Ns1};
use crate::{Error, Factory, OptionDoc, Options, registry};

const API_KEY: OptionDoc =
    OptionDoc::required("api-key", "an API key that may view and manage the zones").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [API_KEY, registry::ZONE, registry::ZONE_ID, registry::TTL, base_url];
    Factory::new("NS1 Connect, v1", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Ns1, Error> {
    let builder = Ns1::builder(options.token(KIND, &API_KEY)?);
    builder.options(KIND, options)?.build()
}
