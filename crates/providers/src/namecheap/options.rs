//! The options of this provider.

use std::{net::Ipv4Addr, sync::Arc};

use super::{BASE_URL, KIND, Namecheap};
use crate::{Error, Factory, OptionDoc, Options, registry};

const USER: OptionDoc = OptionDoc::required("user", "the user of the account, whose the API key is");
const API_KEY: OptionDoc =
    OptionDoc::required("api-key", "the key that API access was switched on with").secret();
const CLIENT_IP: OptionDoc = OptionDoc::required(
    "client-ip",
    "the IPv4 address that requests come from; it has to be on the account's list",
);

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let base_url = registry::BASE_URL.default(BASE_URL);
    let docs = [USER, API_KEY, CLIENT_IP, registry::ZONE, registry::TTL, base_url];
    Factory::new("Namecheap, whose one write replaces a whole zone", docs, |options| {
        Ok(Arc::new(from_options(options)?))
    })
}

pub(super) fn from_options(options: &Options) -> Result<Namecheap, Error> {
    let user = options.required(KIND, &USER)?;
    let client_ip: Ipv4Addr = options.parsed(KIND, &CLIENT_IP)?.ok_or_else(|| CLIENT_IP.missing(KIND))?;
    let builder = Namecheap::builder(user, options.token(KIND, &API_KEY)?, client_ip);
    builder.options(KIND, options)?.build()
}
