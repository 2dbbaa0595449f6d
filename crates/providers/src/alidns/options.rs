//! The options of this provider.

use std::sync::Arc;

use super::{AliDns, KIND};
use crate::{
    Error, Factory, OptionDoc, Options,
    registry::{BASE_URL, TTL, ZONE},
};

const KEY_ID: OptionDoc =
    OptionDoc::required("access-key-id", "the id of an access key of a RAM user, LTAI…");
const KEY_SECRET: OptionDoc = OptionDoc::required("access-key-secret", "the secret of that key").secret();
const TOKEN: OptionDoc =
    OptionDoc::optional("security-token", "the token that goes with the key of a session; none by default")
        .secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let docs = [KEY_ID, KEY_SECRET, TOKEN, ZONE, TTL, BASE_URL];
    Factory::new("Alibaba Cloud DNS", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<AliDns, Error> {
    let id = options.token(KIND, &KEY_ID)?;
    let secret = options.token(KIND, &KEY_SECRET)?;
    let builder = match options.token_if_any(KIND, &TOKEN)? {
        Some(token) => AliDns::builder_with_token(id, secret, token),
        None => AliDns::builder(id, secret),
    };
    builder.options(KIND, options)?.build()
}
