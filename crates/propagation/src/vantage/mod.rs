//! What the rest of the world sees once the authoritative servers agree: RFC 2308 (negative caching), RFC 4035
//! (DNSSEC), RFC 8914 (extended errors).
//!
//! A CA resolves the name itself, from the authoritative servers down, through a resolver that validates: the
//! Baseline Requirements have demanded that since March 2026 (ballot SC-085). So what some public resolver
//! remembers does not decide, and is worth knowing all the same: a validating resolver is the only one who
//! says that a zone's signatures are broken, and a cached "no" tells that somebody asked too early.
//!
//! Vantage points are asked last, when every name server that counts has the values and a cache can learn no "no" any
//! more. Under [`Policy::Any`](crate::Policy::Any) and [`Policy::Quorum`](crate::Policy::Quorum) some may still lack
//! them, and a vantage point that meets one of those remembers that. Reading is here and pure;
//! who sends the questions is in [`Checker`](crate::Checker).
//!
//! ```
//! use perennial_propagation::{Wanted, vantage::{Said, Security, View, interpret}, wire::{Answer, ResponseCode}};
//!
//! let wanted = Wanted::new("_acme-challenge.example.com".parse()?, ["token".to_owned()]);
//! let (failure, unchecked) = (Answer::new(ResponseCode::SERVFAIL), Answer::new(ResponseCode::NOERROR));
//! let said = Said { answer: &failure, unchecked: Some(&unchecked), delegation: None };
//! let (view, security) = interpret(&wanted, &said);
//! assert_eq!(view, View::Failing { code: ResponseCode::SERVFAIL });
//! assert_eq!(security, Security::Bogus, "it is an answer only where nobody looks at the signatures");
//! # Ok::<(), perennial_core::DomainNameError>(())
//! ```

use std::{fmt, str::FromStr, time::Duration};

use perennial_core::DomainName;
use serde::Serialize;

use crate::{
    Wanted,
    probe::{Asked, Finding, Role, interpret as interpret_probe},
    report::Absence,
    target::{Embedded, NoRoute},
    transport::{Endpoint, TransportError},
    wire::{Answer, Data, ExtendedError, ResponseCode},
};

mod security;
pub use security::{Dnssec, Security};
pub(crate) use security::{is_without_key, read as security};

mod weigh;
pub(crate) use weigh::weigh;

/// Whether vantage points must have the values too, before a check says ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // They count or they do not.
pub enum Agreement {
    /// What they say is reported and decides nothing. The default: a CA does not ask them, and one that
    /// remembers an old "no" must not hold up a certificate.
    #[default]
    Reported,
    /// Every vantage point that answers must have the values, and one must. For records that others than a
    /// CA read, through those very resolvers. A watch waits until what they remember has run out.
    Required,
}

/// One vantage point, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Witness {
    /// The server as the operator wrote it.
    pub server: String,
    /// Where it was asked.
    pub endpoint: Endpoint,
    /// The IPv4 address behind it, when it is reached through NAT64.
    pub nat64: Option<Embedded>,
    /// What it sees.
    pub view: View,
    /// What it makes of the signatures.
    pub security: Security,
    /// Its own explanation (RFC 8914).
    pub extended_error: Option<ExtendedError>,
}

/// What a vantage point sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum View {
    /// It has no answer to give.
    Failing {
        /// What it gave instead.
        code: ResponseCode,
    },
    /// Every wanted value.
    Has,
    /// Nothing at all.
    Lacking {
        /// For how long it will remember that; `None` when it may not.
        absence: Option<Absence>,
    },
    /// It was not asked, because this host has no way to it.
    NotAsked {
        /// Why.
        reason: NoRoute,
    },
    /// Other values, and not all of the wanted ones.
    Stale {
        /// What it has, at most 50, made printable.
        values: Vec<String>,
        /// For how many more seconds it may hold on to them.
        #[serde(rename = "ttl_s")]
        ttl: u32,
    },
    /// It does not answer.
    Unreachable {
        /// What happened.
        error: TransportError,
    },
}

/// All that one vantage point said.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // The three questions that there are.
pub struct Said<'a> {
    /// Its answer to the question for the TXT records, asked with DO=1.
    pub answer: &'a Answer,
    /// Its answer to the same with CD=1, where the first was SERVFAIL.
    pub unchecked: Option<&'a Answer>,
    /// A zone on the way and the answer to the question for its DS records, where the first was not validated.
    pub delegation: Option<(&'a DomainName, &'a Answer)>,
}

