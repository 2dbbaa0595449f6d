//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, Inwx, KIND};
use crate::{Error, Factory, OptionDoc, Options, registry};

const USER: OptionDoc = OptionDoc::required("user", "the user of the account, or of a sub-account");
const PASSWORD: OptionDoc = OptionDoc::required("password", "the password of the user").secret();
const SHARED_SECRET: OptionDoc = OptionDoc::optional(
    "shared-secret",
    "the secret of the second factor in base32, the text under the QR code; only where there is one",
)
.secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [USER, PASSWORD, SHARED_SECRET, registry::ZONE, registry::TTL, base_url];
    Factory::new("INWX, DomRobot", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Inwx, Error> {
    let user = options.required(KIND, &USER)?;
    let builder = Inwx::builder(user, options.password(KIND, &PASSWORD)?).options(KIND, options)?;
    let builder = match options.get(SHARED_SECRET.name) {
        Some(_) => builder.shared_secret(options.password(KIND, &SHARED_SECRET)?),
        None => builder,
    };
    builder.build()
}
