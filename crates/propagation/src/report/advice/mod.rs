//! What a person can do about it.

use std::time::Duration;

use perennial_core::DomainName;
use serde::Serialize;

use crate::{
    probe::Lameness,
    target::NoRoute,
    transport::TransportError,
    wire::{ExtendedError, ResponseCode},
};

mod read;
pub(super) use read::advise;

mod resolvers;

mod servers;
pub(crate) use servers::newer as newer_serial;

mod text;

/// A fact that holds propagation up, or may, with its remedy. `Display` is a sentence for the operator, serde
/// writes the [`code`](Self::code) as `advice` beside the particulars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "advice")]
#[non_exhaustive]
pub enum Advice {
    /// The aliases lead in a circle, or too far.
    AliasChain {
        /// What is wrong with them.
        problem: String,
    },
    /// The name lies in a zone of its own, and that one does not have the record.
    BelowZoneCut {
        /// The name.
        name: DomainName,
        /// The zone that it lies in.
        cut: DomainName,
        /// The zone above, in which it does not lie.
        parent: DomainName,
    },
    /// A resolver finds the zone's signatures broken.
    DnssecBogus {
        /// Who.
        resolver: String,
        /// Its own explanation (RFC 8914).
        extended_error: Option<ExtendedError>,
    },
    /// Nobody who validates was heard, where signatures must be whole or some zones were not looked at.
    DnssecIndeterminate {
        /// The zones on the way of the aliases that were not looked at.
        unchecked: Vec<DomainName>,
    },
    /// The value stands at a name in which the zone's name comes twice.
    DoubledName {
        /// That name.
        name: DomainName,
    },
    /// No name server answers at all: nothing gets out of here over port 53.
    EgressBlocked {
        /// Who was asked.
        servers: Vec<String>,
    },
    /// Something between us and the name servers answers in their place.
    Intercepted {
        /// In whose place.
        servers: Vec<String>,
        /// What gives it away.
        sign: Sign,
    },
    /// A name server answers over IPv4 and not over IPv6.
    Ipv6Unreachable {
        /// Which, with its IPv6 address.
        server: String,
        /// For whom.
        reach: Reach,
    },
    /// A name server does not do its office.
    LameServer {
        /// Which.
        server: String,
        /// Why.
        reason: Lameness,
        /// Its own explanation (RFC 8914).
        extended_error: Option<ExtendedError>,
    },
    /// A name server calls itself `localhost`.
    LocalhostServer {
        /// With its address.
        server: String,
    },
    /// The value stands at another name.
    MisplacedName {
        /// That name.
        name: DomainName,
    },
    /// The zone and the zone above name different name servers.
    NameServersDiffer {
        /// The zone.
        zone: DomainName,
        /// The name servers that only the zone above names.
        parent_only: Vec<DomainName>,
        /// The name servers that only the zone itself names.
        child_only: Vec<DomainName>,
    },
    /// IPv4 servers cannot be reached, and NAT64 is not set up.
    Nat64Missing {
        /// Which.
        server: String,
        /// Why.
        reason: NoRoute,
    },
    /// A resolver remembers that the record does not exist.
    NegativelyCached {
        /// Who.
        resolver: String,
        /// For how many more seconds; `None` when it did not say.
        #[serde(rename = "ttl_s")]
        ttl: Option<u32>,
    },
    /// A name server has no address.
    NoAddress {
        /// Which.
        server: String,
    },
    /// Nobody was asked, because the policy is to wait.
    NotAsked {
        /// For how long.
        #[serde(serialize_with = "crate::report::millis", rename = "wait_ms")]
        wait: Duration,
    },
    /// Some servers do not have the values yet, and nothing else is wrong with them.
    NotYet {
        /// Which.
        servers: Vec<String>,
        /// The zone, when no server of it has them.
        nowhere_in: Option<DomainName>,
    },
    /// The name servers of the zone are a cloud's placeholders for a private zone.
    PrivateZone {
        /// The zone.
        zone: DomainName,
        /// One of the placeholders.
        server: DomainName,
    },
    /// A name server stopped to answer after many questions.
    RateLimited {
        /// Which.
        server: String,
        /// After how many.
        queries: u32,
    },
    /// A resolver does not answer.
    ResolverDead {
        /// Which.
        resolver: String,
        /// What happened.
        error: TransportError,
    },
    /// A resolver answers, and not with an answer.
    ResolverFails {
        /// Which.
        resolver: String,
        /// What it answers.
        code: ResponseCode,
        /// Its own explanation (RFC 8914).
        extended_error: Option<ExtendedError>,
    },
    /// A name server has an older version of the zone than others.
    SerialLag {
        /// Which.
        server: String,
        /// The serial number that it has.
        serial: u32,
        /// The newest one that was seen (RFC 1982).
        newest: u32,
    },
    /// A resolver claims a zone that the rest of the world does not know.
    SplitHorizon {
        /// The zone that is claimed.
        claimed: DomainName,
        /// By whom.
        resolver: String,
        /// Whether the record is sought there, since nobody else is asked.
        believed: bool,
    },
    /// A resolver remembers other values.
    StaleCache {
        /// Who.
        resolver: String,
        /// Which.
        values: Vec<String>,
        /// For how many more seconds.
        #[serde(rename = "ttl_s")]
        ttl: u32,
    },
    /// A server has other values at this name, and not all of the wanted ones.
    StaleValue {
        /// Which.
        server: String,
        /// What it has.
        values: Vec<String>,
    },
    /// A name server answers small questions only.
    TcpBlocked {
        /// Which.
        server: String,
    },
    /// Name servers answer small questions over TCP only.
    TcpOnly {
        /// Which.
        servers: Vec<String>,
    },
    /// The servers had the values, and the deadline came before they were seen to have them still.
    Unconfirmed,
    /// A name server does not answer.
    Unreachable {
        /// Which.
        server: String,
        /// What happened.
        error: TransportError,
    },
    /// The alias at the name is made up from a wildcard.
    WildcardAlias {
        /// The name.
        name: DomainName,
        /// The wildcard.
        wildcard: DomainName,
        /// Where it leads.
        target: DomainName,
    },
    /// The texts at the name are made up from a wildcard.
    WildcardText {
        /// The name.
        name: DomainName,
        /// The wildcard.
        wildcard: DomainName,
    },
    /// The zone could not be found.
    ZoneUnknown {
        /// Of which name.
        name: DomainName,
        /// Why.
        reason: String,
    },
}

