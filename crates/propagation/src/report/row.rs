//! What one address says.

use std::time::Duration;

use perennial_core::DomainName;
use serde::Serialize;

use super::{millis, option_millis};
use crate::{
    probe::{Finding, Lameness},
    target::{Embedded, NoRoute},
    transport::{Endpoint, Reply, Transport, TransportError},
    wire::{Answer, Data, ExtendedError, ResponseCode},
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
    /// When it was last asked, counted likewise.
    #[serde(serialize_with = "option_millis", rename = "asked_ms")]
    pub asked: Option<Duration>,
    /// How many times it was asked.
    pub queries: u32,
    /// The zone's serial number at this server, as it last told (RFC 1982).
    pub serial: Option<u32>,
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
    /// How long this "no" may be remembered, where it was one.
    pub absence: Option<Absence>,
    /// The TXT values that are there, at most 50, made printable.
    pub values: Vec<String>,
    /// The server's own explanation (RFC 8914).
    pub extended_error: Option<ExtendedError>,
    /// Which instance of an anycast server it was (RFC 5001).
    pub instance: Option<String>,
}

/// How long a "no" may be remembered (RFC 2308 §5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Absence {
    /// The zone that says no; `None` is the root. A resolver that names a zone here which the world does not
    /// know has one of its own.
    pub zone: Option<DomainName>,
    /// For so many more seconds.
    #[serde(rename = "ttl_s")]
    pub ttl: u32,
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
    /// It refers to a zone further down, or serves that one too.
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

impl Row {
    /// Whether it has said anything, be it useless.
    pub(crate) const fn is_heard(&self) -> bool {
        !matches!(self.state, State::NotAsked { .. } | State::Unreachable { .. } | State::Waiting)
    }
}

impl LastAnswer {
    /// What is kept of a reply that means `finding`.
    pub(crate) fn new(reply: &Reply, finding: &Finding) -> Self {
        let (values, serial) = match finding {
            Finding::Lacking { values, serial } => (values.clone(), *serial),
            Finding::Satisfied { values } => (values.clone(), None),
            Finding::Alias { .. } | Finding::Lame(_) | Finding::Referral(_) => (Vec::new(), None),
        };
        let answer = &reply.answer;
        Self {
            transport: reply.transport,
            elapsed: reply.elapsed,
            code: answer.code,
            authoritative: answer.authoritative,
            recursion_available: answer.recursion_available,
            serial,
            absence: if values.is_empty() { Absence::read(answer) } else { None },
            values,
            extended_error: answer.extended_error.clone(),
            instance: answer.instance.clone(),
        }
    }
}

impl Absence {
    /// What a negative answer says about itself; `None` when it may not be remembered.
    pub(crate) fn read(answer: &Answer) -> Option<Self> {
        let zone = answer.authorities.iter().find_map(|record| match record.data {
            Data::Soa { .. } => Some(record.owner.clone()),
            _ => None,
        })?;
        answer.negative_ttl().map(|ttl| Self { zone, ttl })
    }
}
