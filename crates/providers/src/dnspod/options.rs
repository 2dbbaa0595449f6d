//! The options of this provider.

use std::sync::Arc;

use super::{Dnspod, KIND};
use crate::{
    Error, Factory, OptionDoc, Options,
    registry::{BASE_URL, TTL, ZONE},
};

const SECRET_ID: OptionDoc = OptionDoc::required("secret-id", "the id of an API key of Tencent Cloud, AKID…");
const SECRET_KEY: OptionDoc = OptionDoc::required("secret-key", "the secret of that key").secret();
const TOKEN: OptionDoc =
    OptionDoc::optional("token", "the token that goes with a temporary key; none by default").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let docs = [SECRET_ID, SECRET_KEY, TOKEN, ZONE, TTL, BASE_URL];
    Factory::new("DNSPod of Tencent Cloud, API 3.0", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Dnspod, Error> {
    let id = options.token(KIND, &SECRET_ID)?;
    let key = options.token(KIND, &SECRET_KEY)?;
    let builder = match options.token_if_any(KIND, &TOKEN)? {
        Some(token) => Dnspod::builder_with_token(id, key, token),
        None => Dnspod::builder(id, key),
    };
    builder.options(KIND, options)?.build()
}
