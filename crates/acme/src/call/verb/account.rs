//! Accounts (RFC 8555 §7.3).

use http::StatusCode;

use super::{Created, location, post_as_get, reference, spec};
use crate::{
    AccountState, AccountStatus, AccountUpdate, Error, Misbehaved, Misuse, NewAccount, OrdersPage, Url,
    call::{Answer, Call, Credential, Payload, Spec, Target},
    link,
};

/// Makes an account, or finds the one that the key has (RFC 8555 §7.3, §7.3.1).
pub fn new_account(request: &NewAccount) -> Call<Created<AccountState>> {
    let (request, only_existing) = (request.clone(), request.is_only_existing());
    let payload = Payload::For(Box::new(move |session, directory| {
        let required = directory.meta.external_account_required && !only_existing;
        if required && !request.is_bound() {
            return Err(Misuse::ExternalAccountRequired.into());
        }
        let key = session.jwk().ok_or(Misuse::NoAccount { verb: "newAccount" })?;
        Ok(request.payload(key, &directory.new_account))
    }));
    // An account that was made where one was only looked for is an account too many.
    let found: &[StatusCode] = &[StatusCode::OK];
    let made_or_found: &[StatusCode] = &[StatusCode::CREATED, StatusCode::OK];
    let expected = if only_existing { found } else { made_or_found };
    Call::new(Spec {
        credential: Credential::Jwk,
        expected,
        ..spec("newAccount", Target::Endpoint(|directory| &directory.new_account), payload, |answer| {
            Ok(Created { url: location(answer)?, state: AccountState::parse(answer.body)? })
        })
    })
}

/// Looks at an account (RFC 8555 §7.3.2).
pub fn account(url: Url) -> Call<AccountState> {
    Call::new(spec("account", Target::Url(url), post_as_get(), account_state))
}

/// Changes an account (RFC 8555 §7.3.2, §7.3.3).
pub fn update_account(url: Url, update: &AccountUpdate) -> Call<AccountState> {
    let payload = Payload::Fixed(update.to_json().into());
    Call::new(spec("account update", Target::Url(url), payload, account_state))
}

/// Gives an account up for good (RFC 8555 §7.3.6). An answer that does not say `deactivated` is an error.
pub fn deactivate_account(url: Url) -> Call<AccountState> {
    let payload = Payload::Fixed(r#"{"status":"deactivated"}"#.into());
    Call::new(spec("account deactivation", Target::Url(url), payload, |answer| {
        let state = account_state(answer)?;
        if state.status != AccountStatus::Deactivated {
            let (url, status) = (answer.url.to_string(), state.status.to_string());
            return Err(Misbehaved::NotDeactivated { url, status }.into());
        }
        Ok(state)
    }))
}

fn account_state(answer: &Answer<'_>) -> Result<AccountState, Error> {
    Ok(AccountState::parse(answer.body)?)
}

/// Reads a page of an account's list of orders (RFC 8555 §7.1.2.1): the first by the account's `orders` URL.
pub fn orders(url: Url) -> Call<OrdersPage> {
    Call::new(spec("orders", Target::Url(url), post_as_get(), |answer| {
        let next = link::references(answer.headers, "next").next();
        let next = next.map(|text| reference(answer, &text)).transpose()?;
        Ok(OrdersPage { next, ..OrdersPage::parse(answer.body)? })
    }))
}
