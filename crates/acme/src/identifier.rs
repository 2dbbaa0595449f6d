//! What a certificate is about (RFC 8555 §7.1.3, §9.7.7).

use std::fmt;

use perennial_core::DomainName;
use serde_json::{Value, json};

use crate::{json::Object, text::printable};

/// A name that an order asks for or an authorization speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Identifier {
    /// A DNS name; in an order it may be a wildcard, in an authorization never (RFC 8555 §7.1.4).
    Dns(DomainName),
    /// Any other kind, or a DNS name that is none, kept as the server wrote it.
    Unknown {
        /// The identifier type.
        kind: String,
        /// The value.
        value: String,
    },
}

impl Identifier {
    /// The DNS name, if it is one.
    #[must_use]
    pub const fn dns(&self) -> Option<&DomainName> {
        match self {
            Self::Dns(name) => Some(name),
            Self::Unknown { .. } => None,
        }
    }

    pub(crate) fn read(value: &Value) -> Option<Self> {
        let object = Object::inner("identifier", value)?;
        let (kind, value) = (object.text("type")?, object.text("value")?);
        let dns = (kind == "dns").then(|| DomainName::parse(value).ok()).flatten();
        Some(dns.map_or_else(
            || Self::Unknown { kind: printable(kind, 64), value: printable(value, 253) },
            Self::Dns,
        ))
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Dns(name) => json!({ "type": "dns", "value": name.as_str() }),
            Self::Unknown { kind, value } => json!({ "type": kind, "value": value }),
        }
    }
}

impl From<DomainName> for Identifier {
    fn from(name: DomainName) -> Self {
        Self::Dns(name)
    }
}

impl From<&DomainName> for Identifier {
    fn from(name: &DomainName) -> Self {
        Self::Dns(name.clone())
    }
}

/// The value alone for a DNS name, `type:value` for others.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Unknown { kind, value } => write!(f, "{kind}:{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names_are_normalised_and_other_kinds_are_kept() {
        let dns = Identifier::read(&json!({ "type": "dns", "value": "WWW.example.org" }));
        assert_eq!(dns.unwrap().to_string(), "www.example.org");
        let other = json!({ "type": "TNAuthList", "value": "F83n2a" });
        let kept = Identifier::read(&other).unwrap();
        assert_eq!(kept.to_string(), "TNAuthList:F83n2a");
        assert_eq!(kept.to_json(), other);
    }

    #[test]
    fn a_dns_name_that_is_none_is_kept_and_no_failure() {
        let odd = Identifier::read(&json!({ "type": "dns", "value": "a b\n.example" })).unwrap();
        assert_eq!(odd, Identifier::Unknown { kind: "dns".into(), value: "a b .example".into() });
        assert_eq!(Identifier::read(&json!({ "type": "dns" })), None);
        assert_eq!(Identifier::read(&json!(7)), None);
    }
}
