//! The options of this provider.

use std::sync::Arc;

use super::{DEFAULT_VERSION, DEFAULT_VIEW, Infoblox, KIND};
use crate::{Error, Factory, OptionDoc, OptionForm, Options, registry};

const BASE_URL: OptionDoc =
    OptionDoc::required("base-url", "the URL of the grid master, without /wapi: https://grid.example.com")
        .form(OptionForm::Url);
const USER: OptionDoc = OptionDoc::required("user", "a user with Read/Write for TXT records of the zones");
const PASSWORD: OptionDoc = OptionDoc::required("password", "the user's password").secret();
const VIEW: OptionDoc = OptionDoc::optional("view", "the view of the zones").default(DEFAULT_VIEW);
const VERSION: OptionDoc =
    OptionDoc::optional("version", "the version of the interface (WAPI)").default(DEFAULT_VERSION);

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    Factory::new(
        "Infoblox NIOS, by its WAPI",
        [BASE_URL, USER, PASSWORD, VIEW, VERSION, registry::ZONE, registry::TTL],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<Infoblox, Error> {
    let password = options.password(KIND, &PASSWORD)?;
    let mut builder =
        Infoblox::builder(options.required(KIND, &BASE_URL)?, options.required(KIND, &USER)?, password);
    if let Some(view) = options.text(&VIEW) {
        builder = builder.view(view);
    }
    if let Some(version) = options.text(&VERSION) {
        builder = builder.version(version);
    }
    builder.settings(registry::settings(KIND, options)?).build()
}