/// What is to be asked next, to understand an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FollowUp {
    /// The DS records of the zone: an answer without AD says nothing of who looked.
    Delegation,
    /// The same question with CD=1: a SERVFAIL has many reasons.
    Unchecked,
}

impl FollowUp {
    pub(crate) fn to(answer: &Answer) -> Option<Self> {
        match answer.code {
            ResponseCode::SERVFAIL => Some(Self::Unchecked),
            code if code.is_answer() && !answer.authentic_data => Some(Self::Delegation),
            _ => None,
        }
    }
}

/// Says what a vantage point sees, and what it makes of the signatures. Never fails: whatever it sends, it is
/// something about that server.
#[must_use]
pub fn interpret(wanted: &Wanted, said: &Said<'_>) -> (View, Security) {
    let asked = Asked { name: wanted.name(), values: wanted.values(), role: Role::Resolver };
    let view = match interpret_probe(&asked, said.answer) {
        Finding::Satisfied { .. } => View::Has,
        Finding::Lacking { values, .. } if values.is_empty() => {
            View::Lacking { absence: Absence::read(said.answer) }
        }
        Finding::Lacking { values, .. } => View::Stale { values, ttl: least_ttl(said.answer) },
        // A resolver gives no other findings but that it fails.
        Finding::Alias { .. } | Finding::Lame(_) | Finding::Referral(_) => {
            View::Failing { code: said.answer.code }
        }
    };
    (view, security::read(said))
}

/// An answer lives as long as the first of its records that has to be looked up again.
fn least_ttl(answer: &Answer) -> u32 {
    let counts = |data: &Data| matches!(data, Data::Cname(_) | Data::Txt(_));
    answer.answers.iter().filter(|record| counts(&record.data)).map(|record| record.ttl).min().unwrap_or(0)
}

impl Agreement {
    /// Whether these witnesses stand in the way of "ready".
    pub(crate) fn is_met(self, witnesses: &[Witness]) -> bool {
        let heard = |witness: &&Witness| {
            !matches!(witness.view, View::Failing { .. } | View::NotAsked { .. } | View::Unreachable { .. })
        };
        let mut views = witnesses.iter().filter(heard).map(|witness| &witness.view).peekable();
        match self {
            Self::Reported => true,
            Self::Required => views.peek().is_some() && views.all(|view| *view == View::Has),
        }
    }
}

impl Witness {
    /// The server as it was written, with its address where that tells more.
    pub(crate) fn label(&self) -> String {
        let endpoint = self.endpoint.to_string();
        let same =
            self.server == endpoint || self.server.contains(&endpoint) || endpoint.contains(&self.server);
        if same { self.server.clone() } else { format!("{} ({endpoint})", self.server) }
    }

    /// When it is worth while to ask this one again, if what it says now will not do: not before what it
    /// remembers has run out (RFC 2308 §5). A failure may be remembered for a second at least (RFC 9520 §3.2).
    pub(crate) fn useful_after(&self) -> Duration {
        match &self.view {
            View::Lacking { absence } => lapse(absence.as_ref().map_or(0, |absence| absence.ttl)),
            View::Stale { ttl, .. } => lapse(*ttl),
            View::Failing { .. } | View::Has | View::NotAsked { .. } | View::Unreachable { .. } => AGAIN,
        }
    }
}

/// How soon a vantage point is asked again whose trouble has no known end.
pub(crate) const AGAIN: Duration = Duration::from_secs(5);

/// One second more than the TTL says, since it counts whole ones; and never in a tight loop.
fn lapse(ttl: u32) -> Duration {
    Duration::from_secs(u64::from(ttl) + 1)
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reported => "reported",
            Self::Required => "required",
        })
    }
}

impl FromStr for Agreement {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Reported, Self::Required]
            .into_iter()
            .find(|known| known.to_string() == text)
            .ok_or(UnknownWord { known: "reported or required" })
    }
}

/// A word that names no setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use {known}")]
#[non_exhaustive]
pub struct UnknownWord {
    /// The words that do.
    pub known: &'static str,
}

impl UnknownWord {
    /// Never: the word has to be mended.
    #[must_use]
    pub const fn retry(&self) -> perennial_core::Retry {
        perennial_core::Retry::Never
    }
}

#[cfg(test)]
mod tests;
