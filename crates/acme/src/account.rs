//! Accounts (RFC 8555 §7.1.2, §7.3).

use serde_json::{Value, json};

use crate::{
    ExternalAccount, Jwk, Misbehaved, Url,
    json::{Json, Object},
    open_enum::open_enum,
    text::printable,
};

open_enum! {
    /// Whether an account may be used (RFC 8555 §7.1.6).
    pub enum AccountStatus {
        /// It was given up by its holder.
        Deactivated => "deactivated",
        /// The server shut it.
        Revoked => "revoked",
        /// It may be used.
        Valid => "valid",
    }
}

/// A request for an account: a new one, or the one that the key already has.
///
/// ```
/// use perennial_acme::NewAccount;
///
/// let request = NewAccount::new().contact("mailto:ops@example.com").agree_to_terms();
/// assert_eq!(request.to_json(), r#"{"contact":["mailto:ops@example.com"],"termsOfServiceAgreed":true}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct NewAccount {
    contact: Vec<String>,
    terms_agreed: bool,
    only_existing: bool,
    external_account: Option<ExternalAccount>,
}

impl NewAccount {
    /// A request without contacts that agrees to nothing.
    pub const fn new() -> Self {
        Self { contact: Vec::new(), terms_agreed: false, only_existing: false, external_account: None }
    }

    /// Where the CA may reach you: a URL such as `mailto:ops@example.com`; repeatable. Default: nowhere.
    pub fn contact(mut self, url: impl Into<String>) -> Self {
        self.contact.push(url.into());
        self
    }

    /// Agrees to the terms of service that [`Meta`](crate::Meta) names. Read them: this is a signature.
    pub const fn agree_to_terms(mut self) -> Self {
        self.terms_agreed = true;
        self
    }

    /// Only finds the account that the key has, and makes none (RFC 8555 §7.3.1).
    pub const fn only_existing(mut self) -> Self {
        self.only_existing = true;
        self
    }

    /// Binds the account to a customer of the CA (RFC 8555 §7.3.4), where the directory's
    /// [`Meta`](crate::Meta) requires it or the customer wants it.
    pub fn external_account(mut self, customer: ExternalAccount) -> Self {
        self.external_account = Some(customer);
        self
    }

    /// Whether the account is to be bound to a customer.
    pub(crate) const fn is_bound(&self) -> bool {
        self.external_account.is_some()
    }

    /// Whether it only looks for an account.
    pub(crate) const fn is_only_existing(&self) -> bool {
        self.only_existing
    }

    /// The payload, but for the external account binding: that needs the account key and the server's URL.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Object(self.members()).to_string()
    }

    /// The whole payload, for that account key and that server.
    pub(crate) fn payload(&self, account_key: &Jwk, new_account: &Url) -> String {
        let mut members = self.members();
        if let Some(customer) = &self.external_account {
            members.insert("externalAccountBinding".to_owned(), customer.bind(account_key, new_account));
        }
        Value::Object(members).to_string()
    }

    fn members(&self) -> serde_json::Map<String, Value> {
        let mut payload = serde_json::Map::new();
        if !self.contact.is_empty() {
            payload.insert("contact".to_owned(), json!(self.contact));
        }
        if self.only_existing {
            payload.insert("onlyReturnExisting".to_owned(), json!(true));
        }
        if self.terms_agreed {
            payload.insert("termsOfServiceAgreed".to_owned(), json!(true));
        }
        payload
    }
}

/// A change of an account (RFC 8555 §7.3.2). What is not mentioned stays as it is.
///
/// ```
/// use perennial_acme::AccountUpdate;
///
/// let update = AccountUpdate::new().contact("mailto:new@example.com");
/// assert_eq!(update.to_json(), r#"{"contact":["mailto:new@example.com"]}"#);
/// assert_eq!(AccountUpdate::new().no_contacts().to_json(), r#"{"contact":[]}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a change does nothing until it is sent"]
pub struct AccountUpdate {
    contact: Option<Vec<String>>,
    terms_agreed: bool,
}

impl AccountUpdate {
    /// A change of nothing.
    pub const fn new() -> Self {
        Self { contact: None, terms_agreed: false }
    }

    /// Where the CA may reach you from now on, in place of what it has: a URL such as
    /// `mailto:ops@example.com`; repeatable.
    pub fn contact(mut self, url: impl Into<String>) -> Self {
        self.contact.get_or_insert_default().push(url.into());
        self
    }

    /// Takes all contacts back.
    pub fn no_contacts(mut self) -> Self {
        self.contact = Some(Vec::new());
        self
    }

    /// Agrees to the terms of service that [`Meta`](crate::Meta) names, after they have changed (RFC 8555
    /// §7.3.3). Read them: this is a signature.
    pub const fn agree_to_terms(mut self) -> Self {
        self.terms_agreed = true;
        self
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut payload = serde_json::Map::new();
        if let Some(contact) = &self.contact {
            payload.insert("contact".to_owned(), json!(contact));
        }
        if self.terms_agreed {
            payload.insert("termsOfServiceAgreed".to_owned(), json!(true));
        }
        Value::Object(payload).to_string()
    }
}

