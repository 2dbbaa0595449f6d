//! The options of this provider.

use std::sync::Arc;

use super::{AcmeDns, AcmeDnsBuilder, KIND};
use crate::{Error, Factory, OptionDoc, OptionForm, Options, registry};

const SERVER: OptionDoc = OptionDoc::required("server", "the URL of the server").form(OptionForm::Url);
const ACCOUNTS: OptionDoc = OptionDoc::required(
    "accounts",
    "the file of accounts, in the format of goacmedns; it is made when needed",
);
const REGISTER: OptionDoc =
    OptionDoc::optional("register", "false: makes no accounts for names that have none in the file")
        .form(OptionForm::Flag)
        .default("true");
const ALLOW_FROM: OptionDoc = OptionDoc::optional(
    "allow-from",
    "networks that new accounts may be used from, with commas between them: 192.0.2.0/24; any by default",
);

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    Factory::new(
        "acme-dns, a server for challenge records alone",
        [SERVER, ACCOUNTS, REGISTER, ALLOW_FROM, registry::PLAIN_HTTP],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<AcmeDns, Error> {
    let builder = AcmeDns::builder(options.required(KIND, &SERVER)?, options.required(KIND, &ACCOUNTS)?);
    let mut builder = builder.plain_http(options.flag(KIND, &registry::PLAIN_HTTP)?);
    builder =
        options.list::<String>(KIND, &ALLOW_FROM)?.into_iter().fold(builder, AcmeDnsBuilder::allow_from);
    if options.text(&REGISTER).is_some() && !options.flag(KIND, &REGISTER)? {
        builder = builder.without_registration();
    }
    builder.build()
}
