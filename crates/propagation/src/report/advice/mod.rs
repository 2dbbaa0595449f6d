//! What a person can do about it.

use perennial_core::DomainName;
use serde::Serialize;

use crate::{probe::Lameness, target::NoRoute, transport::TransportError};

mod read;
pub(super) use read::advise;

mod text;

/// A fact that holds propagation up, or may, with its remedy. `Display` is a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "advice")]
#[non_exhaustive]
pub enum Advice {
    /// The aliases lead in a circle, or too far.
    AliasChain {
        /// What is wrong with them.
        problem: String,
    },
    /// Something between us and the name server answers in its place.
    Intercepted {
        /// Who seems to answer.
        server: String,
    },
    /// A name server does not do its office.
    LameServer {
        /// Which.
        server: String,
        /// Why.
        reason: Lameness,
    },
    /// IPv4 servers cannot be reached, and NAT64 is not set up.
    Nat64Missing {
        /// Which.
        server: String,
        /// Why.
        reason: NoRoute,
    },
    /// A name server has no address.
    NoAddress {
        /// Which.
        server: String,
    },
    /// Some servers do not have the values yet, and nothing else is wrong with them.
    NotYet {
        /// Which.
        servers: Vec<String>,
    },
    /// The name servers of the zone are a cloud's placeholders for a private zone.
    PrivateZone {
        /// The zone.
        zone: DomainName,
        /// One of the placeholders.
        server: DomainName,
    },
    /// A resolver claims a zone that the rest of the world does not know.
    SplitHorizon {
        /// The zone that is claimed.
        claimed: DomainName,
        /// By whom.
        resolver: String,
    },
    /// A server has other values at this name, and not all of the wanted ones.
    StaleValue {
        /// Which.
        server: String,
        /// What it has.
        values: Vec<String>,
    },
    /// A name server does not answer.
    Unreachable {
        /// Which.
        server: String,
        /// What happened.
        error: TransportError,
    },
    /// The zone could not be found.
    ZoneUnknown {
        /// Of which name.
        name: DomainName,
        /// Why.
        reason: String,
    },
}
