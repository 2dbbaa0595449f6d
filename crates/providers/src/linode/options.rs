//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, KIND, Linode};
use crate::{Error, Factory, OptionDoc, Options, registry};

const TOKEN: OptionDoc =
    OptionDoc::required("token", "a personal access token with the scope domains:read_write").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    Factory::new(
        "Linode (Akamai Cloud), API v4",
        [TOKEN, registry::ZONE, registry::TTL, base_url],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<Linode, Error> {
    let builder = Linode::builder(options.token(KIND, &TOKEN)?);
    builder.options(KIND, options)?.build()
}
