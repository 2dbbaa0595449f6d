//! The options of this provider.

use std::sync::Arc;

use super::{HttpReq, HttpReqBuilder, KIND};
use crate::{Error, Factory, OptionDoc, OptionForm, Options, hook, registry};

const ENDPOINT: OptionDoc =
    OptionDoc::required("endpoint", "the URL before /present and /cleanup").form(OptionForm::Url);
const USER: OptionDoc = OptionDoc::optional("user", "the user of Basic authentication; none by default");
const PASSWORD: OptionDoc = OptionDoc::optional("password", "the user's password").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    Factory::new(
        "a web service of yours, spoken to as lego's httpreq speaks",
        [ENDPOINT, USER, PASSWORD, registry::PLAIN_HTTP, hook::ZONES],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<HttpReq, Error> {
    let endpoint = options.required(KIND, &ENDPOINT)?;
    let mut builder = HttpReq::builder(endpoint).plain_http(options.flag(KIND, &registry::PLAIN_HTTP)?);
    // A password without its user is a mistake, and so is the other way round.
    if options.text(&USER).is_some() || options.get(PASSWORD.name).is_some() {
        let user = options.required(KIND, &USER)?;
        builder = builder.credentials(user, options.password(KIND, &PASSWORD)?);
    }
    let zones = options.list(KIND, &hook::ZONES)?;
    zones.into_iter().fold(builder, HttpReqBuilder::zone).build()
}
