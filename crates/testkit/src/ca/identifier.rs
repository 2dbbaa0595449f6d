//! What a certificate can be for: RFC 8555 §9.7.7, RFC 8738.

use std::{fmt, net::IpAddr};

use perennial_core::DomainName;
use serde_json::{Value, json};

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identifier {
    Dns(DomainName),
    Ip(IpAddr),
}

impl Identifier {
    pub(super) const fn dns(&self) -> Option<&DomainName> {
        match self {
            Self::Dns(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    pub(super) const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Dns(_) => None,
            Self::Ip(address) => Some(*address),
        }
    }

    /// Without the `*.` of a wildcard.
    pub(super) fn base(&self) -> Self {
        match self {
            Self::Dns(name) => Self::Dns(name.base()),
            Self::Ip(address) => Self::Ip(*address),
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.dns().is_some_and(DomainName::is_wildcard)
    }

    pub(super) fn to_json(&self) -> Value {
        let kind = if self.dns().is_some() { "dns" } else { "ip" };
        json!({"type": kind, "value": self.to_string()})
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(address) => address.fmt(f),
        }
    }
}
