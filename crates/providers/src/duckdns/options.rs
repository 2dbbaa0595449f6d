//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, DuckDns, KIND};
use crate::{Error, Factory, OptionDoc, Options, registry};

const TOKEN: OptionDoc = OptionDoc::required("token", "the token of the account").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [TOKEN, registry::ZONE, registry::TTL, base_url];
    Factory::new("DuckDNS: one value for a domain and all below it", docs, |options| {
        Ok(Arc::new(from_options(options)?))
    })
}

pub(super) fn from_options(options: &Options) -> Result<DuckDns, Error> {
    let builder = DuckDns::builder(options.token(KIND, &TOKEN)?);
    builder.options(KIND, options)?.build()
}