/// What gives an interception away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sign {
    /// They answer as resolvers do: AA=0, RA=1.
    Recursion,
    /// Servers that have nothing to do with each other say that they are the same instance (RFC 5001).
    SameInstance(String),
}

/// For whom an address cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reach {
    /// For everybody, it seems: other servers are reached over IPv6 from here.
    Everybody,
    /// For this host: no server is reached over IPv6 from here.
    ThisHost,
    /// One address is too few to tell.
    Unknown,
}

impl Advice {
    /// Every [`code`](Self::code) that there is.
    pub const CODES: [&str; 32] = [
        "alias_chain",
        "below_zone_cut",
        "dnssec_bogus",
        "dnssec_indeterminate",
        "doubled_name",
        "egress_blocked",
        "intercepted",
        "ipv6_unreachable",
        "lame_server",
        "localhost_server",
        "misplaced_name",
        "name_servers_differ",
        "nat64_missing",
        "negatively_cached",
        "no_address",
        "not_asked",
        "not_yet",
        "private_zone",
        "rate_limited",
        "resolver_dead",
        "resolver_fails",
        "serial_lag",
        "split_horizon",
        "stale_cache",
        "stale_value",
        "tcp_blocked",
        "tcp_only",
        "unconfirmed",
        "unreachable",
        "wildcard_alias",
        "wildcard_text",
        "zone_unknown",
    ];

    /// A word that stays the same from version to version, for programs: it names the section of the guide
    /// that tells more.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AliasChain { .. } => "alias_chain",
            Self::BelowZoneCut { .. } => "below_zone_cut",
            Self::DnssecBogus { .. } => "dnssec_bogus",
            Self::DnssecIndeterminate { .. } => "dnssec_indeterminate",
            Self::DoubledName { .. } => "doubled_name",
            Self::EgressBlocked { .. } => "egress_blocked",
            Self::Intercepted { .. } => "intercepted",
            Self::Ipv6Unreachable { .. } => "ipv6_unreachable",
            Self::LameServer { .. } => "lame_server",
            Self::LocalhostServer { .. } => "localhost_server",
            Self::MisplacedName { .. } => "misplaced_name",
            Self::NameServersDiffer { .. } => "name_servers_differ",
            Self::Nat64Missing { .. } => "nat64_missing",
            Self::NegativelyCached { .. } => "negatively_cached",
            Self::NoAddress { .. } => "no_address",
            Self::NotAsked { .. } => "not_asked",
            Self::NotYet { .. } => "not_yet",
            Self::PrivateZone { .. } => "private_zone",
            Self::RateLimited { .. } => "rate_limited",
            Self::ResolverDead { .. } => "resolver_dead",
            Self::ResolverFails { .. } => "resolver_fails",
            Self::SerialLag { .. } => "serial_lag",
            Self::SplitHorizon { .. } => "split_horizon",
            Self::StaleCache { .. } => "stale_cache",
            Self::StaleValue { .. } => "stale_value",
            Self::TcpBlocked { .. } => "tcp_blocked",
            Self::TcpOnly { .. } => "tcp_only",
            Self::Unconfirmed => "unconfirmed",
            Self::Unreachable { .. } => "unreachable",
            Self::WildcardAlias { .. } => "wildcard_alias",
            Self::WildcardText { .. } => "wildcard_text",
            Self::ZoneUnknown { .. } => "zone_unknown",
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
