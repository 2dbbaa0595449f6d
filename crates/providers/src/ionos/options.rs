//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, Ionos, KIND};
use crate::{Error, Factory, OptionDoc, Options, registry};

const API_KEY: OptionDoc =
    OptionDoc::required("api-key", "an API key: its public prefix, a dot, and its secret").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [API_KEY, registry::ZONE, registry::ZONE_ID, registry::TTL, base_url];
    Factory::new("IONOS hosting, DNS API v1", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Ionos, Error> {
    let builder = Ionos::builder(options.token(KIND, &API_KEY)?);
    builder.options(KIND, options)?.build()
}
