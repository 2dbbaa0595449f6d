//! The zone that holds a name, and how we know: RFC 1034 §4.2, RFC 2181 §6 ("zone cuts").
//!
//! A resolver is asked where the zone begins, never about the challenge name itself: a negative answer would
//! stay in its cache (RFC 2308) and hide the record from whoever asks it later. And a resolver is not
//! believed: in a network with a split horizon it speaks of a zone that the rest of the world does not know.
//! So the servers of the zone *above* are asked whether they delegate it. Where no resolver can be used, the
//! zone is found by a [`walk`] from the root. The decisions are here; who sends the questions is in
//! [`Checker`](crate::Checker).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use perennial_core::DomainName;
use serde::Serialize;

use crate::wire::ResponseCode;

pub(crate) mod cut;
pub(crate) mod roots;
pub mod walk;

/// A zone, its name servers, and the evidence for both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ZoneView {
    /// The name at which the zone begins.
    pub apex: DomainName,
    /// Its name servers, with what addresses they have.
    pub servers: Vec<ZoneServer>,
    /// How we know, in the order in which we learnt it.
    pub evidence: Vec<Evidence>,
}

impl ZoneView {
    /// A zone by somebody's word, without evidence.
    #[must_use]
    pub const fn new(apex: DomainName, servers: Vec<ZoneServer>) -> Self {
        Self { apex, servers, evidence: Vec::new() }
    }
}

/// A name server of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ZoneServer {
    /// Its host name.
    pub name: DomainName,
    /// Its IPv4 addresses.
    pub v4: Vec<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub v6: Vec<Ipv6Addr>,
}

impl ZoneServer {
    /// A name server of which no address is known yet.
    #[must_use]
    pub const fn new(name: DomainName) -> Self {
        Self { name, v4: Vec::new(), v6: Vec::new() }
    }

    /// Adds an address, unless it is there or there are [`MAX_ADDRESSES`] of its family.
    pub fn add(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) if self.v4.len() < MAX_ADDRESSES && !self.v4.contains(&v4) => self.v4.push(v4),
            IpAddr::V6(v6) if self.v6.len() < MAX_ADDRESSES && !self.v6.contains(&v6) => self.v6.push(v6),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }

    /// Whether no address is known.
    #[must_use]
    pub const fn is_unresolved(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The most addresses of one family that are kept of one name server.
pub const MAX_ADDRESSES: usize = 8;

/// One thing that was learnt about a zone cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Evidence {
    /// Parent and resolver give the same name server different addresses; the parent's are asked.
    AddressesDiffer {
        /// The name server.
        server: DomainName,
        /// The addresses that the parent gives.
        parent: Vec<IpAddr>,
        /// The addresses that the resolver gives.
        resolver: Vec<IpAddr>,
    },
    /// A resolver said so.
    Claimed {
        /// Where the zone begins, by its word.
        apex: DomainName,
        /// Who said it.
        resolver: String,
    },
    /// A server of the zone above delegates it.
    Confirmed {
        /// Where the zone begins.
        apex: DomainName,
        /// The zone above.
        parent: DomainName,
        /// The server that said so.
        by: String,
    },
    /// The operator gave the name servers; nobody was asked for others.
    Given {
        /// Where their zone begins, by their own word.
        apex: DomainName,
        /// Those servers.
        servers: Vec<String>,
    },
    /// The zone above and the resolver name different name servers.
    NameServersDiffer {
        /// Where the zone begins.
        apex: DomainName,
        /// The name servers that the parent names and the resolver does not.
        parent_only: Vec<DomainName>,
        /// The name servers that the resolver names and the parent does not.
        resolver_only: Vec<DomainName>,
    },
    /// A server of the zone above sent us here while it was asked for the record, or serves this zone too and
    /// said so.
    Referred {
        /// Where the zone begins.
        apex: DomainName,
    },
    /// A resolver claims a zone that the servers of the zone above do not know.
    SplitHorizon {
        /// The zone that is claimed.
        claimed: DomainName,
        /// Who claims it.
        resolver: String,
        /// The zone above.
        parent: DomainName,
        /// The server that knows no such delegation.
        by: String,
        /// What it answered: NXDOMAIN, or NOERROR without a delegation.
        code: ResponseCode,
    },
    /// The servers of the zone above could not be asked, so the resolver's word stands alone.
    Unverified {
        /// Where the zone begins, by the resolver's word.
        apex: DomainName,
        /// Why nobody could be asked.
        reason: String,
    },
    /// Found by walking from the root, without a resolver, along the delegations of authoritative servers.
    Walked {
        /// Where the zone begins.
        apex: DomainName,
        /// The zone above; `None` is the root.
        parent: Option<DomainName>,
        /// The server of the zone above that delegates it.
        by: String,
    },
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressesDiffer { server, parent, resolver } => write!(
                f,
                "the zone above gives {server} the addresses {}, the resolver {}: the former are asked",
                list(parent),
                list(resolver)
            ),
            Self::Claimed { apex, resolver } => {
                write!(f, "resolver {resolver} places the name in zone {apex}")
            }
            Self::Confirmed { apex, parent, by } => {
                write!(f, "the servers of {parent} ({by}) confirm the zone {apex}")
            }
            Self::Given { apex, servers } => {
                write!(f, "the name servers were given ({}), and serve {apex}", list(servers))
            }
            Self::NameServersDiffer { apex, parent_only, resolver_only } => {
                write!(f, "the name servers of {apex} differ:")?;
                if !parent_only.is_empty() {
                    write!(f, " only the zone above names {}", list(parent_only))?;
                }
                let comma = if parent_only.is_empty() { "" } else { "," };
                if resolver_only.is_empty() {
                    Ok(())
                } else {
                    write!(f, "{comma} only the zone itself names {}", list(resolver_only))
                }
            }
            Self::Referred { apex } => {
                write!(f, "the servers of the zone above show that the zone {apex} begins there")
            }
            Self::SplitHorizon { claimed, resolver, parent, by, code } => write!(
                f,
                "resolver {resolver} claims zone {claimed}, the servers of {parent} know no such delegation \
                 ({code} from {by}): split horizon; authoritative servers are asked instead"
            ),
            Self::Unverified { apex, reason } => {
                write!(f, "the cut of {apex} is unverified, the resolver's word stands alone: {reason}")
            }
            Self::Walked { apex, parent, by } => {
                let parent = parent.as_ref().map_or("the root", DomainName::as_str);
                write!(f, "the walk from the root led to {apex}: the servers of {parent} ({by}) delegate it")
            }
        }
    }
}

pub(crate) fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
