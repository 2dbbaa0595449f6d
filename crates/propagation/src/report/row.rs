//! What one address says.

use std::time::Duration;

use perennial_core::DomainName;
use serde::Serialize;

use super::millis;
use crate::{
    probe::Lameness,
    target::{Embedded, NoRoute},
    transport::{Endpoint, Transport, TransportError},
    wire::{ExtendedError, ResponseCode},
};

/// What one address says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// Whose address it is.
    pub servers: Vec<String>,
    /// Where it was asked.
    pub endpoint: Endpoint,
    /// The IPv4 address behind it, when it is reached through NAT64.
    pub nat64: Option<Embedded>,
    /// What it amounts to.
    pub state: State,
    /// When that began, counted from the beginning of the check.
    #[serde(serialize_with = "millis", rename = "since_ms")]
    pub since: Duration,
    /// How many times it was asked.
    pub queries: u32,
    /// The last answer, if any came.
    pub last: Option<LastAnswer>,
}

/// The particulars of a server's last answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastAnswer {
    /// What carried it.
    pub transport: Transport,
    /// How long it took.
    #[serde(serialize_with = "millis", rename = "elapsed_ms")]
    pub elapsed: Duration,
    /// The response code.
    pub code: ResponseCode,
    /// The AA bit.
    pub authoritative: bool,
    /// The RA bit.
    pub recursion_available: bool,
    /// The zone's serial number, which servers tell in negative answers only.
    pub serial: Option<u32>,
    /// The TXT values that are there, at most 50, made printable.
    pub values: Vec<String>,
    /// The server's own explanation (RFC 8914).
    pub extended_error: Option<ExtendedError>,
    /// Which instance of an anycast server it was (RFC 5001).
    pub instance: Option<String>,
}

/// What one address amounts to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It says that the name is an alias.
    Alias {
        /// Of what.
        target: DomainName,
    },
    /// It answers with authority and a value is missing.
    Lacking,
    /// It is of no use.
    Lame {
        /// Why.
        reason: Lameness,
    },
    /// It cannot be asked from here.
    NotAsked {
        /// Why.
        reason: NoRoute,
    },
    /// It refers to a zone further down.
    Referral {
        /// Where that zone begins.
        cut: DomainName,
    },
    /// It has every value.
    Satisfied,
    /// It does not answer.
    Unreachable {
        /// What happened.
        error: TransportError,
    },
    /// Its first answer is awaited.
    Waiting,
}
