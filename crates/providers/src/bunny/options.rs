//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, Bunny, KIND};
use crate::{Error, Factory, OptionDoc, Options, registry};

const ACCESS_KEY: OptionDoc = OptionDoc::required("access-key", "the access key of the account").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [ACCESS_KEY, registry::ZONE, registry::ZONE_ID, registry::TTL, base_url];
    Factory::new("Bunny DNS", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Bunny, Error> {
    let builder = Bunny::builder(options.token(KIND, &ACCESS_KEY)?);
    builder.options(KIND, options)?.build()
}
