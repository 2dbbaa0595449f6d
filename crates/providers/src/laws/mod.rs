//! The contract of [`DnsProvider`] as checks that run against any provider: for authors of providers, and
//! against a live account when in doubt.
//!
//! ```
//! use perennial_providers::{MemoryProvider, laws};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let provider = MemoryProvider::new(["example.com".parse()?]);
//! let report = laws::check(&provider, &"_scratch.example.com".parse()?).await;
//! assert!(report.is_kept(), "{report}");
//! assert!(provider.is_empty());
//! # Ok(()) }
//! ```

use std::fmt;

use perennial_core::DomainName;

use crate::{DnsProvider, Error};

mod scene;
use scene::Scene;

/// Checks every law of [`Law::ALL`], one after the other.
///
/// `scratch` is a name where the provider may write; it and `other.` in front of it should be nobody's. Values
/// that are there already count as foreign siblings, and must be there in the end. What the laws added is
/// removed again, as far as the provider can.
pub async fn check(provider: &dyn DnsProvider, scratch: &DomainName) -> LawReport {
    let mut outcomes = Vec::with_capacity(Law::ALL.len());
    for law in Law::ALL {
        outcomes.push((law, check_one(law, provider, scratch).await));
    }
    LawReport { provider: provider.kind().to_owned(), outcomes }
}

/// Checks one law, as [`check`] does.
///
/// # Errors
/// [`Breach`] with what was seen.
pub async fn check_one(law: Law, provider: &dyn DnsProvider, scratch: &DomainName) -> Result<(), Breach> {
    let scene = Scene::open(provider, scratch).await?;
    let outcome = scene.play(law).await;
    let closed = scene.close().await;
    outcome.and(closed)
}

/// A sentence of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// The zone of a name is at or above it.
    ZoneHoldsName,
    /// An added value is there, once.
    AddedIsThere,
    /// Adding twice is adding once.
    AddIsIdempotent,
    /// Two values live at one name, added one after the other: a wildcard and its base name.
    ValuesCoexist,
    /// Two values live at one name, added in one batch.
    BatchIsWhole,
    /// Each added value has a receipt, in order, also when it was there before.
    ReceiptsAreComplete,
    /// Removing one value keeps its sibling.
    RemoveTakesOneValue,
    /// Removing what is absent succeeds and changes nothing.
    RemoveOfAbsentIsNothing,
    /// A value is found again without its receipt.
    RemoveNeedsNoReceipt,
    /// A value of more than 255 bytes comes back whole, and goes.
    LongValueIsWhole,
    /// Values that differ in upper and lower case are two.
    CaseMatters,
    /// Quotes, backslashes, semicolons and spaces come back as they were.
    SpecialCharactersStay,
    /// The same value at another name is another record.
    NamesAreApart,
    /// A name is not read as relative to the zone.
    NamesAreAbsolute,
    /// A change outside the zone is refused.
    ZoneIsTheLimit,
    /// Twenty writers at once: each added value is there, and each removed one is not.
    WritersConverge,
}

impl Law {
    /// All laws.
    pub const ALL: [Self; 16] = [
        Self::ZoneHoldsName,
        Self::AddedIsThere,
        Self::AddIsIdempotent,
        Self::ValuesCoexist,
        Self::BatchIsWhole,
        Self::ReceiptsAreComplete,
        Self::RemoveTakesOneValue,
        Self::RemoveOfAbsentIsNothing,
        Self::RemoveNeedsNoReceipt,
        Self::LongValueIsWhole,
        Self::CaseMatters,
        Self::SpecialCharactersStay,
        Self::NamesAreApart,
        Self::NamesAreAbsolute,
        Self::ZoneIsTheLimit,
        Self::WritersConverge,
    ];
}

/// How a law was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// The values were not those that the law says.
    #[error("after {after}: expected {expected:?} at {name}, found {found:?}")]
    Differs {
        /// What had been done.
        after: &'static str,
        /// Where.
        name: DomainName,
        /// The values that the law says, sorted.
        expected: Vec<String>,
        /// The values that were there, sorted.
        found: Vec<String>,
    },
    /// A call failed that must succeed.
    #[error("{doing} failed: {error}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// The provider's error.
        error: Error,
    },
    /// The provider said something about its work that is not so.
    #[error("{what}")]
    Untrue {
        /// What it said.
        what: String,
    },
}

/// What [`check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LawReport {
    /// The kind of provider that was checked.
    pub provider: String,
    /// Each law with how it went.
    pub outcomes: Vec<(Law, Result<(), Breach>)>,
}

impl LawReport {
    /// Whether all laws were kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome)| outcome.is_ok())
    }

    /// The laws that were broken, and how.
    pub fn breaches(&self) -> impl Iterator<Item = (Law, &Breach)> {
        self.outcomes.iter().filter_map(|(law, outcome)| Some((*law, outcome.as_ref().err()?)))
    }
}

/// One line for each law.
impl fmt::Display for LawReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (law, outcome) in &self.outcomes {
            match outcome {
                Ok(()) => writeln!(f, "{}: {law:?}: kept", self.provider)?,
                Err(breach) => writeln!(f, "{}: {law:?}: BROKEN: {breach}", self.provider)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
