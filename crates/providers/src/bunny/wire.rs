//! What is said to Bunny, and what it answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Zone,
    engine::{NewRecord, Record},
    txt,
    vendor::{Answer, Complaint, Scalar},
};

/// The number of TXT among the types of records.
const TXT: u8 = 3;

/// A page of zones.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Zones {
    pub(super) items: Vec<Listed>,
    pub(super) has_more_items: bool,
}

/// A zone, without the records that come with it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    id: Scalar,
    domain: String,
}

impl Listed {
    pub(super) fn zone(self) -> Option<Zone> {
        let apex = self.domain.parse().ok()?;
        Some(self.id.to_string()).filter(|id| !id.is_empty()).map(|id| Zone::new(apex).with_id(id))
    }
}

/// A zone's records.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Content {
    pub(super) records: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    id: Scalar,
    /// The number; newer pages of the documentation write the word.
    r#type: Scalar,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    ttl: Option<u64>,
    /// Kept, and not served.
    #[serde(default)]
    disabled: bool,
}

impl Entry {
    /// The TXT record that it is, if it is one that is served.
    pub(super) fn text(self, zone: &Zone) -> Option<Record> {
        let is_text = self.r#type.number() == Some(TXT.into()) || self.r#type.as_str() == "TXT";
        if !is_text || self.disabled {
            return None;
        }
        let name = zone.absolute(&self.name.unwrap_or_default())?;
        let value = txt::unquote(&self.value.unwrap_or_default());
        Some(Record::new(self.id.to_string(), name, value, self.ttl.map(Duration::from_secs)))
    }
}

/// A record to be made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Creation<'c> {
    r#type: u8,
    name: &'c str,
    value: &'c str,
    ttl: u64,
}

impl<'c> Creation<'c> {
    pub(super) fn new(zone: &Zone, record: &'c NewRecord) -> Self {
        let NewRecord { name, value, ttl, .. } = record;
        Self { r#type: TXT, name: zone.relative(name), value, ttl: ttl.as_secs() }
    }
}

/// That a record was made.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    pub(super) id: Scalar,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    #[serde(default)]
    error_key: Option<String>,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Fault { error_key, field, message }) = answer.json_if_any() else { return Some(complaint) };
    let complaint = error_key.into_iter().fold(complaint, Complaint::code);
    let field = field.filter(|field| !field.is_empty());
    let said = match (field, message) {
        (Some(field), Some(message)) => Some(format!("{field}: {message}")),
        (_, message) => message,
    };
    Some(said.into_iter().fold(complaint, Complaint::message))
}
