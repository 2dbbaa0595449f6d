//! The verbs of RFC 8555 §7: what each sends, which status it wants, and what its answer means.

mod account;
pub use account::{account, deactivate_account, new_account, orders, update_account};

mod authorization;
pub use authorization::{
    answer_challenge, answer_challenge_with, authorization, deactivate_authorization, new_authorization,
};

mod certificate;
pub use certificate::{Download, certificate};

mod directory;
pub use directory::directory;

mod key_change;
pub use key_change::KeyChange;

mod onion;
pub use onion::finalize_onion;

mod order;
pub use order::{Settled, finalize, new_order, order, wait_for_order};

mod renewal_info;
pub use renewal_info::renewal_info;

mod revocation;
pub use revocation::{revoke_certificate, revoke_certificate_by_key};

mod star;
pub use star::{cancel_order, star_certificate};

use std::borrow::Cow;

use http::{StatusCode, header::LOCATION};

use super::{Answer, Credential, Payload, Reading, Spec, Target};
use crate::{Error, Misbehaved, Url};

/// A resource that was made, or found, and the URL that the server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Plain data: where, and what.
pub struct Created<T> {
    /// Where it is from now on.
    pub url: Url,
    /// What it is now.
    pub state: T,
}

/// What most verbs have in common: signed in the name of the account, answered 200, done when read.
pub(super) fn spec<T>(
    verb: &'static str,
    target: Target,
    payload: Payload,
    read: impl Fn(&Answer<'_>) -> Result<T, Error> + Send + Sync + 'static,
) -> Spec<T> {
    Spec {
        verb,
        target,
        credential: Credential::Kid,
        payload,
        accept: None,
        expected: &[StatusCode::OK],
        limit: MAX_JSON_BYTES,
        patience: None,
        fallback: None,
        read: Box::new(move |answer| read(answer).map(Reading::Done)),
    }
}

/// The largest honest object is an order of a few hundred names, well under 100 KiB.
const MAX_JSON_BYTES: usize = 1 << 20;

/// RFC 8555 §6.3: a GET that is signed has an empty payload, not an empty object.
pub(super) const fn post_as_get() -> Payload {
    Payload::Fixed(Cow::Borrowed(""))
}

/// The URL of what was made.
pub(super) fn location(answer: &Answer<'_>) -> Result<Url, Error> {
    let missing = || Misbehaved::Header { url: answer.url.to_string(), header: "Location" };
    let text = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    reference(answer, text)
}

/// The URL that a header of the answer refers to, if it is one that we follow.
pub(super) fn reference(answer: &Answer<'_>, text: &str) -> Result<Url, Error> {
    let url = answer.url.join(text).map_err(|fault| Misbehaved::url(text, fault))?;
    answer.session.server().check(&url)?;
    Ok(url)
}
