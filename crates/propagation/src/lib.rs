//! Is this TXT record visible where the certificate authority will look, and if not, why?
//!
//! A CA that validates a DNS-01 challenge (RFC 8555 §8.4) asks the zone's own name servers, from several
//! places on the internet. So does this crate: it finds the zone and its name servers without ever sending
//! the challenge name to a caching resolver, asks every address of every one of them, and says who has the
//! values, who lags, who is dead, and who lies.
//!
//! | start here | for |
//! |---|---|
//! | [`Checker`] | one check, or a watch until a deadline |
//! | [`Report`] | the diagnosis: one row an address, the evidence, the advice |
//! | [`Policy`] | how many name servers must have the values |
//! | [`NameServer`] | how to write down a resolver: `8.8.8.8`, `[2001:db8::1]:53`, `tls://…`, `https://…` |
//! | [`caa`] | may this CA issue at all? (RFC 8659) |
//! | [`nat64`] | reaching IPv4 servers from IPv6-only hosts (RFC 6052, RFC 7050) |
//!
//! Everything that decides is pure and public, so that it can be tested, and used, without a network:
//! [`probe`] gives one answer its meaning, [`verdict`](mod@verdict) weighs them all, [`watch`] knows when to
//! ask again, [`vantage`] reads what resolvers elsewhere say. [`Exchange`] is the seam to the network.

pub mod caa;

mod checker;
pub use checker::{Checker, CheckerBuilder, Checks, Connectivity, HostAddress, Watches};

mod duration;

mod error;
pub use error::Error;

mod inquiry;

mod nameserver;
pub use nameserver::{Host, NameServer, NameServerError, Protocol};

pub mod nat64;
pub use nat64::Nat64;

mod policy;
pub use policy::{Policy, PolicyError};

pub mod probe;

pub mod report;
pub use report::Report;

mod resolv_conf;

pub mod target;

pub mod transport;
pub use transport::Exchange;

pub mod vantage;
pub use vantage::{Agreement, Dnssec};

pub mod verdict;
pub use verdict::Verdict;

mod wanted;
pub use wanted::Wanted;

pub mod watch;
pub use watch::Propagated;

pub mod wire;

pub mod zone;
pub use zone::ZoneView;
