//! Accounts: RFC 8555 §7.1.2 and §7.3.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Verb, external_account,
    jwk::Jwk,
    jws::{Jws, Signer},
    office::{Call, Office, add_header, json as json_response, typed},
    problem::Problem,
    verb::Route,
};

/// An account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) key: Jwk,
    pub(super) status: AccountStatus,
    contact: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountStatus {
    Deactivated,
    Valid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAccount {
    #[serde(default)]
    contact: Vec<String>,
    #[serde(default)]
    terms_of_service_agreed: bool,
    #[serde(default)]
    only_return_existing: bool,
    external_account_binding: Option<Value>,
}

#[derive(Deserialize)]
struct AccountUpdate {
    contact: Option<Vec<String>>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyChange {
    account: String,
    old_key: Value,
}

impl Office {
    pub(super) fn new_account(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let wanted: NewAccount = call.json()?;
        let known = self.accounts.iter().find(|(_, account)| account.key == call.key);
        if let Some((id, account)) = known {
            if account.status == AccountStatus::Deactivated {
                let detail = "the account with this key was deactivated";
                return Err(Problem::new("unauthorized", StatusCode::UNAUTHORIZED, detail));
            }
            return self.account_response(*id, StatusCode::OK);
        }
        if wanted.only_return_existing {
            let detail = "there is no account with this key";
            return Err(Problem::new("accountDoesNotExist", StatusCode::BAD_REQUEST, detail));
        }
        if !wanted.terms_of_service_agreed {
            let detail = format!("agree to {} first", self.url(Route::to(Verb::Terms)));
            return Err(Problem::new("userActionRequired", StatusCode::FORBIDDEN, detail));
        }
        check_contacts(&wanted.contact)?;
        let (binding, url) = (wanted.external_account_binding.as_ref(), self.url(call.route));
        external_account::check(&self.settings.external_accounts, binding, &call.key, &url)?;
        let id = self.number();
        let account =
            Account { key: call.key.clone(), status: AccountStatus::Valid, contact: wanted.contact };
        self.accounts.insert(id, account);
        self.account_response(id, StatusCode::CREATED)
    }

    pub(super) fn account(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let id = self.own_account(call)?;
        if call.is_post_as_get() {
            return self.account_response(id, StatusCode::OK);
        }
        let update: AccountUpdate = call.json()?;
        if let Some(contact) = &update.contact {
            check_contacts(contact)?;
        }
        let account = self.accounts.get_mut(&id).ok_or_else(|| Problem::not_found("account"))?;
        match update.status.as_deref() {
            None | Some("valid") => {}
            Some("deactivated") => account.status = AccountStatus::Deactivated,
            Some(other) => {
                return Err(Problem::malformed(format!("an account cannot be made {other:?}")));
            }
        }
        if let Some(contact) = update.contact {
            account.contact = contact;
        }
        self.account_response(id, StatusCode::OK)
    }

    pub(super) fn orders_of(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let id = self.own_account(call)?;
        call.must_be_post_as_get()?;
        let (page, most) = (call.route.part, self.settings.orders_per_page.max(1));
        let orders = self.orders.iter().filter(|(_, order)| order.account == id);
        let urls: Vec<String> = orders.map(|(order, _)| self.url(Route::of(Verb::Order, *order))).collect();
        let from = page.saturating_mul(most).min(urls.len());
        let to = from.saturating_add(most).min(urls.len());
        let mut response =
            json_response(StatusCode::OK, &json!({ "orders": urls.get(from..to).unwrap_or_default() }));
        if to < urls.len() {
            let next = self.url(Route::part(Verb::Orders, id, page + 1));
            add_header(&mut response, header::LINK, &format!("<{next}>;rel=\"next\""));
        }
        Ok(response)
    }

    /// RFC 8555 §7.3.5: the old key signs what the new key has signed.
    pub(super) fn key_change(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let id = call.account()?;
        let inner = Jws::parse(&call.payload)?;
        let Signer::Key(new) = &inner.signer else {
            return Err(Problem::malformed("the inner JWS must bring the new key (\"jwk\")"));
        };
        inner.verify(new)?;
        if inner.nonce.is_some() || inner.url != self.url(call.route) {
            return Err(Problem::malformed("the inner JWS has the url of the outer one, and no nonce"));
        }
        let change: KeyChange = serde_json::from_slice(&inner.payload)
            .map_err(|error| Problem::malformed(format!("the inner payload cannot be read: {error}")))?;
        let right = change.account == self.url(Route::of(Verb::Account, id))
            && Jwk::parse(&change.old_key)? == call.key;
        if !right {
            return Err(Problem::malformed("the inner payload names another account or another old key"));
        }
        let taken = self.accounts.iter().find(|(_, account)| account.key == *new).map(|(id, _)| *id);
        if let Some(taken) = taken {
            let problem =
                Problem::new("malformed", StatusCode::CONFLICT, "the new key has an account already");
            let mut response =
                typed(problem.status, "application/problem+json", problem.to_json().to_string());
            add_header(&mut response, header::LOCATION, &self.url(Route::of(Verb::Account, taken)));
            return Ok(response);
        }
        let account = self.accounts.get_mut(&id).ok_or_else(|| Problem::not_found("account"))?;
        account.key = new.clone();
        self.account_response(id, StatusCode::OK)
    }

    /// The account of the URL, if it is the one that signed.
    fn own_account(&self, call: &Call) -> Result<u64, Problem> {
        let id = call.account()?;
        if id != call.route.id {
            return Err(Problem::unauthorized("this is another account's"));
        }
        Ok(id)
    }

    fn account_response(&self, id: u64, status: StatusCode) -> Result<Response<Bytes>, Problem> {
        let account = self.accounts.get(&id).ok_or_else(|| Problem::not_found("account"))?;
        let mut response = json_response(
            status,
            &json!({
                "status": match account.status {
                    AccountStatus::Deactivated => "deactivated",
                    AccountStatus::Valid => "valid",
                },
                "contact": account.contact,
                "termsOfServiceAgreed": true,
                "orders": self.url(Route::of(Verb::Orders, id)),
            }),
        );
        add_header(&mut response, header::LOCATION, &self.url(Route::of(Verb::Account, id)));
        Ok(response)
    }
}

/// RFC 8555 §7.3: one address a `mailto` URL, and no header fields.
fn check_contacts(contacts: &[String]) -> Result<(), Problem> {
    for contact in contacts {
        let Some(address) = contact.strip_prefix("mailto:") else {
            let detail = format!("only mailto contacts are taken, not {contact:?}");
            return Err(Problem::new("unsupportedContact", StatusCode::BAD_REQUEST, detail));
        };
        let sound =
            address.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
        if !sound || address.contains([',', '?', ' ']) || address.matches('@').count() != 1 {
            let detail = format!("{contact:?} is not one mail address");
            return Err(Problem::new("invalidContact", StatusCode::BAD_REQUEST, detail));
        }
    }
    Ok(())
}
