//! What a CA wants proven (RFC 8555 §7.1.3, RFC 8738): a DNS name or an IP address.

use std::{fmt, net::IpAddr, str::FromStr};

use perennial_core::{DomainName, DomainNameError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a CA wants proven: a DNS name, of a wildcard with its `*.`, or an IP address. Its text is that of the name or the
/// address.
///
/// ```
/// use perennial_lifecycle::Identifier;
///
/// assert!(matches!("*.example.com".parse()?, Identifier::Dns(name) if name.is_wildcard()));
/// assert!(matches!("2001:db8::1".parse()?, Identifier::Ip(_)));
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Identifier {
    /// A DNS name.
    Dns(DomainName),
    /// An IP address (RFC 8738).
    Ip(IpAddr),
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl FromStr for Identifier {
    type Err = DomainNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Ip).or_else(|_| DomainName::parse(text).map(Self::Dns))
    }
}

impl From<DomainName> for Identifier {
    fn from(name: DomainName) -> Self {
        Self::Dns(name)
    }
}

impl From<IpAddr> for Identifier {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_taken_comes_back(text in "[*a-z0-9.:-]{0,20}") {
            if let Ok(identifier) = text.parse::<Identifier>() {
                let json = serde_json::to_string(&identifier).unwrap();
                prop_assert_eq!(serde_json::from_str::<Identifier>(&json).unwrap(), identifier);
            }
        }
    }
}
