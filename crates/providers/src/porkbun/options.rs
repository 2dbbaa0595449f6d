//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, KIND, Porkbun};
use crate::{Error, Factory, OptionDoc, Options, registry};

const API_KEY: OptionDoc = OptionDoc::required("api-key", "an API key, pk1_…").secret();
const SECRET_API_KEY: OptionDoc =
    OptionDoc::required("secret-api-key", "the secret of the API key, sk1_…").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [API_KEY, SECRET_API_KEY, registry::ZONE, registry::TTL, base_url];
    Factory::new("Porkbun, API v3", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Porkbun, Error> {
    let builder = Porkbun::builder(options.token(KIND, &API_KEY)?, options.token(KIND, &SECRET_API_KEY)?);
    builder.options(KIND, options)?.build()
}
