//! What a certificate is about (RFC 8555 §7.1.3, §9.7.7).

use std::{borrow::Cow, fmt, net::IpAddr};

use perennial_core::DomainName;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value, json};

use crate::{
    json::{Json, Object},
    text::printable,
};

/// A name that an order asks for or an authorization speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Identifier {
    /// A DNS name; in an order it may be a wildcard, in an authorization never (RFC 8555 §7.1.4).
    Dns(DomainName),
    /// An IP address (RFC 8738), on the wire in its canonical text form (RFC 5952 for IPv6).
    Ip(IpAddr),
    /// Any other kind, or a name or address that is none, kept as the server wrote it.
    Unknown {
        /// The identifier type.
        kind: String,
        /// The value.
        value: String,
    },
}

impl Identifier {
    /// An identifier of a type that this library does not know, such as `permanent-identifier`
    /// (draft-ietf-acme-device-attest) or `email` (RFC 8823). It is sent as it is given.
    ///
    /// One of type `dns` or `ip` whose value is a name or an address becomes [`Dns`](Self::Dns) or
    /// [`Ip`](Self::Ip), so that an identifier has one form only.
    ///
    /// ```
    /// use perennial_acme::Identifier;
    ///
    /// let device = Identifier::other("permanent-identifier", "C02ABC");
    /// assert_eq!(device.to_string(), "permanent-identifier:C02ABC");
    /// assert!(Identifier::other("dns", "example.org").dns().is_some());
    /// ```
    #[must_use]
    pub fn other(kind: impl Into<String>, value: impl Into<String>) -> Self {
        let (kind, value) = (kind.into(), value.into());
        Self::known(&kind, &value).unwrap_or(Self::Unknown { kind, value })
    }

    /// The DNS name, if it is one.
    #[must_use]
    pub const fn dns(&self) -> Option<&DomainName> {
        match self {
            Self::Dns(name) => Some(name),
            Self::Ip(_) | Self::Unknown { .. } => None,
        }
    }

    /// The IP address, if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Dns(_) | Self::Unknown { .. } => None,
        }
    }

    /// Whether an authorization for `other` counts for this one: it is the same, without the `*.` of a wildcard, or
    /// a domain that this one is below (RFC 9444).
    pub(crate) fn is_proven_by(&self, other: &Self) -> bool {
        match (self.dns(), other.dns()) {
            (Some(own), Some(name)) => own.base().is_at_or_below(name),
            _ => self == other,
        }
    }

    pub(crate) fn read(value: &Json<'_>) -> Option<Self> {
        let identifier = Object::inner("identifier", value)?;
        let (kind, value) = (identifier.text("type")?, identifier.text("value")?);
        let unknown = || Self::Unknown { kind: printable(kind, 64), value: printable(value, 253) };
        Some(Self::known(kind, value).unwrap_or_else(unknown))
    }

    fn known(kind: &str, value: &str) -> Option<Self> {
        match kind {
            "dns" => DomainName::parse(value).ok().map(Self::Dns),
            "ip" => value.parse().ok().map(Self::Ip),
            _ => None,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let (kind, value) = self.to_words();
        json!({ "type": kind, "value": value })
    }

    /// Type and value as on the wire.
    pub(crate) fn to_words(&self) -> (&str, Cow<'_, str>) {
        match self {
            Self::Dns(name) => ("dns", name.as_str().into()),
            Self::Ip(address) => ("ip", address.to_string().into()),
            Self::Unknown { kind, value } => (kind, value.into()),
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

impl From<&Self> for Identifier {
    fn from(identifier: &Self) -> Self {
        identifier.clone()
    }
}

impl From<IpAddr> for Identifier {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

/// As on the wire: an object of `type` and `value`.
impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        Self::read(&value).ok_or_else(|| D::Error::custom("an identifier is an object of `type` and `value`"))
    }
}

/// The value alone for a DNS name or an address, `type:value` for others.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(address) => address.fmt(f),
            Self::Unknown { kind, value } => write!(f, "{kind}:{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Option<Identifier> {
        Identifier::read(&serde_json::from_str(&value.to_string()).unwrap())
    }

    #[test]
    fn dns_names_are_normalised_and_other_kinds_are_kept() {
        let dns = read(&json!({ "type": "dns", "value": "WWW.example.org" }));
        assert_eq!(dns.unwrap().to_string(), "www.example.org");
        let other = json!({ "type": "TNAuthList", "value": "F83n2a" });
        let kept = read(&other).unwrap();
        assert_eq!(kept.to_string(), "TNAuthList:F83n2a");
        assert_eq!(kept.to_json(), other);
    }

    #[test]
    fn rfc8738_3_addresses_are_written_in_their_canonical_form() {
        let read = |value: &str| read(&json!({ "type": "ip", "value": value })).unwrap();
        assert_eq!(read("2001:DB8:0::1"), Identifier::Ip("2001:db8::1".parse().unwrap()));
        assert_eq!(read("2001:DB8:0::1").to_json(), json!({ "type": "ip", "value": "2001:db8::1" }));
        assert_eq!(read("192.0.2.7").to_string(), "192.0.2.7");
        assert_eq!(read("192.0.2.999").to_string(), "ip:192.0.2.999");
    }

    #[test]
    fn a_name_is_proven_with_itself_or_an_ancestor_and_with_nothing_else() {
        let dns = |name: &str| Identifier::Dns(name.parse().unwrap());
        assert!(dns("*.example.org").is_proven_by(&dns("example.org")));
        assert!(dns("a.b.example.org").is_proven_by(&dns("example.org")));
        assert!(!dns("example.org").is_proven_by(&dns("a.example.org")));
        assert!(!dns("example.org").is_proven_by(&dns("ample.org")));
        let ip = |text: &str| Identifier::Ip(text.parse().unwrap());
        assert!(ip("192.0.2.1").is_proven_by(&ip("192.0.2.1")));
        assert!(!ip("192.0.2.1").is_proven_by(&ip("192.0.2.2")));
    }

    #[test]
    fn a_dns_name_that_is_none_is_kept_and_no_failure() {
        let odd = read(&json!({ "type": "dns", "value": "a b\n.example" })).unwrap();
        assert_eq!(odd, Identifier::Unknown { kind: "dns".into(), value: "a b .example".into() });
        assert_eq!(read(&json!({ "type": "dns" })), None);
        assert_eq!(read(&json!(7)), None);
    }
}
