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

    /// The name without the apex, as many vendors want it: `www` of `www.example.com`, the empty text at the apex
    /// itself. A name outside the zone stays whole.
    ///
    /// ```
    /// use perennial_providers::Zone;
    ///
    /// let zone = Zone::new("example.com".parse()?);
    /// assert_eq!(zone.relative(&"_acme-challenge.www.example.com".parse()?), "_acme-challenge.www");
    /// assert_eq!(zone.relative(&"example.com".parse()?), "");
    /// # Ok::<(), perennial_core::DomainNameError>(())
    /// ```
    #[must_use]
    pub fn relative<'n>(&self, name: &'n DomainName) -> &'n str {
        match name.as_str().strip_suffix(self.apex.as_str()) {
            Some("") => "",
            Some(rest) => rest.strip_suffix('.').unwrap_or_else(|| name.as_str()),
            None => name.as_str(),
        }
    }

    /// The absolute name that a vendor's text stands for: relative to the apex, which is written as the empty
    /// text or as `@`; or absolute already, with or without the final dot. `None` if it is no name.
    ///
    /// ```
    /// use perennial_providers::Zone;
    ///
    /// let zone = Zone::new("example.com".parse()?);
    /// for text in ["www", "WWW.example.com", "www.example.com."] {
    ///     assert_eq!(zone.absolute(text).unwrap().as_str(), "www.example.com");
    /// }
    /// for apex in ["", "@", "example.com", "example.com."] {
    ///     assert_eq!(zone.absolute(apex).unwrap(), zone.apex);
    /// }
    /// assert_eq!(zone.absolute("a..b"), None);
    /// # Ok::<(), perennial_core::DomainNameError>(())
    /// ```
    #[must_use]
    pub fn absolute(&self, text: &str) -> Option<DomainName> {
        if matches!(text, "" | "@") {
            return Some(self.apex.clone());
        }
        let whole = text.parse::<DomainName>().ok();
        if text.ends_with('.') || whole.as_ref().is_some_and(|name| name.is_at_or_below(&self.apex)) {
            return whole;
        }
        format!("{text}.{}", self.apex).parse().ok()
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
