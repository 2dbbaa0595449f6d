//! The options of this provider.

use std::sync::Arc;

use super::{Cloudflare, KIND, builder::BASE_URL};
use crate::{Error, Factory, OptionDoc, Options, registry};

const TOKEN: OptionDoc = OptionDoc::required(
    "token",
    "an API token with Zone / DNS / Edit, and Zone / Zone / Read unless zone-id or zone-token is given",
)
.secret();
const ZONE_TOKEN: OptionDoc =
    OptionDoc::optional("zone-token", "another API token to look for zones with, with Zone / Zone / Read")
        .secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    Factory::new(
        "Cloudflare, API v4",
        [TOKEN, ZONE_TOKEN, registry::ZONE, registry::ZONE_ID, registry::TTL, base_url],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<Cloudflare, Error> {
    let mut builder = Cloudflare::builder(options.token(KIND, &TOKEN)?);
    if let Some(token) = options.token_if_any(KIND, &ZONE_TOKEN)? {
        builder = builder.zone_token(token);
    }
    builder.options(options)?.build()
}