/// What a server says about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountState {
    /// Whether it may be used.
    pub status: AccountStatus,
    /// Where the CA may reach its holder. Some CAs do not keep or show it.
    pub contact: Vec<String>,
    /// Whether its holder agreed to the terms of service; few servers say so.
    pub terms_agreed: Option<bool>,
    /// Where its orders are listed; few servers have it.
    pub orders: Option<Url>,
}

impl AccountState {
    /// Reads an account object. DIVERGES: a server that says nothing of the status means `valid`, and `orders`
    /// may be absent, as it is with the largest CA. Of its contacts the first 100 are kept.
    ///
    /// # Errors
    /// [`Misbehaved`] when it is no JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, Misbehaved> {
        let account = Object::parse("account", body)?;
        Ok(Self {
            status: account.text("status").map_or(AccountStatus::Valid, AccountStatus::from),
            contact: account
                .list("contact", usize::MAX)?
                .iter()
                .take(MAX_CONTACTS)
                .filter_map(Json::as_text)
                .map(|contact| printable(contact, 300))
                .collect(),
            terms_agreed: account.flag("termsOfServiceAgreed"),
            orders: account.url("orders"),
        })
    }
}

/// A page of an account's list of orders (RFC 8555 §7.1.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Plain data: what is on the page, and where the next one is.
pub struct OrdersPage {
    /// The orders, in the server's sequence. Servers may leave out those that are invalid.
    pub orders: Vec<Url>,
    /// The next page, if there is one.
    pub next: Option<Url>,
}

impl OrdersPage {
    /// Reads a page's body; where the next page is stands in a header.
    ///
    /// # Errors
    /// [`Misbehaved`] when it is no JSON object, `orders` is absent, or what is in it is no URL or more than
    /// 10,000 of them.
    pub fn parse(body: &[u8]) -> Result<Self, Misbehaved> {
        let page = Object::parse("list of orders", body)?;
        let url = |value: &Json<'_>| {
            let text = value.as_text().ok_or_else(|| page.lacks("orders", "an array of URLs"))?;
            Url::parse(text).map_err(|fault| Misbehaved::url(text, fault))
        };
        let orders = page.required_list("orders", MAX_ORDERS)?.iter().map(url);
        Ok(Self { orders: orders.collect::<Result<_, _>>()?, next: None })
    }
}

const MAX_CONTACTS: usize = 100;
/// Servers put between three and a few hundred on a page.
const MAX_ORDERS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc8555_7_1_2_account() {
        let account = AccountState::parse(
            br#"{
  "status": "valid",
  "contact": [
    "mailto:cert-admin@example.org",
    "mailto:admin@example.org"
  ],
  "termsOfServiceAgreed": true,
  "orders": "https://example.com/acme/orders/rzGoeA"
}"#,
        )
        .unwrap();
        assert_eq!(account.status, AccountStatus::Valid);
        assert_eq!(account.contact.len(), 2);
        assert_eq!(account.terms_agreed, Some(true));
        assert_eq!(account.orders.unwrap().as_str(), "https://example.com/acme/orders/rzGoeA");
    }

    #[test]
    fn too_many_contacts_are_no_reason_to_refuse_the_account() {
        let contacts = vec![r#""mailto:a@example.org""#; 101].join(",");
        let account = AccountState::parse(format!(r#"{{"contact":[{contacts}]}}"#).as_bytes()).unwrap();
        assert_eq!(account.contact.len(), 100);
    }

    #[test]
    fn a_search_makes_no_account() {
        assert_eq!(NewAccount::new().only_existing().to_json(), r#"{"onlyReturnExisting":true}"#);
    }

    #[test]
    fn rfc8555_7_1_2_1_orders_list() {
        let page = OrdersPage::parse(
            br#"{
  "orders": [
    "https://example.com/acme/order/TOlocE8rfgo",
    "https://example.com/acme/order/4E16bbL5iSw",
    "https://example.com/acme/order/neBHYLfw0mg"
  ]
}"#,
        )
        .unwrap();
        assert_eq!(page.orders.len(), 3);
        assert_eq!(page.orders[1].as_str(), "https://example.com/acme/order/4E16bbL5iSw");
    }

    #[test]
    fn a_list_of_something_else_is_no_list_of_orders() {
        for body in [r#"{"orders":[7]}"#, r#"{"orders":["order/7"]}"#, r#"{"orders":null}"#, "[]"] {
            assert!(OrdersPage::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = AccountState::parse(&body);
            let _ = OrdersPage::parse(&body);
        }
    }

    #[test]
    fn a_status_of_the_future_is_kept() {
        let account = AccountState::parse(br#"{"status":"paused","contact":null}"#).unwrap();
        assert_eq!(account.status, AccountStatus::Unknown("paused".into()));
    }
}
