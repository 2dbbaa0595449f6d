//! Accounts (RFC 8555 §7.1.2, §7.3).

use serde_json::{Value, json};

use crate::{Misbehaved, Url, json::Object, open_enum::open_enum, text::printable};

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
}

impl NewAccount {
    /// A request without contacts that agrees to nothing.
    pub const fn new() -> Self {
        Self { contact: Vec::new(), terms_agreed: false, only_existing: false }
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

    /// Whether it only looks for an account.
    pub(crate) const fn is_only_existing(&self) -> bool {
        self.only_existing
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> String {
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
    /// Where its orders are listed; few servers have it.
    pub orders: Option<Url>,
}

impl AccountState {
    /// Reads an account object. DIVERGES: a server that says nothing of the status means `valid`, and `orders`
    /// may be absent, as it is with the largest CA.
    ///
    /// # Errors
    /// [`Misbehaved`] when it is no JSON object, or has more than 100 contacts.
    pub fn parse(body: &[u8]) -> Result<Self, Misbehaved> {
        let account = Object::parse("account", body)?;
        Ok(Self {
            status: account.text("status").map_or(AccountStatus::Valid, AccountStatus::from),
            contact: account
                .list("contact", MAX_CONTACTS)?
                .iter()
                .filter_map(Value::as_str)
                .map(|contact| printable(contact, 300))
                .collect(),
            orders: account.url("orders"),
        })
    }
}

const MAX_CONTACTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(account.orders.unwrap().as_str(), "https://example.com/acme/orders/rzGoeA");
    }

    #[test]
    fn a_search_makes_no_account() {
        assert_eq!(NewAccount::new().only_existing().to_json(), r#"{"onlyReturnExisting":true}"#);
    }

    #[test]
    fn a_status_of_the_future_is_kept() {
        let account = AccountState::parse(br#"{"status":"paused","contact":null}"#).unwrap();
        assert_eq!(account.status, AccountStatus::Unknown("paused".into()));
    }
}
