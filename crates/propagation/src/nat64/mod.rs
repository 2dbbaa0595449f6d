//! IPv4 servers from IPv6-only hosts: address synthesis (RFC 6052) and prefix discovery (RFC 7050).
//!
//! An IPv6-only host reaches an IPv4 name server through a NAT64 translator (RFC 6146) at an IPv6 address
//! that embeds the IPv4 one. [`Prefix`] does the embedding; [`discover`] reads the translator's prefix out of
//! what the network's resolver answers for `ipv4only.arpa`.

use std::str::FromStr;

pub mod discover;

mod prefix;
pub use prefix::{Prefix, PrefixError, SynthesisError};

/// Whether and how IPv4 servers are reached from a host without an IPv4 route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nat64 {
    /// When the operating system has no route to an IPv4 server, ask the resolvers for the prefix
    /// (RFC 7050). The default: it costs nothing on a host that has IPv4, also by 464XLAT (RFC 6877).
    #[default]
    Auto,
    /// Never: an IPv4 server without a route is reported as unreachable.
    Off,
    /// These prefixes, in this order, for IPv4 servers without a route. Nothing is asked.
    Prefixes(Vec<Prefix>),
}

/// `auto`, `off`, or prefixes separated by commas.
impl FromStr for Nat64 {
    type Err = Nat64Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            prefixes => {
                let parse = |prefix: &str| prefix.trim().parse::<Prefix>();
                let parsed = prefixes.split(',').map(parse).collect::<Result<Vec<_>, _>>();
                Ok(Self::Prefixes(parsed.map_err(Nat64Error)?))
            }
        }
    }
}

/// A text that is no [`Nat64`] setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; or use auto or off")]
pub struct Nat64Error(PrefixError);

impl Nat64Error {
    /// Never: the text has to be mended.
    #[must_use]
    pub const fn retry(&self) -> perennial_core::Retry {
        self.0.retry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_text() {
        assert_eq!("auto".parse(), Ok(Nat64::Auto));
        assert_eq!(" off ".parse(), Ok(Nat64::Off));
        let two = "64:ff9b::/96, 2001:db8::/32".parse();
        assert!(matches!(two, Ok(Nat64::Prefixes(prefixes)) if prefixes.len() == 2));
        let error = "on".parse::<Nat64>().unwrap_err().to_string();
        assert!(error.contains("auto or off"), "{error}");
    }
}
