//! IPv4 servers from IPv6-only hosts: address synthesis (RFC 6052) and prefix discovery (RFC 7050).
//!
//! An IPv6-only host reaches an IPv4 name server through a NAT64 translator (RFC 6146) at an IPv6 address
//! that embeds the IPv4 one. [`Prefix`] does the embedding; [`discover`] reads the translator's prefix out of
//! what the network's resolver answers for `ipv4only.arpa`.

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
