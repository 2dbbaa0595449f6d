//! What is asked.

use perennial_core::DomainName;
use serde::Serialize;

/// One name, and who wants to issue for it on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Question {
    /// The name, of a wildcard the part after `*.`.
    pub name: DomainName,
    /// Whether the certificate is for the wildcard: `issuewild` comes first then (RFC 8659 §4.3).
    pub wildcard: bool,
    /// By which domain names records may allow the CA; any of them will do. Empty when they are not known:
    /// then only a record that allows nobody, or nobody like us, forbids.
    pub issuers: Vec<String>,
    /// The URL of the account at the CA, for `accounturi` (RFC 8657 §3). `None` when there is none yet: then
    /// a record that allows one account only is a doubt.
    pub account: Option<String>,
    /// The types of challenges that may be solved, such as `dns-01`, for `validationmethods` (RFC 8657 §4);
    /// any of them will do. Empty when that is not decided: then a record that names some is a doubt.
    pub methods: Vec<String>,
}

impl Question {
    /// A question about a name or a wildcard, of a CA, an account and a method that are not known yet.
    #[must_use]
    pub fn new(name: &DomainName) -> Self {
        Self {
            name: name.base(),
            wildcard: name.is_wildcard(),
            issuers: Vec::new(),
            account: None,
            methods: Vec::new(),
        }
    }

    /// A domain name by which records may allow the CA, such as `letsencrypt.org`; repeatable.
    #[must_use]
    pub fn issuer(mut self, domain: impl Into<String>) -> Self {
        self.issuers.push(domain.into());
        self
    }

    /// The URL of the account.
    #[must_use]
    pub fn account(mut self, url: impl Into<String>) -> Self {
        self.account = Some(url.into());
        self
    }

    /// A type of challenge that may be solved; repeatable.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.methods.push(method.into());
        self
    }

    /// The name as a certificate has it.
    pub(crate) fn subject(&self) -> String {
        if self.wildcard { format!("*.{}", self.name) } else { self.name.to_string() }
    }
}
