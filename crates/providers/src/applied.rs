//! What was done, change by change.

use serde::{Deserialize, Serialize};

use crate::{Receipt, Zone};

/// What [`DnsProvider::apply`](crate::DnsProvider::apply) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// One for each added value, in the order of the changes.
    pub receipts: Vec<Receipt>,
    /// One for each change, in order; none at all from a provider that cannot tell.
    pub outcomes: Vec<Outcome>,
    /// What the vendor's own servers may not have yet, where it can be asked
    /// ([`DnsProvider::in_sync`](crate::DnsProvider::in_sync)).
    pub pending: Vec<Pending>,
}

impl Applied {
    /// With these receipts.
    #[must_use]
    pub const fn new(receipts: Vec<Receipt>) -> Self {
        Self { receipts, outcomes: Vec::new(), pending: Vec::new() }
    }

    /// Adds what became of each change.
    #[must_use]
    pub fn with_outcomes(mut self, outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        self.outcomes.extend(outcomes);
        self
    }

    /// Adds what can be asked about later.
    #[must_use]
    pub fn with_pending(mut self, pending: impl IntoIterator<Item = Pending>) -> Self {
        self.pending.extend(pending);
        self
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It was so already.
    AlreadyDone,
    /// It was made.
    Made,
    /// It is so now; whether it was so before, nobody knows.
    Unknown,
}

/// A change that the vendor has taken and its own servers may not have yet. It can be written down and asked
/// about by another process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pending {
    /// The [`kind`](crate::DnsProvider::kind) of the provider.
    pub provider: String,
    /// The zone that was written to.
    pub zone: Zone,
    /// The vendor's name of the change.
    pub handle: String,
}

impl Pending {
    /// A change that the vendor calls by this name.
    #[must_use]
    pub fn new(provider: impl Into<String>, zone: &Zone, handle: impl Into<String>) -> Self {
        Self { provider: provider.into(), zone: zone.clone(), handle: handle.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_survives_a_restart() {
        let zone = Zone::new("example.com".parse().unwrap());
        let pending = Pending::new("route53", &zone, "C2682N5HXP0BZ4");
        let stored = serde_json::to_string(&pending).unwrap();
        assert_eq!(serde_json::from_str::<Pending>(&stored).unwrap(), pending);
    }
}
