//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, KIND, Scaleway};
use crate::{Error, Factory, OptionDoc, Options, registry};

const SECRET_KEY: OptionDoc =
    OptionDoc::required("secret-key", "the secret key of an API key whose policy has DomainsDNSFullAccess")
        .secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [SECRET_KEY, registry::ZONE, registry::TTL, base_url];
    Factory::new("Scaleway Domains and DNS, v2beta1", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Scaleway, Error> {
    let builder = Scaleway::builder(options.token(KIND, &SECRET_KEY)?);
    builder.options(KIND, options)?.build()
}
