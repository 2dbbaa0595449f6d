//! The options of this provider.

use std::sync::Arc;

use super::{BASE_URL, KIND, Netcup};
use crate::{Error, Factory, OptionDoc, Options, registry};

const CUSTOMER: OptionDoc = OptionDoc::required("customer-number", "the number of the customer");
const API_KEY: OptionDoc = OptionDoc::required("api-key", "an API key of the customer").secret();
const API_PASSWORD: OptionDoc =
    OptionDoc::required("api-password", "the API password of the customer").secret();

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [CUSTOMER, API_KEY, API_PASSWORD, registry::ZONE, base_url];
    Factory::new("netcup, CCP API; new records are served after ten minutes or more", docs, |options| {
        Ok(Arc::new(from_options(options)?))
    })
}

pub(super) fn from_options(options: &Options) -> Result<Netcup, Error> {
    let customer = options.required(KIND, &CUSTOMER)?;
    let (key, password) = (options.token(KIND, &API_KEY)?, options.password(KIND, &API_PASSWORD)?);
    Netcup::builder(customer, key, password).options(KIND, options)?.build()
}
