//! The JSON of Cloud DNS, as its discovery document of v1 has it.

use serde::{Deserialize, Serialize};

/// `managedZones.list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManagedZones {
    #[serde(default)]
    pub(super) managed_zones: Vec<ManagedZone>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManagedZone {
    /// What the interface calls the zone, which is not its domain name.
    pub(super) name: String,
    /// The apex, with a dot at its end.
    dns_name: String,
    /// `public` or `private`; a zone that is older than private ones has none.
    #[serde(default)]
    visibility: String,
}

impl ManagedZone {
    /// The apex, without the dot at its end.
    pub(super) fn apex(&self) -> &str {
        self.dns_name.strip_suffix('.').unwrap_or(&self.dns_name)
    }

    pub(super) fn is_private(&self) -> bool {
        self.visibility == "private"
    }
}

/// `resourceRecordSets.list`.
#[derive(Debug, Deserialize)]
pub(super) struct RecordSets {
    #[serde(default)]
    pub(super) rrsets: Vec<ResourceRecordSet>,
}

/// A record set, read and written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceRecordSet {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) ttl: u64,
    #[serde(default)]
    pub(super) rrdatas: Vec<String>,
    /// There for a set whose answer depends on who asks.
    #[serde(default, skip_serializing)]
    pub(super) routing_policy: Option<serde_json::Value>,
}

/// `changes.create`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) deletions: Vec<ResourceRecordSet>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) additions: Vec<ResourceRecordSet>,
}

/// What became of a change.
#[derive(Debug, Deserialize)]
pub(super) struct Changed {
    pub(super) id: String,
    /// `pending` or `done`.
    #[serde(default)]
    pub(super) status: String,
}

/// An error of any interface of Google.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    pub(super) error: FaultBody,
}

#[derive(Debug, Deserialize)]
pub(super) struct FaultBody {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    errors: Vec<FaultReason>,
}

#[derive(Debug, Deserialize)]
struct FaultReason {
    #[serde(default)]
    reason: String,
}

impl FaultBody {
    /// The first reason: the word by which errors are told apart.
    pub(super) fn reason(&self) -> &str {
        self.errors.first().map_or("", |error| &error.reason)
    }
}
