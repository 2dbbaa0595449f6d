//! One TXT value to be added or removed.

use std::time::Duration;

use perennial_core::DomainName;

use crate::{Error, Zone, txt};

/// One TXT value to be added or removed: an element of a set, not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Add or remove.
    pub action: Action,
    /// The owner of the TXT record, absolute.
    pub name: DomainName,
    /// The value itself: not quoted, not split into character-strings.
    pub value: String,
    /// The wanted time to live, if it matters. A record set has a single one (RFC 2181 §5.2): where siblings
    /// exist already, theirs stays and this is ignored. `None` is the provider's default.
    pub ttl: Option<Duration>,
}

/// What a [`Change`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // The set algebra has no third verb.
pub enum Action {
    /// The value is in the set afterwards.
    Add,
    /// The value is not in the set afterwards.
    Remove,
}

impl Change {
    /// Adds the value at the name.
    #[must_use]
    pub fn add(name: DomainName, value: impl Into<String>) -> Self {
        Self { action: Action::Add, name, value: value.into(), ttl: None }
    }

    /// Removes the value at the name.
    #[must_use]
    pub fn remove(name: DomainName, value: impl Into<String>) -> Self {
        Self { action: Action::Remove, name, value: value.into(), ttl: None }
    }

    /// Sets the wanted time to live.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Whether the change can be made in this zone by any provider: the rail that every
    /// [`apply`](crate::DnsProvider::apply) puts before its first request.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when the name lies outside the zone, or the value is empty or longer than
    /// [`txt::MAX_VALUE`].
    pub fn check(&self, provider: &str, zone: &Zone) -> Result<(), Error> {
        let fault =
            |reason| Err(Error::InvalidRequest { provider: provider.to_owned(), reason, fault: None });
        let Self { name, value, .. } = self;
        if !name.is_at_or_below(&zone.apex) {
            return fault(format!("{name} is not in the zone {zone}; ask for the zone of that name first"));
        }
        if value.is_empty() {
            return fault(format!("the value for {name} is empty; several vendors take that for no record"));
        }
        if value.len() > txt::MAX_VALUE {
            let (length, most) = (value.len(), txt::MAX_VALUE);
            return fault(format!("the value for {name} has {length} bytes, {most} is the most; shorten it"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outside_the_zone_or_a_bad_value_is_refused_before_anything_is_sent() {
        let zone = Zone::new("example.com".parse().unwrap());
        let check =
            |name: &str, value: &str| Change::add(name.parse().unwrap(), value).check("memory", &zone);
        assert_eq!(check("example.com", "v"), Ok(()));
        assert_eq!(check("a.b.example.com", &"v".repeat(txt::MAX_VALUE)), Ok(()));
        for (name, value, part) in [
            ("badexample.com", "v", "not in the zone example.com"),
            ("a.example.com", "", "is empty"),
            ("a.example.com", &*"v".repeat(txt::MAX_VALUE + 1), "4097 bytes"),
        ] {
            let error = check(name, value).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
