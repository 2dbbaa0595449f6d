//! DNSSEC as a resolver tells of it: RFC 4033 §5, RFC 4035 §3.2, RFC 8914 §4.

use std::{fmt, str::FromStr};

use perennial_core::DomainName;
use serde::Serialize;

use super::{Said, UnknownWord};
use crate::wire::{Answer, Data, ResponseCode};

/// What a zone's signatures must be like before a check says ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // Nothing, a word, or a veto.
pub enum Dnssec {
    /// Nobody is asked about them.
    Off,
    /// Broken ones are a warning. The default: a CA has to validate, and one that finds them broken says no
    /// more than "SERVFAIL"; while the resolver whom we ask can be wrong itself, and must not stop a renewal.
    ///
    /// Without vantage points only the zone's own name is shown to the resolvers, once a minute for each
    /// zone; with vantage points, they are asked for the very record.
    #[default]
    Warn,
    /// Somebody who validates must find them whole, or the zone unsigned. Without vantage points the
    /// configured resolvers are asked for the record, after the authoritative servers have it.
    Require,
}

/// The four states of RFC 4033 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // RFC 4033 §5 knows these four.
pub enum Security {
    /// A resolver has validated the answer (AD=1).
    Secure,
    /// The zone above holds no key for it, so there is nothing to validate.
    Insecure,
    /// A resolver refuses the answer as long as it looks at the signatures.
    Bogus,
    /// Nobody who validates was heard.
    Indeterminate,
}

impl Security {
    /// The word of many: a broken chain anywhere is one that a CA may find too; else the surest word.
    pub(crate) fn of_all(words: impl IntoIterator<Item = Self>) -> Self {
        let weight = |word: &Self| match word {
            Self::Bogus => 3,
            Self::Secure => 2,
            Self::Insecure => 1,
            Self::Indeterminate => 0,
        };
        words.into_iter().max_by_key(weight).unwrap_or(Self::Indeterminate)
    }
}

/// What a resolver's answers say about the signatures.
pub(crate) fn read(said: &Said<'_>) -> Security {
    let Said { answer, unchecked, delegation } = said;
    if answer.code.is_answer() {
        return match delegation {
            _ if answer.authentic_data => Security::Secure,
            Some((zone, above)) if is_without_key(zone, above) => Security::Insecure,
            Some(_) | None => Security::Indeterminate,
        };
    }
    let only_unchecked = unchecked.is_some_and(|unchecked| unchecked.code.is_answer());
    if answer.code == ResponseCode::SERVFAIL && only_unchecked && !has_another_reason(answer) {
        Security::Bogus
    } else {
        Security::Indeterminate
    }
}

/// Whether this answer to `zone` DS says that the zone above holds no key for it. The word must be of the zone
/// above (RFC 4035 §3.1.4.1): a resolver from before DNSSEC asks the zone itself, which has no DS records ever.
pub(crate) fn is_without_key(zone: &DomainName, answer: &Answer) -> bool {
    let key = answer.answers.iter().any(|record| matches!(record.data, Data::Ds { .. }));
    let from_above = answer.authorities.iter().any(|record| match (&record.data, &record.owner) {
        (Data::Soa { .. }, Some(owner)) => owner != zone && zone.is_at_or_below(owner),
        (Data::Soa { .. }, None) => true,
        _ => false,
    });
    answer.code == ResponseCode::NOERROR && !key && from_above
}

/// Whether the resolver gives a reason that has nothing to do with signatures: RFC 8914 §4.15 to §4.25, from
/// "Not Ready" over "No Reachable Authority" to "Invalid Data". The second question may just have had better luck.
fn has_another_reason(answer: &Answer) -> bool {
    answer.extended_error.as_ref().is_some_and(|error| (14..=24).contains(&error.code))
}

impl fmt::Display for Dnssec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Require => "require",
        })
    }
}

impl FromStr for Dnssec {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Off, Self::Warn, Self::Require]
            .into_iter()
            .find(|known| known.to_string() == text)
            .ok_or(UnknownWord { known: "off, warn or require" })
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secure => "secure",
            Self::Insecure => "insecure (the zone is not signed)",
            Self::Bogus => "bogus",
            Self::Indeterminate => "indeterminate (nobody who validates was heard)",
        })
    }
}
