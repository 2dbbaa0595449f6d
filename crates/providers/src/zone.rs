//! The zone that a provider writes to.

use std::fmt;

use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

/// The zone that a provider writes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Zone {
    /// The name at its top, where the SOA record is (RFC 1034 §4.2).
    pub apex: DomainName,
    /// The vendor's identifier, where there is one: two zones of one account may have the same apex, as a
    /// private and a public one do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Zone {
    /// A zone that is known by its name alone.
    #[must_use]
    pub const fn new(apex: DomainName) -> Self {
        Self { apex, id: None }
    }

    /// Adds the vendor's identifier.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{} ({id})", self.apex),
            None => self.apex.fmt(f),
        }
    }
}
