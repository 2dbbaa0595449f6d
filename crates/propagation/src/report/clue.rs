//! What the rows do not show, such as what a few questions more brought, once a check had ended badly.

use std::time::Duration;

use perennial_core::DomainName;
use serde::Serialize;

use crate::{transport::TransportError, wire::ExtendedError};

/// Something that the questions for the record itself could not tell. The zone's own servers were asked, or a
/// resolver about the zone's own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "clue")]
#[non_exhaustive]
pub enum Clue {
    /// A name server that does not answer for the record answers a smaller question.
    AnswersSmall {
        /// Which, as [`Row::endpoint`](super::Row::endpoint) writes it.
        endpoint: String,
    },
    /// A value that is wanted is at another name.
    Elsewhere {
        /// Where it is.
        name: DomainName,
        /// How that name differs.
        mistake: Mistake,
    },
    /// The policy is to wait, and nobody was asked.
    NobodyAsked {
        /// For how long.
        #[serde(serialize_with = "super::millis", rename = "wait_ms")]
        wait: Duration,
    },
    /// Signatures must be whole, and no resolver that was asked validates.
    NobodyValidates,
    /// A configured resolver has no use.
    ResolverDead {
        /// Which.
        resolver: String,
        /// What happened.
        error: TransportError,
    },
    /// Enough servers had the values, and the deadline came before they were seen to have them still.
    Unconfirmed,
    /// What stands at the name is made up from a wildcard (RFC 4592).
    Wildcard {
        /// The name at which the answer is made up.
        name: DomainName,
        /// The wildcard.
        wildcard: DomainName,
        /// The alias that it makes, if it makes one; else it makes texts.
        target: Option<DomainName>,
    },
    /// A configured resolver finds the zone itself broken.
    ZoneBogus {
        /// Which zone.
        zone: DomainName,
        /// Who.
        resolver: String,
        /// Its own explanation (RFC 8914).
        extended_error: Option<ExtendedError>,
    },
    /// The aliases pass through more zones than are looked at for keys, and no resolver that was asked validates.
    ZonesUnchecked {
        /// Those that were not looked at.
        zones: Vec<DomainName>,
    },
}

/// How a record came to stand at another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mistake {
    /// The zone's name, or a part of it, stands there twice: a control panel adds what was typed already.
    Doubled,
    /// A label is missing, or one too many.
    Misplaced,
}
