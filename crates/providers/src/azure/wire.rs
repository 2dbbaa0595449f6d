//! The JSON of Azure DNS: its public zones (2018-05-01) and its private ones (2018-09-01), which write two names
//! differently.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Visibility;

/// A list of zones, a page of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Zones {
    #[serde(default)]
    pub(super) value: Vec<ZoneResource>,
    pub(super) next_link: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ZoneResource {
    /// The path of the resource, which is the rest of its URL.
    pub(super) id: String,
    pub(super) name: String,
}

/// A record set.
#[derive(Debug, Deserialize)]
pub(super) struct RecordSetResource {
    pub(super) etag: Option<String>,
    pub(super) properties: Properties,
}

#[derive(Debug, Deserialize)]
pub(super) struct Properties {
    #[serde(rename = "TTL", alias = "ttl", default)]
    pub(super) ttl: u64,
    #[serde(rename = "TXTRecords", alias = "txtRecords", default)]
    pub(super) records: Vec<TxtRecord>,
    /// What people note about a set; a write without it would lose it.
    #[serde(default)]
    pub(super) metadata: Map<String, Value>,
}

/// A record, as its character-strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TxtRecord {
    #[serde(default)]
    pub(super) value: Vec<String>,
}

/// The body of a write.
pub(super) fn body(
    visibility: Visibility,
    ttl: u64,
    records: &[TxtRecord],
    metadata: &Map<String, Value>,
) -> Value {
    let mut properties = match visibility {
        Visibility::Private => json!({ "ttl": ttl, "txtRecords": records }),
        Visibility::Public => json!({ "TTL": ttl, "TXTRecords": records }),
    };
    if let (Some(properties), false) = (properties.as_object_mut(), metadata.is_empty()) {
        properties.insert("metadata".to_owned(), Value::Object(metadata.clone()));
    }
    json!({ "properties": properties })
}

/// An error: of Azure Resource Manager, wrapped, or of Azure DNS, not wrapped.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    error: Option<FaultBody>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FaultBody {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

impl Fault {
    pub(super) fn body(self) -> Option<FaultBody> {
        let bare = self.code.map(|code| FaultBody { code, message: self.message.unwrap_or_default() });
        self.error.or(bare)
    }
}
