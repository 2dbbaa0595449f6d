//! What was added, written down so that it can be removed after a crash too.

use std::time::Duration;

use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{Change, Zone};

/// What was added, written down so that it can be removed after a crash too.
///
/// Cleanup is a recorded debt: keep receipts until they are paid with [`removal`](Self::removal). A lost
/// receipt loses nothing but speed, since a provider finds the value by itself: a [`Change::remove`] with the
/// name and the value is as good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The [`kind`](crate::DnsProvider::kind) of the provider.
    pub provider: String,
    /// The zone that was written to.
    pub zone: Zone,
    /// The owner of the TXT record.
    pub name: DomainName,
    /// The value.
    pub value: String,
    /// The vendor's identifier of the record, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// The time to live that was given to the record, in whole seconds, where the provider knows it: more than
    /// was asked for where the vendor has a least one, or siblings have another.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "seconds")]
    pub ttl: Option<Duration>,
}

impl Receipt {
    /// The receipt for an added value.
    #[must_use]
    pub fn new(provider: impl Into<String>, zone: &Zone, change: &Change) -> Self {
        let Change { name, value, .. } = change.clone();
        Self { provider: provider.into(), zone: zone.clone(), name, value, record_id: None, ttl: None }
    }

    /// Adds the vendor's identifier of the record.
    #[must_use]
    pub fn with_record_id(mut self, id: impl Into<String>) -> Self {
        self.record_id = Some(id.into());
        self
    }

    /// Adds the time to live that was given to the record.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The change that undoes what the receipt is for.
    #[must_use]
    pub fn removal(&self) -> Change {
        Change::remove(self.name.clone(), self.value.clone())
    }
}

/// A duration as a number of seconds.
pub(crate) mod seconds {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(ttl: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        ttl.map(|ttl| ttl.as_secs()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_survives_a_restart() {
        let zone = Zone::new("example.com".parse().unwrap()).with_id("z1");
        let change = Change::add("_acme-challenge.example.com".parse().unwrap(), "v");
        let receipt =
            Receipt::new("memory", &zone, &change).with_record_id("r7").with_ttl(Duration::from_secs(60));
        let stored = serde_json::to_string(&receipt).unwrap();
        assert_eq!(
            stored,
            r#"{"provider":"memory","zone":{"apex":"example.com","id":"z1"},"name":"_acme-challenge.example.com","value":"v","record_id":"r7","ttl":60}"#
        );
        assert_eq!(serde_json::from_str::<Receipt>(&stored).unwrap(), receipt);
        let early = r#"{"provider":"memory","zone":{"apex":"a.example"},"name":"a.example","value":"v"}"#;
        assert_eq!(serde_json::from_str::<Receipt>(early).unwrap().record_id, None);
    }
}
