//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, Desec, KIND};
use crate::{Error, Factory, OptionDoc, Options, registry};

const TOKEN: OptionDoc =
    OptionDoc::required("token", "a token whose policies let it write TXT records of the domains").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    Factory::new("deSEC, API v1", [TOKEN, registry::ZONE, registry::TTL, base_url], |options| {
        Ok(Arc::new(from_options(options)?))
    })
}

pub(super) fn from_options(options: &Options) -> Result<Desec, Error> {
    let builder = Desec::builder(options.token(KIND, &TOKEN)?);
    builder.options(KIND, options)?.build()
}
